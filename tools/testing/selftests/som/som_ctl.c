// SPDX-License-Identifier: GPL-2.0
/*
 * somctl, which lies beside this program: what it prints, what it changes, how it
 * ends.
 *
 * SOM-TEST: kernels=generic spare=2 mem=7G timeout=600 takes=25
 * SOM-TEST: add=/usr/lib/locale/C.utf8 append=hugetlb_free_vmemmap=off
 *
 * Pages of HugeTLB that gave up their struct pages are reported as bad by
 * Linux 6.12 when they go back to the rest of memory, as they do here.
 */
#include <pty.h>
#include <stdarg.h>
#include <termios.h>

#include "som_test.h"

#define NOBODY		65534
#define MAX_OUTPUT	65536
#define COPY		"/tmp/som-copy"

/**
 * struct result - what a run of somctl came to
 * @status: exit status; -1 if a signal ended it.
 * @out: stdout.
 * @err: stderr.
 */
struct result {
	int status;
	char out[MAX_OUTPUT];
	char err[MAX_OUTPUT];
};

static struct result result;

/* The program in the directory that this one is in. */
static const char *somctl(void)
{
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 8);

	if (n < 0)
		return "somctl";
	path[n] = 0;
	snprintf(strrchr(path, '/') + 1, 8, "somctl");
	return path;
}

static void exec_somctl(const char *first, va_list args)
{
	char *argv[16] = { "somctl", (char *)first };
	int n = 1;

	while (argv[n] && n < 15)
		argv[++n] = va_arg(args, char *);
	execv(somctl(), argv);
	_exit(127);
}

static void read_all(int fd, char *buf)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, buf + len, MAX_OUTPUT - 1 - len)) > 0)
		len += n;
	buf[len] = 0;
	close(fd);
}

/**
 * struct running - a somctl that was started
 * @pid: its process.
 * @out: a pipe from its stdout.
 * @err: the file that its stderr is.
 */
struct running {
	pid_t pid;
	int out;
	int err;
};

/* Return: 0 or -1. */
static int start(struct running *r, uid_t uid, const char *first, va_list args)
{
	int fds[2];

	r->err = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (r->err < 0 || pipe2(fds, O_CLOEXEC))
		return -1;
	r->pid = fork();
	if (!r->pid) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(r->err, STDERR_FILENO);
		if (uid && (setgid(uid) || setuid(uid)))
			_exit(126);
		exec_somctl(first, args);
	}
	close(fds[1]);
	r->out = fds[0];
	return r->pid < 0 ? -1 : 0;
}

static int finish(struct running *r)
{
	int status;
	ssize_t n;

	read_all(r->out, result.out);
	waitpid(r->pid, &status, 0);
	n = pread(r->err, result.err, MAX_OUTPUT - 1, 0);
	result.err[n > 0 ? n : 0] = 0;
	close(r->err);
	result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return result.status;
}

/* Arguments end with NULL. Return: exit status; the rest is in the result. */
static int run_as(uid_t uid, const char *first, ...)
{
	struct running r;
	va_list args;
	int ret;

	va_start(args, first);
	ret = start(&r, uid, first, args);
	va_end(args);
	return ret ? ret : finish(&r);
}

#define run(...)	run_as(0, __VA_ARGS__, NULL)

