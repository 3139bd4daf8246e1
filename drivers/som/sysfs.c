// SPDX-License-Identifier: GPL-2.0
/*
 * Attributes of the device in sysfs, and files in debugfs.
 *
 * Each NUMA node and each source has a directory: a named attribute group, so that the
 * driver core creates it before programs can open the device.
 */
#include <linux/array_size.h>
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/file.h>
#include <linux/mm_types.h>
#include <linux/nodemask.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/som.h>
#include "account.h"
#include "cache.h"
#include "cgroup.h"
#include "compact.h"
#include "entry.h"
#include "inode.h"
#include "owner.h"
#include "page_backed.h"
#include "parcel.h"
#include "parcel_file.h"
#include "pool.h"
#include "som_types.h"
#include "sysfs.h"
#include "zero.h"

enum som_stat {
	SOM_STAT_CHUNKS,
	SOM_STAT_EMPTY,
	SOM_STAT_TOTAL,
	SOM_STAT_FREE,
	SOM_STAT_ZEROED,
	SOM_STAT_DIRTY,
	SOM_STAT_USED,
	SOM_STAT_QUARANTINED,
	SOM_STAT_POISONED,
	SOM_STAT_COMMITTED,
};

static ssize_t show_stat(int nid, enum som_stat which, char *buf)
{
	struct som_pool_stats stats;
	unsigned long value = 0;

	som_pool_stats(nid, &stats);
	switch (which) {
	case SOM_STAT_CHUNKS:
		value = stats.chunks;
		break;
	case SOM_STAT_EMPTY:
		value = stats.empty;
		break;
	case SOM_STAT_TOTAL:
		value = stats.total;
		break;
	case SOM_STAT_FREE:
		value = stats.free;
		break;
	case SOM_STAT_ZEROED:
		value = stats.free - stats.dirty;
		break;
	case SOM_STAT_DIRTY:
		value = stats.dirty;
		break;
	case SOM_STAT_USED:
		value = stats.used;
		break;
	case SOM_STAT_QUARANTINED:
		value = stats.quarantined;
		break;
	case SOM_STAT_POISONED:
		value = stats.poisoned;
		break;
	case SOM_STAT_COMMITTED:
		value = stats.committed;
		break;
	}
	return sysfs_emit(buf, "%lu\n", value);
}

/* Counter of the pool or of a node. */
struct som_dev_attr {
	struct device_attribute attr;
	enum som_stat which;
	int nid;
};

static ssize_t dev_show(struct device *dev, struct device_attribute *attr,
			char *buf)
{
	struct som_dev_attr *a = container_of(attr, struct som_dev_attr, attr);

	return show_stat(a->nid, a->which, buf);
}

static ssize_t nr_chunks_store(struct device *dev,
			       struct device_attribute *attr, const char *buf,
			       size_t count)
{
	unsigned long nr;
	int ret;

	ret = kstrtoul(buf, 0, &nr);
	if (ret)
		return ret;
	som_cache_drain();
	ret = som_pool_resize(nr);
	return ret ? ret : count;
}

static ssize_t compact_store(struct device *dev, struct device_attribute *attr,
			     const char *buf, size_t count)
{
	unsigned long nr;
	int ret;

	ret = kstrtoul(buf, 0, &nr);
	if (ret)
		return ret;
	ret = som_compact(nr);
	return ret ? ret : count;
}
static DEVICE_ATTR_WO(compact);

static ssize_t share_chunks_show(struct device *dev,
				 struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", som_pool_shared());
}

static ssize_t share_chunks_store(struct device *dev,
				  struct device_attribute *attr,
				  const char *buf, size_t count)
{
	bool share;
	int ret;

	ret = kstrtobool(buf, &share);
	if (ret)
		return ret;
	som_cache_drain();
	ret = som_pool_share(share);
	return ret ? ret : count;
}
static DEVICE_ATTR_RW(share_chunks);

static ssize_t units_page_backed_show(struct device *dev,
				      struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n", som_page_backed_units());
}
static DEVICE_ATTR_RO(units_page_backed);

/* Read-only counter. */
#define SOM_NUMBER_ATTR(_name, _value)					\
	static ssize_t _name##_show(struct device *dev,			\
				    struct device_attribute *attr,	\
				    char *buf)				\
	{								\
		return sysfs_emit(buf, "%lu\n", _value);		\
	}								\
	static DEVICE_ATTR_RO(_name)

SOM_NUMBER_ATTR(units_cached, som_cache_total());
SOM_NUMBER_ATTR(units_parcel, som_parcel_units());
SOM_NUMBER_ATTR(zeroed_background, som_zero_total());
SOM_NUMBER_ATTR(zero_pauses, som_zero_pauses());

/* Writable setting. */
struct som_setting_attr {
	struct device_attribute attr;
	unsigned long *value;
	bool limit;		/* accepts "max" */
	void (*changed)(void);	/* or NULL */
};

