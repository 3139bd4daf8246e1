// SPDX-License-Identifier: GPL-2.0
/*
 * Every error that som documents. Each test breaks one thing and looks for
 * its errno, and that the pool is as it was.
 *
 * SOM-TEST: takes=11 kmemleak
 */
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "som_test.h"

static bool som_one_process = true;

#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

/* A mapping that must be refused with @err and leave the pool alone. */
#define EXPECT_REFUSED(err, map) do {					\
	errno = 0;							\
	EXPECT_EQ(MAP_FAILED, (void *)(map));				\
	EXPECT_EQ(err, errno);						\
	EXPECT_UNCHANGED();						\
} while (0)

/*
 * mmap
 */

TEST_F(som, mmap_offset_of_a_page)
{
	EXPECT_REFUSED(EINVAL, mmap(NULL, UNIT, RW, MAP_SHARED, self->fd,
				    PAGE));
}

TEST_F(som, mmap_offset_of_a_unit)
{
	EXPECT_REFUSED(EINVAL, mmap(NULL, UNIT, RW, MAP_SHARED, self->fd,
				    UNIT));
}

TEST_F(som, mmap_offset_that_is_huge)
{
	EXPECT_REFUSED(EINVAL, mmap(NULL, UNIT, RW, MAP_SHARED, self->fd,
				    1L << 62));
}

/* Set the offset at which a file is mapped, and nothing else. */
static int set_offset(int fd, __u64 offset)
{
	struct som_policy policy = { .size = sizeof(policy) };

	if (ioctl(fd, SOM_IOC_GET_POLICY, &policy))
		return -errno;
	policy.map_offset = offset;
	return ioctl(fd, SOM_IOC_SET_POLICY, &policy) ? -errno : 0;
}

static __u64 get_offset(int fd)
{
	struct som_policy policy = { .size = sizeof(policy) };

	return ioctl(fd, SOM_IOC_GET_POLICY, &policy) ? -1 : policy.map_offset;
}

TEST_F(som, mmap_offset_that_was_set)
{
	static const __u64 offsets[] = { PAGE, 7 * UNIT + PAGE, 1ULL << 62,
					 0x8123456789abc000ULL };
	char *p;
	int i;

	EXPECT_EQ(0, get_offset(self->fd));
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		ASSERT_EQ(0, set_offset(self->fd, offsets[i]));
		EXPECT_EQ(offsets[i], get_offset(self->fd));
		EXPECT_REFUSED(EINVAL, som_map(self->fd, UNIT));
		EXPECT_REFUSED(EINVAL, mmap(NULL, UNIT, RW, MAP_PRIVATE,
					    self->fd, offsets[i] - PAGE));
		p = mmap(NULL, 3 * UNIT + PAGE, RW, MAP_PRIVATE, self->fd,
			 offsets[i]);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(0, (uintptr_t)p % UNIT);
		EXPECT_EQ(-1, som_not_zero(p, 3 * UNIT + PAGE));
		som_fill(p, 3 * UNIT, 1);
		EXPECT_USED(4);
		ASSERT_EQ(0, munmap(p, 3 * UNIT + PAGE));
		/* A structure that does not have it leaves it. */
		ASSERT_EQ(0, som_set_policy(self->fd, UNIT));
		EXPECT_EQ(offsets[i], get_offset(self->fd));
		/* Each of these fails, and changes nothing. */
		EXPECT_EQ(-EINVAL, set_offset(self->fd, offsets[i] + 1));
		EXPECT_EQ(-EINVAL, set_offset(self->fd, -1ULL));
		EXPECT_EQ(offsets[i], get_offset(self->fd));
	}
	ASSERT_EQ(0, set_offset(self->fd, 0));
	p = som_map(self->fd, UNIT);
	EXPECT_NE(MAP_FAILED, p);
}

/* What another file has at the number of one with an offset of its own. */
TEST_F(som, mmap_offset_of_other_files)
{
	const __u64 offset = 0x8123456789abc000ULL;
	int file = memfd_create("file", 0), zero = open("/dev/zero", O_RDWR);
	int other = open(SOM_DEV, O_RDWR);
	char *p;

	ASSERT_LE(0, file);
	ASSERT_LE(0, zero);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, ftruncate(file, UNIT));
	EXPECT_REFUSED(EOVERFLOW, mmap(NULL, UNIT, RW, MAP_PRIVATE, file,
				       offset));
	EXPECT_REFUSED(EINVAL, mmap(NULL, UNIT, RW, MAP_PRIVATE, other, offset));
	ASSERT_EQ(0, set_offset(other, offset ^ PAGE));
	EXPECT_REFUSED(EINVAL, mmap(NULL, UNIT, RW, MAP_PRIVATE, other, offset));
	/* This has any offset, and is anonymous memory. */
	p = mmap(NULL, UNIT, RW, MAP_PRIVATE, zero, offset);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
}

