/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Parcels, for tests: to pack, to claim, to pass on.
 */
#ifndef SOM_PARCEL_H
#define SOM_PARCEL_H

#include <poll.h>
#include <sys/socket.h>

#include "som_pass.h"
#include "som_test.h"

/* Return: a descriptor or -errno. */
static inline int parcel_pack(int fd, const void *p, size_t len)
{
	struct som_pack pack = {
		.size = sizeof(pack), .start = (uintptr_t)p,
		.end = (uintptr_t)p + len,
	};
	int ret = ioctl(fd, SOM_IOC_PACK, &pack);

	return ret < 0 ? -errno : ret;
}

static inline char *parcel_claim_at(int parcel, void *addr, size_t offset,
				    size_t len, int prot, int flags)
{
	return mmap(addr, len, prot, flags, parcel, offset);
}

static inline char *parcel_claim(int parcel, size_t len)
{
	return parcel_claim_at(parcel, NULL, 0, len, RW, MAP_SHARED);
}

/* Return: 0 or -errno. */
static inline int parcel_info(int parcel, struct som_parcel_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return ioctl(parcel, SOM_IOC_PARCEL_INFO, info) ? -errno : 0;
}

static inline int parcel_poll(int parcel)
{
	struct pollfd p = { .fd = parcel, .events = POLLIN | POLLPRI };

	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static inline long parcel_units(void)
{
	return som_pool("units_parcel");
}

#endif /* SOM_PARCEL_H */
