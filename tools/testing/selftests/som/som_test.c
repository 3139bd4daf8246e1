// SPDX-License-Identifier: GPL-2.0
/* Functions of som_test.h, linked with each test. */
#define SOM_TEST_NO_HARNESS
#include "som_test.h"

/* The debug kernel does the same work many times slower. */
bool som_debug_kernel(void)
{
	static int debug = -1;

	if (debug < 0)
		debug = !access("/proc/lockdep_stats", F_OK) ||
			!access("/sys/kernel/debug/kmemleak", F_OK);
	return debug;
}

/* SOM_KERNEL is not set when a test is run by hand. */
bool som_cloud_kernel(void)
{
	const char *kernel = getenv("SOM_KERNEL");

	return kernel && !strcmp(kernel, "cloud");
}

/*
 * How long something is to go on that ends by the clock: SOM_SECONDS if that is
 * set. The debug kernel is slow; the cloud kernel is the generic one with fewer
 * drivers.
 */
double som_seconds(double generic, double debug)
{
	const char *text = getenv("SOM_SECONDS");

	if (text)
		return strtod(text, NULL);
	if (som_debug_kernel())
		return debug;
	return som_cloud_kernel() ? generic / 3 : generic;
}

/* A number of rounds for this kernel: a few at least. */
int som_rounds(int rounds)
{
	int fewer = rounds / (som_debug_kernel() ? 10 : 5);

	if (!som_debug_kernel() && !som_cloud_kernel())
		return rounds;
	return fewer > 4 ? fewer : rounds < 4 ? rounds : 4;
}

/*
 * Stay on one processor, children too: for tests in which only one process is at
 * work. An emulated machine is slow at waking and interrupting another processor.
 */
void som_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* Those that are forked from here on, and threads, are to run beside each other. */
void som_all_cpus(void)
{
	cpu_set_t set;

	memset(&set, 0xff, sizeof(set));
	sched_setaffinity(0, sizeof(set), &set);
}

double som_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/*
 * Files with one number
 */

/* The number at the start of a file that is open. Return: -1 if there is none. */
static long som_number_at(int fd)
{
	char buf[64], *end;
	long value;
	ssize_t n;

	n = pread(fd, buf, sizeof(buf) - 1, 0);
	if (n <= 0)
		return -1;
	buf[n] = 0;
	value = strtol(buf, &end, 10);
	return end != buf && *end == '\n' ? value : -1;
}

long som_read_number(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long value;

	if (fd < 0)
		return -1;
	value = som_number_at(fd);
	close(fd);
	return value;
}

/**
 * struct som_number - a file of sysfs with a number, which stays open
 * @path: of the file
 * @taken: the entry is, or is about to be, that file's
 * @fd: 0 as long as it is not open
 *
 * Tests read the pool's numbers all the time, and most of what that costs is to open
 * and to close them.
 */
struct som_number {
	char path[128];
	int taken, fd;
};

/* Reopen a file that was removed and created again with som.ko. */
static long som_number_again(const struct som_number *number)
{
	int fd = open(number->path, O_RDONLY | O_CLOEXEC);
	long value;

	if (fd < 0)
		return -1;
	value = som_number_at(fd);
	dup3(fd, number->fd, O_CLOEXEC);
	close(fd);
	return value;
}

/* The same as som_read_number(), for a file of sysfs. */
long som_number(const char *path)
{
	static struct som_number numbers[16];
	size_t size = strlen(path) + 1;
	struct som_number *number;
	long value;
	int fd;

	if (size > sizeof(number->path))
		return som_read_number(path);
	for (number = numbers; number < numbers + ARRAY_SIZE(numbers); number++) {
		if (!__atomic_exchange_n(&number->taken, 1, __ATOMIC_ACQ_REL)) {
			memcpy(number->path, path, size);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd <= 0) {
				__atomic_store_n(&number->taken, 0,
						 __ATOMIC_RELEASE);
				return -1;
			}
			__atomic_store_n(&number->fd, fd, __ATOMIC_RELEASE);
		}
		if (!__atomic_load_n(&number->fd, __ATOMIC_ACQUIRE) ||
		    strcmp(number->path, path))
			continue;
		value = som_number_at(number->fd);
		return value >= 0 ? value : som_number_again(number);
	}
	return som_read_number(path);
}

