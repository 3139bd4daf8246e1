// SPDX-License-Identifier: GPL-2.0
/*
 * Instances of WebAssembly modules that wasm2c has compiled, with their memories on
 * som: tools/som/wasm2c. The module is tenant.wat there.
 *
 * SOM-TEST: takes=6
 */
#include "som_test.h"

#include <sys/resource.h>

#include "som_wasm2c.h"
#include "tenant.h"
#include <wasm-rt-impl.h>

#define WASM_PAGE	65536U
#define IMAGE		4096U
#define KEEP		UNIT

/*
 * What a call traps with, if it does. Functions of their own, as setjmp() returns twice
 * in them.
 */
#define DEFINE_TRAP(name, call)						\
	static __attribute__((noinline)) wasm_rt_trap_t			\
	trap_##name(Z_tenant_instance_t *tenant, u32 at)				\
	{								\
		wasm_rt_trap_t trap = wasm_rt_impl_try();		\
									\
		if (!trap)						\
			(void)(call);					\
		return trap;						\
	}

DEFINE_TRAP(start, (Z_tenant_instantiate(tenant), at))
DEFINE_TRAP(load, Z_tenantZ_load(tenant, at))
DEFINE_TRAP(store, (Z_tenantZ_store(tenant, at, 1), 0))
DEFINE_TRAP(load_far, Z_tenantZ_load_far(tenant, at))
DEFINE_TRAP(store_far, (Z_tenantZ_store_far(tenant, at), 0))
DEFINE_TRAP(fill, (Z_tenantZ_fill(tenant, at, 1, 9), 0))

static wasm_rt_trap_t start(Z_tenant_instance_t *tenant)
{
	return trap_start(tenant, 0);
}

/* The bits of all bytes but those of the image. */
static u64 foreign_bits(Z_tenant_instance_t *tenant, u32 end)
{
	return Z_tenantZ_bits(tenant, 0, IMAGE) |
	       Z_tenantZ_bits(tenant, IMAGE + 8, end);
}

static bool is_fresh(Z_tenant_instance_t *tenant)
{
	u32 end = Z_tenantZ_size(tenant) * WASM_PAGE;

	return !foreign_bits(tenant, end) &&
	       !memcmp(tenant->w2c_memory.data + IMAGE, "image\0\0\0", 8);
}