TEST_F(som, mmap_write_of_read_only_fd)
{
	int fd = open(SOM_DEV, O_RDONLY);

	ASSERT_LE(0, fd);
	EXPECT_REFUSED(EACCES, som_map(fd, UNIT));
}

TEST_F(som, mmap_read_of_read_only_fd)
{
	int fd = open(SOM_DEV, O_RDONLY);

	ASSERT_LE(0, fd);
	EXPECT_REFUSED(EACCES, som_map_at(fd, NULL, UNIT, PROT_READ, 0));
}

TEST_F(som, mmap_of_write_only_fd)
{
	int fd = open(SOM_DEV, O_WRONLY);

	ASSERT_LE(0, fd);
	EXPECT_REFUSED(EACCES, som_map(fd, UNIT));
}

TEST_F(som, mmap_sync)
{
	EXPECT_REFUSED(EOPNOTSUPP, mmap(NULL, UNIT, RW,
					MAP_SHARED_VALIDATE | MAP_SYNC,
					self->fd, 0));
}

/* The same call without MAP_SYNC works. */
TEST_F(som, mmap_shared_validate)
{
	char *p = mmap(NULL, UNIT, RW, MAP_SHARED_VALIDATE, self->fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
}

TEST_F(som, mmap_length_zero)
{
	EXPECT_REFUSED(EINVAL, som_map(self->fd, 0));
}

TEST_F(som, mmap_length_wraps)
{
	EXPECT_REFUSED(ENOMEM, som_map(self->fd, -PAGE));
}

TEST_F(som, mmap_longer_than_the_address_space)
{
	EXPECT_REFUSED(ENOMEM, som_map_at(self->fd, NULL, 1UL << 60, RW,
					  MAP_NORESERVE));
}

TEST_F(som, mmap_one_unit_more_than_the_pool)
{
	EXPECT_REFUSED(ENOMEM, som_map(self->fd,
				       (self->before.total + 1) * UNIT));
}

TEST_F(som, mmap_one_page_more_than_the_pool)
{
	EXPECT_REFUSED(ENOMEM, som_map(self->fd,
				       self->before.total * UNIT + PAGE));
}

TEST_F(som, mmap_read_only_is_promised_too)
{
	EXPECT_REFUSED(ENOMEM, som_map_at(self->fd, NULL,
					  (self->before.total + 1) * UNIT,
					  PROT_READ, 0));
}

TEST_F(som, mmap_populate_more_than_the_pool)
{
	EXPECT_REFUSED(ENOMEM, som_map_at(self->fd, NULL,
					  (self->before.total + 1) * UNIT,
					  RW, MAP_POPULATE));
}

TEST_F(som, mmap_fixed_at_unaligned_address)
{
	char *room = som_room(2 * UNIT, UNIT);

	ASSERT_NE(MAP_FAILED, room);
	EXPECT_REFUSED(EINVAL, som_map_at(self->fd, room + 8, UNIT, RW,
					  MAP_FIXED));
}

/* What opts out of the promise is not refused, whatever its length. */
TEST_F(som, mmap_prot_none_of_more_than_the_pool)
{
	char *p = som_map_at(self->fd, NULL, 4 * self->before.total * UNIT,
			     PROT_NONE, 0);

	EXPECT_NE(MAP_FAILED, p);
	EXPECT_UNCHANGED();
	EXPECT_EQ(SIGSEGV, som_read_signal(p));
	EXPECT_UNCHANGED();
}

TEST_F(som, mmap_noreserve_of_more_than_the_pool)
{
	char *p = som_map_at(self->fd, NULL, 4 * self->before.total * UNIT,
			     RW, MAP_NORESERVE);

	EXPECT_NE(MAP_FAILED, p);
	EXPECT_UNCHANGED();
}

/* A second, failing mmap leaves the first one's memory as it is. */
TEST_F(som, mmap_failure_leaves_other_mappings_alone)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, self->before.total * UNIT));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_COMMITTED(2);
	EXPECT_USED(2);
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
}

FIXTURE(noexec)
{
	struct som_state before;
	int fd;
	char dir[64];
};

