// SPDX-License-Identifier: GPL-2.0
/*
 * Access from outside against a mapping's protection where only ptrace may: see som_force.h.
 *
 * SOM-TEST: append=proc_mem.force_override=never
 */
#include "som_force.h"

TEST_F(som, never)
{
	check_force(_metadata, self->fd, false, false);
}

TEST_HARNESS_MAIN
