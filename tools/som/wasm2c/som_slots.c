// SPDX-License-Identifier: GPL-2.0
/*
 * Slots: som memory for short-lived sandboxes.
 *
 * Life cycle of a slot:
 *
 *  1. Its addresses are anonymous memory without access. The first som_slot_get() maps
 *     som memory without access over the part that may become accessible, and starts
 *     tracking, so that the first reset already knows the written pages.
 *  2. som_slot_get() and som_slot_grow() give access by mprotect(), exact to the page: a
 *     sandbox that reaches beyond its memory gets a signal. Then the pool reserves
 *     memory.
 *  3. som_slot_put() releases memory beyond the part that stays with the slot, by mapping
 *     it again, and marks the slot dirty.
 *  4. One call resets adjacent dirty slots, and so with one TLB flush. They keep their
 *     access: the next sandbox usually needs as much as the last one.
 *
 * The kernel never merges som mappings, and a process may have 65530. A sandbox that grows
 * in small steps would take them from all others. So a slot has a limit of pieces. At the
 * limit, the accessible part is mapped again as one piece (mremap from length 0 shows the
 * same memory), which is moved over the pieces.
 *
 * The lock guards only the lists. The thread that has taken a slot off a list may change
 * the slot until it puts it on another list.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libsom.h>

#include "som_slots.h"

#define UNIT		SOM_UNIT_SIZE
#define RW		(PROT_READ | PROT_WRITE)
/* Limit of mappings of all slots: half of the limit of a process. */
#define MOST_PIECES	32768
/* Number of clean slots to search for one that needs no mprotect(). */
#define LOOK		8

struct slot {
	size_t access;		/* bytes that can be accessed */
	unsigned int pieces;	/* limit of its mappings */
	bool mapped;		/* som memory is mapped */
	bool dirty;		/* to be reset */
};

struct som_slots {
	struct som_slots_config config;
	int fd;
	size_t keep;		/* bytes, in whole units */
	size_t stride;		/* distance of two slots */
	size_t len;		/* size of the address range */
	char *all;		/* its start */
	char *start;		/* the first slot */
	unsigned int most_pieces;
	pthread_mutex_t lock;
	/* Unused slots that are zero; the last one is used first. */
	size_t nr_clean;
	size_t *clean;
	size_t nr_dirty;
	struct slot slot[];
};

static bool round_up(size_t value, size_t *rounded)
{
	if (__builtin_add_overflow(value, UNIT - 1, rounded))
		return false;
	*rounded &= ~(UNIT - 1);
	return true;
}

static char *slot_start(const struct som_slots *s, size_t nr)
{
	return s->start + nr * s->stride;
}

static struct slot *slot_of(struct som_slots *s, const void *start)
{
	return &s->slot[((const char *)start - s->start) / s->stride];
}

/* Return: whether all sizes are valid. */
static bool find_sizes(struct som_slots *s, const struct som_slots_config *config)
{
	size_t guard;

	s->config = *config;
	if (!config->nr || !config->size ||
	    !round_up(config->size, &s->config.size) ||
	    !round_up(config->guard, &guard))
		return false;
	if (!round_up(config->keep, &s->keep) || s->keep > s->config.size)
		s->keep = s->config.size;
	if (!s->config.batch)
		s->config.batch = 1;
	s->most_pieces = MOST_PIECES / config->nr;
	if (s->most_pieces < 2)
		s->most_pieces = 2;
	if (s->most_pieces > 64)
		s->most_pieces = 64;
	/* Add a guard region before the first slot, and room to align it. */
	return !__builtin_add_overflow(s->config.size, guard, &s->stride) &&
	       !__builtin_mul_overflow(s->stride, config->nr, &s->len) &&
	       !__builtin_add_overflow(s->len, guard + UNIT, &s->len);
}

struct som_slots *som_slots_new(const struct som_slots_config *config)
{
	struct som_slots *s;
	uintptr_t start;
	size_t size, i;
	int error;

