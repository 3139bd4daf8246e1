// SPDX-License-Identifier: GPL-2.0
/*
 * Access from outside against a mapping's protection where tracers may: see som_force.h.
 *
 * SOM-TEST: append=proc_mem.force_override=ptrace
 */
#include "som_force.h"

TEST_F(som, ptrace)
{
	check_force(_metadata, self->fd, false, true);
}

TEST_HARNESS_MAIN
