// SPDX-License-Identifier: GPL-2.0
/*
 * libsom: one function for each call of /dev/som. Scans are in scan.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "libsom.h"

#define MAP_FLAGS	(SOM_MAP_PRIVATE | SOM_MAP_NORESERVE |		\
			 SOM_MAP_FIXED | SOM_MAP_NOREPLACE | SOM_MAP_POPULATE)

int som_open(const char *device)
{
	return open(device ? device : "/dev/som", O_RDWR | O_CLOEXEC);
}

static void *map(int fd, void *hint, off_t offset, size_t len, int prot,
		 unsigned int flags)
{
	int how = MAP_SHARED;
	void *p;

	if (flags & ~MAP_FLAGS) {
		errno = EINVAL;
		return NULL;
	}
	if (flags & SOM_MAP_PRIVATE)
		how = MAP_PRIVATE;
	if (flags & SOM_MAP_NORESERVE)
		how |= MAP_NORESERVE;
	if (flags & SOM_MAP_FIXED)
		how |= MAP_FIXED;
	if (flags & SOM_MAP_NOREPLACE)
		how |= MAP_FIXED_NOREPLACE;
	if (flags & SOM_MAP_POPULATE)
		how |= MAP_POPULATE;
	p = mmap(hint, len, prot, how, fd, offset);
	return p == MAP_FAILED ? NULL : p;
}

void *som_map(int fd, void *hint, size_t len, int prot, unsigned int flags)
{
	return map(fd, hint, 0, len, prot, flags);
}

int som_unmap(void *start, size_t len)
{
	return munmap(start, len);
}

int som_release(void *start, size_t len)
{
	return madvise(start, len, MADV_REMOVE);
}

int som_read_info(int fd, struct som_info *info, size_t size)
{
	if (size < SOM_INFO_SIZE_VER0 || size > UINT32_MAX) {
		errno = EINVAL;
		return -1;
	}
	memset(info, 0, size);
	info->size = size;
	return ioctl(fd, SOM_IOC_INFO, info);
}

static int get_policy(int fd, struct som_policy *policy)
{
	*policy = (struct som_policy) { .size = sizeof(*policy) };
	return ioctl(fd, SOM_IOC_GET_POLICY, policy);
}

int som_get_map_size(int fd, uint64_t *map_size)
{
	struct som_policy policy;

	if (get_policy(fd, &policy))
		return -1;
	*map_size = policy.map_size;
	return 0;
}

/* Here and below, keep the rest of the policy. */
int som_set_map_size(int fd, uint64_t map_size)
{
	struct som_policy policy;

	if (get_policy(fd, &policy))
		return -1;
	policy.map_size = map_size;
	return ioctl(fd, SOM_IOC_SET_POLICY, &policy);
}

int som_get_max_units(int fd, uint64_t *max_units)
{
	struct som_policy policy;

	if (get_policy(fd, &policy))
		return -1;
	*max_units = policy.max_units;
	return 0;
}

int som_set_max_units(int fd, uint64_t max_units)
{
	struct som_policy policy;

	if (get_policy(fd, &policy))
		return -1;
	policy.max_units = max_units;
	return ioctl(fd, SOM_IOC_SET_POLICY, &policy);
}

int som_get_options(int fd, uint64_t *options)
{
	struct som_policy policy;

	if (get_policy(fd, &policy))
		return -1;
	*options = policy.options;
	return 0;
}

int som_set_options(int fd, uint64_t options)
{
	struct som_policy policy;

	if (get_policy(fd, &policy))
		return -1;
	policy.options = options;
	return ioctl(fd, SOM_IOC_SET_POLICY, &policy);
}

/* Compute the end of a range. Return: whether the range is valid. */
static int find_end(const void *start, size_t len, uint64_t *end)
{
	if (!__builtin_add_overflow((uintptr_t)start, len, end))
		return 0;
	errno = EINVAL;
	return -1;
}

static int reset(int fd, void *start, size_t len, struct som_reset *args,
		 struct som_reset_result *result)
{
	uint64_t end;
	int ret;