/* The same on a terminal of 100 columns; stderr goes there, too. */
static int run_tty(const char *first, ...)
{
	struct winsize size = { .ws_row = 24, .ws_col = 100 };
	va_list args;
	int fd, status;
	pid_t pid;

	va_start(args, first);
	pid = forkpty(&fd, NULL, NULL, &size);
	if (!pid)
		exec_somctl(first, args);
	va_end(args);
	if (pid < 0)
		return -1;
	read_all(fd, result.out);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Shows the text where it is not as wanted. */
static bool says(const char *text, const char *part, bool wanted)
{
	bool found = strstr(text, part);

	if (found != wanted)
		printf("# %s \"%s\" in: %s\n", found ? "unwanted" : "no", part,
		       text);
	return found;
}

#define EXPECT_SAYS(text, part)		EXPECT_TRUE(says(text, part, true))
#define EXPECT_SAYS_NOT(text, part)	EXPECT_FALSE(says(text, part, false))

/* The number behind the first @part of @text; -1 if there is none. */
static long number_behind(const char *text, const char *part)
{
	const char *p = strstr(text, part);
	char *end;
	long value;

	if (!p)
		return -1;
	p += strlen(part);
	value = strtol(p, &end, 10);
	return end == p ? -1 : value;
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		n++;
	return n;
}

/*
 * Is it JSON? Each returns what is behind a value, or NULL.
 */

static const char *json_value(const char *s);

static const char *json_space(const char *s)
{
	return s + strspn(s, " \t\n\r");
}

static const char *json_string(const char *s)
{
	int i;

	if (*s++ != '"')
		return NULL;
	for (; *s != '"'; s++) {
		if ((unsigned char)*s < 0x20)
			return NULL;
		if (*s != '\\')
			continue;
		s++;
		if (*s == 'u') {
			for (i = 0; i < 4; i++)
				if (!*++s || !strchr("0123456789abcdefABCDEF",
						     *s))
					return NULL;
		} else if (!*s || !strchr("\"\\/bfnrt", *s)) {
			return NULL;
		}
	}
	return s + 1;
}

static const char *json_number(const char *s)
{
	size_t len;

	s += *s == '-';
	len = strspn(s, "0123456789");
	if (!len || (*s == '0' && len > 1))
		return NULL;
	return s + len;
}

/* Values, or keys and values, up to a bracket. */
static const char *json_list(const char *s, bool object)
{
	char close = object ? '}' : ']';

	s = json_space(s + 1);
	if (*s == close)
		return s + 1;
	for (;;) {
		if (object) {
			s = json_string(json_space(s));
			if (!s)
				return NULL;
			s = json_space(s);
			if (*s++ != ':')
				return NULL;
		}
		s = json_value(s);
		if (!s)
			return NULL;
		s = json_space(s);
		if (*s == close)
			return s + 1;
		if (*s++ != ',')
			return NULL;
	}
}

static const char *json_value(const char *s)
{
	s = json_space(s);
	if (*s == '{' || *s == '[')
		return json_list(s, *s == '{');
	return *s == '"' ? json_string(s) : json_number(s);
}

static bool json_valid(const char *s)
{
	s = json_value(s);
	return s && !*json_space(s);
}

/* All bytes are well-formed, as far as what is tested here is concerned. */
static bool ascii(const char *s)
{
	for (; *s; s++)
		if (*s & 0x80)
			return false;
	return true;
}

/*
 * The command line
 */

TEST_F(som, help_and_version)
{
	EXPECT_EQ(0, run("--help"));
	EXPECT_SAYS(result.out, "usage: somctl");
	EXPECT_EQ(0, run("--version"));
	EXPECT_SAYS(result.out, "somctl ");
}

TEST_F(som, wrong_command_lines)
{
	EXPECT_EQ(2, run_as(0, NULL));
	EXPECT_EQ(2, run("explode"));
	EXPECT_SAYS(result.err, "explode: no such command");
	EXPECT_EQ(2, run("--frob"));
	EXPECT_EQ(2, run("status", "--frob"));
	EXPECT_EQ(2, run("status", "more"));
	EXPECT_EQ(2, run("grow"));
	EXPECT_EQ(2, run("grow", "0"));
	EXPECT_EQ(2, run("grow", "x"));
	EXPECT_EQ(2, run("grow", "1x"));
	EXPECT_EQ(2, run("grow", "-1"));
	EXPECT_EQ(2, run("grow", "1", "2"));
	EXPECT_EQ(2, run("grow", "18446744073709551617"));
	EXPECT_EQ(2, run("shrink", ""));
	EXPECT_EQ(2, run("compact", "all"));
	EXPECT_EQ(2, run("set", "map_size"));
	EXPECT_EQ(2, run("set", "frob", "1"));
	EXPECT_SAYS(result.err, "somctl set");
	EXPECT_EQ(2, run("set", "nr_chunks", "2"));
	EXPECT_UNCHANGED();
}

TEST_F(som, without_the_module)
{
	EXPECT_EQ(3, run("--root", "/nowhere", "status"));
	EXPECT_SAYS(result.err, "/nowhere/sys/class/misc/som");
	EXPECT_SAYS(result.err, "modprobe som");
	EXPECT_EQ(3, run("--root", "/nowhere", "status", "--json"));
	EXPECT_EQ(3, run("--root", "/nowhere", "grow", "1"));
	EXPECT_EQ(3, run("--root", "/nowhere", "compact", "1"));
	EXPECT_EQ(3, run("--root", "/nowhere", "set"));
	EXPECT_STREQ("", result.out);
}

TEST_F(som, full_disk)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC), status;
	pid_t pid;

	ASSERT_LE(0, fd);
	pid = fork();
	if (!pid) {
		dup2(fd, STDOUT_FILENO);
		close(STDERR_FILENO);
		execl(somctl(), "somctl", "status", NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	close(fd);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(1, WEXITSTATUS(status));
}

/*
 * Status
 */

TEST_F(som, status)
{
	char *p = som_map(self->fd, 20 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 10 * UNIT);
	ASSERT_EQ(0, run("status"));
	EXPECT_STREQ("", result.err);
	EXPECT_EQ(som_pool("units_total"),
		  number_behind(result.out, "in the pool"));
	EXPECT_EQ(som_used(), number_behind(result.out, "  used"));
	EXPECT_EQ(som_committed(),
		  number_behind(result.out, "reserved or used"));
	EXPECT_SAYS(result.out, "\nnode ");
	EXPECT_TRUE(ascii(result.out));
	EXPECT_SAYS_NOT(result.out, "\033");
	/* The map, or what stands for it. */
	EXPECT_SAYS(result.out, "U used");
	EXPECT_SAYS(result.out, access("/sys/kernel/debug/som/units", F_OK) ?
		    "\nnode0           U" : ", node 0       ");
	ASSERT_EQ(0, run("status", "--no-map"));
	EXPECT_SAYS_NOT(result.out, "U used");
}

TEST_F(som, status_json)
{
	char *p = som_map(self->fd, 20 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 10 * UNIT);
	ASSERT_EQ(0, run("status", "--json"));
	EXPECT_TRUE(json_valid(result.out))
		TH_LOG("%s", result.out);
	EXPECT_EQ(self->before.used + 10,
		  number_behind(result.out, "\"units_used\": "));
	EXPECT_EQ(self->before.committed + 20,
		  number_behind(result.out, "\"units_committed\": "));
	EXPECT_EQ(som_pool("nr_chunks"),
		  number_behind(result.out, "\"nr_chunks\": "));
	EXPECT_EQ(som_free_hugepages(),
		  number_behind(result.out, "\"free_hugepages\": "));
	EXPECT_SAYS(result.out, "\"map_size\": ");
	EXPECT_SAYS(result.out, "\"unreadable\": []");
	if (access("/sys/kernel/debug/som/owners", F_OK))
		return;
	/* This process is the only owner. */
	EXPECT_EQ(getpid(), number_behind(result.out, "\"pid\": "));
	EXPECT_SAYS(result.out, "\"command\": \"som_ctl\"");
	EXPECT_EQ(20 * UNIT / 1024,
		  number_behind(result.out, "\"mapped_kB\": "));
	EXPECT_EQ(10, count(strstr(result.out, "\"map\": "), "U"));
}

/* What the driver has only in a newer version: a copy of its files, with traps. */

static bool copy_file(const char *name, const char *text)
{
	char path[256], *slash;
	FILE *f;

	snprintf(path, sizeof(path), COPY "/%s", name);
	for (slash = path + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		mkdir(path, 0755);
		*slash = '/';
	}
	f = fopen(path, "we");
	if (!f)
		return false;
	fputs(text, f);
	return !fclose(f);
}

static bool make_copy(unsigned int chunks)
{
	char map[16384];
	unsigned int i, n = 0;

	/* Chunk i has i * 64 used units; the rest is every kind. */
	for (i = 0; i < chunks; i++) {
		n += snprintf(map + n, sizeof(map) - n, "%u %u ", i, i % 2);
		memset(map + n, '.', CHUNK_UNITS);
		memset(map + n, 'U', i * 64);
		memcpy(map + n + 508, "zdq!", 4);
		n += CHUNK_UNITS;
		map[n++] = '\n';
	}
	map[n] = 0;
	return copy_file("sys/class/misc/som/nr_chunks", "6\n") &&
	       copy_file("sys/class/misc/som/units_total", "3072\n") &&
	       copy_file("sys/class/misc/som/units_free", "junk\n") &&
	       copy_file("sys/class/misc/som/limit_owner", "max\n") &&
	       copy_file("sys/class/misc/som/zero_rate", "007\n") &&
	       copy_file("sys/kernel/debug/som/owners",
			 "pid uid mapped_kB new\"column\n"
			 "77 0 4096 5 left over\n"
			 "78 1000\n") &&
	       copy_file("sys/kernel/debug/som/parcels",
			 "pid uid kB unclaimed_kB resident_kB\n"
			 "79 1000 6144 4096 2048\n") &&
	       copy_file("proc/77/comm", "a\"\\\t\x1b[2J\xff\xc3\xa9\n") &&
	       copy_file("sys/kernel/debug/som/units", map);
}

/* Of many chunks, those that a pin has to do with. */
static bool make_chunks(unsigned int nr)
{
	char text[4096];
	unsigned int i, n;

	n = snprintf(text, sizeof(text),
		     "chunk node uid used quarantined pinned\n");
	for (i = 0; i < nr; i++)
		n += snprintf(text + n, sizeof(text) - n, "%u 0 %s 5 %d %d\n",
			      100 + i, i ? "2000" : "-", i == 2, i == 3);
	return copy_file("sys/kernel/debug/som/chunks", text);
}

TEST_F(som, chunks)
{
	struct iovec iov = { .iov_len = PAGE };
	char *p = som_map(self->fd, UNIT);
	int fds[2];

	ASSERT_NE(MAP_FAILED, p);
	*p = 1;
	iov.iov_base = p;
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
	ASSERT_EQ(0, munmap(p, UNIT));
	ASSERT_EQ(0, run("status", "--json"));
	EXPECT_TRUE(json_valid(result.out));
	p = strstr(result.out, "\"chunks\": ");
	ASSERT_NE(NULL, p);
	EXPECT_EQ(0, number_behind(p, "\"uid\": "));
	EXPECT_EQ(1, number_behind(p, "\"quarantined\": "));
	EXPECT_EQ(1, number_behind(p, "\"pinned\": "));
	close(fds[0]);
	close(fds[1]);

	ASSERT_TRUE(make_copy(2));
	ASSERT_TRUE(make_chunks(16));
	ASSERT_EQ(0, run("--root", COPY, "status"));
	EXPECT_EQ(15, count(result.out, " 2000 "));
	ASSERT_TRUE(make_chunks(17));
	ASSERT_EQ(0, run("--root", COPY, "status"));
	EXPECT_EQ(2, count(result.out, " 2000 "));
	EXPECT_SAYS(result.out, "\n15 more without pins: --full\n");
	ASSERT_EQ(0, run("--root", COPY, "status", "--full"));
	EXPECT_EQ(16, count(result.out, " 2000 "));
	ASSERT_EQ(0, run("--root", COPY, "status", "--json"));
	EXPECT_TRUE(json_valid(result.out));
	EXPECT_EQ(16, count(result.out, "\"uid\": 2000"));
	EXPECT_EQ(0, remove(COPY "/sys/kernel/debug/som/chunks"));
}

TEST_F(som, json_of_strange_files)
{
	ASSERT_TRUE(make_copy(6));
	ASSERT_EQ(0, run("--root", COPY, "status", "--json"));
	EXPECT_TRUE(json_valid(result.out))
		TH_LOG("%s", result.out);
	EXPECT_SAYS(result.out,
		    "\"command\": \"a\\\"\\\\\\u0009\\u001b[2J\\ufffd\xc3\xa9\"");
	EXPECT_SAYS(result.out, "\"new\\\"column\": 5");
	EXPECT_SAYS(result.out, "\"new\\\"column\": \"\"");
	EXPECT_SAYS(result.out, "\"limit_owner\": \"max\"");
	EXPECT_SAYS(result.out, "\"zero_rate\": \"007\"");
	EXPECT_SAYS(result.out, "\"units_total\": 3072");
	EXPECT_SAYS(result.out, "\"resident_kB\": 2048");
	EXPECT_SAYS_NOT(result.out, "units_free");
	EXPECT_EQ(6, count(result.out, "\"chunk\": "));
}

TEST_F(som, map_and_owners)
{
	ASSERT_TRUE(make_copy(6));
	ASSERT_EQ(0, run("--root", COPY, "status"));
	EXPECT_TRUE(ascii(result.out));
	EXPECT_SAYS(result.out, "\n2 owners\n");
	EXPECT_SAYS(result.out, "5 a\"\\??[2J???\n");
	EXPECT_SAYS(result.out, "\n1 parcel\n");
	EXPECT_SAYS_NOT(result.out, "\033");
	/* Six chunks: 64 cells of 8 units each. */
	EXPECT_SAYS(result.out, "\n0, node 0       ......");
	EXPECT_SAYS(result.out, "\n2, node 0       UUUUUUUUUUUUUUUU........");
	EXPECT_SAYS(result.out, ".....q\n");
	ASSERT_EQ(0, run("--root", COPY, "status", "--full"));
	EXPECT_EQ(6 * 8, count(result.out, "................\n") +
			 count(result.out, "UUUUUUUUUUUUUUUU\n") +
			 count(result.out, "zdq?\n"));
	EXPECT_EQ(6, count(result.out, "zdq?\n"));
	/* A few chunks: each unit. */
	ASSERT_TRUE(make_copy(2));
	ASSERT_EQ(0, run("--root", COPY, "status"));
	EXPECT_EQ(2, count(result.out, "zdq?\n"));
}

TEST_F(som, on_a_terminal)
{
	char *p = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	*p = 1;
	setenv("TERM", "linux", 1);
	setenv("LC_ALL", "C.UTF-8", 1);
	ASSERT_EQ(0, run_tty("status", NULL));
	EXPECT_SAYS(result.out, "\033[32m\u2588");
	EXPECT_SAYS(result.out, "\033[0m");
	ASSERT_TRUE(make_copy(6));
	ASSERT_EQ(0, run_tty("--root", COPY, "status", NULL));
	/* 84 columns are left: 64 cells. */
	EXPECT_EQ(16 + 24 + 32 + 40 + 8 + 1, count(result.out, "\u2588"));
	setenv("NO_COLOR", "1", 1);
	ASSERT_EQ(0, run_tty("status", NULL));
	EXPECT_SAYS_NOT(result.out, "\033");
	EXPECT_SAYS(result.out, "\u2588");
	unsetenv("NO_COLOR");
	setenv("LC_ALL", "C", 1);
	ASSERT_EQ(0, run_tty("status", NULL));
	EXPECT_TRUE(ascii(result.out));
	EXPECT_SAYS(result.out, "\033[32mU");
	setenv("TERM", "dumb", 1);
	ASSERT_EQ(0, run_tty("status", NULL));
	EXPECT_SAYS_NOT(result.out, "\033");
}

/*
 * Growing and shrinking. The pool's size of before the test is put back,
 * whatever the test does.
 */

FIXTURE(pool)
{
	struct som_state before;
	long hugepages;
	int fd;
};

FIXTURE_SETUP(pool)
{
	som_state_read(&self->before);
	self->hugepages = som_read_number(HUGE_1G "nr_hugepages");
	ASSERT_EQ(1, self->before.chunks);
	ASSERT_EQ(2, self->before.hugepages)
		TH_LOG("these tests want two spare 1G pages");
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN_PARENT(pool)
{
	char text[32];

	EXPECT_EQ(self->before.used,
		  som_wait_number(som_used, self->before.used));
	EXPECT_EQ(0, som_set_chunks(self->before.chunks));
	snprintf(text, sizeof(text), "%ld\n", self->hugepages);
	EXPECT_EQ(0, som_write_string(HUGE_1G "nr_hugepages", text));
	EXPECT_TRUE(som_state_wait(&self->before));
}

TEST_F(pool, grow_and_shrink)
{
	EXPECT_EQ(0, run("grow", "2"));
	EXPECT_STREQ("", result.err);
	EXPECT_SAYS(result.out, "grow: 1 of 2\ngrow: 2 of 2\n2 of 2 chunks added");
	EXPECT_SAYS(result.out, "the pool has 3\n");
	EXPECT_EQ(3, som_pool("nr_chunks"));
	EXPECT_EQ(0, som_free_hugepages());
	EXPECT_EQ(0, run("shrink", "2"));
	EXPECT_STREQ("", result.err);
	EXPECT_SAYS(result.out, "shrink: 1 of 2\nshrink: 2 of 2\n2 of 2 chunks");
	EXPECT_EQ(1, som_pool("nr_chunks"));
	EXPECT_EQ(2, som_free_hugepages());
}

TEST_F(pool, grow_to)
{
	EXPECT_EQ(0, run("grow", "--to", "2"));
	EXPECT_EQ(2, som_pool("nr_chunks"));
	EXPECT_EQ(0, run("grow", "--to", "2"));
	EXPECT_STREQ("the pool has 2 chunks\n", result.out);
	EXPECT_EQ(0, run("grow", "--to", "1"));
	EXPECT_EQ(2, som_pool("nr_chunks"));
}

TEST_F(pool, grow_without_pages)
{
	char text[128];

	EXPECT_EQ(1, run("grow", "3"));
	EXPECT_STREQ("", result.out);
	EXPECT_SAYS(result.err, "2 free pages of 1 GiB, 3 are needed");
	snprintf(text, sizeof(text), "echo %ld > " HUGE_1G "nr_hugepages\n",
		 self->hugepages + 1);
	EXPECT_SAYS(result.err, text);
	EXPECT_SAYS(result.err, "hugepagesz=1G hugepages=");
	EXPECT_TRUE(som_state_same(&self->before));
}

/* What was a page of HugeTLB a moment ago can become one again. */
TEST_F(pool, grow_reserves)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld\n", self->hugepages - 1);
	ASSERT_EQ(0, som_write_string(HUGE_1G "nr_hugepages", text));
	ASSERT_EQ(1, som_free_hugepages());
	EXPECT_EQ(0, run("grow", "--reserve", "2"))
		TH_LOG("%s", result.err);
	EXPECT_EQ(3, som_pool("nr_chunks"));
	EXPECT_EQ(self->hugepages, som_read_number(HUGE_1G "nr_hugepages"));
}

TEST_F(pool, grow_cannot_reserve)
{
	EXPECT_EQ(1, run("grow", "--reserve", "1000"));
	EXPECT_SAYS(result.err, "1000 are needed");
	EXPECT_SAYS(result.err, "boot with: hugepagesz=1G hugepages=");
	EXPECT_EQ(1, som_pool("nr_chunks"));
}

TEST_F(pool, grow_on_a_terminal)
{
	setenv("TERM", "linux", 1);
	EXPECT_EQ(0, run_tty("grow", "2", NULL));
	EXPECT_SAYS(result.out, "\rgrow [");
	EXPECT_SAYS(result.out, " 50 %  1 of 2");
	EXPECT_SAYS(result.out, "100 %  2 of 2");
	EXPECT_SAYS(result.out, "\r2 of 2 chunks added");
	EXPECT_EQ(3, som_pool("nr_chunks"));
}

/* Does the process have a handler for a signal? */
static bool catches(pid_t pid, int sig)
{
	unsigned long long mask = 0;
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "SigCgt: %llx", &mask) == 1)
			break;
	if (f)
		fclose(f);
	return mask >> (sig - 1) & 1;
}

