/* SPDX-License-Identifier: GPL-2.0 */
/* Other numbers than the kernel's: the suites need some, not those. */
#ifndef _SOM_TEST_LINUX_PRANDOM_H
#define _SOM_TEST_LINUX_PRANDOM_H

#include <linux/types.h>

struct rnd_state {
	u64 x;
};

static inline void prandom_seed_state(struct rnd_state *state, u64 seed)
{
	state->x = seed;
}

/* A linear congruential generator; its high bits are the good ones. */
static inline u32 prandom_u32_state(struct rnd_state *state)
{
	state->x = state->x * 6364136223846793005ULL + 1442695040888963407ULL;
	return state->x >> 32;
}

#endif /* _SOM_TEST_LINUX_PRANDOM_H */