/* Return: 0 or -errno. */
int som_write_string(const char *path, const char *text)
{
	int fd, ret = 0;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

long som_pool(const char *name)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), SOM_SYSFS "%s", name);
	return som_number(path);
}

int som_set_chunks(long chunks)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld\n", chunks);
	return som_write_string(SOM_SYSFS "nr_chunks", text);
}

void som_state_read(struct som_state *s)
{
	s->chunks = som_pool("nr_chunks");
	s->total = som_pool("units_total");
	s->free = som_pool("units_free");
	s->used = som_pool("units_used");
	s->quarantined = som_pool("units_quarantined");
	s->committed = som_pool("units_committed");
	s->hugepages = som_free_hugepages();
	s->empty = som_pool("chunks_empty");
	s->page_backed = som_pool("units_page_backed");
}

bool som_state_same(const struct som_state *a)
{
	struct som_state b;

	som_state_read(&b);
	return !memcmp(a, &b, sizeof(b));
}

/* The exit of a process frees memory after waitpid() returns: allow some seconds. */
bool som_state_wait(const struct som_state *s)
{
	double end = som_now() + SOM_WAIT_SECONDS;

	while (!som_state_same(s)) {
		if (som_now() > end)
			return false;
		usleep(10000);
	}
	return true;
}

/* The same for one number. Return: the last value seen. */
long som_wait_number(long (*read_it)(void), long want)
{
	double end = som_now() + SOM_WAIT_SECONDS;
	long got;

	while ((got = read_it()) != want && som_now() < end)
		usleep(5000);
	return got;
}

/*
 * The device and its memory
 */

/*
 * Room in the address space that nothing else uses: @len bytes at a multiple of
 * @align, inside a PROT_NONE reservation. MAP_FIXED goes over it.
 */
char *som_room(size_t len, size_t align)
{
	char *p = mmap(NULL, len + align, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return MAP_FAILED;
	return (char *)(((uintptr_t)p + align - 1) & ~(align - 1));
}

int som_get_info(int fd, struct som_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return ioctl(fd, SOM_IOC_INFO, info);
}

/*
 * A value of the block of process @owner in the fdinfo of file @fd of process
 * @pid; -1 when there is none. @key is without the prefix and the colon.
 */
long som_fdinfo(pid_t pid, int fd, pid_t owner, const char *key)
{
	char path[64], line[256], name[64];
	bool mine = false;
	long value, found = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "som-%63[^:]: %ld", name, &value) != 2)
			continue;
		if (!strcmp(name, "owner"))
			mine = value == owner;
		if (mine && !strcmp(name, key)) {
			found = value;
			break;
		}
	}
	fclose(f);
	return found;
}

/* Return: 0 or -errno. */
int som_get_policy(int fd, __u64 *map_size)
{
	struct som_policy policy = { .size = sizeof(policy) };

	if (ioctl(fd, SOM_IOC_GET_POLICY, &policy))
		return -errno;
	*map_size = policy.map_size;
	return 0;
}

/* The other settings stay as they are. */
int som_set_policy(int fd, __u64 map_size)
{
	struct som_policy policy = {
		.size = SOM_POLICY_SIZE_VER0, .map_size = map_size,
	};

	return ioctl(fd, SOM_IOC_SET_POLICY, &policy) ? -errno : 0;
}

/* Change a setting in sysfs. Return: what it was, or -1. */
long som_setting(const char *name, long value)
{
	char path[128], text[32];
	long old;

	snprintf(path, sizeof(path), SOM_SYSFS "%s", name);
	old = som_read_number(path);
	snprintf(text, sizeof(text), "%ld", value);
	return som_write_string(path, text) ? -1 : old;
}

/* Is a thread that zeroes in the background at work, or about to be? */
static bool som_zeroing(void)
{
	DIR *dir = opendir("/proc");
	char path[300], line[128], state;
	bool found = false;
	struct dirent *d;
	FILE *f;

	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] < '1' || d->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", d->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(line, sizeof(line), f) &&
		    sscanf(line, "%*d (som_zero/%*d) %c", &state) == 1)
			found |= state != 'I';
		fclose(f);
	}
	if (dir)
		closedir(dir);
	return found;
}

/*
 * Nothing is zeroed in the background from here on: a thread ends the unit that it has
 * begun, and sleeps. Return: the rate there was, or -1.
 */
