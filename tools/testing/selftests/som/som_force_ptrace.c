// SPDX-License-Identifier: GPL-2.0
/*
 * Access from outside against a mapping's protection where tracers may: see som_force.h.
 *
 * The debug kernel is built without CONFIG_MEMCG, and so without mm->owner, by which the
 * driver knows a tracer: it refuses more there than anonymous memory does.
 *
 * SOM-TEST: append=proc_mem.force_override=ptrace kernels=generic,cloud
 */
#include "som_force.h"

TEST_F(som, ptrace)
{
	check_force(_metadata, self->fd, false, true);
}

TEST_HARNESS_MAIN