	ret = find_end(start, len, &end);
	args->size = sizeof(*args);
	args->start = (uintptr_t)start;
	args->end = end;
	/* The result if the kernel fails before it writes it. */
	args->walk_end = args->start;
	args->released_start = end;
	if (!ret)
		ret = ioctl(fd, SOM_IOC_RESET, args);
	if (result)
		*result = (struct som_reset_result) {
			.walk_end = args->walk_end,
			.rewritten = args->rewritten,
			.released = args->released,
			.released_start = args->released_start,
		};
	return ret;
}

int som_reset(int fd, void *start, size_t len, uint64_t keep,
	      struct som_reset_result *result)
{
	struct som_reset args = { .keep_resident = keep };

	return reset(fd, start, len, &args, result);
}

int som_reset_memory(int fd, void *start, size_t len, uint64_t keep,
		     const void *image, struct som_reset_result *result)
{
	struct som_reset args = {
		.flags = SOM_RESET_IMAGE_MEM,
		.keep_resident = keep,
		.image = (uintptr_t)image,
	};

	return reset(fd, start, len, &args, result);
}

int som_reset_file(int fd, void *start, size_t len, uint64_t keep, int image,
		   off_t offset, struct som_reset_result *result)
{
	struct som_reset args = {
		.flags = SOM_RESET_IMAGE_FD,
		.keep_resident = keep,
		.image = offset,
		.image_fd = image,
	};

	return reset(fd, start, len, &args, result);
}

static int range_call(int fd, unsigned long call, void *start, size_t len,
		      uint64_t *walk_end)
{
	struct som_range args = {
		.size = sizeof(args),
		.start = (uintptr_t)start,
		.walk_end = (uintptr_t)start,
	};
	uint64_t end;
	int ret;

	ret = find_end(start, len, &end);
	args.end = end;
	if (!ret)
		ret = ioctl(fd, call, &args);
	if (walk_end)
		*walk_end = args.walk_end;
	return ret;
}

int som_make_page_backed(int fd, void *start, size_t len, uint64_t *walk_end)
{
	return range_call(fd, SOM_IOC_PAGE_BACKED, start, len, walk_end);
}

int som_make_pool_backed(int fd, void *start, size_t len, uint64_t *walk_end)
{
	return range_call(fd, SOM_IOC_POOL_BACKED, start, len, walk_end);
}

int som_pack(int fd, void *start, size_t len, unsigned int flags)
{
	struct som_pack args = {
		.size = sizeof(args),
		.flags = flags,
		.start = (uintptr_t)start,
	};

	if (__builtin_add_overflow((uintptr_t)start, len, &args.end)) {
		errno = EINVAL;
		return -1;
	}
	return ioctl(fd, SOM_IOC_PACK, &args);
}

void *som_claim(int parcel, void *hint, off_t offset, size_t len, int prot,
		unsigned int flags)
{
	return map(parcel, hint, offset, len, prot, flags);
}

int som_parcel_info(int parcel, struct som_parcel_info *info, size_t size)
{
	if (size < SOM_PARCEL_INFO_SIZE_VER0 || size > UINT32_MAX) {
		errno = EINVAL;
		return -1;
	}
	memset(info, 0, size);
	info->size = size;
	return ioctl(parcel, SOM_IOC_PARCEL_INFO, info);
}

int som_view(int fd, int pidfd, unsigned int flags)
{
	struct som_open_view args = {
		.size = sizeof(args),
		.flags = flags,
		.pidfd = pidfd,
	};

	return ioctl(fd, SOM_IOC_VIEW, &args);
}

int som_view_maps(int view, uint64_t *start, struct som_view_map *maps,
		  unsigned int nr)
{
	struct som_view_maps args = {
		.size = sizeof(args),
		.start = *start,
		.end = UINT64_MAX,
		.vec = (uintptr_t)maps,
		.vec_len = nr,
		.map_size = sizeof(*maps),
	};

	if (ioctl(view, SOM_IOC_VIEW_MAPS, &args))
		return -1;
	*start = args.walk_end;
	return args.nr;
}
