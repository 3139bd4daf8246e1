/* SPDX-License-Identifier: GPL-2.0 */
/*
 * som_conform: what som memory answers, beside what other memory answers.
 *
 * A row is one operation. It runs on each kind of memory, each time in a child
 * of its own that has a fresh mapping of CONFORM_LEN bytes at c->p, aligned to
 * 2 MiB, with free addresses on both sides. The operation says what it saw in a
 * few words, and the words are compared with those of the table. Data that it
 * filled in is looked at afterwards, in what it touched and beside it.
 */
#ifndef CONFORM_H
#define CONFORM_H

#define SOM_TEST_NO_HARNESS
#include "som_test.h"

#define CONFORM_LEN	(4 * UNIT)
#define CONFORM_SECONDS	180

enum conform_kind {
	ANONYMOUS,
	HUGETLB,
	SOM_SHARED,
	SOM_PRIVATE,
	NR_KINDS
};

struct conform;

/**
 * struct conform_row - one operation
 * @name: as the document has it
 * @op: does it and says what happened
 * @arg: for @op, where several rows share one
 * @part: likewise: which part of the mapping
 * @answer: for each kind. NULL is "as anonymous memory". Where a kernel answers
 *          otherwise, "; debug: ..." follows (generic, cloud, debug).
 * @why: why som memory is different, where it is
 */
struct conform_row {
	const char *name;
	void (*op)(struct conform *c);
	long arg;
	int part;
	const char *answer[NR_KINDS];
	const char *why;
};

/**
 * struct conform_topic - rows that belong together, a table of the document
 * @title: its heading
 * @rows: ends with one that has no name
 */
struct conform_topic {
	const char *title;
	const struct conform_row *rows;
};

/**
 * struct conform - what an operation works on
 * @row: what it is to do
 * @kind: of the memory
 * @p: the mapping
 * @fd: of /dev/som, or -1
 * @answer: what it said, in memory shared with the parent
 */
struct conform {
	const struct conform_row *row;
	enum conform_kind kind;
	char *p;
	int fd;
	char *answer;
};

/* Parts of the mapping: all of it, its second unit, two pages of that. */
enum conform_part {
	WHOLE,
	ONE_UNIT,
	TWO_PAGES
};

extern const struct conform_topic conform_mmap;
extern const struct conform_topic conform_mprotect;
extern const struct conform_topic conform_munmap;
extern const struct conform_topic conform_mremap;
extern const struct conform_topic conform_madvise;
extern const struct conform_topic conform_lock;
extern const struct conform_topic conform_numa;
extern const struct conform_topic conform_fork;
extern const struct conform_topic conform_proc;
extern const struct conform_topic conform_core;
extern const struct conform_topic conform_uffd;
extern const struct conform_topic conform_sync;
extern const struct conform_topic conform_io;
extern const struct conform_topic conform_uring;
extern const struct conform_topic conform_kvm;
extern const struct conform_topic conform_gup;

void say(struct conform *c, const char *fmt, ...) __printf(2, 3);
bool say_result(struct conform *c, long ret);
void say_data(struct conform *c, enum conform_part part);
void say_rest(struct conform *c, size_t offset, size_t len);
void say_range(struct conform *c, const char *p, size_t len, size_t offset);
void say_writable(struct conform *c, char *p, size_t len, size_t offset);
const char *signal_name(int sig);

size_t part_offset(enum conform_part part);
size_t part_len(enum conform_part part);
char *part_start(struct conform *c, enum conform_part part);

int map_flags(const struct conform *c);
char *map_more(const struct conform *c, void *addr, size_t len, int prot,
	       int flags);
void fill(struct conform *c);
void fill_range(char *p, size_t len, size_t offset);
bool is_filled(const char *p, size_t len, size_t offset);
int resident(const char *p, size_t len);
long status_value(const char *key);
int try_read(const void *p, __u64 *value);
int try_write(void *p, __u64 value);
int read_signal(const void *p);
void catch_faults(void);
int run_child(void (*fn)(struct conform *c), struct conform *c);

#endif /* CONFORM_H */