static ssize_t setting_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	struct som_setting_attr *a = container_of(attr, struct som_setting_attr,
						  attr);
	unsigned long value = READ_ONCE(*a->value);

	return a->limit ? som_limit_print(buf, value) :
			  sysfs_emit(buf, "%lu\n", value);
}

static ssize_t setting_store(struct device *dev, struct device_attribute *attr,
			     const char *buf, size_t count)
{
	struct som_setting_attr *a = container_of(attr, struct som_setting_attr,
						  attr);
	unsigned long value;
	int ret;

	if (a->limit) {
		ret = som_limit_parse(buf, a->value);
	} else {
		ret = kstrtoul(buf, 0, &value);
		if (!ret)
			WRITE_ONCE(*a->value, value);
	}
	if (ret)
		return ret;
	if (a->changed)
		a->changed();
	return count;
}

#define SOM_SETTING_ATTR(_name, _value, _limit, _changed)		\
	static struct som_setting_attr dev_attr_##_name = {		\
		.attr = __ATTR(_name, 0644, setting_show, setting_store), \
		.value = &(_value),					\
		.limit = _limit,					\
		.changed = _changed,					\
	}

SOM_SETTING_ATTR(zero_rate, som_zero_rate, false, som_zero_changed);
SOM_SETTING_ATTR(cache_max, som_cache_max, false, som_cache_changed);
/* Former name of cache_max. */
SOM_SETTING_ATTR(recycle_max, som_cache_max, false, som_cache_changed);
SOM_SETTING_ATTR(cache_low, som_cache_low, false, som_cache_changed);
SOM_SETTING_ATTR(release_rate, som_release_rate, false, som_cache_changed);
SOM_SETTING_ATTR(shrink_low, som_shrink_low, false, som_trim_changed);
SOM_SETTING_ATTR(shrink_rate, som_shrink_rate, false, som_trim_changed);
SOM_SETTING_ATTR(limit_owner, som_limit_owner, true, NULL);
SOM_SETTING_ATTR(limit_user, som_limit_user, true, NULL);
SOM_SETTING_ATTR(max_parcels, som_max_parcels, false, NULL);

#define SOM_DEV_ATTR(_name, _which)					\
	static struct som_dev_attr dev_attr_##_name = {			\
		.attr = __ATTR(_name, 0444, dev_show, NULL),		\
		.which = _which,					\
		.nid = NUMA_NO_NODE,					\
	}

static struct som_dev_attr dev_attr_nr_chunks = {
	.attr = __ATTR(nr_chunks, 0644, dev_show, nr_chunks_store),
	.which = SOM_STAT_CHUNKS,
	.nid = NUMA_NO_NODE,
};
SOM_DEV_ATTR(chunks_empty, SOM_STAT_EMPTY);
SOM_DEV_ATTR(units_total, SOM_STAT_TOTAL);
SOM_DEV_ATTR(units_free, SOM_STAT_FREE);
SOM_DEV_ATTR(units_zeroed, SOM_STAT_ZEROED);
SOM_DEV_ATTR(units_dirty, SOM_STAT_DIRTY);
SOM_DEV_ATTR(units_used, SOM_STAT_USED);
SOM_DEV_ATTR(units_quarantined, SOM_STAT_QUARANTINED);
SOM_DEV_ATTR(units_poisoned, SOM_STAT_POISONED);
SOM_DEV_ATTR(units_committed, SOM_STAT_COMMITTED);

static struct attribute *som_attrs[] = {
	&dev_attr_nr_chunks.attr.attr,
	&dev_attr_chunks_empty.attr.attr,
	&dev_attr_compact.attr,
	&dev_attr_share_chunks.attr,
	&dev_attr_units_page_backed.attr,
	&dev_attr_units_total.attr.attr,
	&dev_attr_units_free.attr.attr,
	&dev_attr_units_zeroed.attr.attr,
	&dev_attr_units_dirty.attr.attr,
	&dev_attr_units_used.attr.attr,
	&dev_attr_units_quarantined.attr.attr,
	&dev_attr_units_poisoned.attr.attr,
	&dev_attr_units_committed.attr.attr,
	&dev_attr_units_cached.attr,
	&dev_attr_units_parcel.attr,
	&dev_attr_zeroed_background.attr,
	&dev_attr_zero_pauses.attr,
	&dev_attr_zero_rate.attr.attr,
	&dev_attr_cache_max.attr.attr,
	&dev_attr_recycle_max.attr.attr,
	&dev_attr_cache_low.attr.attr,
	&dev_attr_release_rate.attr.attr,
	&dev_attr_shrink_low.attr.attr,
	&dev_attr_shrink_rate.attr.attr,
	&dev_attr_limit_owner.attr.attr,
	&dev_attr_limit_user.attr.attr,
	&dev_attr_max_parcels.attr.attr,
	NULL
};

