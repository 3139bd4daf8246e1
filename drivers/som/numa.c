// SPDX-License-Identifier: GPL-2.0
/*
 * Which NUMA node a unit comes from: the VMA's memory policy (mbind), or else the
 * task's (set_mempolicy), or else the node of the processor; then by distance.
 *
 *	MPOL_LOCAL, none	the processor's node
 *	MPOL_PREFERRED, _MANY	one of the nodes, the nearest first; then any
 *	MPOL_INTERLEAVE		a node for each unit in turn, by its place in the
 *				mapping; then any. MPOL_WEIGHTED_INTERLEAVE, too:
 *				the kernel does not tell modules the weights
 *	MPOL_BIND		one of the nodes, the nearest first, or none
 *
 * A cpuset's nodes are tried first where there is no policy.
 *
 * Context: a fault. mbind holds the VMA's lock to change its policy. Nobody else
 * changes a task's policy; a cpuset may change the nodes in it meanwhile, so where more
 * than one look is taken, it is at a copy.
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

/* Where to look first. */
struct som_place {
	int nid;			/* near to this node ... */
	const nodemask_t *nodes;	/* ... among these, or NULL */
	bool strict;			/* and nowhere else */
};

/* The nth node of a policy, in turn. */
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
 * som_numa_alloc - take a unit for a VMA
 * @user: whose it will be
 * @vma: the VMA
 * @idx: unit index
 *
 * Context: Process context; mmap_lock or the VMA lock is held. May sleep.
 * Return: unit number; -EAGAIN if there is none right now; -ENOSPC if the policy
 * allows only nodes of which the pool has nothing free, or memory has failed that was
 * reserved.
 */
long som_numa_alloc(struct som_pool_user *user, struct vm_area_struct *vma,
		    unsigned long idx)
{
	struct som_place place;
	long unit;

	numa_find_place(&place, vma, idx);
	unit = som_pool_alloc(user, place.nid, place.nodes);
	if (unit < 0 && place.strict)
		return som_pool_units_left(user, place.nodes) ? -EAGAIN :
								 -ENOSPC;
	if (unit < 0 && place.nodes)
		unit = som_pool_alloc(user, place.nid, NULL);
	if (unit < 0)
		return som_pool_broken(user) ? -ENOSPC : -EAGAIN;
	return unit;
}

/**
 * som_numa_alloc_chunk - take all units of an empty chunk for a VMA
 * @user: whose they will be
 * @vma: the VMA
 * @idx: first unit index
 *
 * Context: as som_numa_alloc().
 * Return: chunk number, or -ENOSPC.
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
