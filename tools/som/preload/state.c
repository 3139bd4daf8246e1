// SPDX-License-Identifier: GPL-2.0
/*
 * The table of som's addresses, its lock, and what becomes of both in a child.
 *
 * - The lock is held with all signals blocked, so that a handler that maps
 *   memory cannot wait for the thread that it interrupted.
 * - The table is changed in an order that is safe against other threads: a new
 *   range is entered after it was mapped, when only the caller knows its
 *   address; a range is removed with the lock held across the unmapping, so
 *   that nobody can enter the same addresses in between.
 * - A child of fork has a copy of the table, as it has the memory. It knows that it
 *   is one by a page with MADV_WIPEONFORK. Where another thread held the lock at the time
 *   of the fork, the copy is worth nothing and is dropped: what is in no table goes to
 *   the kernel as it is, and a private mapping of som answers that as
 *   anonymous memory does, but for growth and hints. Taking the lock
 *   before fork would wait, in the order of fork handlers, for threads that wait for
 *   an allocator's locks.
 */
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "device.h"
#include "state.h"

/* Ranges the table has room for: 32 MiB of addresses, used as far as needed. */
#define MAX_RANGES	(1UL << 20)

/* What a child finds in the page that is wiped, and what it makes of it. */
enum { STATE_INHERITED, STATE_SETTLING, STATE_OWN };

static struct state *_Atomic the_state;

static atomic_uint *mark_of(struct state *state)
{
	return (atomic_uint *)((unsigned long)state - PAGE);
}

static void futex(atomic_uint *word, int op, unsigned int value)
{
	sys(SYS_futex, (unsigned long)word, op, value, 0, 0, 0);
}

static void block_signals(unsigned long *mask)
{
	unsigned long all[MASK_WORDS];

	memset(all, 0xff, sizeof(all));
	sys(SYS_rt_sigprocmask, SIG_SETMASK, (unsigned long)all,
	    (unsigned long)mask, sizeof(all), 0, 0);
}

static void restore_signals(const unsigned long *mask)
{
	sys(SYS_rt_sigprocmask, SIG_SETMASK, (unsigned long)mask, 0,
	    MASK_WORDS * sizeof(*mask), 0, 0);
}

static void forget_all(struct state *state)
{
	atomic_store(&state->low, 0);
	atomic_store(&state->high, 0);
	state->small = 0;
	state->small_end = 0;
	state->table.nr = 0;
}

/* The first call in a child of fork; other threads that it has by then wait. */
static void settle_child(struct state *state)
{
	atomic_uint *mark = mark_of(state);
	unsigned long mask[MASK_WORDS];
	unsigned int seen = STATE_INHERITED;

	block_signals(mask);
	if (atomic_compare_exchange_strong(mark, &seen, STATE_SETTLING)) {
		/* Held, so that a child of this one knows if it is half done. */
		if (atomic_exchange(&state->lock, 1) || !config.options)
			forget_all(state);
		atomic_store(&state->lock, 0);
		atomic_store(mark, STATE_OWN);
		futex(mark, FUTEX_WAKE_PRIVATE, ~0U >> 1);
	}
	while (atomic_load(mark) == STATE_SETTLING)
		futex(mark, FUTEX_WAIT_PRIVATE, STATE_SETTLING);
	restore_signals(mask);
}

/**
 * current_state - the state of this process
 *
 * Return: the state, or NULL if there is none yet.
 */
struct state *current_state(void)
{
	struct state *state = atomic_load(&the_state);

	if (state && atomic_load(mark_of(state)) != STATE_OWN)
		settle_child(state);
	return state;
}

/**
 * get_state - the state of this process, made if need be
 *
 * Return: the state, or NULL if there is no memory for it.
 */
struct state *get_state(void)
{
	struct state *state = current_state(), *none = NULL;
	size_t size = PAGE + sizeof(*state) + MAX_RANGES * sizeof(struct range);
	long ret;

