// SPDX-License-Identifier: GPL-2.0
/*
 * Choose the NUMA node of a unit: by the VMA's memory policy (mbind), else the task's
 * (set_mempolicy), else the processor's node; then by distance.
 *
 *	none, MPOL_LOCAL	the processor's node
 *	MPOL_PREFERRED, _MANY	one of the nodes, nearest first; then any
 *	MPOL_INTERLEAVE		a node in turn, by unit index; then any
 *	MPOL_BIND		one of the nodes, nearest first; no other
 *
 * MPOL_WEIGHTED_INTERLEAVE is treated as MPOL_INTERLEAVE, as modules cannot read the
 * weights. Without a policy, the nodes of the cpuset are tried first.
 *
 * Called from faults. mbind takes the VMA's lock to change its policy, and only the task
 * itself changes its policy. A cpuset may change the nodes of a policy at any time, so code
 * that reads them more than once uses a copy.
 */
#include <linux/cpuset.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/topology.h>
#include "compat.h"
#include "numa.h"
#include "pool.h"
#include "range.h"

/* Preferred place of a unit. */
struct som_place {
	int nid;			/* near this node */
	const nodemask_t *nodes;	/* among these, or NULL */
	bool strict;			/* and on no other node */
};

/* Return the node that is next in turn, for unit index @n. */
static int nth_node(const nodemask_t *nodes, unsigned long n)
{
	int nid = first_node(*nodes);

	for (n %= nodes_weight(*nodes); n; n--)
		nid = next_node(nid, *nodes);
	return nid;
}

static void place_policy(struct som_place *place,
			 const struct som_mempolicy *pol, unsigned long idx)
{
	nodemask_t nodes;

	barrier();
	nodes = *pol->nodes;
	barrier();
	if (nodes_empty(nodes))
		return;
	switch (pol->mode) {
	case MPOL_BIND:
	case MPOL_PREFERRED_MANY:
		if (pol->home_node != NUMA_NO_NODE)
			place->nid = pol->home_node;
		place->nodes = pol->nodes;
		place->strict = pol->mode == MPOL_BIND;
		break;
	case MPOL_PREFERRED:
		place->nid = first_node(nodes);
		break;
	case MPOL_INTERLEAVE:
	case MPOL_WEIGHTED_INTERLEAVE:
		place->nid = nth_node(&nodes, idx);
		break;
	}
}

static void numa_find_place(struct som_place *place, struct vm_area_struct *vma,
			    unsigned long idx)
{
	struct som_mempolicy pol;

	place->nid = numa_mem_id();
	place->nodes = NULL;
	place->strict = false;
	if (som_mempolicy_get(vma, &pol))
		place_policy(place, &pol, idx);
	else if (!node_isset(place->nid, cpuset_current_mems_allowed))
		place->nodes = &cpuset_current_mems_allowed;
}

/**
 * som_numa_alloc - Take a unit for a VMA
 * @user: user
 * @vma: VMA
 * @idx: unit index
 * Context: Process context; mmap_lock or the VMA lock is held. May sleep.
 * Return: unit number; -EAGAIN if there is none right now; -ENOSPC if the policy's nodes
 * have no free unit, or reserved memory has failed.
 */
som_unit_t som_numa_alloc(struct som_pool_user *user, struct vm_area_struct *vma,
			  unsigned long idx)
{
	struct som_place place;
	som_unit_t unit;

	numa_find_place(&place, vma, idx);
	unit = som_pool_alloc(user, place.nid, place.nodes);
	if (som_unit_failed(unit) && place.strict)
		return som_unit_error(som_pool_units_left(user, place.nodes) ?
				      -EAGAIN : -ENOSPC);
	if (som_unit_failed(unit) && place.nodes)
		unit = som_pool_alloc(user, place.nid, NULL);
	if (som_unit_failed(unit))
		return som_unit_error(som_pool_broken(user) ? -ENOSPC : -EAGAIN);
	return unit;
}

/**
 * som_numa_alloc_chunk - Take all units of an empty chunk for a VMA
 * @user: user
 * @vma: VMA
 * @idx: first unit index
 * Context: as som_numa_alloc().
 * Return: chunk number or -ENOSPC.
 */
long som_numa_alloc_chunk(struct som_pool_user *user,
			  struct vm_area_struct *vma, unsigned long idx)
{
	struct som_place place;
	long chunk;

	numa_find_place(&place, vma, idx / SOM_CHUNK_UNITS);
	chunk = som_pool_alloc_chunk(user, place.nid, place.nodes);
	if (chunk < 0 && place.nodes && !place.strict)
		chunk = som_pool_alloc_chunk(user, place.nid, NULL);
	return chunk;
}
