// SPDX-License-Identifier: GPL-2.0
/*
 * som memory behaves as anonymous memory does: a table of operations, run on
 * anonymous memory, on HugeTLB and on som, with what each answers.
 *
 *	som_conform			run all, compare with the table
 *	som_conform --rst		print the table for the documentation
 *	som_conform --seen [WORD]	print what rows with WORD in their name say
 *
 * What the table says of the other kinds is the kernel's own behaviour: that is compared
 * on the generic kernel, and on others only when asked what is seen. The debug kernel,
 * which is slow, takes som's shared and private memory in turn, and both for rows in
 * which they differ.
 *
 * The rows are in conform_*.c, one file a topic.
 *
 * SOM-TEST: mem=8G nodes=2 timeout=1800 takes=70
 * SOM-TEST: add=Documentation/userspace-api/som-conformance.rst:/som/som-conformance.rst
 */
#include "conform.h"

#define HUGE_2M	"/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define OPTIMIZE "/proc/sys/vm/hugetlb_optimize_vmemmap"
#define RST	"/som/som-conformance.rst"
#define RAM_DISK "/som/brd.ko"
#define THP	"/sys/kernel/mm/transparent_hugepage/enabled"

static const struct conform_topic *const topics[] = {
	&conform_mmap,
	&conform_mprotect,
	&conform_munmap,
	&conform_mremap,
	&conform_madvise,
	&conform_lock,
	&conform_numa,
	&conform_fork,
	&conform_proc,
	&conform_core,
	&conform_uffd,
	&conform_gup, &conform_sync,
	&conform_io,
	&conform_uring,
	&conform_kvm,
};

static const char *const kind_names[] = {
	"anonymous", "hugetlb", "som shared", "som private",
};

/* What the table expects: see struct conform_row. */
static const char *row_answer(const struct conform_row *row, int kind)
{
	return row->answer[kind] ?: row->answer[ANONYMOUS];
}

/*
 * The part of an answer that is for this kernel: what follows "; KERNEL: ", or
 * what comes before the first of those.
 */
static void answer_here(char *buf, size_t size, const char *answer)
{
	const char *kernel = getenv("SOM_KERNEL");
	const char *start = answer, *end;
	char word[64];

	if (kernel) {
		snprintf(word, sizeof(word), "; %s: ", kernel);
		start = strstr(answer, word);
		start = start ? start + strlen(word) : answer;
	}
	end = strchrnul(start, ';');
	snprintf(buf, size, "%.*s", (int)(end - start), start);
}

/*
 * Running
 */

static char *place(void)
{
	size_t room = 16 * UNIT;
	char *p = mmap(NULL, room, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED || munmap(p, room))
		return NULL;
	return (char *)(((uintptr_t)p + 6 * UNIT - 1) & ~(UNIT - 1));
}

static void child(struct conform *c)
{
	alarm(CONFORM_SECONDS);
	catch_faults();
	c->fd = -1;
	if (c->kind == SOM_SHARED || c->kind == SOM_PRIVATE)
		c->fd = som_open();
	c->p = map_more(c, place(), CONFORM_LEN, RW, MAP_FIXED_NOREPLACE);
	if (c->p == MAP_FAILED) {
		say(c, "not mapped: %s", strerrorname_np(errno));
		_exit(0);
	}
	c->row->op(c);
	_exit(0);
}

static long free_2m(void)
{
	return som_read_number(HUGE_2M "free_hugepages");
}

/*
 * HugeTLB pages of 2 MiB with all of their struct pages: Linux 6.12 says "Bad
 * page state" when pages without are freed, as these will be.
 */
static bool take_2m(void)
{
	long optimize = som_read_number(OPTIMIZE);
	bool done;

	som_write_string(OPTIMIZE, "0");
	done = !som_write_string(HUGE_2M "nr_hugepages", "32") &&
	       free_2m() == 32;
	if (optimize == 1)
		som_write_string(OPTIMIZE, "1");
	return done;
}

