/* SPDX-License-Identifier: GPL-2.0 */
/*
 * discard.c: MADV_DONTNEED of a whole unit of private memory.
 *
 * The kernel clears the entry and does not ask the driver. An MMU notifier hears of it
 * before, marks the unit as discarded without a lock of the driver's, and waits for
 * whoever makes an entry right now. Beside it: faults of another thread, zaps that
 * lose nothing, and the worker that takes a marked unit away.
 *
 * Safe: when madvise() has returned, the program reads zero; and what it writes then
 * stays, until the next madvise().
 *
 * MUTANTS: NO_SYNC NO_SLOT_CHECK NO_ZERO NO_WORKER_LOCK
 */
#define ZERO	0
#define DATA	1

bool unit;		/* there is one at the index */
bool discarded;		/* its mark */
bool pte;		/* the entry maps it */
bit bytes;		/* what is in it: ZERO or DATA */
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

/* It looks for a page table without a lock, and clears under it. */
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
		/* It may be called long after that: entries come and go by themselves. */
		atomic { !writer -> readers++ };
		notifier();
		kernel_zap();
		readers--;
		/* The next touch: an entry comes by a fault. */
		atomic { pte -> assert(bytes == ZERO); bytes = DATA };
		/* Some time later. */
		atomic { pte -> assert(bytes == DATA) }
	od
}

/* The fault of any thread, which may have begun at any time before. */
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
#ifdef NO_SLOT_CHECK
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

/* The unit stays: a huge entry is split, the driver zaps, another mapping goes. */
active proctype zap_by_others()
{
end:	do
	:: lock(ptl);
		pte = false;
		unlock(ptl)
	od
}

/* punch.c: takes a marked unit out, clears its entry, waits, frees. */
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