	if (__builtin_mul_overflow(config->nr, sizeof(s->slot[0]), &size) ||
	    __builtin_add_overflow(size, sizeof(*s), &size)) {
		errno = EINVAL;
		return NULL;
	}
	s = calloc(1, size);
	if (!s)
		return NULL;
	s->fd = -1;
	s->all = MAP_FAILED;
	errno = EINVAL;
	if (!find_sizes(s, config))
		goto err;
	s->clean = calloc(config->nr, sizeof(*s->clean));
	if (!s->clean)
		goto err;
	s->fd = som_open(NULL);
	if (s->fd < 0)
		goto err;
	if (config->options && som_set_options(s->fd, config->options))
		goto err;
	s->all = mmap(NULL, s->len, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->all == MAP_FAILED)
		goto err;
	start = (uintptr_t)s->all + s->len - config->nr * s->stride;
	s->start = (char *)(start & ~(UNIT - 1));
	for (i = 0; i < config->nr; i++)
		s->clean[i] = config->nr - 1 - i;
	s->nr_clean = config->nr;
	pthread_mutex_init(&s->lock, NULL);
	return s;
err:
	error = errno;
	if (s->fd >= 0)
		close(s->fd);
	free(s->clean);
	free(s);
	errno = error;
	return NULL;
}

void som_slots_free(struct som_slots *s)
{
	munmap(s->all, s->len);
	close(s->fd);
	pthread_mutex_destroy(&s->lock);
	free(s->clean);
	free(s);
}

/*
 * Map fresh memory without access from @from to the end of the usable part of a slot. The
 * old memory returns to the pool, and its reservations end.
 */
static int map_from(struct som_slots *s, size_t nr, size_t from)
{
	if (from == s->config.size)
		return 0;
	return som_map(s->fd, slot_start(s, nr) + from, s->config.size - from,
		       PROT_NONE, SOM_MAP_FIXED) ? 0 : -1;
}

/* Make a slot without memory; track the part that stays with the slot. */
static int map_slot(struct som_slots *s, size_t nr)
{
	struct slot *slot = &s->slot[nr];

	if (map_from(s, nr, 0))
		return -1;
	slot->mapped = false;
	slot->access = 0;
	slot->pieces = 1;
	if (s->keep && som_reset(s->fd, slot_start(s, nr), s->keep,
				 SOM_KEEP_ALL, NULL))
		return -1;
	slot->mapped = true;
	return 0;
}