static ssize_t cgroup_limits_read(struct file *file, struct kobject *kobj,
				  struct bin_attribute *attr, char *buf,
				  loff_t pos, size_t count)
{
	return som_cgroup_show(buf, pos, count);
}

static ssize_t cgroup_limits_write(struct file *file, struct kobject *kobj,
				   struct bin_attribute *attr, char *buf,
				   loff_t pos, size_t count)
{
	char text[SOM_CGROUP_LINE];
	int ret;

	if (pos || count >= sizeof(text))
		return -EINVAL;
	memcpy(text, buf, count);
	text[count] = 0;
	ret = som_cgroup_set(text);
	return ret ? ret : count;
}

/* A binary attribute, as the list can be longer than a page. */
static BIN_ATTR_RW(cgroup_limits, 0);

static struct bin_attribute *som_bin_attrs[] = {
	&bin_attr_cgroup_limits,
	NULL
};

static const struct attribute_group som_group = {
	.attrs = som_attrs,
	.bin_attrs = som_bin_attrs,
};

static const struct {
	const char *name;
	enum som_stat which;
} som_node_stats[] = {
	{ "nr_chunks", SOM_STAT_CHUNKS },
	{ "units_total", SOM_STAT_TOTAL },
	{ "units_free", SOM_STAT_FREE },
	{ "units_zeroed", SOM_STAT_ZEROED },
	{ "units_dirty", SOM_STAT_DIRTY },
	{ "units_used", SOM_STAT_USED },
	{ "units_quarantined", SOM_STAT_QUARANTINED },
	{ "units_poisoned", SOM_STAT_POISONED },
};

/* Directory of a node. */
struct som_node {
	char name[16];
	struct attribute_group group;
	struct som_dev_attr stats[ARRAY_SIZE(som_node_stats)];
	struct attribute *attrs[ARRAY_SIZE(som_node_stats) + 1];
};

static struct som_node *som_nodes;

/* Counter of a source. */
struct som_source_attr {
	struct device_attribute attr;
	unsigned int source;
	size_t offset;		/* in struct som_source_stats */
};

static const struct {
	const char *name;
	size_t offset;
} som_source_stats[] = {
	{ "nr_chunks", offsetof(struct som_source_stats, chunks) },
	{ "units_used", offsetof(struct som_source_stats, used) },
	{ "kernel_bytes", offsetof(struct som_source_stats, cost) },
};

/* Directory of a source. */
struct som_source_dir {
	struct attribute_group group;
	struct som_source_attr stats[ARRAY_SIZE(som_source_stats)];
	struct attribute *attrs[ARRAY_SIZE(som_source_stats) + 1];
};

#define SOM_MAX_SOURCES		8

static struct som_source_dir som_source_dirs[SOM_MAX_SOURCES];

static ssize_t source_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	struct som_source_attr *a = container_of(attr, struct som_source_attr,
						 attr);
	struct som_source_stats stats;

	som_pool_source_stats(a->source, &stats);
	return sysfs_emit(buf, "%lu\n",
			  *(unsigned long *)((char *)&stats + a->offset));
}

/* Return: false if there is no such source. */
static bool som_source_init(unsigned int nr)
{
	struct som_source_dir *dir = &som_source_dirs[nr];
	struct som_source_stats stats;
	unsigned int i;

	if (!som_pool_source_stats(nr, &stats))
		return false;
	for (i = 0; i < ARRAY_SIZE(som_source_stats); i++) {
		struct som_source_attr *a = &dir->stats[i];

		a->source = nr;
		a->offset = som_source_stats[i].offset;
		a->attr.attr.name = som_source_stats[i].name;
		a->attr.attr.mode = 0444;
		a->attr.show = source_show;
		sysfs_attr_init(&a->attr.attr);
		dir->attrs[i] = &a->attr.attr;
	}
	dir->group.name = stats.dir;
	dir->group.attrs = dir->attrs;
	return true;
}

/* Attributes of the pool, and a group for each node and each source. */
static const struct attribute_group **som_groups;

static void som_node_init(struct som_node *node, int nid)
{
	unsigned int i;

	snprintf(node->name, sizeof(node->name), "node%d", nid);
	for (i = 0; i < ARRAY_SIZE(som_node_stats); i++) {
		struct som_dev_attr *a = &node->stats[i];

		a->which = som_node_stats[i].which;
		a->nid = nid;
		a->attr.attr.name = som_node_stats[i].name;
		a->attr.attr.mode = 0444;
		a->attr.show = dev_show;
		sysfs_attr_init(&a->attr.attr);
		node->attrs[i] = &a->attr.attr;
	}
	node->group.name = node->name;
	node->group.attrs = node->attrs;
}