long som_zero_stop(void)
{
	double end = som_now() + SOM_WAIT_SECONDS;
	long rate = som_setting("zero_rate", 0);

	while (som_zeroing()) {
		if (som_now() > end)
			return -1;
		usleep(5000);
	}
	return rate;
}

int som_range_call(int fd, unsigned long call, const void *start, size_t len,
		   __u64 *walk_end)
{
	struct som_range range = {
		.size = sizeof(range),
		.start = (uintptr_t)start,
		.end = (uintptr_t)start + len,
	};
	int ret = ioctl(fd, call, &range) ? -errno : 0;

	if (walk_end)
		*walk_end = range.walk_end;
	return ret;
}

/* Return: 0 or -errno. */
int som_compact(long chunks)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld\n", chunks);
	return som_write_string(SOM_SYSFS "compact", text);
}

/*
 * What a som.ko may not have. Return: NULL if it has it, or what to say.
 */

const char *som_no_private(int fd)
{
	char *p = som_map_private_at(fd, NULL, PAGE, RW, MAP_NORESERVE);

	if (p == MAP_FAILED)
		return "this som.ko does not have MAP_PRIVATE";
	munmap(p, PAGE);
	return NULL;
}

const char *som_no_policy(int fd)
{
	__u64 map_size;

	return som_get_policy(fd, &map_size) ?
		"this som.ko does not have SOM_IOC_GET_POLICY" : NULL;
}

/*
 * Where memory is
 */

/*
 * The chunk that holds the page at @p of process @pid, by its page frame number;
 * the page is touched by a read. Return: a number of the chunk, or -1.
 */
long som_chunk_of(pid_t pid, const void *p)
{
	struct iovec local, remote;
	int tries, fd;
	__u64 entry;
	char path[64], byte;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	/* The entry may be dropped at any time. */
	for (tries = 0; tries < 1000; tries++) {
		local = (struct iovec) { &byte, 1 };
		remote = (struct iovec) { (void *)p, 1 };
		process_vm_readv(pid, &local, 1, &remote, 1, 0);
		n = pread(fd, &entry, 8, (uintptr_t)p / PAGE * 8);
		if (n == 8 && entry >> 63) {
			close(fd);
			return (entry & ((1ULL << 55) - 1)) / (CHUNK / PAGE);
		}
	}
	close(fd);
	return -1;
}

/*
 * Marks: every word says whose it is and where it was written
 */

void som_fill(void *p, size_t len, __u64 mark)
{
	__u64 *w = p;
	size_t i;

	for (i = 0; i < len / 8; i++)
		w[i] = som_word(mark, i * 8);
}

/*
 * Return: offset of the first wrong word, -1 when all are right. Compares eight words at a
 * time, which is faster under emulation. A word that was wrong once is reported even if it
 * is right when it is read again.
 */
long som_check(const void *p, size_t len, __u64 mark)
{
	__u64 word = som_word(mark, 0);
	const __u64 *w = p;
	size_t i, j;

	for (i = 0; i + 8 <= len / 8; i += 8, word += 64) {
		if (!((w[i] ^ word) | (w[i + 1] ^ (word + 8)) |
		      (w[i + 2] ^ (word + 16)) | (w[i + 3] ^ (word + 24)) |
		      (w[i + 4] ^ (word + 32)) | (w[i + 5] ^ (word + 40)) |
		      (w[i + 6] ^ (word + 48)) | (w[i + 7] ^ (word + 56))))
			continue;
		for (j = i; j < i + 8; j++)
			if (w[j] != som_word(mark, j * 8))
				return j * 8;
		return i * 8;
	}
	for (; i < len / 8; i++)
		if (w[i] != som_word(mark, i * 8))
			return i * 8;
	return -1;
}

/* The same with one word a page, for memory that is large. */
void som_fill_pages(void *p, size_t len, __u64 mark)
{
	size_t i;

	for (i = 0; i < len; i += PAGE)
		WRITE_ONCE(*(__u64 *)((char *)p + i), som_word(mark, i));
}

long som_check_pages(const void *p, size_t len, __u64 mark)
{
	size_t i;

	for (i = 0; i < len; i += PAGE)
		if (READ_ONCE(*(__u64 *)((char *)p + i)) !=
		    som_word(mark, i))
			return i;
	return -1;
}