/* It is still to be waited for. */
static bool has_ended(pid_t pid)
{
	siginfo_t info = {};

	return !waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) &&
	       info.si_pid == pid;
}

/* It is told to stop when its work begins: getting a chunk takes a while. */
static int run_and_stop(int sig, const char *first, ...)
{
	double end = som_now() + SOM_WAIT_SECONDS;
	struct running r;
	va_list args;
	int ret;

	va_start(args, first);
	ret = start(&r, 0, first, args);
	va_end(args);
	if (ret)
		return ret;
	while (!catches(r.pid, sig) && !has_ended(r.pid) && som_now() < end)
		usleep(100);
	kill(r.pid, sig);
	return finish(&r);
}

TEST_F(pool, grow_stops)
{
	static const int signals[] = { SIGINT, SIGTERM };
	char text[64];
	double end;
	long added;
	int status;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(signals); i++) {
		end = som_now() + SOM_WAIT_SECONDS;
		/* Where this one stands still for a while, the other is done. */
		while (!(status = run_and_stop(signals[i], "grow", "2", NULL)) &&
		       som_now() < end)
			ASSERT_EQ(0, som_set_chunks(1));
		EXPECT_EQ(128 + signals[i], status);
		EXPECT_SAYS(result.err, "stopped by a signal");
		added = som_pool("nr_chunks") - 1;
		EXPECT_GT(2, added);
		snprintf(text, sizeof(text), "%ld of 2 chunks added", added);
		EXPECT_SAYS(result.out, text);
		EXPECT_EQ(0, som_set_chunks(1));
	}
}

