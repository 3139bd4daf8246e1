// SPDX-License-Identifier: GPL-2.0
/*
 * Access from outside against a mapping's protection where all may: see som_force.h.
 *
 * SOM-TEST: append=proc_mem.force_override=always
 */
#include "som_force.h"

TEST_F(som, always)
{
	check_force(_metadata, self->fd, true, true);
}

TEST_HARNESS_MAIN
