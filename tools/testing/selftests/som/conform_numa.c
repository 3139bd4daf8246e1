// SPDX-License-Identifier: GPL-2.0
/* som_conform: memory policies, and moving pages between nodes. */
#include <linux/mempolicy.h>

#include "conform.h"

static long do_mbind(void *p, size_t len, int mode, unsigned long nodes,
		     unsigned int flags)
{
	return syscall(SYS_mbind, p, len, mode, nodes ? &nodes : NULL,
		       nodes ? 8 * sizeof(nodes) : 0, flags);
}

static bool have_node(int node)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", node);
	return !access(path, F_OK);
}

/* Return: the node that memory is on, or -errno. */
static int node_of(void *p)
{
	int status = -1;
	long ret = syscall(SYS_move_pages, 0, 1UL, &p, NULL, &status, 0);

	return ret < 0 ? -errno : status;
}

static void say_node(struct conform *c, void *p)
{
	int node = node_of(p);

	if (node < 0)
		say(c, "%s", strerrorname_np(-node));
	else
		say(c, "has a node");
}

/* The node of the pool's one chunk. */
static int pool_node(void)
{
	return som_pool("node1/nr_chunks") > 0;
}

/* The node that the first page is not on. The kernel does not tell it of special entries. */
static int other_node(struct conform *c)
{
	int node = -1;

	if (syscall(SYS_get_mempolicy, &node, NULL, 0UL, c->p,
		    MPOL_F_NODE | MPOL_F_ADDR))
		node = pool_node();
	return !node && have_node(1);
}

static void op_mbind(struct conform *c)
{
	char *p = part_start(c, c->row->part);

	fill(c);
	say_result(c, do_mbind(p, part_len(c->row->part),
			       c->row->arg & 0xff, 1UL << pool_node(),
			       c->row->arg >> 8));
	say_data(c, c->row->part);
}

static void op_mbind_empty(struct conform *c)
{
	say_result(c, do_mbind(c->p, CONFORM_LEN, c->row->arg,
			       1UL << pool_node(), 0));
	say_writable(c, c->p, CONFORM_LEN, 0);
}

/* To the other node, with what is there. */
static void op_mbind_move(struct conform *c)
{
	char *p = part_start(c, c->row->part);

	fill(c);
	if (!have_node(1)) {
		say(c, "one node");
		return;
	}
	say_result(c, do_mbind(p, part_len(c->row->part), MPOL_BIND,
			       1UL << other_node(c), c->row->arg));
	say_data(c, c->row->part);
}

static void op_set_mempolicy(struct conform *c)
{
	unsigned long nodes = 1UL << pool_node();
	char *p;

	say_result(c, syscall(SYS_set_mempolicy, c->row->arg, &nodes, 64UL));
	p = map_more(c, NULL, UNIT, RW, 0);
	say_writable(c, p, UNIT, 0);
	syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0UL);
}

static void op_get_mempolicy(struct conform *c)
{
	int node = -1;

	fill(c);
	say_result(c, syscall(SYS_get_mempolicy, &node, NULL, 0UL, c->p,
			      MPOL_F_NODE | MPOL_F_ADDR));
	say(c, node >= 0 ? "a node" : "no node");
	do_mbind(c->p, CONFORM_LEN, MPOL_BIND, 1, 0);
	node = -1;
	say_result(c, syscall(SYS_get_mempolicy, &node, NULL, 0UL, c->p,
			      MPOL_F_ADDR));
	say(c, node == MPOL_BIND ? "MPOL_BIND" : "another policy");
	say_data(c, WHOLE);
}

static void op_home_node(struct conform *c)
{
	fill(c);
	do_mbind(c->p, CONFORM_LEN, MPOL_BIND, 1, 0);
	say_result(c, syscall(SYS_set_mempolicy_home_node, c->p, CONFORM_LEN,
			      0UL, 0UL));
	say_data(c, WHOLE);
}

static void op_move_status(struct conform *c)
{
	if (c->row->arg)
		fill(c);
	say_node(c, c->p + UNIT + 5 * PAGE);
}

/* The same where an entry maps 4 KiB. */
static void op_move_status_4k(struct conform *c)
{
	fill(c);
	mprotect(c->p + UNIT, PAGE, PROT_READ);
	WRITE_ONCE(c->p[UNIT + 5 * PAGE], READ_ONCE(c->p[UNIT + 5 * PAGE]));
	say_node(c, c->p + UNIT + 5 * PAGE);
	mprotect(c->p + UNIT, PAGE, RW);
	say_data(c, WHOLE);
}

/* Two pages, to the node they are on or to the other. */
static void op_move_pages(struct conform *c)
{
	void *pages[2] = { c->p + UNIT + 5 * PAGE, c->p + UNIT + 6 * PAGE };
	int nodes[2], status[2] = { -1, -1 };
	long ret;

	fill(c);
	if (c->row->arg && !have_node(1)) {
		say(c, "one node");
		return;
	}
	nodes[0] = other_node(c);
	if (!c->row->arg)
		nodes[0] = have_node(1) ? !nodes[0] : 0;
	nodes[1] = nodes[0];
	ret = syscall(SYS_move_pages, 0, 2UL, pages, nodes, status,
		      MPOL_MF_MOVE);
	if (ret > 0)
		say(c, "%ld pages not moved", ret);
	else
		say_result(c, ret);
	if (status[0] < 0)
		say(c, "%s", strerrorname_np(-status[0]));
	else
		say(c, status[0] == nodes[0] ? "on that node" : "elsewhere");
	say_data(c, WHOLE);
}

