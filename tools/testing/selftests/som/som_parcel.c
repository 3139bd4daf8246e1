// SPDX-License-Identifier: GPL-2.0
/*
 * Parcels: memory that leaves a process as it is, and becomes another's; what a parcel
 * tells; who pays; every error of SOM_IOC_PACK and of a claim.
 *
 * SOM-TEST: chunks=2 spare=1 timeout=600 takes=20
 */
#include <sys/resource.h>
#include <sys/sendfile.h>

#include "som_parcel.h"
#include "som_scan.h"

#ifndef __NR_mseal
#define __NR_mseal	462
#endif

#define NR	6
#define LEN	(NR * UNIT)
#define USER	1234

static int set_limit(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), SOM_SYSFS "%s", name);
	return som_write_string(path, value);
}

FIXTURE(parcel)
{
	struct som_state before;
	struct stat node;
	long parcels;
	int fd;
};

FIXTURE_SETUP(parcel)
{
	som_state_read(&self->before);
	self->parcels = parcel_units();
	ASSERT_EQ(0, self->parcels);
	ASSERT_EQ(0, stat(SOM_DEV, &self->node));
	som_catch_faults();
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN_PARENT(parcel)
{
	set_limit("limit_owner", "max");
	set_limit("limit_user", "max");
	set_limit("max_parcels", "1024");
	som_state_wait(&self->before);
	set_limit("share_chunks", "0");
	if (chmod(SOM_DEV, self->node.st_mode & 0777))
		TH_LOG("%s is not as it was", SOM_DEV);
	EXPECT_TRUE(som_state_wait(&self->before));
	EXPECT_EQ(0, som_wait_number(parcel_units, 0));
}

static char *map_filled(int fd, size_t len, __u64 mark)
{
	char *p = som_map(fd, len);

	if (p != MAP_FAILED)
		som_fill(p, len, mark);
	return p;
}

/* Is nothing mapped in a range? */
static bool unmapped(const void *p, size_t len)
{
	unsigned char vec[LEN / PAGE];

	return mincore((void *)p, PAGE, vec) && errno == ENOMEM &&
	       mincore((char *)p + len - PAGE, PAGE, vec) && errno == ENOMEM;
}

TEST_F(parcel, pack_and_claim)
{
	struct som_parcel_info info;
	struct stat st;
	char *p, *q;
	int parcel;

	p = map_filled(self->fd, LEN, 1);
	ASSERT_NE(MAP_FAILED, p);
	parcel = parcel_pack(self->fd, p, LEN);
	ASSERT_LE(0, parcel);
	EXPECT_EQ(0, fcntl(parcel, F_GETFD));
	EXPECT_TRUE(unmapped(p, LEN));
	EXPECT_EQ(SIGSEGV, som_read_signal(p));
	EXPECT_EQ(NR, parcel_units());
	EXPECT_USED(NR);
	EXPECT_COMMITTED(NR);
	ASSERT_EQ(0, fstat(parcel, &st));
	EXPECT_EQ(LEN, st.st_size);
	EXPECT_TRUE(S_ISREG(st.st_mode));
	ASSERT_EQ(0, parcel_info(parcel, &info));
	EXPECT_EQ(LEN, info.bytes);
	EXPECT_EQ(LEN, info.unclaimed);
	EXPECT_EQ(LEN, info.resident);
	EXPECT_EQ(getpid(), info.pid);
	EXPECT_EQ(getuid(), info.uid);
	EXPECT_EQ(POLLIN, parcel_poll(parcel));

	q = parcel_claim(parcel, LEN);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_TRUE(som_aligned(q, UNIT));
	EXPECT_EQ(-1, som_check(q, LEN, 1));
	EXPECT_EQ(0, parcel_units());
	EXPECT_USED(NR);
	EXPECT_COMMITTED(NR);
	EXPECT_EQ(POLLHUP | POLLPRI, parcel_poll(parcel));
	EXPECT_EQ(NR, som_units_2m(self->fd));
	som_fill(q, LEN, 2);
	EXPECT_EQ(-1, som_check(q, LEN, 2));
	EXPECT_EQ(MAP_FAILED, parcel_claim(parcel, LEN));
	EXPECT_EQ(ENODATA, errno);
	close(parcel);
	EXPECT_EQ(-1, som_check(q, LEN, 2));
	EXPECT_EQ(0, munmap(q, LEN));
	EXPECT_UNCHANGED();
}

TEST_F(parcel, flags)
{
	struct som_pack pack = {
		.size = sizeof(pack), .flags = SOM_PACK_CLOEXEC,
	};
	char *p = map_filled(self->fd, UNIT, 1);
	int parcel;

	pack.start = (uintptr_t)p;
	pack.end = pack.start + UNIT;
	parcel = ioctl(self->fd, SOM_IOC_PACK, &pack);
	ASSERT_LE(0, parcel);
	EXPECT_EQ(FD_CLOEXEC, fcntl(parcel, F_GETFD));
	close(parcel);
	EXPECT_UNCHANGED();
}

/* Nobody has claimed it: the last close gives it back, also of one in a socket. */
TEST_F(parcel, last_close)
{
	int parcel, socks[2];
	char *p;

	p = map_filled(self->fd, LEN, 1);
	parcel = parcel_pack(self->fd, p, LEN);
	ASSERT_LE(0, parcel);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	ASSERT_EQ(0, som_pass(socks[0], parcel, 0));
	close(parcel);
	EXPECT_USED(NR);
	/* A cycle that nobody can read from: for the garbage collector. */
	ASSERT_EQ(0, som_pass(socks[0], socks[1], 0));
	ASSERT_EQ(0, som_pass(socks[1], socks[0], 0));
	close(socks[0]);
	close(socks[1]);
	/* It comes when another socket goes. */
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	close(socks[0]);
	close(socks[1]);
	EXPECT_EQ(0, som_wait_number(parcel_units, 0));
	EXPECT_UNCHANGED();
}

/* Holes are holes, before and after; of a mapping that reserves, they are reserved. */
TEST_F(parcel, holes)
{
	struct som_parcel_info info;
	char *p, *q, buf[PAGE];
	int parcel, reserve;

	for (reserve = 0; reserve < 2; reserve++) {
		int flags = reserve ? 0 : MAP_NORESERVE;

		p = som_map_at(self->fd, NULL, LEN, RW, flags);
		ASSERT_NE(MAP_FAILED, p);
		som_fill(p + 2 * UNIT, UNIT, 3);
		parcel = parcel_pack(self->fd, p, LEN);
		ASSERT_LE(0, parcel);
		ASSERT_EQ(0, parcel_info(parcel, &info));
		EXPECT_EQ(UNIT, info.resident);
		EXPECT_USED(1);
		EXPECT_COMMITTED(1);
		memset(buf, 1, sizeof(buf));
		EXPECT_EQ(PAGE, pread(parcel, buf, PAGE, UNIT));
		EXPECT_EQ(-1, som_not_zero(buf, PAGE));
		q = parcel_claim_at(parcel, NULL, 0, LEN, RW, MAP_SHARED | flags);
		ASSERT_NE(MAP_FAILED, q);
		EXPECT_USED(1);
		EXPECT_COMMITTED(reserve ? NR : 1);
		EXPECT_EQ(-1, som_check(q + 2 * UNIT, UNIT, 3));
		EXPECT_EQ(-1, som_pages_not_zero(q, 2 * UNIT));
		EXPECT_USED(3);
		close(parcel);
		EXPECT_EQ(0, munmap(q, LEN));
		EXPECT_UNCHANGED();
	}
	/* Nothing but holes. */
	p = som_map(self->fd, LEN);
	parcel = parcel_pack(self->fd, p, LEN);
	ASSERT_LE(0, parcel);
	EXPECT_UNCHANGED();
	q = parcel_claim(parcel, LEN);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(-1, som_pages_not_zero(q, LEN));
	close(parcel);
	EXPECT_EQ(0, munmap(q, LEN));
}

/* A part of a mapping; several mappings in a row, of any protection. */
TEST_F(parcel, what_is_packed)
{
	char *p, *q;
	int parcel;

	p = map_filled(self->fd, LEN, 1);
	parcel = parcel_pack(self->fd, p + UNIT, 2 * UNIT);
	ASSERT_LE(0, parcel);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_TRUE(unmapped(p + UNIT, 2 * UNIT));
	q = parcel_claim_at(parcel, p + UNIT, 0, 2 * UNIT, RW,
			    MAP_SHARED | MAP_FIXED_NOREPLACE);
	ASSERT_EQ(p + UNIT, q);
	close(parcel);
	EXPECT_EQ(-1, som_check(p, LEN, 1));
	ASSERT_EQ(0, mprotect(p + 2 * UNIT + 3 * PAGE, PAGE, PROT_NONE));
	ASSERT_EQ(0, mprotect(p + 4 * UNIT - PAGE, 2 * PAGE, PROT_READ));
	parcel = parcel_pack(self->fd, p, LEN);
	ASSERT_LE(0, parcel);
	EXPECT_TRUE(unmapped(p, LEN));
	q = parcel_claim(parcel, LEN);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(-1, som_check(q, LEN, 1));
	close(parcel);
	/* Moved by mremap, whole units at addresses that are multiples of them. */
	p = som_room(LEN, UNIT);
	ASSERT_EQ(p, mremap(q, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, p));
	parcel = parcel_pack(self->fd, p, LEN);
	ASSERT_LE(0, parcel);
	q = parcel_claim(parcel, LEN);
	EXPECT_EQ(-1, som_check(q, LEN, 1));
	close(parcel);
	EXPECT_EQ(0, munmap(q, LEN));
	EXPECT_UNCHANGED();
}

/* In parts, each once, by whoever comes. */
TEST_F(parcel, claim_in_parts)
{
	struct som_parcel_info info;
	int parcel, status;
	char *p, *q;
	pid_t pid;

	p = map_filled(self->fd, LEN, 1);
	parcel = parcel_pack(self->fd, p, LEN);
	ASSERT_LE(0, parcel);
	pid = fork();
	if (!pid) {
		q = parcel_claim_at(parcel, NULL, UNIT, 2 * UNIT, PROT_READ,
				    MAP_PRIVATE);
		child_assert(q != MAP_FAILED);
		child_assert(som_check(q, UNIT, 1) == 0);
		child_assert(*(__u64 *)q == som_word(1, UNIT));
		child_assert(*(__u64 *)(q + UNIT) == som_word(1, 2 * UNIT));
		child_assert(!madvise(q, UNIT, MADV_DONTNEED));
		child_assert(som_pages_not_zero(q, UNIT) == -1);
		_exit(0);
	}
	status = som_wait_child(pid);
	EXPECT_EQ(0, status);
	EXPECT_EQ(POLLIN | POLLPRI, parcel_poll(parcel));
	ASSERT_EQ(0, parcel_info(parcel, &info));
	EXPECT_EQ(LEN - 2 * UNIT, info.unclaimed);
	EXPECT_EQ(LEN - 2 * UNIT, info.resident);
	/* Some of it is gone: nothing of it can be had. */
	EXPECT_EQ(MAP_FAILED, parcel_claim(parcel, LEN));
	EXPECT_EQ(ENODATA, errno);
	EXPECT_EQ(MAP_FAILED, parcel_claim(parcel, 2 * UNIT));
	EXPECT_EQ(ENODATA, errno);
	q = parcel_claim(parcel, UNIT);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	EXPECT_EQ(0, munmap(q, UNIT));
	q = parcel_claim_at(parcel, NULL, 3 * UNIT, 3 * UNIT, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(som_word(1, 3 * UNIT), *(__u64 *)q);
	EXPECT_EQ(som_word(1, 5 * UNIT), *(__u64 *)(q + 2 * UNIT));
	close(parcel);
	EXPECT_EQ(0, munmap(q, 3 * UNIT));
	EXPECT_EQ(self->before.used, som_wait_number(som_used, self->before.used));
}

/* Claims with MAP_FIXED that fail leave what was there. */
TEST_F(parcel, claim_errors)
{
	char *p = map_filled(self->fd, LEN, 1), *q;
	char *room = som_room(2 * LEN, UNIT);
	int parcel = parcel_pack(self->fd, p, LEN);
	static const struct {
		long at, offset, len;
		int err;
	} bad[] = {
		{ 0, 0, LEN + UNIT, EINVAL },
		{ 0, UNIT, LEN, EINVAL },
		{ 0, LEN, UNIT, EINVAL },
		{ 0, PAGE, UNIT, EINVAL },
		{ 0, 0, PAGE, EINVAL },
		{ 0, 0, UNIT + PAGE, EINVAL },
		{ PAGE, 0, UNIT, EINVAL },
		{ 0, 2 * UNIT, 2 * UNIT, ENODATA },
	};
	size_t i;

	ASSERT_LE(0, parcel);
	ASSERT_NE(MAP_FAILED, parcel_claim_at(parcel, NULL, 3 * UNIT, UNIT, RW,
					      MAP_SHARED));
	ASSERT_EQ(room, som_map_at(self->fd, room, 2 * LEN, RW, MAP_FIXED));
	som_fill(room, 2 * LEN, 9);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		errno = 0;
		EXPECT_EQ(MAP_FAILED,
			  parcel_claim_at(parcel, room + bad[i].at, bad[i].offset,
					  bad[i].len, RW, MAP_SHARED | MAP_FIXED));
		EXPECT_EQ(bad[i].err, errno)
			TH_LOG("row %zu", i);
	}
	EXPECT_EQ(-1, som_check(room, 2 * LEN, 9));
	/* The rest can be had, over what was there. */
	q = parcel_claim_at(parcel, room, 0, 3 * UNIT, RW, MAP_SHARED | MAP_FIXED);
	ASSERT_EQ(room, q);
	EXPECT_EQ(-1, som_check(q, 3 * UNIT, 1));
	/* It is not a device, nor is the device one. */
	EXPECT_EQ(-1, ftruncate(parcel, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, write(parcel, "x", 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, fallocate(parcel, 0, 0, UNIT));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(-ENOTTY, parcel_pack(parcel, room, UNIT));
	close(parcel);
}

/* A parcel cannot be opened a second time. */
TEST_F(parcel, one_file)
{
	char *p = map_filled(self->fd, UNIT, 1), path[64];
	int parcel = parcel_pack(self->fd, p, UNIT);

	ASSERT_LE(0, parcel);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", parcel);
	EXPECT_EQ(-1, open(path, O_RDWR));
	EXPECT_EQ(ENXIO, errno);
	close(parcel);
}

TEST_F(parcel, pack_errors)
{
	static const char notes[] = "nothing has changed";
	struct som_pack pack = { .size = sizeof(pack) };
	char *p = map_filled(self->fd, LEN, 1), *q, *anon, *room;
	struct rlimit rlim, none = { 0 };
	struct som_state before;
	unsigned long bad[][2] = {
		{ (uintptr_t)p + PAGE, (uintptr_t)p + UNIT },
		{ (uintptr_t)p, (uintptr_t)p + UNIT + PAGE },
		{ (uintptr_t)p, (uintptr_t)p },
		{ (uintptr_t)p + UNIT, (uintptr_t)p },
		{ 0, UNIT },
	};
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	som_state_read(&before);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		pack.start = bad[i][0];
		pack.end = bad[i][1];
		EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_PACK, &pack));
		EXPECT_EQ(EINVAL, errno)
			TH_LOG("row %zu", i);
	}
	pack.start = (uintptr_t)p;
	pack.end = (uintptr_t)p + UNIT;
	pack.flags = 2;
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_PACK, &pack));
	EXPECT_EQ(EINVAL, errno);
	pack.flags = 0;
	pack.size = sizeof(pack) - 1;
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_PACK, &pack));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_PACK, NULL));
	EXPECT_EQ(EFAULT, errno);
	pack.size = sizeof(pack);
	pack.start = 1UL << 56;
	pack.end = pack.start + UNIT;
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_PACK, &pack));
	EXPECT_EQ(EFAULT, errno);
	q = (char *)(1UL << 40);
	EXPECT_EQ(-EFBIG, parcel_pack(self->fd, q, (4UL << 40) + UNIT));

	/* What is not som memory: before, in the midst, behind. */
	room = som_room(4 * UNIT, UNIT);
	q = room + UNIT;
	ASSERT_EQ(q, som_map_at(self->fd, q, 2 * UNIT, RW, MAP_FIXED));
	EXPECT_EQ(-EINVAL, parcel_pack(self->fd, room, 2 * UNIT));
	EXPECT_EQ(-EINVAL, parcel_pack(self->fd, room + 2 * UNIT, 2 * UNIT));
	anon = mmap(q + UNIT / 2, PAGE, RW,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_NE(MAP_FAILED, anon);
	EXPECT_EQ(-EINVAL, parcel_pack(self->fd, q, UNIT));
	munmap(anon, PAGE);
	EXPECT_EQ(-EINVAL, parcel_pack(self->fd, q, UNIT));
	munmap(room, 4 * UNIT);

	/* A unit that is mapped twice, or in pieces of others. */
	if (!som_no_second_view()) {
		q = mremap(p, 0, UNIT, MREMAP_MAYMOVE);
		ASSERT_NE(MAP_FAILED, q);
		EXPECT_EQ(-EINVAL, parcel_pack(self->fd, p, LEN));
		EXPECT_EQ(-1, som_check(q, UNIT, 1));
		munmap(q, UNIT);
	}
	q = som_map(self->fd, UNIT);
	ASSERT_EQ(p + PAGE, mremap(q, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
				   p + PAGE));
	EXPECT_EQ(-EINVAL, parcel_pack(self->fd, p, UNIT));
	munmap(q, UNIT);
	munmap(p, UNIT);
	p += UNIT;

	/* No descriptor to be had. */
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &rlim));
	none.rlim_max = rlim.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(-EMFILE, parcel_pack(self->fd, p, UNIT));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &rlim));
	ASSERT_EQ(0, set_limit("max_parcels", "0"));
	EXPECT_EQ(-EDQUOT, parcel_pack(self->fd, p, UNIT));
	ASSERT_EQ(0, set_limit("max_parcels", "1024"));

	/* Sealed memory stays. */
	if (!syscall(__NR_mseal, p + UNIT, UNIT, 0))
		EXPECT_EQ(-EPERM, parcel_pack(self->fd, p, 2 * UNIT));
	EXPECT_EQ(*(__u64 *)p, som_word(1, UNIT))
		TH_LOG("%s", notes);
	EXPECT_EQ(0, parcel_units());
	/* It goes but for the sealed unit. */
	munmap(p + 2 * UNIT, 3 * UNIT);
}