/* Return: offset of the first word that is not zero, -1 when all are. */
long som_not_zero(const void *p, size_t len)
{
	const __u64 *w = p;
	size_t i, j;

	for (i = 0; i + 8 <= len / 8; i += 8) {
		if (!(w[i] | w[i + 1] | w[i + 2] | w[i + 3] |
		      w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7]))
			continue;
		for (j = i; j < i + 8; j++)
			if (w[j])
				return j * 8;
		return i * 8;
	}
	for (; i < len / 8; i++)
		if (w[i])
			return i * 8;
	return -1;
}

/* The first and the last word of every page. */
long som_pages_not_zero(const void *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i += PAGE) {
		if (READ_ONCE(*(__u64 *)((char *)p + i)))
			return i;
		if (READ_ONCE(*(__u64 *)((char *)p + i + PAGE - 8)))
			return i + PAGE - 8;
	}
	return -1;
}

void som_touch_units(char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i += UNIT)
		WRITE_ONCE(p[i], 1);
}

/*
 * Touching what may raise a signal
 */

__thread sigjmp_buf som_fault_env;
__thread int som_fault_armed;

static void som_fault_handler(int sig)
{
	if (READ_ONCE(som_fault_armed))
		siglongjmp(som_fault_env, sig);
	signal(sig, SIG_DFL);
	raise(sig);
}

void som_catch_faults(void)
{
	struct sigaction sa = { .sa_handler = som_fault_handler };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}

/* Return: 0, or the signal that the access raised. */
int som_try_read(const void *p, __u64 *value)
{
	int sig;

	sig = sigsetjmp(som_fault_env, 1);
	if (!sig) {
		WRITE_ONCE(som_fault_armed, 1);
		*value = READ_ONCE(*(const __u64 *)p);
	}
	WRITE_ONCE(som_fault_armed, 0);
	return sig;
}

int som_try_write(void *p, __u64 value)
{
	int sig;

	sig = sigsetjmp(som_fault_env, 1);
	if (!sig) {
		WRITE_ONCE(som_fault_armed, 1);
		WRITE_ONCE(*(__u64 *)p, value);
	}
	WRITE_ONCE(som_fault_armed, 0);
	return sig;
}

int som_read_signal(const void *p)
{
	__u64 value;

	return som_try_read(p, &value);
}

/*
 * Children
 */

/* Return: exit status, or the negative number of the signal that ended it. */
int som_wait_child(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1000;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/*
 * The same of a child that may hang: it is killed if it takes @seconds and as long
 * again as a slow machine may need.
 */
int som_wait_child_for(pid_t pid, double seconds)
{
	double end = som_now() + seconds + (som_debug_kernel() ? 60 : 20);
	siginfo_t info = { 0 };

	while (!waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) &&
	       !info.si_pid) {
		if (som_now() > end) {
			kill(pid, SIGKILL);
			break;
		}
		usleep(5000);
	}
	return som_wait_child(pid);
}

bool som_wait_flag(int *flag, int value)
{
	double end = som_now() + 2 * SOM_WAIT_SECONDS;

	while (READ_ONCE(*flag) != value) {
		if (som_now() > end)
			return false;
		usleep(1000);
	}
	return true;
}

/*
 * Threads that work beside something else
 */

/* A @meanwhile of som_run_racers() that does nothing. */
void som_just_wait(struct som_race *race)
{
	double end = som_race_end(race);

	while (!READ_ONCE(race->stop) && som_race_on(race, end))
		usleep(10000);
}

/* Run @nr threads of @fn until @meanwhile is done. Return: 0 or -1. */
int som_run_racers(struct som_race *race, int nr, void *(*fn)(void *racer),
		   void (*meanwhile)(struct som_race *race))
{
	struct som_racer racers[SOM_MAX_RACERS];
	pthread_t threads[SOM_MAX_RACERS];
	int i, started;

	som_all_cpus();
	for (started = 0; started < nr; started++) {
		racers[started].race = race;
		racers[started].nr = started;
		if (pthread_create(&threads[started], NULL, fn,
				   &racers[started]))
			break;
	}
	if (started == nr)
		meanwhile(race);
	WRITE_ONCE(race->stop, 1);
	for (i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return started == nr ? 0 : -1;
}