TEST_F(pool, shrink_what_is_used)
{
	char *p = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(1, run("shrink", "1"));
	EXPECT_SAYS(result.err, "1 of 512 units are reserved");
	*p = 1;
	EXPECT_EQ(1, run("shrink", "1"));
	EXPECT_SAYS(result.err, "nr_chunks: Device or resource busy");
	EXPECT_SAYS(result.err, "no chunk is empty");
	EXPECT_EQ(1, run("shrink", "2"));
	EXPECT_SAYS(result.err, "the pool has only 1 chunks");
	EXPECT_EQ(0, run("grow", "1"));
	EXPECT_EQ(5, run("shrink", "2"));
	EXPECT_SAYS(result.out, "shrink: 1 of 2\n1 of 2 chunks returned");
	EXPECT_EQ(1, som_pool("nr_chunks"));
	EXPECT_EQ(1, *p);
}

/*
 * Compaction
 */

TEST_F(pool, compact)
{
	size_t keep = 8;
	char *p;

	if (som_no_compact(self->fd))
		SKIP(return, "%s", som_no_compact(self->fd));
	ASSERT_EQ(0, run("grow", "1"));
	p = som_map(self->fd, (CHUNK_UNITS + keep) * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, (CHUNK_UNITS + keep) * UNIT);
	EXPECT_EQ(1, run("compact", "1"));
	EXPECT_SAYS(result.err, "compact: Device or resource busy");
	EXPECT_SAYS(result.out, "0 of 1 chunks emptied");
	/* A few of each chunk stay. */
	ASSERT_EQ(0, munmap(p + keep * UNIT, (CHUNK_UNITS - keep) * UNIT));
	som_fill_pages(p, keep * UNIT, 1);
	som_fill_pages(p + CHUNK_UNITS * UNIT, keep * UNIT, 2);
	EXPECT_EQ(0, som_pool("chunks_empty"));
	EXPECT_EQ(0, run("compact", "1"));
	EXPECT_STREQ("", result.err);
	EXPECT_SAYS(result.out, "compact: 1 of 1\n1 of 1 chunks emptied");
	EXPECT_EQ(1, som_pool("chunks_empty"));
	EXPECT_EQ(-1, som_check_pages(p, keep * UNIT, 1));
	EXPECT_EQ(-1, som_check_pages(p + CHUNK_UNITS * UNIT, keep * UNIT, 2));
	EXPECT_EQ(0, run("shrink", "1"));
}