/**
 * som_sysfs_init - Allocate the attribute groups of the device
 *
 * Context: Module load.
 * Return: groups for struct miscdevice; NULL without memory.
 */
const struct attribute_group **som_sysfs_init(void)
{
	unsigned int nr = 0, i;
	int nid;

	som_nodes = kcalloc(nr_node_ids, sizeof(*som_nodes), GFP_KERNEL);
	som_groups = kcalloc(nr_node_ids + SOM_MAX_SOURCES + 2,
			     sizeof(*som_groups), GFP_KERNEL);
	if (!som_nodes || !som_groups) {
		som_sysfs_exit();
		return NULL;
	}
	som_groups[nr++] = &som_group;
	for_each_node_state(nid, N_MEMORY) {
		som_node_init(&som_nodes[nid], nid);
		som_groups[nr++] = &som_nodes[nid].group;
	}
	for (i = 0; i < SOM_MAX_SOURCES && som_source_init(i); i++)
		som_groups[nr++] = &som_source_dirs[i].group;
	return som_groups;
}

/**
 * som_sysfs_exit - Free the attribute groups
 *
 * Context: Module unload; the device is unregistered.
 */
void som_sysfs_exit(void)
{
	kfree(som_groups);
	kfree(som_nodes);
	som_groups = NULL;
	som_nodes = NULL;
}

/* Debugfs: a line for each owner, parcel and chunk, and a character for each unit. */

static struct dentry *som_dir;

static int owners_show(struct seq_file *m, void *v)
{
	struct som_owner_stats stats;
	struct som_owner_walk walk;
	struct som_owner *owner;

	seq_puts(m, "pid uid mapped_kB reserved units_2m units_4k units_1g page_backed cached quarantined charged\n");
	som_owner_walk_begin(&walk);
	/* On overflow, seq_file calls again with a larger buffer. */
	while (!seq_has_overflowed(m) && (owner = som_owner_walk_next(&walk))) {
		som_owner_stats(owner, &stats);
		seq_printf(m, "%d %u %lu %lu %lu %lu %lu %lu %ld %ld %ld\n",
			   som_owner_pid(owner, task_active_pid_ns(current)),
			   som_account_uid(owner->account),
			   stats.mapped_pages << (PAGE_SHIFT - 10),
			   stats.nr_reserved, stats.nr_level[SOM_LEVEL_2M],
			   stats.nr_level[SOM_LEVEL_4K],
			   stats.nr_level[SOM_LEVEL_1G], stats.nr_page_backed,
			   atomic_long_read(&owner->cache.nr),
			   atomic_long_read(&owner->account->quarantined),
			   atomic_long_read(&owner->account->units));
	}
	som_owner_walk_end(&walk);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(owners);

static int parcels_show(struct seq_file *m, void *v)
{
	struct som_parcel *parcel;
	unsigned long id = 0;

	seq_puts(m, "pid uid kB unclaimed_kB resident_kB\n");
	while ((parcel = som_parcel_next(id))) {
		struct som_parcel_info info = {};

		id = parcel->id;
		som_parcel_get_info(&parcel->settings, &info);
		seq_printf(m, "%d %u %llu %llu %llu\n", info.pid, info.uid,
			   info.bytes >> 10, info.unclaimed >> 10,
			   info.resident >> 10);
		fput(parcel->file);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(parcels);

static int units_show(struct seq_file *m, void *v)
{
	som_pool_show(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(units);

static int chunks_show(struct seq_file *m, void *v)
{
	struct som_chunk_info info;
	unsigned long nr = 0;

	seq_puts(m, "chunk node uid used quarantined pinned\n");
	for (; som_pool_next_chunk(nr, &info); nr = info.chunk + 1) {
		seq_printf(m, "%lu %d ", info.chunk, info.nid);
		if (info.owned && !info.shared)
			seq_printf(m, "%u", info.uid);
		else
			seq_puts(m, info.owned ? "all" : "-");
		seq_printf(m, " %u %u %d\n", info.used, info.quarantined, info.pinned);
		cond_resched();
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(chunks);

/**
 * som_debugfs_init - Create the files in debugfs
 *
 * Ignores errors: debugfs is optional.
 *
 * Context: Module load.
 */
void som_debugfs_init(void)
{
	som_dir = debugfs_create_dir("som", NULL);
	debugfs_create_file("owners", 0400, som_dir, NULL, &owners_fops);
	debugfs_create_file("parcels", 0400, som_dir, NULL, &parcels_fops);
	debugfs_create_file("chunks", 0400, som_dir, NULL, &chunks_fops);
	debugfs_create_file("units", 0400, som_dir, NULL, &units_fops);
}

/**
 * som_debugfs_exit - Remove the files in debugfs
 *
 * Context: Module unload.
 */
void som_debugfs_exit(void)
{
	debugfs_remove(som_dir);
}
