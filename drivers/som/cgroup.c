// SPDX-License-Identifier: GPL-2.0
/*
 * Limits of control groups (cgroup v2). The memory controller neither charges nor limits
 * the pool's memory.
 *
 * An owner is charged to the cgroup in which its process first maps, and to all its
 * ancestors. As with the memory controller, the charge stays there if the process moves.
 * The root cgroup is not counted: its limit is the size of the pool.
 *
 * A record (struct som_cgroup) is found by the cgroup's ID, which the kernel never reuses.
 * A record does not keep its cgroup from being removed, and exists while:
 * - accounts or child records refer to it; or
 * - it has a limit. It then holds a reference to the cgroup, to detect its removal: reading
 *   or setting limits drops those of removed cgroups.
 *
 * som_cgroup_lock serialises setting and dropping limits. Inside it, the xarray's lock
 * covers dropping the last reference and removing the record. Charges are made under
 * som_charge_lock (account.c).
 */
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/kstrtox.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>
#include <linux/xarray.h>
#include "cgroup.h"
#include "compat.h"

/* Cgroups deeper than this are charged at this depth, as a charge visits all levels. */
#define SOM_CGROUP_DEPTH	64

/**
 * struct som_cgroup - charges of a control group
 * @id: the cgroup's ID.
 * @parent: record of the parent cgroup, with a reference; or NULL.
 * @refs: accounts, child records, and the limit.
 * @units: units charged.
 * @limit: units that may be charged.
 * @cgrp: the cgroup, with a reference, if there is a limit; under som_cgroup_lock.
 */
struct som_cgroup {
	u64 id;
	struct som_cgroup *parent;
	refcount_t refs;
	atomic_long_t units;
	unsigned long limit;
	struct cgroup *cgrp;
};

/* Records with a limit. They stay while som_cgroup_lock is held. */
#define SOM_HAS_LIMIT	XA_MARK_0

static DEFINE_XARRAY(som_cgroups);
static DEFINE_MUTEX(som_cgroup_lock);

static struct som_cgroup *cgroup_find(u64 id)
{
	struct som_cgroup *cg;

	lockdep_assert_held(&som_cgroups.xa_lock);

	/* Under this lock a record in the xarray has at least one reference. */
	cg = xa_load(&som_cgroups, id);
	if (cg)
		refcount_inc(&cg->refs);
	return cg;
}

/* Drop a reference. If it was the last, remove the record and return true. */
static bool cgroup_unref(struct som_cgroup *cg)
{
	bool last;

	xa_lock(&som_cgroups);
	last = refcount_dec_and_test(&cg->refs);
	if (last)
		__xa_erase(&som_cgroups, cg->id);
	xa_unlock(&som_cgroups);
	return last;
}

/**
 * som_cgroup_put - Drop a reference to a record
 * @cg: record, or NULL; has no charges if this is the last reference
 * Context: Process context; spinlocks may be held.
 */
void som_cgroup_put(struct som_cgroup *cg)
{
	struct som_cgroup *parent;

	while (cg && cgroup_unref(cg)) {
		WARN_ON_ONCE(atomic_long_read(&cg->units));
		parent = cg->parent;
		kfree(cg);
		cg = parent;
	}
}

/*
 * Find or create a record. Consumes the reference to @parent. Return: the record with a
 * reference; NULL without memory.
 */
static struct som_cgroup *make(struct som_cgroup *parent, u64 id)
{
	struct som_cgroup *new, *cg;
	int ret;

	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	ret = new ? xa_reserve(&som_cgroups, id, GFP_KERNEL_ACCOUNT) : -ENOMEM;
	if (ret) {
		kfree(new);
		som_cgroup_put(parent);
		return NULL;
	}
	refcount_set(&new->refs, 1);
	new->id = id;
	new->parent = parent;
	new->limit = SOM_NO_LIMIT;
	xa_lock(&som_cgroups);
	cg = cgroup_find(id);
	if (!cg && !xa_err(__xa_store(&som_cgroups, id, new, GFP_NOWAIT)))
		swap(cg, new);
	xa_unlock(&som_cgroups);
	if (!new)
		return cg;
	/* The existing record has its own reference to the parent. */
	kfree(new);
	som_cgroup_put(parent);
	return cg;
}

/* Return the record of a cgroup with a reference; NULL for the root or without memory. */
static struct som_cgroup *record_of(struct cgroup *cgrp)
{
	int level, last = min(som_cgroup_level(cgrp), SOM_CGROUP_DEPTH);
	struct som_cgroup *cg = NULL;

