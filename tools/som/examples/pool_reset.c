// SPDX-License-Identifier: GPL-2.0
/*
 * Reset a slot of pooled memory between two tenants of a runtime.
 *
 * A slot starts with an image, the same for every tenant, and is zero after it. Tenants
 * write anywhere. The runtime restores every byte, at a cost that depends only on the
 * written pages, and keeps some memory resident, so that the next tenant takes no faults
 * there.
 *
 * Build with make, and run "pool_reset [SLOTS [TENANTS]]" on a machine with /dev/som.
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

/* Clean the range: its content does not count as written from now on. */
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
 * The first cleaning scan starts tracking. Here it precedes the first touch, so tracking
 * is exact from the first write on.
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

/* Reset a slot. If it returns 0, the next tenant may use the slot. */
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
	 * Released memory reads as zero, possibly including part of the image. It
	 * counts as written, although the next tenant has not written to it.
	 */
	if (reset->released_start < reset->start + IMAGE_SIZE &&
	    load_image(pool, start))
		return -1;
	return reset->released ? clean(pool, start, SLOT_SIZE) : 0;
}

/* Return the bytes that the tenant has written, for statistics. Changes nothing. */
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

	/* If the vector is full, the scan continues at walk_end. */
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