	if (state)
		return state;
	ret = sys_mmap(0, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (failed(ret))
		return NULL;
	if (failed(sys_madvise(ret, PAGE, MADV_WIPEONFORK))) {
		sys_munmap(ret, size);
		return NULL;
	}
	state = (struct state *)(ret + PAGE);
	state->table.max = MAX_RANGES;
	state->table.r = state->ranges;
	atomic_store(mark_of(state), STATE_OWN);
	if (!atomic_compare_exchange_strong(&the_state, &none, state)) {
		sys_munmap(ret, size);
		return none;
	}
	return state;
}

/**
 * lock - take the lock, with all signals blocked
 * @state: the state.
 * @mask: where the signals that were blocked go, for unlock().
 */
void lock(struct state *state, unsigned long *mask)
{
	unsigned int seen = 0;

	block_signals(mask);
	if (!atomic_compare_exchange_strong(&state->lock, &seen, 1)) {
		while (atomic_exchange(&state->lock, 2))
			futex(&state->lock, FUTEX_WAIT_PRIVATE, 2);
	}
}

/**
 * unlock - undo lock()
 * @state: the state.
 * @mask: what lock() said.
 */
void unlock(struct state *state, const unsigned long *mask)
{
	if (atomic_exchange(&state->lock, 0) == 2)
		futex(&state->lock, FUTEX_WAKE_PRIVATE, 1);
	restore_signals(mask);
}

/**
 * widen - som memory may be in [start, end) from now on
 * @state: the state; locked.
 * @start: first byte.
 * @end: first byte after it.
 */
void widen(struct state *state, unsigned long start, unsigned long end)
{
	unsigned long low = atomic_load(&state->low);
	unsigned long high = atomic_load(&state->high);

	if (!low || start < low)
		atomic_store(&state->low, start);
	if (end > high)
		atomic_store(&state->high, end);
}

/**
 * end_of - where a range of bytes ends, rounded up to a page
 * @addr: first byte.
 * @len: bytes.
 *
 * Return: that address, or 0 if there is none.
 */
unsigned long end_of(unsigned long addr, size_t len)
{
	unsigned long end;

	if (__builtin_add_overflow(addr, len, &end) ||
	    __builtin_add_overflow(end, PAGE - 1, &end))
		return 0;
	return end & ~(PAGE - 1);
}

/**
 * near - may any of [addr, addr + len) be som's?
 * @addr: first byte.
 * @len: bytes.
 *
 * Return: the state when it may, NULL when it certainly is not, which includes
 * ranges that the kernel will refuse.
 */
struct state *near(unsigned long addr, size_t len)
{
	struct state *state = current_state();
	unsigned long end = end_of(addr, len);

	if (!state || !len || !end || addr % PAGE)
		return NULL;
	if (end <= atomic_load(&state->low) || addr >= atomic_load(&state->high))
		return NULL;
	return state;
}

/**
 * enter - [start, end) is som's from now on
 * @state: the state; not locked.
 * @start: first byte.
 * @end: first byte after it.
 * @promised: see &struct range.
 */
void enter(struct state *state, unsigned long start, unsigned long end,
	   bool promised)
{
	unsigned long mask[MASK_WORDS];

	lock(state, mask);
	ranges_insert(&state->table, start, end, promised);
	widen(state, start, end);
	unlock(state, mask);
}

/**
 * settle - the kernel has put something that is not som's at [addr, addr + len)
 * @addr: first byte.
 * @len: bytes.
 *
 * Usually the table agrees. It does not where som memory was unmapped behind our
 * back, by a system call made directly.
 */
void settle(unsigned long addr, size_t len)
{
	struct state *state = near(addr, len);
	unsigned long mask[MASK_WORDS];

	if (!state)
		return;
	lock(state, mask);
	if (ranges_room(&state->table))
		ranges_remove(&state->table, addr, end_of(addr, len));
	unlock(state, mask);
}

/**
 * has_room - can the table take what any call may add?
 * @state: the state; not locked.
 *
 * Return: true when it can.
 */
bool has_room(struct state *state)
{
	unsigned long mask[MASK_WORDS];
	bool room;

	lock(state, mask);
	room = ranges_room(&state->table);
	unlock(state, mask);
	return room;
}

/**
 * next_piece - cut the first piece off [addr, end)
 * @state: the state.
 * @addr: first byte.
 * @end: first byte after the range.
 * @piece: its first part that is either one range of the table or none of it.
 *
 * Return: true when the piece is som's.
 */
bool next_piece(struct state *state, unsigned long addr, unsigned long end,
		struct range *piece)
{
	unsigned long mask[MASK_WORDS];
	const struct range *r;
	bool owned = false;
	size_t i;

	*piece = (struct range){ .start = addr, .end = end };
	lock(state, mask);
	i = ranges_first(&state->table, addr);
	if (i < state->table.nr) {
		r = &state->table.r[i];
		owned = r->start <= addr;
		if (owned) {
			piece->promised = r->promised;
			if (r->end < end)
				piece->end = r->end;
		} else if (r->start < end) {
			piece->end = r->start;
		}
	}
	unlock(state, mask);
	return owned;
}

/**
 * all_ours - is all of [addr, addr + len) som's?
 * @addr: first byte.
 * @len: bytes.
 *
 * Return: true when it is.
 */
bool all_ours(unsigned long addr, size_t len)
{
	struct state *state = near(addr, len);
	unsigned long mask[MASK_WORDS];
	bool all;

	if (!state)
		return false;
	lock(state, mask);
	all = ranges_cover(&state->table, addr, end_of(addr, len));
	unlock(state, mask);
	return all;
}
