// SPDX-License-Identifier: GPL-2.0
/*
 * How a runtime that pools memory puts a slot back between two tenants.
 *
 * A slot begins with an image, the same for every tenant, and is zero behind it.
 * Tenants write where they like. The runtime wants every byte back as it was,
 * wants to pay for what was written only, and wants to keep some memory resident
 * so that the next tenant finds it without a fault.
 *
 * Build with make, run as "pool_reset [SLOTS [TENANTS]]" where /dev/som is.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/som.h>

#define PAGE		4096UL
#define SLOT_SIZE	(8 * 1024 * 1024UL)
#define IMAGE_SIZE	(200 * 1024UL)
#define KEEP_RESIDENT	(1024 * 1024UL)

struct pool {
	int som;		/* /dev/som */
	int image;		/* a file of IMAGE_SIZE bytes */
	char *slots;
	size_t nr;
};

static char *slot(const struct pool *pool, size_t nr)
{
	return pool->slots + nr * SLOT_SIZE;
}

/* What the range holds is clean from now on: it counts as written by nobody. */
static int clean(const struct pool *pool, char *start, size_t len)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = PM_SCAN_WP_MATCHING,
		.start = (uintptr_t)start,
		.end = (uintptr_t)start + len,
		.category_mask = PAGE_IS_WRITTEN,
	};

	return ioctl(pool->som, PAGEMAP_SCAN, &arg) < 0 ? -1 : 0;
}

static int load_image(const struct pool *pool, char *start)
{
	return pread(pool->image, start, IMAGE_SIZE, 0) == IMAGE_SIZE ? 0 : -1;
}

/*
 * Tracking starts with the first cleaning scan. Here that is before anything is
 * populated, so that it is exact from the first write on.
 */
static int pool_create(struct pool *pool, size_t nr)
{
	size_t i;

	pool->nr = nr;
	pool->som = open("/dev/som", O_RDWR | O_CLOEXEC);
	if (pool->som < 0)
		return -1;
	pool->slots = mmap(NULL, nr * SLOT_SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED, pool->som, 0);
	if (pool->slots == MAP_FAILED)
		return -1;
	if (clean(pool, pool->slots, nr * SLOT_SIZE))
		return -1;
	for (i = 0; i < nr; i++)
		if (load_image(pool, slot(pool, i)))
			return -1;
	return clean(pool, pool->slots, nr * SLOT_SIZE);
}

/* The next tenant may have it when this has returned 0. */
static int slot_reset(const struct pool *pool, size_t nr,
		      struct som_reset *reset)
{
	char *start = slot(pool, nr);

	*reset = (struct som_reset) {
		.size = sizeof(*reset),
		.flags = SOM_RESET_IMAGE_FD,
		.start = (uintptr_t)start,
		.end = (uintptr_t)start + SLOT_SIZE,
		.keep_resident = KEEP_RESIDENT,
		.image = 0,
		.image_fd = pool->image,
	};
	if (ioctl(pool->som, SOM_IOC_RESET, reset))
		return -1;
	/*
	 * What was released reads as zero, perhaps a part of the image, too. It counts
	 * as written, which is not what the next tenant did.
	 */
	if (reset->released_start < reset->start + IMAGE_SIZE &&
	    load_image(pool, start))
		return -1;
	return reset->released ? clean(pool, start, SLOT_SIZE) : 0;
}

/* For statistics: how much has the tenant written? Changes nothing. */
static long slot_written(const struct pool *pool, size_t nr)
{
	struct page_region regions[64];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)slot(pool, nr),
		.end = (uintptr_t)slot(pool, nr) + SLOT_SIZE,
		.vec = (uintptr_t)regions,
		.vec_len = 64,
		.category_mask = PAGE_IS_WRITTEN,
	};
	long bytes = 0;
	int n, i;

	/* Where the regions do not suffice, walk_end says where to go on. */
	while (arg.start < arg.end) {
		n = ioctl(pool->som, PAGEMAP_SCAN, &arg);
		if (n < 0)
			return -1;
		for (i = 0; i < n; i++)
			bytes += regions[i].end - regions[i].start;
		arg.start = arg.walk_end;
	}
	return bytes;
}

/* The tenant's program: writes few pages in some slots, many in others. */
static void run_tenant(char *mem, unsigned int tenant)
{
	size_t heap = (tenant % 4) * SLOT_SIZE / 5, i;
	unsigned int state = tenant;

	for (i = 0; i < 40; i++) {
		state = state * 1103515245 + 12345;
		mem[state % SLOT_SIZE] ^= 0x5a;
	}
	memset(mem + IMAGE_SIZE, tenant, heap);
}

static int check(const struct pool *pool, size_t nr, const char *image)
{
	const char *mem = slot(pool, nr);
	size_t i;

	if (memcmp(mem, image, IMAGE_SIZE))
		return -1;
	for (i = IMAGE_SIZE; i < SLOT_SIZE; i += 8)
		if (*(const uint64_t *)(mem + i))
			return -1;
	return 0;
}

int main(int argc, char **argv)
{
	struct pool pool = { .nr = 0 };
	static char image[IMAGE_SIZE];
	unsigned int tenants, t;
	struct som_reset reset;
	size_t i, nr;
	long written;

	for (i = 0; i < IMAGE_SIZE; i++)
		image[i] = i * 7;
	pool.image = memfd_create("image", MFD_CLOEXEC);
	if (pool.image < 0 ||
	    pwrite(pool.image, image, IMAGE_SIZE, 0) != IMAGE_SIZE) {
		perror("pool_reset: image");
		return 1;
	}
	if (pool_create(&pool, argc > 1 ? strtoul(argv[1], NULL, 0) : 4)) {
		perror("pool_reset: pool");
		return 1;
	}
	tenants = argc > 2 ? strtoul(argv[2], NULL, 0) : 12;
	for (t = 0; t < tenants; t++) {
		nr = t % pool.nr;
		run_tenant(slot(&pool, nr), t);
		written = slot_written(&pool, nr);
		if (written < 0 || slot_reset(&pool, nr, &reset)) {
			perror("pool_reset: reset");
			return 1;
		}
		printf("tenant %u: %ld KiB written, %llu rewritten, %llu released\n",
		       t, written >> 10, reset.rewritten >> 10,
		       reset.released >> 10);
		if (check(&pool, nr, image)) {
			fprintf(stderr, "pool_reset: slot %zu is not clean\n",
				nr);
			return 1;
		}
		if (slot_written(&pool, nr)) {
			fprintf(stderr, "pool_reset: slot %zu is written\n",
				nr);
			return 1;
		}
	}
	return 0;
}