/* Run a row on a kind of memory; what it says is in c->answer. */
static void run_row(struct conform *c)
{
	long huge = free_2m();
	struct som_state before;
	int status;
	pid_t pid;

	som_state_read(&before);
	c->answer[0] = 0;
	fflush(stdout);
	pid = fork();
	if (!pid)
		child(c);
	status = som_wait_child(pid);
	if (status < 0)
		say(c, "killed by %s", signal_name(-status));
	else if (status)
		say(c, "exit status %d", status);
	if (!som_state_wait(&before))
		say(c, "SOM MEMORY IS GONE");
	if (som_wait_number(free_2m, huge) != huge)
		say(c, "HUGETLB PAGES ARE GONE");
}

/* The RAM disk of the kernel's package, where there is one. */
static bool have_ram_disk(void)
{
	int fd = open(RAM_DISK, O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return false;
	ret = syscall(SYS_finit_module, fd, "rd_nr=1 rd_size=8192", 0);
	close(fd);
	return !ret;
}

static bool private_works(void)
{
	int fd = som_open();
	char *p = mmap(NULL, UNIT, RW, MAP_PRIVATE, fd, 0);

	if (p != MAP_FAILED)
		munmap(p, UNIT);
	close(fd);
	return p != MAP_FAILED;
}

/*
 * The document
 */

/* The number of a row's note: rows of a topic with the same text share it. */
static int note_number(const struct conform_topic *topic,
		       const struct conform_row *row, int first, bool *is_new)
{
	const struct conform_row *other, *before;
	int n = first;

	for (other = topic->rows; other->name; other++) {
		bool seen = false;

		if (!other->why)
			continue;
		for (before = topic->rows; before < other; before++)
			seen |= before->why && !strcmp(before->why, other->why);
		n += !seen;
		if (strcmp(other->why, row->why))
			continue;
		*is_new = other == row;
		return n;
	}
	return n;
}

static void print_cell(const char *text)
{
	printf("     - ");
	for (; *text; text++)
		printf(*text == '\\' ? "\\\\" : "%c", *text);
	printf("\n");
}

static void print_topic(const struct conform_topic *topic, int *note)
{
	const struct conform_row *row;
	int kind, n, first = *note;
	bool is_new;

	printf("\n%s\n", topic->title);
	for (n = 0; n < (int)strlen(topic->title); n++)
		putchar('-');
	printf("\n\n.. list-table::\n   :header-rows: 1\n");
	printf("   :widths: 28 18 18 18 18\n\n");
	printf("   * - operation\n");
	for (kind = 0; kind < NR_KINDS; kind++)
		printf("     - %s\n", kind_names[kind]);
	for (row = topic->rows; row->name; row++) {
		printf("   * - %s", row->name);
		if (row->why) {
			n = note_number(topic, row, first, &is_new);
			if (n > *note)
				*note = n;
			printf(" (%d)", n);
		}
		printf("\n");
		for (kind = 0; kind < NR_KINDS; kind++)
			print_cell(row_answer(row, kind));
	}
	if (first == *note)
		return;
	printf("\n");
	for (row = topic->rows; row->name; row++) {
		if (!row->why)
			continue;
		n = note_number(topic, row, first, &is_new);
		if (is_new)
			printf("| (%d) %s\n", n, row->why);
	}
}

static void print_rst(void)
{
	int note = 0;
	size_t i;

	printf(".. SPDX-%s: GPL-2.0\n", "License-Identifier");
	printf(".. Printed by tools/testing/selftests/som/som_conform --rst\n");
	for (i = 0; i < ARRAY_SIZE(topics); i++)
		print_topic(topics[i], &note);
}

/* Is the document what print_rst() prints? */
static bool document_is_current(void)
{
	char *text = NULL, *file;
	FILE *old = stdout, *f;
	size_t len, got = 0;

	f = open_memstream(&text, &len);
	stdout = f;
	print_rst();
	stdout = old;
	fclose(f);
	file = calloc(1, len + 2);
	f = fopen(RST, "re");
	if (f) {
		got = fread(file, 1, len + 1, f);
		fclose(f);
	}
	return got == len && !memcmp(file, text, len);
}

/* Does every row in which som is different say why? */
static bool differences_explained(void)
{
	const struct conform_row *row;
	bool all = true;
	int kind;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(topics); i++) {
		for (row = topics[i]->rows; row->name; row++) {
			for (kind = SOM_SHARED; kind <= SOM_PRIVATE; kind++) {
				if (row->why ||
				    !strcmp(row_answer(row, kind),
					    row_answer(row, ANONYMOUS)))
					continue;
				ksft_print_msg("no reason: %s: %s\n",
					       topics[i]->title, row->name);
				all = false;
			}
		}
	}
	return all;
}