/*
 * Settings
 */

TEST_F(som, set_changes)
{
	long before = som_read_number("/sys/module/som/parameters/max_page_backed");
	char text[32], said[64];

	ASSERT_LT(0, before);
	EXPECT_EQ(0, run("set"));
	EXPECT_SAYS(result.out, "max_page_backed");
	EXPECT_SAYS(result.out, "; at load only)");
	EXPECT_EQ(0, run("set", "max_page_backed", "77"));
	snprintf(said, sizeof(said), "max_page_backed: 77, was %ld\n", before);
	EXPECT_STREQ(said, result.out);
	EXPECT_EQ(77, som_read_number("/sys/module/som/parameters/max_page_backed"));
	snprintf(text, sizeof(text), "%ld", before);
	EXPECT_EQ(0, run("set", "max_page_backed", text));
	EXPECT_EQ(before,
		  som_read_number("/sys/module/som/parameters/max_page_backed"));
}

/* Whatever this driver has: a value may be set to what it is. */
TEST_F(som, set_what_it_is)
{
	static const char * const names[] = {
		"zero_rate", "cache_max", "cache_low", "release_rate",
		"shrink_low", "shrink_rate", "limit_owner", "limit_user",
		"max_parcels",
	};
	char path[128], value[64], text[192];
	size_t i;
	FILE *f;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), SOM_SYSFS "%s", names[i]);
		f = fopen(path, "re");
		if (!f) {
			EXPECT_EQ(1, run("set", names[i], "1"));
			EXPECT_SAYS(result.err, "does not have it");
			continue;
		}
		ASSERT_NE(NULL, fgets(value, sizeof(value), f));
		fclose(f);
		value[strcspn(value, "\n")] = 0;
		EXPECT_EQ(0, run("set", names[i], value));
		snprintf(text, sizeof(text), "%s: %s, was %s\n", names[i], value,
			 value);
		EXPECT_STREQ(text, result.out);
		EXPECT_EQ(1, run("set", names[i], "frob"));
		EXPECT_SAYS(result.err, "invalid value frob");
	}
}