static void op_migrate_pages(struct conform *c)
{
	unsigned long from = 1, to = 2;
	long ret;

	fill(c);
	if (!have_node(1)) {
		say(c, "one node");
		return;
	}
	ret = syscall(SYS_migrate_pages, 0, 64UL, &from, &to);
	say(c, ret < 0 ? strerrorname_np(errno) : "ok");
	ret = syscall(SYS_migrate_pages, 0, 64UL, &to, &from);
	say(c, ret < 0 ? strerrorname_np(errno) : "ok");
	say_data(c, WHOLE);
}

#define WITH(mode, flags)	((mode) | (flags) << 8)

static const char why_stay[] =
	"som memory stays on its node. A request to move it succeeds without "
	"an effect, because the memory counts as mapped more than once.";
static const char why_which[] =
	"The kernel does not report the node of special entries "
	"(mm/pagewalk.c, folio_walk_start()). Nothing moves.";

#define MOVED		"ok, data kept"
#define STAYED		"EIO, data kept"
#define HUGE_NO		"EINVAL, data kept"

static const struct conform_row numa_rows[] = {
	{ "mbind(MPOL_BIND)", op_mbind, WITH(MPOL_BIND, 0), WHOLE,
	  { "ok, data kept" } },
	{ "mbind(MPOL_BIND), empty", op_mbind_empty, MPOL_BIND, 0,
	  { "ok, zeroes" } },
	{ "mbind(MPOL_PREFERRED), empty", op_mbind_empty, MPOL_PREFERRED, 0,
	  { "ok, zeroes" } },
	{ "mbind(MPOL_INTERLEAVE), empty", op_mbind_empty, MPOL_INTERLEAVE, 0,
	  { "ok, zeroes" } },
	{ "mbind(MPOL_BIND) of 8K", op_mbind, WITH(MPOL_BIND, 0), TWO_PAGES,
	  { "ok, data kept", "EINVAL, data kept" } },
	{ "mbind to the other node, MPOL_MF_MOVE, all", op_mbind_move,
	  MPOL_MF_MOVE, WHOLE, { MOVED } },
	{ "mbind to the other node, MPOL_MF_MOVE, 8K", op_mbind_move,
	  MPOL_MF_MOVE, TWO_PAGES, { MOVED, HUGE_NO } },
	{ "mbind to the other node, MPOL_MF_MOVE | MPOL_MF_STRICT, 2M",
	  op_mbind_move, MPOL_MF_MOVE | MPOL_MF_STRICT, ONE_UNIT,
	  { MOVED, NULL, MOVED, MOVED }, why_stay },
	{ "mbind to the other node, MPOL_MF_STRICT, 8K",
	  op_mbind_move, MPOL_MF_STRICT, TWO_PAGES, { STAYED } },
	{ "mbind to the other node, MPOL_MF_MOVE_ALL, 8K",
	  op_mbind_move, MPOL_MF_MOVE_ALL, TWO_PAGES, { MOVED, HUGE_NO } },
	{ "set_mempolicy(MPOL_BIND), then mmap", op_set_mempolicy, MPOL_BIND,
	  0, { "ok, zeroes" } },
	{ "set_mempolicy(MPOL_INTERLEAVE), then mmap", op_set_mempolicy,
	  MPOL_INTERLEAVE, 0, { "ok, zeroes" } },
	{ "get_mempolicy of an address", op_get_mempolicy, 0, 0,
	  { "ok, a node, ok, MPOL_BIND, data kept" } },
	{ "set_mempolicy_home_node", op_home_node, 0, 0, { "ok, data kept" } },
	{ "move_pages, which node, empty", op_move_status, 0, 0, { "ENOENT" } },
	{ "move_pages, which node, filled", op_move_status, 1, 0,
	  { "has a node", NULL, "ENOENT", "ENOENT" }, why_which },
	{ "move_pages, which node, 4K entries", op_move_status_4k, 0, 0,
	  { "has a node, data kept", NULL, "ENOENT, data kept",
	    "ENOENT, data kept" }, why_which },
	{ "move_pages to the node they are on", op_move_pages, 0, 0,
	  { "ok, on that node, data kept", NULL, "ok, ENOENT, data kept",
	    "ok, ENOENT, data kept" }, why_which },
	{ "move_pages to the other node", op_move_pages, 1, 0,
	  { "ok, on that node, data kept", NULL,
	    "ok, ENOENT, data kept", "ok, ENOENT, data kept" },
	  why_which },
	{ "migrate_pages to the other node and back", op_migrate_pages, 0, 0,
	  { "ok, ok, data kept" } },
	{}
};

const struct conform_topic conform_numa = { "NUMA", numa_rows };
