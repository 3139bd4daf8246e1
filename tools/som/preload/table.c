// SPDX-License-Identifier: GPL-2.0
/*
 * A tree of three levels: an entry for each GiB of addresses, below it one for each 2 MiB,
 * below that the pages, 16 in a word. An entry is the state of its whole range, or the
 * address of the next level; once it is an address, it stays one. A page has four bits: its
 * state, and whether a som mapping starts there that may follow another one.
 *
 * Ranges are page aligned. As in the kernel, if two threads map or unmap the same
 * addresses at the same time, either may take effect last.
 */
#include <string.h>
#include <sys/mman.h>

#include "raw.h"
#include "table.h"

#define GIB_SHIFT	30
#define UNIT_SHIFT	21
#define PAGE_SHIFT	12

/* Addresses of programs have 47 bits, unless they request more. */
#define GIBS		(1UL << (47 - GIB_SHIFT))
#define UNITS		(1UL << (GIB_SHIFT - UNIT_SHIFT))
#define WORD_PAGES	16UL
#define WORDS		((1UL << (UNIT_SHIFT - PAGE_SHIFT)) / WORD_PAGES)
#define WORD_SIZE	(WORD_PAGES * PAGE)

/* Memory of the lower levels, used from its start. */
#define ARENA		(31UL << 20)

/* A word whose pages all have this state and no cut. */
#define UNIFORM(state)	((state) * 0x1111111111111111UL)

/* The bits of a page. */
#define STATE		3UL
#define CUT		4UL

/**
 * struct table - the table
 * @used: used bytes of @arena.
 * @small: state of small mappings, for preload.c.
 * @small_total: bytes of all mappings that small ones were cut from.
 * @cuts: number of pages with CUT, except those at unit boundaries: such cuts cost no 2 MiB
 *	entries, and are few.
 * @gib: the first level.
 * @arena: memory of the other levels.
 */
struct table {
	atomic_ulong used;
	atomic_ulong small;
	atomic_ulong small_total;
	atomic_ulong cuts;
	atomic_ulong gib[GIBS];
	unsigned char arena[ARENA] __attribute__((aligned(4096)));
};

static struct table *_Atomic the_table;

/**
 * struct place - the word with the state of an address
 * @entry: the word.
 * @word: it has a state for each page; otherwise one state for all.
 * @start: first address of its range.
 * @end: end of its range (exclusive).
 */
struct place {
	atomic_ulong *entry;
	bool word;
	unsigned long start;
	unsigned long end;
};

/**
 * table_open - allocate the table, if it has no memory yet
 * @inherited: a child of fork inherits the memory in the table. Otherwise the child gets
 *	an empty table.
 *
 * Return: false if there is no memory.
 */