/* Another process's pin on the chunk, and page-backed memory. */
TEST_F(parcel, pinned)
{
	char *p = map_filled(self->fd, LEN, 1);
	struct iovec iov = { p + UNIT, PAGE };
	int fds[2], parcel;

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
	EXPECT_EQ(-EBUSY, parcel_pack(self->fd, p, LEN));
	EXPECT_EQ(-1, som_check(p, LEN, 1));
	close(fds[0]);
	close(fds[1]);
	/* Of page-backed memory a page is pinned, no chunk. */
	ASSERT_EQ(0, som_page_backed(self->fd, p, 2 * UNIT));
	ASSERT_EQ(0, pipe(fds));
	WRITE_ONCE(p[UNIT], p[UNIT]);
	ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
	EXPECT_EQ(-EBUSY, parcel_pack(self->fd, p, LEN));
	EXPECT_EQ(-1, som_check(p, LEN, 1));
	close(fds[0]);
	close(fds[1]);
	ASSERT_EQ(0, mprotect(p + PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, som_page_backed(self->fd, p, UNIT));
	EXPECT_EQ(-1, som_check(p, LEN, 1));
	parcel = parcel_pack(self->fd, p, LEN);
	ASSERT_LE(0, parcel);
	EXPECT_EQ(0, som_pool("units_page_backed"));
	p = parcel_claim(parcel, LEN);
	EXPECT_EQ(-1, som_check(p, LEN, 1));
	close(parcel);
	munmap(p, LEN);
}

/* read(), pread(), splice(), sendfile(); what was claimed cannot be read. */
TEST_F(parcel, read)
{
	char *p = map_filled(self->fd, LEN, 1), *buf, *q;
	int parcel, fds[2], out;
	off_t off;

	ASSERT_EQ(0, madvise(p + UNIT, UNIT, MADV_REMOVE));
	parcel = parcel_pack(self->fd, p, LEN);
	ASSERT_LE(0, parcel);
	buf = mmap(NULL, LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(LEN, read(parcel, buf, LEN));
	EXPECT_EQ(0, read(parcel, buf, LEN));
	EXPECT_EQ(-1, som_check(buf, UNIT, 1));
	EXPECT_EQ(-1, som_not_zero(buf + UNIT, UNIT));
	EXPECT_EQ(som_word(1, 5 * UNIT), *(__u64 *)(buf + 5 * UNIT));
	EXPECT_EQ(3, lseek(parcel, 3, SEEK_SET));
	EXPECT_EQ(5, read(parcel, buf, 5));
	EXPECT_EQ(8, lseek(parcel, 0, SEEK_CUR));
	EXPECT_EQ(LEN, lseek(parcel, 0, SEEK_END));
	EXPECT_EQ(0, pread(parcel, buf, 8, LEN));
	EXPECT_EQ(8, pread(parcel, buf, 100, LEN - 8));
	EXPECT_EQ(som_word(1, LEN - 8), *(__u64 *)buf);
	EXPECT_EQ(-1, pread(parcel, (void *)PAGE, 8, 0));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(0, pipe(fds));
	off = 3 * UNIT - 8;
	ASSERT_EQ(16, splice(parcel, &off, fds[1], NULL, 16, 0));
	EXPECT_EQ(16, read(fds[0], buf, 16));
	EXPECT_EQ(som_word(1, 3 * UNIT - 8), *(__u64 *)buf);
	EXPECT_EQ(som_word(1, 3 * UNIT), *(__u64 *)(buf + 8));
	out = memfd_create("out", 0);
	off = 0;
	EXPECT_EQ(LEN, sendfile(out, parcel, &off, LEN));
	EXPECT_EQ(8, pread(out, buf, 8, LEN - 8));
	EXPECT_EQ(som_word(1, LEN - 8), *(__u64 *)buf);
	/* Into the very memory that another thread claims, and into a hole. */
	q = som_map(self->fd, UNIT);
	EXPECT_EQ(UNIT, pread(parcel, q, UNIT, 0));
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	munmap(q, UNIT);
	q = parcel_claim_at(parcel, NULL, 2 * UNIT, UNIT, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(-1, pread(parcel, buf, 8, 2 * UNIT));
	EXPECT_EQ(ENODATA, errno);
	EXPECT_EQ(8, pread(parcel, buf, 100, 2 * UNIT - 8));
	EXPECT_EQ(8, pread(parcel, buf, 8, 3 * UNIT));
	munmap(q, UNIT);
	close(parcel);
}

/* What the giver's end tells. */
TEST_F(parcel, fdinfo)
{
	char *p = map_filled(self->fd, 2 * UNIT, 1), path[64], line[128];
	int parcel, found = 0;
	FILE *f;

	munmap(p + UNIT, UNIT);
	p = som_map_at(self->fd, p, 2 * UNIT, RW, MAP_FIXED);
	som_fill(p, UNIT, 1);
	parcel = parcel_pack(self->fd, p, 2 * UNIT);
	ASSERT_LE(0, parcel);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", parcel);
	f = fopen(path, "r");
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		found += !strcmp(line, "som-parcel-kB:\t4096\n");
		found += !strcmp(line, "som-parcel-unclaimed-kB:\t4096\n");
		found += !strcmp(line, "som-parcel-resident-kB:\t2048\n");
		found += !strcmp(line, "som-parcel-uid:\t0\n");
	}
	fclose(f);
	EXPECT_EQ(4, found);
	close(parcel);
}

/* Whose units they are: the packer's, to the end of its process and after; then the claimer's. */
TEST_F(parcel, who_pays)
{
	int socks[2], parcel;
	char *p, *q;
	pid_t pid;
	long word;

	ASSERT_EQ(0, chmod(SOM_DEV, 0666));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, socks));
	ASSERT_EQ(0, set_limit("share_chunks", "1"));
	ASSERT_EQ(0, set_limit("limit_user", "10"));
	pid = fork();
	if (!pid) {
		int fd;

		child_assert(!setuid(USER));
		fd = som_open();
		p = map_filled(fd, NR * UNIT, 5);
		child_assert(p != MAP_FAILED);
		parcel = parcel_pack(fd, p, NR * UNIT);
		child_assert(parcel >= 0);
		child_assert(som_fdinfo(getpid(), fd, getpid(), "charged") == NR);
		/* It counts against the user's limit. */
		child_assert(som_map(fd, 5 * UNIT) == MAP_FAILED);
		child_assert(som_map(fd, 4 * UNIT) != MAP_FAILED);
		child_assert(!som_pass(socks[1], parcel, 0));
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	parcel = som_pass_receive(socks[0], &word, 0);
	ASSERT_LE(0, parcel);
	/* After the process, too. */
	pid = fork();
	if (!pid) {
		int fd;

		close(parcel);
		child_assert(!setuid(USER));
		fd = som_open();
		child_assert(som_map(fd, 5 * UNIT) == MAP_FAILED);
		child_assert(som_map(fd, 4 * UNIT) != MAP_FAILED);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	/* A claim that a limit refuses leaves the parcel as it was. */
	p = som_map(self->fd, 5 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(MAP_FAILED, parcel_claim(parcel, NR * UNIT));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(NR, parcel_units());
	EXPECT_EQ(5, som_fdinfo(getpid(), self->fd, getpid(), "charged"));
	munmap(p, UNIT);
	q = parcel_claim(parcel, NR * UNIT);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(-1, som_check(q, NR * UNIT, 5));
	EXPECT_EQ(10, som_fdinfo(getpid(), self->fd, getpid(), "charged"));
	close(parcel);
	pid = fork();
	if (!pid) {
		int fd;

		child_assert(!setuid(USER));
		fd = som_open();
		child_assert(som_map(fd, 10 * UNIT) != MAP_FAILED);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	munmap(p + UNIT, 4 * UNIT);
	munmap(q, NR * UNIT);
}

/* A chunk is one user's: another one can read the parcel, and not have it. */
TEST_F(parcel, another_user)
{
	char *p = map_filled(self->fd, 2 * UNIT, 1), *q;
	int parcel = parcel_pack(self->fd, p, 2 * UNIT);
	pid_t pid;

	ASSERT_LE(0, parcel);
	ASSERT_EQ(0, chmod(SOM_DEV, 0666));
	pid = fork();
	if (!pid) {
		int fd;

		child_assert(!setuid(USER));
		child_assert(parcel_claim(parcel, 2 * UNIT) == MAP_FAILED);
		child_assert(errno == EXDEV);
		fd = som_open();
		q = som_map(fd, 2 * UNIT);
		child_assert(q != MAP_FAILED);
		child_assert(parcel_claim(parcel, 2 * UNIT) == MAP_FAILED);
		child_assert(errno == EXDEV);
		child_assert(pread(parcel, q, 2 * UNIT, 0) == 2 * UNIT);
		child_assert(som_check(q, 2 * UNIT, 1) == -1);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	q = parcel_claim(parcel, 2 * UNIT);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(-1, som_check(q, 2 * UNIT, 1));
	close(parcel);
	munmap(q, 2 * UNIT);
}

/* The claim of what the pool cannot promise, and the limit of a file. */
TEST_F(parcel, claim_without_room)
{
	char *p = som_map_at(self->fd, NULL, LEN, RW, MAP_NORESERVE), *all, *q;
	struct som_policy policy = { .size = sizeof(policy) };
	int parcel, fd;

	som_fill(p, UNIT, 1);
	parcel = parcel_pack(self->fd, p, LEN);
	ASSERT_LE(0, parcel);
	/* The holes would have to be reserved. */
	all = som_map(self->fd, (self->before.free - 2) * UNIT);
	ASSERT_NE(MAP_FAILED, all);
	EXPECT_EQ(MAP_FAILED, parcel_claim(parcel, LEN));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(1, parcel_units());
	EXPECT_EQ(POLLIN, parcel_poll(parcel));
	q = parcel_claim(parcel, 2 * UNIT);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	munmap(q, 2 * UNIT);
	munmap(all, (self->before.free - 2) * UNIT);
	close(parcel);
	/* The policy of the file that it was packed through is the parcel's. */
	fd = som_open();
	ASSERT_EQ(0, ioctl(fd, SOM_IOC_GET_POLICY, &policy));
	policy.map_size = PAGE;
	ASSERT_EQ(0, ioctl(fd, SOM_IOC_SET_POLICY, &policy));
	p = som_map(self->fd, 3 * UNIT);
	som_fill(p, 2 * UNIT, 1);
	parcel = parcel_pack(fd, p, 3 * UNIT);
	ASSERT_LE(0, parcel);
	policy.map_size = 0;
	ASSERT_EQ(0, ioctl(parcel, SOM_IOC_GET_POLICY, &policy));
	EXPECT_EQ(PAGE, policy.map_size);
	q = parcel_claim(parcel, UNIT);
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	EXPECT_EQ(1, som_units_4k(self->fd));
	munmap(q, UNIT);
	policy.map_size = UNIT;
	policy.max_units = 1;
	ASSERT_EQ(0, ioctl(parcel, SOM_IOC_SET_POLICY, &policy));
	/* A hole is one unit more; what this process has packed it has paid for. */
	EXPECT_EQ(MAP_FAILED, parcel_claim_at(parcel, NULL, 2 * UNIT, UNIT, RW,
					      MAP_SHARED));
	EXPECT_EQ(ENOMEM, errno);
	q = parcel_claim_at(parcel, NULL, UNIT, UNIT, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(som_word(1, UNIT), *(__u64 *)q);
	close(parcel);
	close(fd);
	munmap(q, UNIT);
}

/* How many parcels a user may have. */
TEST_F(parcel, max_parcels)
{
	char *p = map_filled(self->fd, 3 * UNIT, 1);
	int a, b;

	ASSERT_EQ(0, set_limit("max_parcels", "2"));
	EXPECT_EQ(2, som_read_number("/sys/module/som/parameters/max_parcels"));
	a = parcel_pack(self->fd, p, UNIT);
	b = parcel_pack(self->fd, p + UNIT, UNIT);
	ASSERT_LE(0, a);
	ASSERT_LE(0, b);
	EXPECT_EQ(-EDQUOT, parcel_pack(self->fd, p + 2 * UNIT, UNIT));
	EXPECT_EQ(som_word(1, 2 * UNIT), *(__u64 *)(p + 2 * UNIT));
	close(a);
	a = parcel_pack(self->fd, p + 2 * UNIT, UNIT);
	EXPECT_LE(0, a);
	close(a);
	close(b);
}

/* Tracking ends with the pack; a claim starts its own. Discarded memory is zero. */
TEST_F(parcel, tracked_and_discarded)
{
	char *p = som_map_private(self->fd, LEN), *q;
	int parcel;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, LEN, 1);
	ASSERT_LE(0, som_scan_clean(self->fd, p, LEN));
	som_fill(p + UNIT, PAGE, 2);
	ASSERT_EQ(0, madvise(p + 2 * UNIT, UNIT, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(p + 4 * UNIT, PAGE, MADV_DONTNEED));
	parcel = parcel_pack(self->fd, p, LEN);
	ASSERT_LE(0, parcel);
	q = parcel_claim(parcel, LEN);
	ASSERT_NE(MAP_FAILED, q);
	close(parcel);
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	EXPECT_EQ(-1, som_check(q + UNIT, PAGE, 2));
	EXPECT_EQ(-1, som_not_zero(q + 2 * UNIT, UNIT));
	EXPECT_EQ(-1, som_not_zero(q + 4 * UNIT, PAGE));
	EXPECT_EQ(som_word(1, 4 * UNIT + PAGE), *(__u64 *)(q + 4 * UNIT + PAGE));
	/* Not tracked, so all that has memory counts as written. */
	EXPECT_LT(NR * 512 - 513, som_scan_count(self->fd, q, LEN, PAGE_IS_WRITTEN));
	ASSERT_LE(0, som_scan_clean(self->fd, q, LEN));
	som_fill(q + 3 * UNIT, PAGE, 3);
	EXPECT_EQ(1, som_scan_count(self->fd, q, LEN, PAGE_IS_WRITTEN));
	EXPECT_EQ(0, munmap(q, LEN));
}

/* What a child has inherited and not touched, it has afterwards. */
TEST_F(parcel, inherited)
{
	struct som_policy policy = { .size = sizeof(policy) };
	int *go = som_shared(PAGE), parcel;
	char *p, *q;
	pid_t pid;

	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_GET_POLICY, &policy));
	policy.options = SOM_POLICY_FORK_COPY;
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_SET_POLICY, &policy));
	p = map_filled(self->fd, LEN, 1);
	pid = fork();
	if (!pid) {
		child_assert(som_wait_flag(go, 1));
		child_assert(som_check(p, UNIT, 1) == -1);
		/* A child packs what it has only inherited. */
		parcel = parcel_pack(self->fd, p, LEN);
		child_assert(parcel >= 0);
		q = parcel_claim(parcel, LEN);
		child_assert(q != MAP_FAILED);
		child_assert(som_check(q, LEN, 1) == -1);
		_exit(0);
	}
	parcel = parcel_pack(self->fd, p, LEN);
	ASSERT_LE(0, parcel);
	q = parcel_claim(parcel, LEN);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(-1, som_check(q, LEN, 1));
	som_fill(q, LEN, 2);
	WRITE_ONCE(*go, 1);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(-1, som_check(q, LEN, 2));
	close(parcel);
	munmap(q, LEN);
}

/* Claimed memory is ordinary som memory. */
TEST_F(parcel, ordinary_afterwards)
{
	char *p = map_filled(self->fd, LEN, 1), *q;
	int parcel = parcel_pack(self->fd, p, LEN);

	ASSERT_LE(0, parcel);
	p = parcel_claim_at(parcel, NULL, 0, LEN, RW, MAP_SHARED | MAP_POPULATE);
	ASSERT_NE(MAP_FAILED, p);
	close(parcel);
	EXPECT_EQ(NR, som_units_2m(self->fd));
	EXPECT_EQ(0, munmap(p + UNIT + PAGE, PAGE));
	EXPECT_EQ(0, munmap(p + UNIT, PAGE));
	EXPECT_EQ(0, madvise(p + 2 * UNIT, UNIT, MADV_REMOVE));
	EXPECT_EQ(-1, som_not_zero(p + 2 * UNIT, UNIT));
	q = mremap(p + 3 * UNIT, UNIT, 2 * UNIT, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(som_word(1, 3 * UNIT), *(__u64 *)q);
	EXPECT_EQ(0, munmap(q, 2 * UNIT));
	ASSERT_EQ(0, som_page_backed(self->fd, p + 5 * UNIT, UNIT));
	EXPECT_EQ(som_word(1, 5 * UNIT), *(__u64 *)(p + 5 * UNIT));
	EXPECT_EQ(0, munmap(p, 3 * UNIT));
	EXPECT_EQ(0, munmap(p + 4 * UNIT, 2 * UNIT));
}

/* A whole chunk stays one, and is mapped by one entry again. */
TEST_F(parcel, gig)
{
	char *p, *q;
	int parcel;

	ASSERT_EQ(0, som_set_policy(self->fd, CHUNK));
	p = som_map(self->fd, CHUNK);
	ASSERT_NE(MAP_FAILED, p);
	*p = 1;
	if (som_units_1g(self->fd) != CHUNK_UNITS)
		SKIP(return, "no 1 GiB entry to be had");
	som_fill_pages(p, CHUNK, 7);
	parcel = parcel_pack(self->fd, p, CHUNK);
	ASSERT_LE(0, parcel);
	EXPECT_EQ(CHUNK_UNITS, parcel_units());
	q = parcel_claim(parcel, CHUNK);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_TRUE(som_aligned(q, CHUNK));
	EXPECT_EQ(som_word(7, 0), *(__u64 *)q);
	EXPECT_EQ(CHUNK_UNITS, som_units_1g(self->fd));
	EXPECT_EQ(-1, som_check_pages(q, CHUNK, 7));
	close(parcel);
	/* A part of it. */
	parcel = parcel_pack(self->fd, q + 5 * UNIT, 2 * UNIT);
	ASSERT_LE(0, parcel);
	EXPECT_EQ(som_word(7, 4 * UNIT), *(__u64 *)(q + 4 * UNIT));
	p = parcel_claim(parcel, 2 * UNIT);
	EXPECT_EQ(som_word(7, 5 * UNIT), *(__u64 *)p);
	close(parcel);
	munmap(p, 2 * UNIT);
	munmap(q, CHUNK);
}

/* Compaction moves what is in parcels; the pool cannot be shrunk by it. */
TEST_F(parcel, compaction)
{
	char *p, *q[2];
	int parcel[2], i;
	size_t len = 256 * UNIT;

	if (som_no_compact(self->fd))
		SKIP(return, "no compaction");
	p = som_map(self->fd, 4 * len);
	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 4 * len, 3);
	/* Half of each of the two chunks. */
	for (i = 0; i < 2; i++) {
		parcel[i] = parcel_pack(self->fd, p + 2 * i * len, len);
		ASSERT_LE(0, parcel[i]);
		munmap(p + (2 * i + 1) * len, len);
	}
	EXPECT_EQ(-EBUSY, som_set_chunks(0));
	ASSERT_EQ(0, som_compact(1));
	EXPECT_EQ(1, som_pool("chunks_empty"));
	EXPECT_EQ(0, som_set_chunks(1));
	for (i = 0; i < 2; i++) {
		q[i] = parcel_claim(parcel[i], len);
		ASSERT_NE(MAP_FAILED, q[i]);
		EXPECT_EQ(som_word(3, 2 * i * len), *(__u64 *)q[i]);
		EXPECT_EQ(som_word(3, 2 * i * len + len - PAGE),
			  *(__u64 *)(q[i] + len - PAGE));
		close(parcel[i]);
		munmap(q[i], len);
	}
	EXPECT_EQ(0, som_set_chunks(2));
}

/* The module stays as long as a parcel does. */
TEST_F(parcel, rmmod)
{
	char *p = map_filled(self->fd, UNIT, 1);
	int parcel = parcel_pack(self->fd, p, UNIT);

	ASSERT_LE(0, parcel);
	close(self->fd);
	EXPECT_EQ(-1, syscall(SYS_delete_module, "som", O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	close(parcel);
}

/* Through exec, to the same addresses. */
TEST_F(parcel, exec)
{
	char *p = map_filled(self->fd, LEN, 1), text[3][32];
	int parcel = parcel_pack(self->fd, p, LEN);
	pid_t pid;

	ASSERT_LE(0, parcel);
	snprintf(text[0], sizeof(text[0]), "%d", parcel);
	snprintf(text[1], sizeof(text[1]), "%p", p);
	pid = fork();
	if (!pid) {
		execl("/proc/self/exe", "som_parcel", "--claim", text[0], text[1],
		      NULL);
		_exit(1);
	}
	close(parcel);
	EXPECT_EQ(0, som_wait_child(pid));
}

static int claim_after_exec(char **argv)
{
	char *at = (char *)strtoul(argv[3], NULL, 0), *p;

	p = parcel_claim_at(atoi(argv[2]), at, 0, LEN, RW,
			    MAP_SHARED | MAP_FIXED_NOREPLACE);
	child_assert(p == at);
	child_assert(som_check(p, LEN, 1) == -1);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "--claim"))
		return claim_after_exec(argv);
	return test_harness_run(argc, argv);
}