FIXTURE_SETUP(noexec)
{
	char node[80];
	struct stat st;

	som_state_read(&self->before);
	som_catch_faults();
	ASSERT_EQ(0, stat(SOM_DEV, &st));
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	snprintf(self->dir, sizeof(self->dir), "/tmp/som-noexec.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->dir));
	ASSERT_EQ(0, mount("none", self->dir, "tmpfs", MS_NOEXEC, ""));
	snprintf(node, sizeof(node), "%s/som", self->dir);
	ASSERT_EQ(0, mknod(node, S_IFCHR | 0600, st.st_rdev));
	self->fd = open(node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN_PARENT(noexec)
{
	rmdir(self->dir);
	EXPECT_TRUE(som_state_wait(&self->before));
}

TEST_F(noexec, mmap_exec)
{
	EXPECT_REFUSED(EPERM, som_map_at(self->fd, NULL, UNIT, RW | PROT_EXEC,
					 0));
}

TEST_F(noexec, mprotect_exec)
{
	char *p = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	EXPECT_EQ(-1, mprotect(p, UNIT, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
	som_fill(p, UNIT, 2);
	EXPECT_EQ(-1, som_check(p, UNIT, 2));
}

TEST_F(noexec, mmap_without_exec)
{
	char *p = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
}

/*
 * read and write
 */

#define EXPECT_ERRNO(err, call) do {					\
	errno = 0;							\
	EXPECT_EQ(-1, (long)(call));					\
	EXPECT_EQ(err, errno);						\
	EXPECT_UNCHANGED();						\
} while (0)

TEST_F(som, read_of_fd)
{
	char byte;

	EXPECT_ERRNO(EINVAL, read(self->fd, &byte, 1));
}

TEST_F(som, write_to_fd)
{
	EXPECT_ERRNO(EINVAL, write(self->fd, "x", 1));
}

TEST_F(som, readv_of_fd)
{
	char byte;
	struct iovec iov = { &byte, 1 };

	EXPECT_ERRNO(EINVAL, readv(self->fd, &iov, 1));
}

TEST_F(som, writev_to_fd)
{
	char byte = 0;
	struct iovec iov = { &byte, 1 };

	EXPECT_ERRNO(EINVAL, writev(self->fd, &iov, 1));
}

/*
 * ioctl
 */

TEST_F(som, ioctl_unknown_number)
{
	struct som_info info = { .size = sizeof(info) };

	EXPECT_ERRNO(ENOTTY, ioctl(self->fd, _IO(SOM_IOC_MAGIC, 0xff), &info));
}

TEST_F(som, ioctl_unknown_type)
{
	struct som_info info = { .size = sizeof(info) };

	EXPECT_ERRNO(ENOTTY, ioctl(self->fd, _IO(SOM_IOC_MAGIC + 1, 0), &info));
}

TEST_F(som, ioctl_number_with_a_size)
{
	struct som_info info = { .size = sizeof(info) };

	EXPECT_ERRNO(ENOTTY, ioctl(self->fd,
				   _IOWR(SOM_IOC_MAGIC, 0, struct som_info),
				   &info));
}

TEST_F(som, ioctl_of_a_terminal)
{
	char buf[128];

	EXPECT_ERRNO(ENOTTY, ioctl(self->fd, 0x5401 /* TCGETS */, buf));
}

TEST_F(som, info_size_zero)
{
	struct som_info info = { .size = 0 };

	EXPECT_ERRNO(EINVAL, ioctl(self->fd, SOM_IOC_INFO, &info));
}

TEST_F(som, info_size_one_too_small)
{
	struct som_info info = { .size = SOM_INFO_SIZE_VER0 - 1 };

	EXPECT_ERRNO(EINVAL, ioctl(self->fd, SOM_IOC_INFO, &info));
}

TEST_F(som, info_unknown_flag)
{
	struct som_info info = { .size = sizeof(info), .flags = 1 };

	EXPECT_ERRNO(EINVAL, ioctl(self->fd, SOM_IOC_INFO, &info));
}

TEST_F(som, info_highest_flag)
{
	struct som_info info = { .size = sizeof(info), .flags = 1U << 31 };

	EXPECT_ERRNO(EINVAL, ioctl(self->fd, SOM_IOC_INFO, &info));
}

TEST_F(som, info_longer_and_not_zero)
{
	struct {
		struct som_info info;
		char rest[40];
	} arg = { .info.size = sizeof(arg), .rest[39] = 1 };

	EXPECT_ERRNO(E2BIG, ioctl(self->fd, SOM_IOC_INFO, &arg));
}

TEST_F(som, info_longer_than_a_page)
{
	struct som_info *info;

	info = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, info);
	info->size = PAGE + 8;
	EXPECT_ERRNO(E2BIG, ioctl(self->fd, SOM_IOC_INFO, info));
	info->size = UINT32_MAX;
	EXPECT_ERRNO(E2BIG, ioctl(self->fd, SOM_IOC_INFO, info));
}

TEST_F(som, info_longer_and_zero)
{
	struct {
		struct som_info info;
		char rest[40];
	} arg = { .info.size = sizeof(arg) };

	EXPECT_EQ(0, ioctl(self->fd, SOM_IOC_INFO, &arg));
	EXPECT_EQ(UNIT, arg.info.unit_size);
	EXPECT_EQ(CHUNK, arg.info.chunk_size);
}

TEST_F(som, info_of_a_whole_page)
{
	struct som_info *info;

	info = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, info);
	info->size = PAGE;
	EXPECT_EQ(0, ioctl(self->fd, SOM_IOC_INFO, info));
	EXPECT_EQ(UNIT, info->unit_size);
}

TEST_F(som, info_null)
{
	EXPECT_ERRNO(EFAULT, ioctl(self->fd, SOM_IOC_INFO, NULL));
}

TEST_F(som, info_at_unmapped_address)
{
	char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p, PAGE));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd, SOM_IOC_INFO, p));
}

