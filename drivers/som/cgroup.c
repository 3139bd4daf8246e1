// SPDX-License-Identifier: GPL-2.0
/*
 * Limits of control groups (cgroup v2): the pool's memory is not the kernel's, so the
 * memory controller neither charges nor limits it.
 *
 * An owner is charged to the cgroup that its process is in when it first maps, and to
 * each cgroup above that one. As with the memory controller, the charge stays there if
 * the process moves. The root cgroup is not counted: its limit is the pool.
 *
 * A record (struct som_cgroup) is found by the cgroup's ID, which is never used again.
 * It has no reference to the cgroup itself, so a cgroup can be removed whatever is
 * charged to it. It lives as long as
 *
 *  - accounts and the records of cgroups below it refer to it;
 *  - it has a limit. Then there is a reference to the cgroup, to see that it was
 *    removed: whoever looks at the limits, or sets one, drops those of cgroups that
 *    are gone.
 *
 * som_cgroup_lock: setting limits, and dropping them. Under it, the xarray's lock: the
 * records, from "no reference is left" to "not in the table". Charges are made under
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

/* What is below such a depth is charged at that depth: a charge visits all levels. */
#define SOM_CGROUP_DEPTH	64

/**
 * struct som_cgroup - what a control group is charged
 * @id: the cgroup's.
 * @parent: the record of the cgroup above, with a reference; or NULL.
 * @refs: accounts, records below it, and its limit.
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

/* Records with a limit: they stay as long as som_cgroup_lock is held. */
#define SOM_HAS_LIMIT	XA_MARK_0

static DEFINE_XARRAY(som_cgroups);
static DEFINE_MUTEX(som_cgroup_lock);

static struct som_cgroup *cgroup_find(u64 id)
{
	struct som_cgroup *cg;

	lockdep_assert_held(&som_cgroups.xa_lock);

	/* Who drops the last reference takes it out under this lock. */
	cg = xa_load(&som_cgroups, id);
	if (cg)
		refcount_inc(&cg->refs);
	return cg;
}

/* Give a reference back. True if it was the last one: nobody finds the record any more. */
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
 * som_cgroup_put - give a reference back
 * @cg: the record, or NULL; with the last reference, nothing is charged to it
 *
 * Context: Process context; may be called with spinlocks held.
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
 * A record, with a reference; made if need be. The reference to @parent goes with it.
 * NULL without memory, and the reference is given back.
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
	/* The other one has a reference of its own. */
	kfree(new);
	som_cgroup_put(parent);
	return cg;
}

/* The record of a cgroup, with a reference. NULL for the root, or without memory. */
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
 * som_cgroup_current - find the record of the current process's cgroup
 *
 * Context: Process context.
 * Return: the record, with a reference; NULL in the root cgroup; ERR_PTR(-ENOMEM).
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
 * som_cgroup_over - look for a limit that does not allow some more units
 * @cg: the record, or NULL
 * @nr_units: how many
 * @excess: where it goes how many too many
 *
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
 * som_cgroup_add - charge a cgroup, and all above it
 * @cg: the record, or NULL
 * @nr_units: how many units
 *
 * Context: som_charge_lock is held.
 */
void som_cgroup_add(struct som_cgroup *cg, unsigned long nr_units)
{
	for (; cg; cg = cg->parent)
		atomic_long_add(nr_units, &cg->units);
}

/**
 * som_cgroup_sub - undo som_cgroup_add()
 * @cg: the record, or NULL
 * @nr_units: how many units
 *
 * Context: Any.
 */
void som_cgroup_sub(struct som_cgroup *cg, unsigned long nr_units)
{
	for (; cg; cg = cg->parent)
		atomic_long_sub(nr_units, &cg->units);
}

/**
 * som_cgroup_within - tell whether what is charged to one cgroup counts for another
 * @cg: the record of the one, or NULL
 * @of: the record of the other
 *
 * Context: Any.
 * Return: true if so.
 */
bool som_cgroup_within(const struct som_cgroup *cg, const struct som_cgroup *of)
{
	for (; cg; cg = cg->parent)
		if (cg == of)
			return true;
	return false;
}

/* A limit goes; and the record, if nothing else refers to it. */
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

/* The limits of cgroups that were removed go. */
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
		/* The limit that it had has references to both already. */
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
 * som_cgroup_set - set a limit
 * @text: "ID UNITS" or "ID max"
 *
 * The ID of a cgroup is the inode number of its directory. What is charged already
 * stays.
 *
 * Context: Process context.
 * Return: 0; -EINVAL if the text is something else, or the cgroup is the root or too deep;
 * -ENOENT without such a cgroup in the caller's cgroup namespace; -ENOMEM;
 * -EOPNOTSUPP if the kernel has no cgroups.
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
 * som_cgroup_show - list the limits
 * @buf: where the text goes
 * @pos: where in the text to begin
 * @count: length of the buffer
 *
 * Lines "ID LIMIT UNITS", all SOM_CGROUP_LINE long, in the order of IDs.
 *
 * Context: Process context.
 * Return: length of the text.
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
 * som_cgroup_exit - drop all limits
 *
 * Context: Module unload; no account is left, and nobody can set a limit.
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
 * som_limit_parse - a limit, in words
 * @text: "max" or a number of units
 * @limit: where it goes
 *
 * Return: 0 or -errno, and @limit is as it was.
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
 * som_limit_print - the opposite of som_limit_parse()
 * @buf: a page
 * @limit: the limit
 *
 * Return: length of the text.
 */
int som_limit_print(char *buf, unsigned long limit)
{
	return limit == SOM_NO_LIMIT ? sysfs_emit(buf, "max\n") :
				       sysfs_emit(buf, "%lu\n", limit);
}
