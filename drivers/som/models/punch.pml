/* SPDX-License-Identifier: GPL-2.0 */
/*
 * punch.c: a unit is freed while a VMA maps it, and becomes another owner's.
 *
 * Modelled: one unit index of an owner with one unit reserved, its page table entry, a
 * processor with a TLB that always runs the owner's program, two units of memory. In
 * parallel: a punch in four steps; a fault without mmap_lock; a zap with mmap_lock held
 * that flushes later (munmap, MADV_DONTNEED of shared memory); a device that pins the
 * mapped unit; another owner that allocates free units.
 *
 * Safe: the page table entry, the TLB and the pin have only a unit of the owner; the owner
 * never has two units for one reservation.
 *
 * MUTANTS: NO_FLUSH NO_MMAP_LOCK NO_FAULT_LOCK FREE_FIRST LOOK_FIRST UNLOCK_FIRST
 */
#define NONE	0
#define THIS	1
#define OTHER	2

byte tree;		/* unit at the index, or 0 */
byte pte;		/* unit that the entry maps, or 0 */
byte tlb;		/* unit that the processor would access, or 0 */
byte who[3];		/* unit -> owner */
byte pin;		/* unit pinned by a device, or 0 */
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

/* The owner's program: the processor may fill its TLB at any time. */
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
		:: else		/* another entry was installed: retry */
		fi;
		unlock(ptl);
#ifndef NO_FAULT_LOCK
		unlock(fault_lock);
#endif
	od
}

/* Clear the entry and flush before mmap_lock is released. */
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

/* get_user_pages(): reads the entry under the page table lock. */
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
	:: else -> unlock(ptl)
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
		:: else					/* stays, discarded */
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