/* Mappings of this process, or -1. */
static int count_maps(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	int c, lines = 0;

	if (!file)
		return -1;
	while ((c = getc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

static long reserved(int fd)
{
	struct som_info info = { .size = sizeof(info) };

	return ioctl(fd, SOM_IOC_INFO, &info) ? -1 : (long)info.reserved_units;
}

static int init(size_t nr, size_t batch, uint64_t options)
{
	wasm_rt_init();
	Z_tenant_init_module();
	return som_wasm2c_init(nr, KEEP, batch, options);
}

/* A program that does nothing but link gets memories, too. */
TEST_F(som, by_default)
{
	Z_tenant_instance_t tenant;

	wasm_rt_init();
	Z_tenant_init_module();
	ASSERT_EQ(WASM_RT_TRAP_NONE, start(&tenant));
	EXPECT_TRUE(is_fresh(&tenant));
	EXPECT_EQ(1, reserved(self->fd));
	EXPECT_EQ(-1, som_wasm2c_init(1, 0, 0, 0));
	EXPECT_EQ(EBUSY, errno);
	Z_tenant_free(&tenant);
	som_wasm2c_exit();
}

/* The end of the memory is exact. */
TEST_F(som, out_of_bounds)
{
	u32 size = 2 * WASM_PAGE;
	Z_tenant_instance_t tenant;

	ASSERT_EQ(0, init(2, 0, 0));
	ASSERT_EQ(WASM_RT_TRAP_NONE, start(&tenant));
	Z_tenantZ_store(&tenant, size - 4, 7);
	EXPECT_EQ(7, Z_tenantZ_load(&tenant, size - 4));
	EXPECT_EQ(WASM_RT_TRAP_OOB, trap_load(&tenant, size - 3));
	EXPECT_EQ(WASM_RT_TRAP_OOB, trap_store(&tenant, size));
	EXPECT_EQ(WASM_RT_TRAP_OOB,
		  trap_store(&tenant, UINT32_MAX));
	EXPECT_EQ(WASM_RT_TRAP_OOB,
		  trap_fill(&tenant, size - 8));
	EXPECT_EQ(2, Z_tenantZ_grow(&tenant, 1));
	EXPECT_EQ(0, Z_tenantZ_load(&tenant, size));
	EXPECT_EQ(7, Z_tenantZ_load(&tenant, size - 4));
	size += WASM_PAGE;
	EXPECT_EQ(WASM_RT_TRAP_OOB, trap_load(&tenant, size - 3));
	Z_tenant_free(&tenant);
}

/* What an instruction can reach at most is beyond 8 GiB, and not the next memory. */
TEST_F(som, neighbours)
{
	Z_tenant_instance_t tenant[3];
	int i;

	ASSERT_EQ(0, init(3, 0, 0));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(WASM_RT_TRAP_NONE, start(&tenant[i]));
		EXPECT_EQ(WASM_RT_TRAP_OOB,
			  trap_store_far(&tenant[i], UINT32_MAX));
		EXPECT_EQ(WASM_RT_TRAP_OOB,
			  trap_load_far(&tenant[i], UINT32_MAX));
		EXPECT_EQ(WASM_RT_TRAP_OOB,
			  trap_store_far(&tenant[i], 0));
	}
	for (i = 0; i < 3; i++)
		EXPECT_TRUE(is_fresh(&tenant[i]));
}

/* Growth that the pool does not allow is refused, and changes nothing. */
TEST_F(som, grow)
{
	long units = self->before.total - self->before.committed;
	u32 most = units * (UNIT / WASM_PAGE);
	Z_tenant_instance_t tenant, other;

	ASSERT_EQ(0, init(2, 0, 0));
	ASSERT_EQ(WASM_RT_TRAP_NONE, start(&tenant));
	ASSERT_EQ(WASM_RT_TRAP_NONE, start(&other));
	EXPECT_EQ(UINT32_MAX, Z_tenantZ_grow(&tenant, most));
	EXPECT_EQ(UINT32_MAX, Z_tenantZ_grow(&tenant, 65536));
	EXPECT_EQ(UINT32_MAX, Z_tenantZ_grow(&tenant, 65534));
	EXPECT_EQ(UINT32_MAX, Z_tenantZ_grow(&tenant, UINT32_MAX));
	EXPECT_EQ(2, Z_tenantZ_size(&tenant));
	EXPECT_EQ(2, reserved(self->fd));
	/* All but the other's unit. */
	EXPECT_EQ(2, Z_tenantZ_grow(&tenant, most - UNIT / WASM_PAGE - 2));
	EXPECT_EQ(units, reserved(self->fd));
	EXPECT_EQ(UINT32_MAX, Z_tenantZ_grow(&tenant, 1));
	EXPECT_EQ(most - UNIT / WASM_PAGE, Z_tenantZ_size(&tenant));
	Z_tenantZ_store(&tenant, (most - UNIT / WASM_PAGE) * WASM_PAGE - 4, 1);
	EXPECT_EQ(2, Z_tenantZ_grow(&other, 1));
	/* What is not kept is not reserved any more. */
	Z_tenant_free(&tenant);
	EXPECT_EQ(2, reserved(self->fd));
	Z_tenant_free(&other);
}

/* A pool that is empty is a trap, and the host goes on. */
TEST_F(som, no_memory)
{
	long units = self->before.total - self->before.committed;
	Z_tenant_instance_t tenant;
	char *p;

	ASSERT_EQ(0, init(1, 0, 0));
	p = som_map(self->fd, units * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(WASM_RT_TRAP_EXHAUSTION, start(&tenant));
	Z_tenant_free(&tenant);
	munmap(p, UNIT);
	ASSERT_EQ(WASM_RT_TRAP_NONE, start(&tenant));
	EXPECT_TRUE(is_fresh(&tenant));
	/* There is one memory only. */
	EXPECT_EQ(WASM_RT_TRAP_EXHAUSTION, start(&(Z_tenant_instance_t) {}));
	Z_tenant_free(&tenant);
}

static void next_tenants(struct __test_metadata *_metadata, size_t batch)
{
	int rounds = som_rounds(60), round, i;
	Z_tenant_instance_t tenant[4];
	u32 size;

	ASSERT_EQ(0, init(4, batch, 0));
	srand(batch);
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(WASM_RT_TRAP_NONE, start(&tenant[i]));
			ASSERT_TRUE(is_fresh(&tenant[i]));
		}
		for (i = 0; i < 4; i++) {
			/* Within what is kept, and beyond it. */
			if (rand() % 2)
				Z_tenantZ_grow(&tenant[i], rand() % 50);
			size = Z_tenantZ_size(&tenant[i]) * WASM_PAGE;
			if (rand() % 4)
				Z_tenantZ_spread(&tenant[i], rand() % 4096 * 4,
						 4096, size / 4096 - 4);
			else
				Z_tenantZ_fill(&tenant[i], 0, 255, size);
		}
		for (i = 0; i < 4; i++)
			Z_tenant_free(&tenant[i]);
	}
	EXPECT_EQ(0, som_wasm2c_clean());
	/* One unit each, at most, and none behind what is kept. */
	EXPECT_GE(4, reserved(som_open()));
}

TEST_F(som, next_tenant)
{
	next_tenants(_metadata, 0);
}

TEST_F(som, next_tenant_batch)
{
	next_tenants(_metadata, 4);
}

TEST_F(som, next_tenant_batch_late)
{
	next_tenants(_metadata, 3);
}

/* A kernel that checks page tables shows no memory twice: pieces cannot be joined. */
static bool can_join(int fd)
{
	char *p = som_map(fd, UNIT);
	void *twice = mremap(p, 0, UNIT, MREMAP_MAYMOVE);

	munmap(p, UNIT);
	if (twice == MAP_FAILED)
		return false;
	munmap(twice, UNIT);
	return true;
}

/* Growth by small steps does not use up the mappings that a process may have. */
TEST_F(som, small_steps)
{
	int steps = som_debug_kernel() ? 300 : 2000, before, i;
	Z_tenant_instance_t tenant;

	/* Growth ends then, with as many mappings. */
	if (!can_join(self->fd))
		steps = 60;
	ASSERT_EQ(0, init(2, 0, 0));
	ASSERT_EQ(WASM_RT_TRAP_NONE, start(&tenant));
	before = count_maps();
	for (i = 0; i < steps; i++) {
		ASSERT_EQ(2 + i, Z_tenantZ_grow(&tenant, 1));
		ASSERT_EQ(0, Z_tenantZ_load(&tenant, (2 + i) * WASM_PAGE));
		Z_tenantZ_store(&tenant, (3 + i) * WASM_PAGE - 4, i);
		/* At the end there is always a guard. */
		if (!(i % 16))
			ASSERT_EQ(WASM_RT_TRAP_OOB,
				  trap_load(&tenant, (3 + i) * WASM_PAGE));
	}
	EXPECT_GE(before + 64, count_maps());
	for (i = 0; i < steps; i++)
		ASSERT_EQ(i, Z_tenantZ_load(&tenant, (3 + i) * WASM_PAGE - 4));
	Z_tenant_free(&tenant);
	EXPECT_GE(before + 64, count_maps());
	ASSERT_EQ(WASM_RT_TRAP_NONE, start(&tenant));
	EXPECT_TRUE(is_fresh(&tenant));
	EXPECT_EQ(WASM_RT_TRAP_OOB,
		  trap_load(&tenant, 2 * WASM_PAGE));
	Z_tenant_free(&tenant);
}

/* An instance that writes what the one before has written takes no fault. */
TEST_F(som, no_faults)
{
	struct rusage before, after;
	Z_tenant_instance_t tenant;
	int i;

	ASSERT_EQ(0, init(1, 0, 0));
	for (i = 0; i < 20; i++) {
		if (i == 10)
			getrusage(RUSAGE_SELF, &before);
		ASSERT_EQ(WASM_RT_TRAP_NONE, start(&tenant));
		Z_tenantZ_spread(&tenant, 0, 4096, 30);
		Z_tenant_free(&tenant);
	}
	getrusage(RUSAGE_SELF, &after);
	EXPECT_EQ(before.ru_minflt, after.ru_minflt);
}

/* A child that has inherited memories resets its own. */
TEST_F(som, fork)
{
	Z_tenant_instance_t tenant, other;
	pid_t pid;

	ASSERT_EQ(0, init(2, 0, SOM_POLICY_FORK_COPY));
	ASSERT_EQ(WASM_RT_TRAP_NONE, start(&tenant));
	Z_tenantZ_store(&tenant, 0, 7);
	pid = fork();
	if (!pid) {
		child_assert(Z_tenantZ_load(&tenant, 0) == 7);
		Z_tenant_free(&tenant);
		child_assert(start(&tenant) == WASM_RT_TRAP_NONE);
		child_assert(start(&other) == WASM_RT_TRAP_NONE);
		child_assert(is_fresh(&tenant) && is_fresh(&other));
		child_assert(Z_tenantZ_grow(&tenant, 1) == 2);
		child_assert(trap_load(&other, 2 * WASM_PAGE) ==
			     WASM_RT_TRAP_OOB);
		Z_tenantZ_store(&tenant, 0, 9);
		_exit(0);
	}
	ASSERT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(7, Z_tenantZ_load(&tenant, 0));
	Z_tenant_free(&tenant);
	ASSERT_EQ(WASM_RT_TRAP_NONE, start(&tenant));
	EXPECT_TRUE(is_fresh(&tenant));
	Z_tenant_free(&tenant);
}

/* Without a copy it has no memories, and makes others. */
TEST_F(som, fork_without_copy)
{
	Z_tenant_instance_t tenant;
	pid_t pid;

	ASSERT_EQ(0, init(2, 0, 0));
	ASSERT_EQ(WASM_RT_TRAP_NONE, start(&tenant));
	pid = fork();
	if (!pid) {
		/* Not mapped: no OOB, which is a mapping without access. */
		child_assert(trap_load(&tenant, 0) ==
			     WASM_RT_TRAP_EXHAUSTION);
		som_wasm2c_exit();
		child_assert(!som_wasm2c_init(2, KEEP, 0, 0));
		child_assert(start(&tenant) == WASM_RT_TRAP_NONE);
		child_assert(is_fresh(&tenant));
		_exit(0);
	}
	ASSERT_EQ(0, som_wait_child(pid));
	EXPECT_TRUE(is_fresh(&tenant));
	Z_tenant_free(&tenant);
}

/*
 * Slots alone, as traps of this version of wasm2c are of one thread
 */

static struct som_slots *shared_slots;

static void *slots_racer(void *arg)
{
	struct som_racer *racer = arg;
	struct som_race *race = racer->race;
	unsigned int seed = racer->nr;
	size_t len, grown;
	char *p;

	while (!READ_ONCE(race->stop)) {
		len = (1 + rand_r(&seed) % 40) * WASM_PAGE;
		grown = len + rand_r(&seed) % 20 * WASM_PAGE;
		p = som_slot_get(shared_slots, len);
		if (!p) {
			/* The others have all, or there are some being reset. */
			som_bad(race, errno != EAGAIN);
			sched_yield();
			continue;
		}
		som_bad(race, som_not_zero(p, len) >= 0);
		som_bad(race, som_slot_grow(shared_slots, p, grown));
		som_bad(race, som_not_zero(p, grown) >= 0);
		memset(p + rand_r(&seed) % (len / 2), 0x55, len / 2);
		p[grown - 1] = 1;
		som_bad(race, som_slot_put(shared_slots, p));
		som_round(race);
	}
	return NULL;
}

TEST_F(som, threads)
{
	struct som_slots_config config = {
		.nr = 6,
		.size = 8 * UNIT,
		.guard = UNIT,
		.keep = UNIT,
		.batch = 2,
	};
	struct som_race race = {};

	shared_slots = som_slots_new(&config);
	ASSERT_NE(NULL, shared_slots);
	ASSERT_EQ(0, som_run_racers(&race, 4, slots_racer, som_just_wait));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	EXPECT_EQ(0, som_slots_clean(shared_slots));
	som_slots_free(shared_slots);
}

TEST_F(som, slots_errors)
{
	struct som_slots_config config = { .nr = 1, .size = UNIT, .keep = UNIT };
	struct som_slots *slots;
	char *p;

	EXPECT_EQ(NULL, som_slots_new(&(struct som_slots_config) { .nr = 1 }));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(NULL, som_slots_new(&(struct som_slots_config) {
				.size = UNIT }));
	EXPECT_EQ(NULL, som_slots_new(&(struct som_slots_config) {
				.nr = 1, .size = SIZE_MAX }));
	EXPECT_EQ(NULL, som_slots_new(&(struct som_slots_config) {
				.nr = SIZE_MAX / 16, .size = UNIT }));
	EXPECT_EQ(NULL, som_slots_new(&(struct som_slots_config) {
				.nr = 1, .size = UNIT, .options = 1 << 30 }));
	slots = som_slots_new(&config);
	ASSERT_NE(NULL, slots);
	EXPECT_EQ(NULL, som_slot_get(slots, UNIT + 1));
	EXPECT_EQ(ENOMEM, errno);
	p = som_slot_get(slots, 0);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(SIGSEGV, som_read_signal(p));
	EXPECT_EQ(NULL, som_slot_get(slots, 0));
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(-1, som_slot_grow(slots, p, UNIT + PAGE));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(0, som_slot_grow(slots, p, UNIT));
	EXPECT_EQ(0, som_slot_grow(slots, p, PAGE));
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	EXPECT_EQ(0, som_slot_put(slots, p));
	som_slots_free(slots);
}

TEST_HARNESS_MAIN