TEST_F(som, set_refuses)
{
	EXPECT_EQ(1, run("set", "map_size", "4096"));
	EXPECT_SAYS(result.err, "modprobe som map_size=4096");
	EXPECT_EQ(1, run("set", "max_page_backed", "many"));
	EXPECT_SAYS(result.err, "parameters/max_page_backed: Invalid argument");
	EXPECT_SAYS(result.err, "invalid value many");
}

/* The limit of a control group, by its directory. */
TEST_F(som, cgroup)
{
	const char *dir = "/sys/fs/cgroup/somctl";
	char id[32];
	struct stat st;

	EXPECT_EQ(2, run("cgroup", "/sys/fs/cgroup"));
	if (access("/sys/fs/cgroup/cgroup.procs", F_OK))
		SKIP(return, "there is no cgroup v2");
	EXPECT_EQ(0, run("cgroup"));
	EXPECT_SAYS_NOT(result.out, " 77 ");
	ASSERT_EQ(0, mkdir(dir, 0755));
	ASSERT_EQ(0, stat(dir, &st));
	snprintf(id, sizeof(id), "%lu ", st.st_ino);
	EXPECT_EQ(0, run("cgroup", dir, "77"));
	EXPECT_EQ(0, run("cgroup"));
	EXPECT_SAYS(result.out, id);
	EXPECT_SAYS(result.out, " 77 ");
	EXPECT_EQ(1, run("cgroup", dir, "many"));
	EXPECT_SAYS(result.err, "a number of units or max");
	EXPECT_EQ(1, run("cgroup", "/sys/fs/cgroup/none", "1"));
	EXPECT_SAYS(result.err, "No such file");
	EXPECT_EQ(4, run_as(NOBODY, "cgroup", dir, "1", NULL));
	EXPECT_EQ(0, run("cgroup", dir, "max"));
	EXPECT_EQ(0, run("cgroup"));
	EXPECT_SAYS_NOT(result.out, id);
	EXPECT_EQ(0, rmdir(dir));
}

