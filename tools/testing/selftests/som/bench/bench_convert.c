// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to make a unit of 2 MiB page-backed, and a unit of the pool again.
 *
 * Names of figures: convert.call, convert.back (SOM_IOC_PAGE_BACKED and
 * SOM_IOC_POOL_BACKED), convert.fault (a touch of a unit that mprotect() has cut, which
 * moves it, by SOM_POLICY_PAGE_BACKED), convert.fresh (a touch of one that was cut
 * before it had memory), convert.written (the first write to a clean tracked unit, which
 * moves it), convert.special (the same without the policy: the unit stays), convert.again
 * (a write to a page that a scan has cleaned, of a page-backed unit).
 */
#include <linux/fs.h>

#include "bench.h"

#define ROUNDS	5

static int fd;

static void set_options(__u64 options)
{
	struct som_policy policy = { .size = sizeof(policy) };

	check(!ioctl(fd, SOM_IOC_GET_POLICY, &policy), "the policy is known");
	policy.options = options;
	check(!ioctl(fd, SOM_IOC_SET_POLICY, &policy), "the policy is set");
}

static char *map_unit(void)
{
	char *p = mmap(NULL, UNIT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void divide(char *p)
{
	check(!mprotect(p + UNIT / 2, PAGE, PROT_NONE), "the unit is cut");
}

static void is_page_backed(long units)
{
	check(number(SYSFS "units_page_backed") == units, "what is page-backed");
}

static void scan_clean(char *p)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .flags = PM_SCAN_WP_MATCHING,
		.start = (uintptr_t)p, .end = (uintptr_t)p + UNIT,
		.category_mask = PAGE_IS_WRITTEN, .return_mask = PAGE_IS_WRITTEN,
	};

	check(ioctl(fd, PAGEMAP_SCAN, &arg) >= 0, "the unit is clean");
}

static __u64 write_costs(char *p)
{
	__u64 t = now();

	write_byte(p);
	return now() - t;
}

static __u64 call_costs(unsigned long call, char *p)
{
	struct som_range range = {
		.size = sizeof(range), .start = (uintptr_t)p,
		.end = (uintptr_t)p + UNIT,
	};
	__u64 t = now();

	check(!ioctl(fd, call, &range), "the unit is moved");
	return now() - t;
}

static void calls(void)
{
	__u64 to[ROUNDS], back[ROUNDS];
	int i;

	set_options(0);
	for (i = 0; i < ROUNDS; i++) {
		char *p = map_unit();

		write_byte(p);
		to[i] = call_costs(SOM_IOC_PAGE_BACKED, p);
		is_page_backed(1);
		write_byte(p);
		back[i] = call_costs(SOM_IOC_POOL_BACKED, p);
		is_page_backed(0);
		munmap(p, UNIT);
	}
	figure(smallest(to, ROUNDS), "convert.call");
	figure(smallest(back, ROUNDS), "convert.back");
}

static void by_policy(void)
{
	__u64 fault[ROUNDS], fresh[ROUNDS];
	int i;

	set_options(SOM_POLICY_PAGE_BACKED);
	for (i = 0; i < ROUNDS; i++) {
		char *p = map_unit();

		write_byte(p);
		divide(p);
		fault[i] = write_costs(p);
		is_page_backed(1);
		munmap(p, UNIT);
		p = map_unit();
		divide(p);
		fresh[i] = write_costs(p);
		is_page_backed(1);
		munmap(p, UNIT);
	}
	figure(smallest(fault, ROUNDS), "convert.fault");
	figure(smallest(fresh, ROUNDS), "convert.fresh");
}

static void tracked(bool page_backed)
{
	__u64 first[ROUNDS], again[ROUNDS];
	int i;

	set_options(page_backed ? SOM_POLICY_PAGE_BACKED : 0);
	for (i = 0; i < ROUNDS; i++) {
		char *p = map_unit();

		write_byte(p);
		scan_clean(p);
		first[i] = write_costs(p);
		is_page_backed(page_backed);
		scan_clean(p);
		again[i] = write_costs(p);
		munmap(p, UNIT);
	}
	figure(smallest(first, ROUNDS), page_backed ? "convert.written" :
						      "convert.special");
	if (page_backed)
		figure(smallest(again, ROUNDS), "convert.again");
}

int main(void)
{
	fd = open("/dev/som", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("/dev/som");
	print_machine();
	calls();
	by_policy();
	tracked(false);
	tracked(true);
	close(fd);
	return 0;
}
