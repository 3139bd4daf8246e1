/* SPDX-License-Identifier: GPL-2.0 */
/*
 * discard.c: MADV_DONTNEED of a whole unit of private memory.
 *
 * The kernel clears the entry without a call to the driver's VMA operations. Before that,
 * the driver's MMU notifier marks the unit as discarded, without taking a lock of the
 * driver, and waits for a concurrent fault that is installing an entry. In parallel: faults
 * of another thread, zaps that lose no data, and the worker that frees a marked unit.
 *
 * Safe: after madvise() has returned, the program reads zeroes, and data that it writes
 * then stays until the next madvise().
 *
 * MUTANTS: NO_SYNC NO_ENTRY_CHECK NO_ZERO NO_WORKER_LOCK
 */
#define ZERO	0
#define DATA	1

bool unit;		/* the index has a unit */
bool discarded;		/* mark of the unit */
bool pte;		/* the entry maps the unit */
bit bytes;		/* content of the unit: ZERO or DATA */
bool fault_lock, ptl, writer;
byte readers;		/* of mmap_lock */

#define lock(l)		atomic { !l -> l = true }
#define unlock(l)	l = false

inline notifier()
{
	if
	:: unit -> discarded = true
	:: else
	fi;
#ifndef NO_SYNC
	lock(ptl);
	unlock(ptl)
#endif
}

/* Looks for a page table without a lock, and clears the entry under its lock. */
inline kernel_zap()
{
	if
	:: pte ->
		lock(ptl);
		pte = false;
		unlock(ptl)
	:: else
	fi
}

active proctype program()
{
end:	do
	:: atomic { pte -> bytes = DATA };
		/* madvise() may come much later: other processes change the entry meanwhile. */
		atomic { !writer -> readers++ };
		notifier();
		kernel_zap();
		readers--;
		/* The next access: a fault installs an entry. */
		atomic { pte -> assert(bytes == ZERO); bytes = DATA };
		/* A later access. */
		atomic { pte -> assert(bytes == DATA) }
	od
}

/* A fault of any thread; may have begun at any time before. */
active proctype fault()
{
end:	do
	:: !pte ->
		lock(fault_lock);
		if
		:: discarded ->
			discarded = false;
#ifndef NO_ZERO
			bytes = ZERO
#endif
		:: else
		fi;
		if
		:: !unit -> atomic { unit = true; bytes = ZERO }
		:: else
		fi;
		lock(ptl);
		if
#ifdef NO_ENTRY_CHECK
		:: !pte -> pte = true
#else
		:: !pte && !discarded -> pte = true
#endif
		:: else
		fi;
		unlock(ptl);
		unlock(fault_lock)
	od
}

/* Zaps that keep the unit: a huge entry is split, the driver zaps, a VMA is unmapped. */
active proctype zap_by_others()
{
end:	do
	:: lock(ptl);
		pte = false;
		unlock(ptl)
	od
}

/* punch.c: remove a marked unit, clear its entry, wait for mmap_lock, free the unit. */
active proctype worker()
{
end:	do
	:: discarded ->
#ifndef NO_WORKER_LOCK
		lock(fault_lock);
#endif
		if
		:: discarded ->
			atomic { unit = false; discarded = false };
			lock(ptl);
			pte = false;
			unlock(ptl)
		:: else
		fi;
#ifndef NO_WORKER_LOCK
		unlock(fault_lock);
#endif
		atomic { !writer && readers == 0 -> writer = true };
		writer = false
	od
}