bool table_open(bool inherited)
{
	struct table *none = NULL;
	long ret;

	if (atomic_load(&the_table))
		return true;
	ret = sys_mmap(0, sizeof(struct table), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (failed(ret))
		return false;
	if (!inherited &&
	    failed(sys_madvise(ret, sizeof(struct table), MADV_WIPEONFORK))) {
		sys_munmap(ret, sizeof(struct table));
		return false;
	}
	/* Another thread may have been faster. */
	if (!atomic_compare_exchange_strong(&the_table, &none,
					    (struct table *)ret))
		sys_munmap(ret, sizeof(struct table));
	return true;
}

/**
 * table_small - return a word for small mappings, which is inherited like the table
 *
 * Context: table_open() has succeeded.
 * Return: its address.
 */
atomic_ulong *table_small(void)
{
	return &atomic_load(&the_table)->small;
}

/**
 * table_small_total - return another such word
 *
 * Context: table_open() has succeeded.
 * Return: its address.
 */
atomic_ulong *table_small_total(void)
{
	return &atomic_load(&the_table)->small_total;
}

static void set_place(struct place *place, atomic_ulong *entry,
		      unsigned long addr, unsigned long size)
{
	place->entry = entry;
	place->word = size == WORD_SIZE;
	place->start = addr & ~(size - 1);
	place->end = place->start + size;
}

static bool is_state(unsigned long value)
{
	return value < PAGE_STATES;
}

/* Find the word of an address. Return: false if the table does not cover it. */
static bool find_place(unsigned long addr, struct place *place)
{
	struct table *table = atomic_load(&the_table);
	unsigned long gib = addr >> GIB_SHIFT, value;
	atomic_ulong *entry;

	if (!table || gib >= GIBS)
		return false;
	entry = &table->gib[gib];
	value = atomic_load(entry);
	if (is_state(value)) {
		set_place(place, entry, addr, 1UL << GIB_SHIFT);
		return true;
	}
	entry = (atomic_ulong *)value + (addr >> UNIT_SHIFT) % UNITS;
	value = atomic_load(entry);
	if (is_state(value)) {
		set_place(place, entry, addr, 1UL << UNIT_SHIFT);
		return true;
	}
	entry = (atomic_ulong *)value + (addr / WORD_SIZE) % WORDS;
	set_place(place, entry, addr, WORD_SIZE);
	return true;
}

static unsigned int page_shift(unsigned long addr)
{
	return (addr >> PAGE_SHIFT) % WORD_PAGES * 4;
}

static enum page_state word_state(unsigned long value, unsigned long addr)
{
	return value >> page_shift(addr) & STATE;
}

/**
 * table_run - look a range up
 * @start: first address.
 * @end: end of the range (exclusive), above @start.
 * @run_end: result: end of the first part with one state.
 *
 * Return: the state of that part.
 */
enum page_state table_run(unsigned long start, unsigned long end,
			  unsigned long *run_end)
{
	enum page_state first = PAGE_STATES, state;
	unsigned long addr = start, next, value;
	struct place place;

	for (; addr < end; addr = next) {
		state = PAGE_OTHER;
		next = end;
		if (find_place(addr, &place)) {
			value = atomic_load(place.entry);
			next = place.end;
			if (place.word) {
				state = word_state(value, addr);
				if (value != UNIFORM(state))
					next = addr + PAGE;
			} else if (is_state(value)) {
				state = value;
			} else {
				/* Another thread has added a level meanwhile. */
				next = addr;
				continue;
			}
		}
		if (first == PAGE_STATES)
			first = state;
		if (state != first)
			break;
	}
	*run_end = addr < end ? addr : end;
	return first;
}

/**
 * table_any - return whether any page of a range has one of some states
 * @start: first address.
 * @end: end of the range (exclusive).
 * @states: the set of them.
 *
 * Return: true if so.
 */
bool table_any(unsigned long start, unsigned long end, unsigned int states)
{
	while (start < end)
		if (states & IS(table_run(start, end, &start)))
			return true;
	return false;
}

/**
 * table_all - return whether each page of a range has one of some states
 * @start: first address.
 * @end: end of the range (exclusive).
 * @states: the set of them.
 *
 * Return: true if so, and there is a page.
 */
bool table_all(unsigned long start, unsigned long end, unsigned int states)
{
	return start < end && !table_any(start, end, ~states);
}

static void *take(size_t size)
{
	struct table *table = atomic_load(&the_table);
	unsigned long at;

	if (atomic_load(&table->used) > ARENA - size)
		return NULL;
	at = atomic_fetch_add(&table->used, size);
	return at > ARENA - size ? NULL : table->arena + at;
}

/**
 * table_has_room - return whether the table has memory to enter a range
 * @start: first address.
 * @end: end of the range (exclusive).
 *
 * Return: true if so. Other threads may still use the memory first.
 */
bool table_has_room(unsigned long start, unsigned long end)
{
	struct table *table = atomic_load(&the_table);
	const unsigned long most = 2 * (UNITS + WORDS) * sizeof(unsigned long);

	return table && end > start && end >> GIB_SHIFT < GIBS &&
	       atomic_load(&table->used) < ARENA - most;
}

/* Put a level below an entry that has a @state. */
static bool expand(struct place *place, unsigned long state)
{
	bool gib = place->end - place->start == 1UL << GIB_SHIFT;
	size_t nr = gib ? UNITS : WORDS, i;
	unsigned long *below = take(nr * sizeof(*below));

	if (!below)
		return false;
	for (i = 0; i < nr; i++)
		below[i] = gib ? state : UNIFORM(state);
	/* Another thread may have been faster. */
	atomic_compare_exchange_strong(place->entry, &state,
				       (unsigned long)below);
	return true;
}

static unsigned long change_word(unsigned long value, unsigned long start,
				 unsigned long end, unsigned int from,
				 enum page_state to)
{
	unsigned long bits = to == PAGE_OTHER ? STATE | CUT : STATE;

	for (; start < end; start += PAGE) {
		if (!(from & IS(word_state(value, start))))
			continue;
		value &= ~(bits << page_shift(start));
		value |= (unsigned long)to << page_shift(start);
	}
	return value;
}

/*
 * There is no memory to store a state for each page of an entry: make all of them unknown,
 * or all possibly with data. Return: the new entry.
 */
static unsigned long coarse(unsigned long state, enum page_state to)
{
	return state == PAGE_RESERVED && to == PAGE_PROMISED ? PAGE_PROMISED :
							       PAGE_OTHER;
}

/* Change an entry of the upper levels. Return: whether it is done. */
static bool change_entry(struct place *place, unsigned long start,
			 unsigned long end, unsigned int from,
			 enum page_state to)
{
	unsigned long value = atomic_load(place->entry);

	if (!is_state(value))
		return false;
	if (!(from & IS(value)) || value == to)
		return true;
	if (start == place->start && end == place->end)
		return atomic_compare_exchange_strong(place->entry, &value, to);
	if (expand(place, value))
		return false;
	return atomic_compare_exchange_strong(place->entry, &value,
					      coarse(value, to));
}

static unsigned long count_cuts(const struct place *place, unsigned long value)
{
	unsigned long bits = UNIFORM(CUT);

	/* The first page is at a unit boundary. */
	if (!(place->start % (1UL << UNIT_SHIFT)))
		bits &= ~CUT;
	return __builtin_popcountl(value & bits);
}

/* Change a word from @value to @changed. Return: whether it was @value. */
static bool replace_word(const struct place *place, unsigned long *value,
			 unsigned long changed)
{
	unsigned long before = count_cuts(place, *value);

	if (!atomic_compare_exchange_weak(place->entry, value, changed))
		return false;
	atomic_fetch_add(&atomic_load(&the_table)->cuts,
			 count_cuts(place, changed) - before);
	return true;
}

static void set_cut(unsigned long addr, bool cut)
{
	unsigned long value, changed;
	struct place place;

	while (find_place(addr, &place)) {
		value = atomic_load(place.entry);
		if (!place.word) {
			/* Without memory for the page, the cut is not counted. */
			if (is_state(value) && (!cut || !expand(&place, value)))
				return;
			continue;
		}
		changed = value & ~(CUT << page_shift(addr));
		if (cut)
			changed |= CUT << page_shift(addr);
		if (changed == value ||
		    replace_word(&place, &value, changed))
			return;
	}
}

/**
 * table_cut - record that a mapping starts at an address
 * @addr: the address.
 */
void table_cut(unsigned long addr)
{
	set_cut(addr, true);
}

/**
 * table_is_cut - return whether different mappings are before and after an address
 * @addr: the address.
 *
 * Return: true if so, as far as table_cut() was called.
 */
bool table_is_cut(unsigned long addr)
{
	struct place place;

	return find_place(addr, &place) && place.word &&
	       atomic_load(place.entry) >> page_shift(addr) & CUT;
}

/**
 * table_next_cut - return the end of the mapping of an address
 * @addr: the address.
 * @end: where to stop.
 *
 * Return: the first address above @addr for which table_cut() was called, at most @end.
 */
unsigned long table_next_cut(unsigned long addr, unsigned long end)
{
	struct place place;

	addr += PAGE;
	while (addr < end && find_place(addr, &place)) {
		if (table_is_cut(addr))
			return addr;
		addr += PAGE;
		if (!place.word || !(atomic_load(place.entry) & UNIFORM(CUT)))
			addr = place.end;
	}
	return end;
}

/**
 * table_cuts - count the cuts inside of units
 *
 * Return: their number.
 */
unsigned long table_cuts(void)
{
	struct table *table = atomic_load(&the_table);

	return table ? atomic_load(&table->cuts) : 0;
}

/**
 * table_change - change the state of a range
 * @start: first address.
 * @end: end of the range (exclusive).
 * @from: set of states; pages with one of them
 * @to: get this state.
 *
 * Memory that is not on som has no cuts, and none at its end.
 *
 * Context: Any, including signal handlers.
 */
void table_change(unsigned long start, unsigned long end, unsigned int from,
		  enum page_state to)
{
	unsigned long next, value, changed;
	struct place place;

	for (; start < end && find_place(start, &place); start = next) {
		next = place.end < end ? place.end : end;
		if (!place.word) {
			if (!change_entry(&place, start, next, from, to))
				next = start;
			continue;
		}
		value = atomic_load(place.entry);
		do {
			changed = change_word(value, start, next, from, to);
		} while (changed != value &&
			 !replace_word(&place, &value, changed));
	}
	if (to == PAGE_OTHER)
		set_cut(end, false);
}
