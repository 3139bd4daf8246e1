/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Access from outside against a mapping's protection: by a process to itself, by
 * another one, by a tracer, each through /proc/PID/mem, and by ptrace. som memory answers
 * as anonymous memory, whatever the kernel was booted with. The programs that
 * include this file differ in that.
 */
#ifndef SOM_FORCE_H
#define SOM_FORCE_H

#include <sys/ptrace.h>

#include "som_test.h"

static bool som_one_process = true;

enum kind { ANON, SOM, NR_KINDS };
enum way { BY_ITSELF, BY_ANOTHER, BY_A_TRACER, BY_PTRACE, NR_WAYS };

static const char * const way_names[] = {
	"itself", "another process", "a tracer", "ptrace",
};

static const int prots[] = {
	RW, PROT_READ, PROT_NONE, PROT_WRITE, PROT_READ | PROT_EXEC,
};

/* Private or shared; mapped by an entry of 2 MiB, by 4 KiB entries, not at all. */
#define NR_PROTS	ARRAY_SIZE(prots)
#define NR_LENS		3
#define NR_MAPPINGS	(2 * NR_LENS * NR_PROTS)
#define SMALL_LEN	(64 * PAGE)

struct outside {
	char *p[NR_KINDS][NR_MAPPINGS];
	long got[NR_KINDS][NR_MAPPINGS][2];
	int step;
};

static bool is_shared(size_t i)
{
	return i % 2;
}

static size_t len_of(size_t i)
{
	return i / 2 % NR_LENS ? SMALL_LEN : UNIT;
}

static bool is_empty(size_t i)
{
	return i / 2 % NR_LENS == 2;
}

static int prot_of(size_t i)
{
	return prots[i / 2 / NR_LENS];
}

static char *make_mapping(int fd, enum kind kind, size_t i)
{
	int flags = is_shared(i) ? MAP_SHARED : MAP_PRIVATE;
	char *p;

	p = mmap(NULL, len_of(i), RW, kind == ANON ? flags | MAP_ANONYMOUS : flags,
		 kind == ANON ? -1 : fd, 0);
	if (p == MAP_FAILED)
		return p;
	if (!is_empty(i))
		memset(p, 0x11, len_of(i));
	return mprotect(p, len_of(i), prot_of(i)) ? MAP_FAILED : p;
}

/* Where the access goes, of those by @way. */
static off_t place(char *p, enum way way)
{
	return (uintptr_t)p + way * 2 * PAGE + 64;
}

/* Return: bytes, or -errno; -EPROTO for bytes that are not those of the memory. */
static long read_mem(int mem, pid_t pid, char *p, size_t i, enum way way)
{
	__u64 want = is_empty(i) ? 0 : 0x1111111111111111ULL, value = 0;
	long ret;

	errno = 0;
	if (way == BY_PTRACE) {
		value = ptrace(PTRACE_PEEKDATA, pid, place(p, way), NULL);
		ret = errno ? -1 : 8;
	} else {
		ret = pread(mem, &value, 8, place(p, way));
	}
	if (ret < 0)
		return -errno;
	return ret == 8 && value != want ? -EPROTO : ret;
}

static long write_mem(int mem, pid_t pid, char *p, enum way way)
{
	__u64 value = 0x2222222222222222ULL;
	long ret;

	if (way == BY_PTRACE)
		ret = ptrace(PTRACE_POKEDATA, pid, place(p, way), value) ? -1 : 8;
	else
		ret = pwrite(mem, &value, 8, place(p, way));
	return ret < 0 ? -errno : ret;
}

static void target_main(int fd, struct outside *o)
{
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC), kind;
	size_t i;

	child_assert(mem >= 0);
	for (kind = 0; kind < NR_KINDS; kind++) {
		for (i = 0; i < NR_MAPPINGS; i++) {
			char *p = make_mapping(fd, kind, i);

			child_assert(p != MAP_FAILED);
			o->p[kind][i] = p;
			o->got[kind][i][0] = read_mem(mem, 0, p, i, BY_ITSELF);
			o->got[kind][i][1] = write_mem(mem, 0, p, BY_ITSELF);
		}
	}
	WRITE_ONCE(o->step, 1);
	for (;;)
		pause();
}

static void expect_same(struct __test_metadata *_metadata, struct outside *o,
			enum way way)
{
	size_t i;
	int op;

	for (i = 0; i < NR_MAPPINGS; i++)
		for (op = 0; op < 2; op++)
			EXPECT_EQ(o->got[ANON][i][op], o->got[SOM][i][op])
				TH_LOG("%s by %s, %s, protection %d, %zu bytes%s",
				       op ? "write" : "read", way_names[way],
				       is_shared(i) ? "shared" : "private",
				       prot_of(i), len_of(i),
				       is_empty(i) ? ", empty" : "");
}

/*
 * The kernel may override protections of a private mapping, for @itself, and for who
 * traces it through /proc/PID/mem.
 */
static void check_force(struct __test_metadata *_metadata, int fd, bool itself,
			bool tracer)
{
	struct outside *o = som_shared(sizeof(*o));
	int mem, status, kind, way;
	char path[64];
	pid_t pid;
	size_t i;

	ASSERT_NE(MAP_FAILED, o);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		target_main(fd, o);
	ASSERT_TRUE(som_wait_flag(&o->step, 1));
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, mem);
	for (way = BY_ITSELF; way < NR_WAYS; way++) {
		if (way == BY_A_TRACER) {
			ASSERT_EQ(0, ptrace(PTRACE_ATTACH, pid, NULL, NULL));
			ASSERT_EQ(pid, waitpid(pid, &status, __WALL));
		}
		for (kind = 0; kind < NR_KINDS && way != BY_ITSELF; kind++) {
			for (i = 0; i < NR_MAPPINGS; i++) {
				char *p = o->p[kind][i];

				o->got[kind][i][0] = read_mem(mem, pid, p, i, way);
				o->got[kind][i][1] = write_mem(mem, pid, p, way);
			}
		}
		expect_same(_metadata, o, way);
		/* Is the kernel as it should be? Private, read only, of 2 MiB. */
		i = 2 * NR_LENS;
		EXPECT_EQ(way == BY_PTRACE || (way == BY_A_TRACER ? tracer : itself) ?
			  8 : -EIO, o->got[SOM][i][1])
			TH_LOG("%s", way_names[way]);
		/* Nobody writes what is shared and read only. */
		EXPECT_EQ(-EIO, o->got[SOM][i + 1][1]);
		EXPECT_EQ(8, o->got[SOM][i + 1][0]);
	}
	/* What was written is there, what was not is as before. */
	for (way = BY_ITSELF; way < NR_WAYS; way++)
		for (i = 0; i < NR_MAPPINGS; i++)
			EXPECT_EQ(ptrace(PTRACE_PEEKDATA, pid,
					 place(o->p[ANON][i], way), NULL),
				  ptrace(PTRACE_PEEKDATA, pid,
					 place(o->p[SOM][i], way), NULL))
				TH_LOG("way %d, mapping %zu", way, i);
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, pid, NULL, NULL));
	kill(pid, SIGKILL);
	som_wait_child(pid);
}

#endif /* SOM_FORCE_H */