/* Make the accessible part one mapping, and extend it. */
static int join_pieces(struct som_slots *s, size_t nr, size_t len)
{
	char *start = slot_start(s, nr), *p;
	int error;

	p = mmap(NULL, len + UNIT, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -1;
	/* From an aligned address, mremap moves page tables instead of entries. */
	start = (char *)(((uintptr_t)p + UNIT - 1) & ~(UNIT - 1));
	if (mremap(slot_start(s, nr), 0, len, MREMAP_MAYMOVE | MREMAP_FIXED,
		   start) == MAP_FAILED ||
	    mremap(start, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
		   slot_start(s, nr)) == MAP_FAILED) {
		error = errno;
		munmap(p, len + UNIT);
		errno = error;
		return -1;
	}
	munmap(p, len + UNIT);
	s->slot[nr].access = len;
	s->slot[nr].pieces = 2;
	return 0;
}

/* Make exactly this number of bytes accessible. */
static int set_access(struct som_slots *s, size_t nr, size_t len)
{
	struct slot *slot = &s->slot[nr];
	char *start = slot_start(s, nr);
	int ret;

	if (len == slot->access)
		return 0;
	if (slot->pieces >= s->most_pieces) {
		if (len > slot->access && slot->access)
			return join_pieces(s, nr, len);
		/* The slot is unused and clean: map it again. */
		if (map_slot(s, nr))
			return -1;
	}
	if (len > slot->access)
		ret = mprotect(start + slot->access, len - slot->access, RW);
	else
		ret = mprotect(start + len, slot->access - len, PROT_NONE);
	if (ret)
		return -1;
	slot->access = len;
	slot->pieces++;
	return 0;
}

static void put_clean(struct som_slots *s, size_t nr)
{
	s->clean[s->nr_clean++] = nr;
}

/*
 * Reset the unused slots from @first to @end (exclusive). The memory between them has no
 * access, and the reset skips it.
 */
static int reset_slots(struct som_slots *s, size_t first, size_t end)
{
	char *start = slot_start(s, first);
	uint64_t keep = SOM_KEEP_ALL;
	size_t len = 0, i;

	if (s->config.keep < s->config.size)
		keep = s->config.keep * (end - first);
	for (i = first; i < end; i++)
		if (s->slot[i].access)
			len = slot_start(s, i) + s->slot[i].access - start;
	if (!len || !som_reset(s->fd, start, len, keep, NULL))
		return 0;
	/* Memory has failed, or tracking got no memory: map fresh memory. */
	for (i = first; i < end; i++) {
		if (map_from(s, i, 0))
			return -1;
		s->slot[i].mapped = false;
		s->slot[i].access = 0;
	}
	return 0;
}

/* Take the next adjacent dirty slots. Return: whether there are any. */
static bool take_dirty(struct som_slots *s, size_t *first, size_t *end)
{
	size_t i;

	if (!s->nr_dirty)
		return false;
	for (i = *end; !s->slot[i % s->config.nr].dirty; i++)
		;
	i %= s->config.nr;
	*first = i;
	for (; i < s->config.nr && s->slot[i].dirty; i++) {
		s->slot[i].dirty = false;
		s->nr_dirty--;
	}
	*end = i;
	return true;
}

/* Called with the lock held; drops it during the system calls. */
static int clean_locked(struct som_slots *s)
{
	size_t first, end = 0, i;
	int ret = 0, failed;

	while (take_dirty(s, &first, &end)) {
		pthread_mutex_unlock(&s->lock);
		failed = reset_slots(s, first, end);
		pthread_mutex_lock(&s->lock);
		if (failed)
			ret = -1;
		else
			for (i = end; i-- > first; )
				put_clean(s, i);
	}
	return ret;
}

int som_slots_clean(struct som_slots *s)
{
	int ret;

	pthread_mutex_lock(&s->lock);
	ret = clean_locked(s);
	pthread_mutex_unlock(&s->lock);
	return ret;
}

/* Take a clean slot, preferably one with exactly this access. */
static bool take_clean(struct som_slots *s, size_t len, size_t *nr)
{
	size_t last, i;

	pthread_mutex_lock(&s->lock);
	if (!s->nr_clean)
		clean_locked(s);
	if (!s->nr_clean) {
		pthread_mutex_unlock(&s->lock);
		return false;
	}
	last = s->nr_clean - 1;
	for (i = 0; i < LOOK && i <= last; i++)
		if (s->slot[s->clean[last - i]].access == len)
			break;
	if (i == LOOK || i > last)
		i = 0;
	*nr = s->clean[last - i];
	s->clean[last - i] = s->clean[last];
	s->nr_clean--;
	pthread_mutex_unlock(&s->lock);
	return true;
}

void *som_slot_get(struct som_slots *s, size_t len)
{
	int error;
	size_t nr;

	if (len > s->config.size) {
		errno = ENOMEM;
		return NULL;
	}
	if (!take_clean(s, len, &nr)) {
		errno = EAGAIN;
		return NULL;
	}
	if ((!s->slot[nr].mapped && map_slot(s, nr)) || set_access(s, nr, len)) {
		error = errno;
		pthread_mutex_lock(&s->lock);
		put_clean(s, nr);
		pthread_mutex_unlock(&s->lock);
		errno = error;
		return NULL;
	}
	return slot_start(s, nr);
}

int som_slot_grow(struct som_slots *s, void *start, size_t len)
{
	struct slot *slot = slot_of(s, start);

	if (len <= slot->access)
		return 0;
	if (len > s->config.size) {
		errno = ENOMEM;
		return -1;
	}
	return set_access(s, slot - s->slot, len);
}

int som_slot_put(struct som_slots *s, void *start)
{
	struct slot *slot = slot_of(s, start);
	size_t nr = slot - s->slot;
	int ret = 0;

	/* If this fails, the reset clears the memory, and the reservation stays. */
	if (slot->pieces >= s->most_pieces && !map_from(s, nr, 0)) {
		slot->mapped = false;
		slot->access = 0;
	} else if (slot->access > s->keep && !map_from(s, nr, s->keep)) {
		slot->access = s->keep;
		slot->pieces++;
	}
	pthread_mutex_lock(&s->lock);
	slot->dirty = true;
	if (++s->nr_dirty >= s->config.batch)
		ret = clean_locked(s);
	pthread_mutex_unlock(&s->lock);
	return ret;
}