	for (level = 1; level <= last; level++) {
		cg = make(cg, som_cgroup_ancestor_id(cgrp, level));
		if (!cg)
			break;
	}
	return cg;
}

/**
 * som_cgroup_current - Find or create the record of the current process's cgroup
 * Context: Process context.
 * Return: the record with a reference; NULL in the root cgroup; ERR_PTR(-ENOMEM).
 */
struct som_cgroup *som_cgroup_current(void)
{
	struct cgroup *cgrp = som_current_cgroup();
	struct som_cgroup *cg;

	if (!cgrp)
		return NULL;
	cg = record_of(cgrp);
	if (!cg && som_cgroup_level(cgrp))
		cg = ERR_PTR(-ENOMEM);
	som_put_cgroup(cgrp);
	return cg;
}

/**
 * som_cgroup_over - Find a limit that a charge would exceed
 * @cg: record, or NULL
 * @nr_units: number of units
 * @excess: set to the number of units in excess
 * Context: som_charge_lock is held.
 * Return: the record whose limit would be exceeded, or NULL.
 */
const struct som_cgroup *som_cgroup_over(const struct som_cgroup *cg,
					 unsigned long nr_units,
					 unsigned long *excess)
{
	unsigned long sum, limit;

	for (; cg; cg = cg->parent) {
		sum = size_add(atomic_long_read(&cg->units), nr_units);
		limit = READ_ONCE(cg->limit);
		if (sum > limit) {
			*excess = sum - limit;
			return cg;
		}
	}
	return NULL;
}

/**
 * som_cgroup_add - Charge a cgroup and its ancestors
 * @cg: record, or NULL
 * @nr_units: number of units
 * Context: som_charge_lock is held.
 */
void som_cgroup_add(struct som_cgroup *cg, unsigned long nr_units)
{
	for (; cg; cg = cg->parent)
		atomic_long_add(nr_units, &cg->units);
}

/**
 * som_cgroup_sub - Undo som_cgroup_add()
 * @cg: record, or NULL
 * @nr_units: number of units
 * Context: Any.
 */
void som_cgroup_sub(struct som_cgroup *cg, unsigned long nr_units)
{
	for (; cg; cg = cg->parent)
		atomic_long_sub(nr_units, &cg->units);
}

/**
 * som_cgroup_within - Test whether charges of one cgroup count against another
 * @cg: record of the one, or NULL
 * @of: record of the other
 * Context: Any.
 * Return: true if they do.
 */
bool som_cgroup_within(const struct som_cgroup *cg, const struct som_cgroup *of)
{
	for (; cg; cg = cg->parent)
		if (cg == of)
			return true;
	return false;
}

/* Drop a limit and its reference to the record. */
static void drop_limit(struct som_cgroup *cg)
{
	struct cgroup *cgrp = cg->cgrp;

	lockdep_assert_held(&som_cgroup_lock);

	WRITE_ONCE(cg->limit, SOM_NO_LIMIT);
	cg->cgrp = NULL;
	xa_clear_mark(&som_cgroups, cg->id, SOM_HAS_LIMIT);
	som_put_cgroup(cgrp);
	som_cgroup_put(cg);
}

/* Drop the limits of removed cgroups. */
static void drop_removed(void)
{
	struct som_cgroup *cg;
	unsigned long id;

	lockdep_assert_held(&som_cgroup_lock);

	xa_for_each_marked(&som_cgroups, id, cg, SOM_HAS_LIMIT)
		if (som_cgroup_removed(cg->cgrp))
			drop_limit(cg);
}

static int set_limit(u64 id, unsigned long limit)
{
	struct cgroup *cgrp;
	struct som_cgroup *cg;
	int level;

	lockdep_assert_held(&som_cgroup_lock);

	cgrp = som_find_cgroup(id);
	if (IS_ERR(cgrp))
		return PTR_ERR(cgrp);
	level = som_cgroup_level(cgrp);
	if (!level || level > SOM_CGROUP_DEPTH) {
		som_put_cgroup(cgrp);
		return -EINVAL;
	}
	cg = record_of(cgrp);
	if (!cg) {
		som_put_cgroup(cgrp);
		return -ENOMEM;
	}
	if (cg->cgrp) {
		/* The previous limit holds references to both already. */
		som_put_cgroup(cgrp);
		som_cgroup_put(cg);
	} else {
		cg->cgrp = cgrp;
		xa_set_mark(&som_cgroups, id, SOM_HAS_LIMIT);
	}
	WRITE_ONCE(cg->limit, limit);
	if (limit == SOM_NO_LIMIT)
		drop_limit(cg);
	return 0;
}