TEST_F(som, info_at_kernel_address)
{
	EXPECT_ERRNO(EFAULT, ioctl(self->fd, SOM_IOC_INFO,
				   0xffff888000000000UL));
}

/* The size can be read, the rest cannot. */
TEST_F(som, info_half_readable)
{
	char *p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct som_info *info = (void *)(p + PAGE - 16);

	ASSERT_NE(MAP_FAILED, p);
	info->size = sizeof(*info);
	ASSERT_EQ(0, munmap(p + PAGE, PAGE));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd, SOM_IOC_INFO, info));
}

TEST_F(som, info_not_writable)
{
	struct som_info *info, before;

	info = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, info);
	info->size = sizeof(*info);
	before = *info;
	ASSERT_EQ(0, mprotect(info, PAGE, PROT_READ));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd, SOM_IOC_INFO, info));
	EXPECT_EQ(0, memcmp(&before, info, sizeof(before)));
}

/* A call without results does not write; one with results is not made without room. */
TEST_F(som, arguments_not_writable)
{
	struct som_policy *policy, before = { .size = sizeof(before) };
	char *p = som_map(self->fd, 2 * UNIT);
	struct som_reset *reset;
	struct som_range *range;
	void *page;

	ASSERT_NE(MAP_FAILED, p);
	page = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_GET_POLICY, &before));
	policy = page;
	*policy = before;
	policy->map_size = PAGE;
	policy->max_units = 7;
	ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ));
	EXPECT_EQ(0, ioctl(self->fd, SOM_IOC_SET_POLICY, page));
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_GET_POLICY, page));
	EXPECT_EQ(EFAULT, errno);
	before = (struct som_policy) { .size = sizeof(before) };
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_GET_POLICY, &before));
	EXPECT_EQ(7, before.max_units);
	EXPECT_EQ(PAGE, before.map_size);

	som_fill_pages(p, 2 * UNIT, 1);
	ASSERT_EQ(0, mprotect(page, PAGE, RW));
	reset = page;
	*reset = (struct som_reset) {
		.size = sizeof(*reset), .start = (uintptr_t)p,
		.end = (uintptr_t)p + 2 * UNIT, .keep_resident = ~0ULL,
	};
	ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ));
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_RESET, page));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, som_check_pages(p, 2 * UNIT, 1));

	ASSERT_EQ(0, mprotect(page, PAGE, RW));
	range = page;
	*range = (struct som_range) {
		.size = sizeof(*range), .start = (uintptr_t)p,
		.end = (uintptr_t)p + 2 * UNIT,
	};
	ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ));
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_PAGE_BACKED, page));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, som_pool("units_page_backed"));
	EXPECT_EQ(0, range->walk_end);
}

/* The argument may live in som memory itself. */
TEST_F(som, info_in_som_memory)
{
	struct som_info *info = (void *)som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, info);
	EXPECT_EQ(0, som_get_info(self->fd, info));
	EXPECT_EQ(UNIT, info->unit_size);
	EXPECT_EQ(1, info->reserved_units);
	EXPECT_EQ(UNIT, info->mapped_bytes);
}

