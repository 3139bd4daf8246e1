/* SPDX-License-Identifier: GPL-2.0 */
/*
 * parcel.c: a unit passes from one owner into a parcel, and from there to another owner.
 *
 * Modelled: the giver's unit index, its page table entry, and a processor with a TLB that
 * runs the giver; the taker's unit index; two units. In parallel: the giver's faults; a zap
 * with mmap_lock held that flushes later; the giver's PACK, fork, munmap or exit; a child
 * that copies; the taker's claim, munmap or exit; the parcel's last close; compaction; a
 * pin.
 *
 * Safe: a unit is in one place; the giver's entry and TLB have only the giver's unit; a
 * child copies only from what its parent has; the taker gets no pinned unit.
 *
 * MUTANTS: NO_FLUSH NO_MMAP_LOCK NO_PARCEL_LOCK NO_BREAK NO_PIN_CHECK STORE_FIRST
 */
mtype = { POOL, GIVER, PARCEL, TAKER };

byte tree, pte, tlb;		/* of the giver: unit, or 0 */
byte parcel, taken;		/* unit in the parcel; unit of the taker */
mtype who[3] = POOL;		/* unit -> owner */
byte pin;			/* unit pinned by a device of the giver */
bool mapped;			/* the giver has a mapping */
bool cow;			/* a child has a deferred copy of the giver's unit */
bool writer, reader;		/* of mmap_lock: one reader suffices here */
bool locked;			/* the parcel's lock */
#define write_lock()	atomic { !writer && !reader -> writer = true }
#define read_lock()	atomic { !writer && !reader -> reader = true }
#define lock()		atomic { !locked -> locked = true }
#define unlock(l)	l = false

/* A pinned unit cannot be allocated: it is quarantined. */
inline take(unit, whose)
{
	atomic { if
		:: who[1] == POOL && pin != 1 -> unit = 1; who[1] = whose
		:: who[2] == POOL && pin != 2 -> unit = 2; who[2] = whose
		:: else -> unit = 0
		fi }
}

/* Clear the entry; the kernel flushes if it was present. */
inline zap()
{
	if :: atomic { pte != 0 -> pte = 0 }; tlb = 0 :: else fi
}
active proctype processor()
{
end:	do
	:: atomic { tlb == 0 && pte != 0 -> tlb = pte }
	:: atomic { tlb != 0 -> tlb = 0 }
	:: atomic { pin == 0 && pte != 0 -> pin = pte }
	:: atomic { pin != 0 -> pin = 0 }
	od
}
active proctype readers()
{
end:	do
	:: read_lock();
		if
		:: mapped && pte == 0 ->
			if :: tree == 0 -> take(tree, GIVER) :: else fi;
			pte = tree
		:: else -> zap()
		fi;
		unlock(reader)
	od
}
active proctype writers()
{
	byte unit;

end:	do
	:: !mapped -> mapped = true
	:: mapped -> write_lock();	/* munmap or exit: children have their copies */
		zap();
		atomic { mapped = false; cow = false; who[tree] = POOL; tree = 0 };
		unlock(writer)
	:: tree != 0 -> write_lock();
		zap(); cow = true;
		unlock(writer)
	:: tree != 0 && parcel == 0 && pin == 0 ->
#ifdef NO_MMAP_LOCK
		writer = true;
#else
		write_lock();
#endif
#ifndef NO_BREAK
		cow = false;		/* children get copies */
#endif
#ifdef NO_FLUSH
		pte = 0;
#else
		zap();
#endif
		lock();
		unit = tree;
#ifdef STORE_FIRST
		parcel = unit; tree = 0;
#else
		tree = 0; parcel = unit;
#endif
		atomic { who[unit] = PARCEL; mapped = false; unit = 0 };
		unlock(locked); unlock(writer)
	:: cow -> cow = false		/* a child copies, under the giver's cow.lock */
	od
}
active proctype taker()
{
	byte unit;

end:	do
	:: taken == 0 && parcel != 0 ->
#ifndef NO_PARCEL_LOCK
		lock();
#endif
#ifndef NO_PIN_CHECK
		if
		:: pin == parcel -> unlock(locked); goto end
		:: else
		fi;
#endif
		unit = parcel; parcel = 0;
		atomic { who[unit] = TAKER; taken = unit };
		unlock(locked)
	:: taken != 0 -> atomic { who[taken] = POOL; taken = 0 }
	od
}

/* The last close; and compaction, which copies unpinned units and leaves pinned ones. */
active proctype others()
{
	byte unit, old;

end:	do
	:: parcel != 0 -> lock(); atomic { who[parcel] = POOL; parcel = 0 }; unlock(locked)
	:: parcel != 0 -> take(unit, PARCEL); lock(); old = parcel;
		if
		:: unit != 0 && old != 0 && pin != old -> parcel = unit; who[old] = POOL
		:: else -> who[unit] = POOL
		fi;
		unlock(locked); unit = 0
	od
}

#define one_place	(tree == 0 || (tree != taken && tree != parcel)) && \
			(parcel == 0 || parcel != taken)
#define its_own(x)	(x == 0 || (who[x] == GIVER && tree == x))

ltl safe { [] (one_place && its_own(pte) && its_own(tlb) && (cow -> tree != 0) && \
	       (pin == 0 || who[pin] != TAKER)) }
