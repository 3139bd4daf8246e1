/* SPDX-License-Identifier: GPL-2.0 */
/*
 * punch.c: a unit is taken away below a living VMA, and becomes another owner's.
 *
 * One unit index of one owner, reserved one unit, its page table entry, one processor with a
 * TLB that runs the owner's program all the time, two units of memory. Beside each other: a
 * punch with its four steps; a fault, which needs no mmap_lock; somebody who clears the
 * entry with mmap_lock held and flushes later (munmap, MADV_DONTNEED of shared memory); a
 * device that pins what the entry maps; another owner who takes what is free.
 *
 * Safe: no page table entry and no TLB has a unit that is not the owner's, nor has a pin;
 * and the owner never has two units by one reservation.
 *
 * MUTANTS: NO_FLUSH NO_MMAP_LOCK NO_FAULT_LOCK FREE_FIRST LOOK_FIRST UNLOCK_FIRST
 */
#define NONE	0
#define THIS	1
#define OTHER	2

byte tree;		/* the unit at the index; 0: none */
byte pte;		/* the unit that the entry maps */
byte tlb;		/* the unit that the processor would access */
byte who[3];		/* unit -> its owner */
byte pin;		/* the unit that a device has a pin on */
bool owner_lock, fault_lock, ptl, writer;
byte readers;		/* of mmap_lock */

#define lock(l)		atomic { !l -> l = true }
#define unlock(l)	l = false
#define read_lock()	atomic { !writer -> readers++ }
#define read_unlock()	readers--
#define write_lock()	atomic { !writer && readers == 0 -> writer = true }
#define write_unlock()	writer = false

inline take(unit, owner)
{
	atomic {
		if
		:: who[1] == NONE -> unit = 1; who[1] = owner
		:: who[2] == NONE -> unit = 2; who[2] = owner
		:: else -> unit = 0
		fi
	}
}

/* The owner's program: the processor fills its TLB whenever it likes. */
active proctype processor()
{
end:	do
	:: atomic { pte != 0 -> tlb = pte }
	:: atomic { tlb != 0 -> tlb = 0 }
	od
}

active proctype fault()
{
	byte unit;

end:	do
	:: pte == 0 ->
#ifndef NO_FAULT_LOCK
		lock(fault_lock);
#endif
		unit = tree;
		if
		:: unit == 0 ->
			take(unit, THIS);
			tree = unit
		:: else
		fi;
		lock(ptl);
		if
		:: pte == 0 -> pte = unit
		:: else		/* an entry is there: come again */
		fi;
		unlock(ptl);
#ifndef NO_FAULT_LOCK
		unlock(fault_lock);
#endif
	od
}

/* Clears the entry, and flushes before it lets go of mmap_lock. */
active proctype zap_by_others()
{
	bool found;

end:	do
	:: read_lock();
		lock(ptl);
		found = (pte != 0);
		pte = 0;
		unlock(ptl);
		if
		:: found -> tlb = 0
		:: else
		fi;
		read_unlock()
	od
}

/* get_user_pages(): looks at the entry under the page table's lock. */
active proctype device()
{
end:	do
	:: lock(ptl);
		pin = pte;
		unlock(ptl)
	:: pin = 0
	od
}

inline zap()
{
	lock(ptl);
#ifdef NO_FLUSH
	pte = 0;
	unlock(ptl);
#else
	if
	:: pte != 0 -> pte = 0; unlock(ptl); tlb = 0
	:: else -> unlock(ptl)			/* nothing to flush */
	fi;
#endif
}

active proctype punch()
{
	byte unit;
	bool pinned;

end:	do
	:: tree != 0 ->
#ifndef NO_MMAP_LOCK
		write_lock();				/* step 1 */
#endif
		lock(owner_lock);
#ifndef NO_FAULT_LOCK
		lock(fault_lock);
#endif
		unit = tree;
#ifdef LOOK_FIRST
		pinned = (unit != 0 && pin == unit);
#endif
#ifdef FREE_FIRST
		tree = 0;
		if
		:: unit != 0 -> who[unit] = NONE
		:: else
		fi;
#endif
		zap();					/* step 2 */
#ifndef LOOK_FIRST
		pinned = (unit != 0 && pin == unit);	/* step 3 */
#endif
#ifndef FREE_FIRST
		if
		:: unit != 0 && !pinned ->		/* step 4 */
			tree = 0;
#ifdef UNLOCK_FIRST
			unlock(fault_lock);
#endif
			who[unit] = NONE
		:: else					/* it stays, discarded */
#ifdef UNLOCK_FIRST
			unlock(fault_lock)
#endif
		fi;
#endif
#if !defined(NO_FAULT_LOCK) && !defined(UNLOCK_FIRST)
		unlock(fault_lock);
#endif
		unlock(owner_lock);
#ifndef NO_MMAP_LOCK
		write_unlock();
#endif
		unit = 0;
		pinned = false
	od
}

active proctype other_owner()
{
	byte unit;

end:	do
	:: take(unit, OTHER);
		if
		:: unit != 0 -> who[unit] = NONE
		:: else
		fi
	od
}

#define mine(unit)	((unit) == 0 || who[unit] == THIS)
ltl safe { [] (mine(pte) && mine(tlb) && mine(pin) && !(who[1] == THIS && who[2] == THIS)) }