TEST_F(som, info_says_what_is_held)
{
	struct som_info info;
	char *p;

	ASSERT_EQ(0, som_get_info(self->fd, &info));
	EXPECT_EQ(sizeof(info), info.size);
	EXPECT_EQ(0, info.flags);
	EXPECT_EQ(self->before.total, info.pool_units);
	EXPECT_EQ(self->before.free, info.pool_free);
	EXPECT_EQ(self->before.committed, info.pool_committed);
	EXPECT_EQ(0, info.mapped_bytes);
	EXPECT_EQ(0, info.reserved_units);

	p = som_map(self->fd, 3 * UNIT + PAGE);
	ASSERT_NE(MAP_FAILED, p);
	som_try_write(p, 1);
	som_try_write(p + UNIT, 1);
	som_try_write(p + 3 * UNIT, 1);
	ASSERT_EQ(0, som_get_info(self->fd, &info));
	EXPECT_EQ(self->before.free - 3, info.pool_free);
	EXPECT_EQ(self->before.committed + 4, info.pool_committed);
	EXPECT_EQ(3 * UNIT + PAGE, info.mapped_bytes);
	EXPECT_EQ(4, info.reserved_units);
	EXPECT_EQ(2, info.units_2m);
	EXPECT_EQ(1, info.units_4k);
}

/* The caller is meant, whoever opened the fd. */
TEST_F(som, info_means_the_caller)
{
	char *p = som_map(self->fd, 5 * UNIT);
	struct som_info info;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 5 * UNIT);
	pid = fork();
	if (!pid) {
		child_assert(!som_get_info(self->fd, &info));
		child_assert(info.mapped_bytes == 0);
		child_assert(info.reserved_units == 0);
		child_assert(info.units_2m == 0);
		p = som_map(self->fd, UNIT);
		child_assert(p != MAP_FAILED);
		child_assert(!som_get_info(self->fd, &info));
		child_assert(info.mapped_bytes == UNIT);
		child_assert(info.reserved_units == 1);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	ASSERT_EQ(0, som_get_info(self->fd, &info));
	EXPECT_EQ(5 * UNIT, info.mapped_bytes);
	EXPECT_EQ(5, info.units_2m);
}

/*
 * Ways around mmap
 */

TEST_F(som, remap_file_pages_is_refused)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	som_fill(p + UNIT, UNIT, 2);
	EXPECT_EQ(-1, syscall(SYS_remap_file_pages, p, UNIT, 0, 512UL, 0));
	EXPECT_EQ(-1, syscall(SYS_remap_file_pages, p, UNIT, 0, 0UL, 0));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(-1, som_check(p + UNIT, UNIT, 2));
	EXPECT_USED(2);
	EXPECT_COMMITTED(2);
}

/*
 * Whoever opens the file behind a mapping must get no way to its memory: not
 * to the bytes, and not to punch holes into them.
 */
static bool map_files_gives_access(const char *path, int flags)
{
	bool access = false;
	char byte, *p;
	int fd;

	fd = open(path, flags);
	if (fd < 0)
		return false;
	p = mmap(NULL, UNIT, PROT_READ, MAP_SHARED, fd, 0);
	access |= p != MAP_FAILED;
	p = mmap(NULL, UNIT, PROT_READ, MAP_SHARED, fd, 512 * PAGE);
	access |= p != MAP_FAILED;
	access |= pread(fd, &byte, 1, 0) >= 0;
	access |= pwrite(fd, "x", 1, 0) >= 0;
	access |= !ftruncate(fd, 0);
	access |= !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			     1L << 40);
	close(fd);
	return access;
}

TEST_F(som, map_files_entry_gives_no_access)
{
	char *p = som_map(self->fd, UNIT), path[128];
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", getpid(),
		 (long)p, (long)p + UNIT);
	if (access("/proc/self/map_files", F_OK))
		SKIP(return, "no map_files in this kernel");
	EXPECT_FALSE(map_files_gives_access(path, O_RDONLY));
	EXPECT_FALSE(map_files_gives_access(path, O_RDWR));
	pid = fork();
	if (!pid) {
		child_assert(!map_files_gives_access(path, O_RDONLY));
		child_assert(!map_files_gives_access(path, O_RDWR));
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_USED(1);
}

/* The fd is a device: it has no holes and no length. */
TEST_F(som, fallocate_of_fd)
{
	char *p = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	EXPECT_EQ(-1, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE |
				FALLOC_FL_KEEP_SIZE, 0, 1L << 40));
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_USED(1);
}

TEST_HARNESS_MAIN
