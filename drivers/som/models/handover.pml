/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cow.c: a child inherits a unit by a deferred copy, and gets a copy or the unit itself.
 *
 * Right after fork, the parent has the unit, marked as shared, without a writable entry;
 * the child has a deferred copy. In parallel: the parent writes, and unmaps the unit at
 * some time; the child accesses the index or gives it up.
 *
 * Safe: the unit is in one table at every instant; the child reads the data of the fork;
 * freed memory is never copied from.
 *
 * MUTANTS: NO_COW_LOCK NO_RECHECK NO_BREAK INSERT_FIRST
 */
bool parent_unit = true, shared = true, writable, mapped = true;
bool freed;		/* the unit was returned to the pool */
bool cow = true;	/* the child has a deferred copy */
bool child_unit;	/* the unit itself is in the child's table */
bool child_copy;	/* a copy is in the child's table */
bool old = true;	/* the unit has the data of the fork */
bool copy_old;		/* the copy has the data of the fork */
bool parent_fault, child_fault, cow_lock;

#define lock(l)		atomic { !l -> l = true }
#define unlock(l)	l = false
#ifdef NO_COW_LOCK
#define pull_lock(l)	skip
#define pull_unlock(l)	skip
#else
#define pull_lock(l)	lock(l)
#define pull_unlock(l)	unlock(l)
#endif

/* Copy, and insert the copy if the deferred copy still exists. Atomic: under xa_lock. */
inline copy_to_child(bytes)
{
	bytes = old;
	assert(!freed);
	atomic {
		if
		:: cow -> child_copy = true; copy_old = bytes; cow = false
		:: else			/* given up meanwhile: the copy is freed */
		fi
	}
}

active proctype parent()
{
	bool bytes;

end:	do
	:: mapped ->
		/* Write. */
		lock(parent_fault);
#ifndef NO_BREAK
		if
		:: shared ->
			lock(cow_lock);
			if
			:: cow -> copy_to_child(bytes)
			:: else
			fi;
			shared = false;
			unlock(cow_lock)
		:: else
		fi;
#endif
		writable = true;
		unlock(parent_fault);
		old = false
	:: mapped ->
		/* munmap: no page table and no TLB has a translation of the unit. */
		mapped = false;
		writable = false;
		if
		:: shared ->
			lock(cow_lock);
			if
			:: cow ->
#ifdef INSERT_FIRST
				atomic {
					if
					:: cow -> child_unit = true; cow = false
					:: else
					fi
				};
				if
				:: child_unit -> parent_unit = false
				:: else
				fi
#else
				parent_unit = false;
				atomic {
					if
					:: cow -> child_unit = true; cow = false
					:: else -> parent_unit = true
					fi
				}
#endif
			:: else
			fi;
			unlock(cow_lock)
		:: else
		fi;
		if
		:: parent_unit -> atomic { parent_unit = false; freed = true }
		:: else
		fi
	od
}

active proctype child()
{
	bool bytes;

end:	do
	:: !child_unit && !child_copy && cow ->
		lock(child_fault);
		if
		:: cow ->
			pull_lock(cow_lock);
#ifndef NO_RECHECK
			if
			:: cow -> copy_to_child(bytes)
			:: else
			fi;
#else
			copy_to_child(bytes);
#endif
			pull_unlock(cow_lock)
		:: else
		fi;
		unlock(child_fault)
	od
}

/* The child gives up the index, under the xa_lock of its deferred copies only. */
active proctype give_up()
{
	if
	:: atomic { cow -> cow = false }
	:: skip
	fi
}

ltl safe { [] (!(parent_unit && child_unit) && (child_copy -> copy_old) &&
	      (child_unit -> old) && !(freed && child_unit)) }