/*
 * Others than root
 */

TEST_F(som, unprivileged)
{
	ASSERT_EQ(0, run_as(NOBODY, "status", NULL));
	EXPECT_EQ(som_used(), number_behind(result.out, "  used"));
	ASSERT_EQ(0, run_as(NOBODY, "status", "--json", NULL));
	EXPECT_TRUE(json_valid(result.out));
	/* What stands in debugfs is root's. */
	EXPECT_SAYS(result.out,
		    "\"owners\",\n\t\t\"chunks\",\n\t\t\"units\"\n\t]");
	EXPECT_EQ(0, run_as(NOBODY, "set", NULL));
	EXPECT_EQ(4, run_as(NOBODY, "grow", "1", NULL));
	EXPECT_SAYS(result.err, "nr_chunks: Permission denied (only root may)");
	EXPECT_EQ(4, run_as(NOBODY, "grow", "--reserve", "5", NULL));
	EXPECT_SAYS(result.err, "nr_hugepages: Permission denied");
	EXPECT_EQ(4, run_as(NOBODY, "shrink", "1", NULL));
	EXPECT_EQ(4, run_as(NOBODY, "set", "max_page_backed", "1", NULL));
	EXPECT_EQ(som_no_compact(self->fd) ? 1 : 4,
		  run_as(NOBODY, "compact", "1", NULL));
	EXPECT_UNCHANGED();
}

TEST_HARNESS_MAIN