/**
 * som_cgroup_set - Set a limit
 * @text: "ID UNITS" or "ID max"
 *
 * The ID of a cgroup is the inode number of its directory. Existing charges stay.
 * Context: Process context.
 * Return: 0; -EINVAL if the text is malformed, or the cgroup is the root or too deep;
 * -ENOENT if the caller's cgroup namespace has no such cgroup; -ENOMEM; -EOPNOTSUPP if the
 * kernel has no cgroups.
 */
int som_cgroup_set(const char *text)
{
	char id_text[24], limit_text[24], more;
	unsigned long limit;
	u64 id;
	int ret;

	if (sscanf(text, "%23s %23s %c", id_text, limit_text, &more) != 2)
		return -EINVAL;
	ret = kstrtou64(id_text, 0, &id);
	if (!ret)
		ret = som_limit_parse(limit_text, &limit);
	if (ret)
		return ret;
	mutex_lock(&som_cgroup_lock);
	drop_removed();
	ret = set_limit(id, limit);
	mutex_unlock(&som_cgroup_lock);
	return ret;
}

static void print_line(const struct som_cgroup *cg, char *line)
{
	char limit[24];

	if (cg->limit == SOM_NO_LIMIT)
		strscpy(limit, "max");
	else
		snprintf(limit, sizeof(limit), "%lu", cg->limit);
	scnprintf(line, SOM_CGROUP_LINE + 1, "%21llu %20s %20ld\n", cg->id,
		  limit, atomic_long_read(&cg->units));
}

/**
 * som_cgroup_show - List the limits
 * @buf: buffer
 * @pos: offset in the text to begin at
 * @count: size of the buffer
 *
 * Prints lines "ID LIMIT UNITS" of SOM_CGROUP_LINE characters each, sorted by ID.
 * Context: Process context.
 * Return: length of the text in @buf.
 */
ssize_t som_cgroup_show(char *buf, loff_t pos, size_t count)
{
	char line[SOM_CGROUP_LINE + 1];
	struct som_cgroup *cg;
	unsigned long id;
	loff_t at = 0;
	size_t n = 0;

	mutex_lock(&som_cgroup_lock);
	drop_removed();
	xa_for_each_marked(&som_cgroups, id, cg, SOM_HAS_LIMIT) {
		if (at + SOM_CGROUP_LINE > pos && n < count) {
			size_t from = max(pos, at) - at;
			size_t len = min(count - n, SOM_CGROUP_LINE - from);

			print_line(cg, line);
			memcpy(buf + n, line + from, len);
			n += len;
		}
		at += SOM_CGROUP_LINE;
	}
	mutex_unlock(&som_cgroup_lock);
	return n;
}

/**
 * som_cgroup_exit - Drop all limits
 * Context: Module unload; no account is left and no limit can be set.
 */
void som_cgroup_exit(void)
{
	struct som_cgroup *cg;
	unsigned long id;

	mutex_lock(&som_cgroup_lock);
	xa_for_each_marked(&som_cgroups, id, cg, SOM_HAS_LIMIT)
		drop_limit(cg);
	mutex_unlock(&som_cgroup_lock);
	WARN_ON_ONCE(!xa_empty(&som_cgroups));
	xa_destroy(&som_cgroups);
}

/**
 * som_limit_parse - Parse a limit
 * @text: "max" or a number of units
 * @limit: set to the limit
 * Return: 0; -errno: @limit is unchanged.
 */
int som_limit_parse(const char *text, unsigned long *limit)
{
	unsigned long value;
	int ret;

	if (sysfs_streq(text, "max")) {
		WRITE_ONCE(*limit, SOM_NO_LIMIT);
		return 0;
	}
	ret = kstrtoul(text, 0, &value);
	if (!ret)
		WRITE_ONCE(*limit, value);
	return ret;
}

/**
 * som_limit_print - Format a limit for som_limit_parse()
 * @buf: a page
 * @limit: limit
 * Return: length of the text.
 */
int som_limit_print(char *buf, unsigned long limit)
{
	return limit == SOM_NO_LIMIT ? sysfs_emit(buf, "max\n") :
				       sysfs_emit(buf, "%lu\n", limit);
}