/* Does this kernel run the row on memory of this kind? */
static bool is_run(const struct conform_topic *topic,
		   const struct conform_row *row, int kind)
{
	if (kind < SOM_SHARED)
		return !som_debug_kernel() && !som_cloud_kernel();
	return !som_in_part() ||
		(row - topic->rows) % 2 == kind - SOM_SHARED ||
		strcmp(row_answer(row, SOM_SHARED),
		       row_answer(row, SOM_PRIVATE));
}

int main(int argc, char **argv)
{
	bool seen = argc > 1 && !strcmp(argv[1], "--seen");
	const char *word = argc > 2 ? argv[2] : "";
	struct conform c = {};
	char expected[512];
	int kinds = NR_KINDS;
	bool ram_disk;
	double start;
	int nr = 2;
	size_t i;

	if (argc > 1 && !strcmp(argv[1], "--rst")) {
		print_rst();
		return 0;
	}
	c.answer = som_shared(PAGE);
	som_one_cpu();
	if (!take_2m())
		ksft_exit_skip("no HugeTLB pages of 2 MiB\n");
	ram_disk = have_ram_disk();
	som_write_string(THP, "always");
	if (!private_works())
		kinds = SOM_PRIVATE;
	for (i = 0; i < ARRAY_SIZE(topics); i++)
		for (c.row = topics[i]->rows; c.row->name; c.row++)
			for (c.kind = 0; c.kind < kinds; c.kind++)
				nr += is_run(topics[i], c.row, c.kind);
	if (!seen) {
		ksft_print_header();
		ksft_set_plan(nr + (kinds < NR_KINDS));
	}
	for (i = 0; i < ARRAY_SIZE(topics); i++) {
		for (c.row = topics[i]->rows; c.row->name; c.row++) {
			if (!strstr(c.row->name, word))
				continue;
			if (seen)
				printf("%s: %s\n", topics[i]->title,
				       c.row->name);
			for (c.kind = 0; c.kind < kinds; c.kind++) {
				bool same;

				if (!seen && !is_run(topics[i], c.row, c.kind))
					continue;
				start = som_now();
				run_row(&c);
				answer_here(expected, sizeof(expected),
					    row_answer(c.row, c.kind) ?: "");
				same = !strcmp(expected, c.answer);
				if (seen) {
					printf("  %s %-12s %s (%.1f s)\n",
					       same ? "  " : "!=",
					       kind_names[c.kind], c.answer,
					       som_now() - start);
					continue;
				}
				if (!same)
					ksft_print_msg("expected: %s\n# seen: %s\n",
						       expected, c.answer);
				ksft_test_result(same, "%s: %s: %s\n",
						 topics[i]->title, c.row->name,
						 kind_names[c.kind]);
			}
		}
	}
	som_write_string(HUGE_2M "nr_hugepages", "0");
	if (ram_disk && syscall(SYS_delete_module, "brd", 0))
		ksft_print_msg("brd does not unload: %d\n", errno);
	if (seen)
		return 0;
	ksft_test_result(document_is_current(),
			 "the document is what --rst prints\n");
	ksft_test_result(differences_explained(),
			 "every difference has a reason\n");
	if (kinds < NR_KINDS)
		ksft_test_result_skip("som private: mmap refuses it\n");
	ksft_finished();
}
