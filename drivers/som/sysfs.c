// SPDX-License-Identifier: GPL-2.0
/*
 * The pool in sysfs: numbers of the whole pool as attributes of the device,
 * and the same for each NUMA node in a directory of its own.
 */
#include <linux/device.h>
#include <linux/kobject.h>
#include <linux/nodemask.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include "account.h"
#include "migrate.h"
#include "pinnable.h"
#include "pool.h"
#include "recycle.h"
#include "sysfs.h"
#include "trim.h"
#include "zero.h"

enum som_stat {
	SOM_STAT_CHUNKS,
	SOM_STAT_EMPTY,
	SOM_STAT_TOTAL,
	SOM_STAT_FREE,
	SOM_STAT_ZEROED,
	SOM_STAT_DIRTY,
	SOM_STAT_USED,
	SOM_STAT_HELD,
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
	case SOM_STAT_HELD:
		value = stats.held;
		break;
	case SOM_STAT_COMMITTED:
		value = stats.committed;
		break;
	}
	return sysfs_emit(buf, "%lu\n", value);
}

struct som_dev_attr {
	struct device_attribute attr;
	enum som_stat which;
};

static ssize_t dev_show(struct device *dev, struct device_attribute *attr,
			char *buf)
{
	struct som_dev_attr *a = container_of(attr, struct som_dev_attr, attr);

	return show_stat(NUMA_NO_NODE, a->which, buf);
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
	som_recycle_drain();
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

static ssize_t units_pinnable_show(struct device *dev,
				   struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n", som_pinnable_units());
}
static DEVICE_ATTR_RO(units_pinnable);

/* A number that is told, and nothing else. */
#define SOM_NUMBER_ATTR(_name, _value)					\
	static ssize_t _name##_show(struct device *dev,			\
				    struct device_attribute *attr,	\
				    char *buf)				\
	{								\
		return sysfs_emit(buf, "%lu\n", _value);		\
	}								\
	static DEVICE_ATTR_RO(_name)

SOM_NUMBER_ATTR(units_kept, som_recycle_total());
SOM_NUMBER_ATTR(zeroed_background, som_zero_total());
SOM_NUMBER_ATTR(zero_pauses, som_zero_pauses());

/* A setting that can be changed at any time. */
struct som_setting_attr {
	struct device_attribute attr;
	unsigned long *value;
	bool limit;		/* "max" is a value, too */
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
SOM_SETTING_ATTR(recycle_max, som_recycle_max, false, som_recycle_changed);
SOM_SETTING_ATTR(recycle_low, som_recycle_low, false, som_recycle_changed);
SOM_SETTING_ATTR(release_rate, som_release_rate, false, som_recycle_changed);
SOM_SETTING_ATTR(shrink_low, som_shrink_low, false, som_trim_changed);
SOM_SETTING_ATTR(shrink_rate, som_shrink_rate, false, som_trim_changed);
SOM_SETTING_ATTR(limit_owner, som_limit_owner, true, NULL);
SOM_SETTING_ATTR(limit_user, som_limit_user, true, NULL);

#define SOM_DEV_ATTR(_name, _which)					\
	static struct som_dev_attr dev_attr_##_name = {			\
		.attr = __ATTR(_name, 0444, dev_show, NULL),		\
		.which = _which,					\
	}

static struct som_dev_attr dev_attr_nr_chunks = {
	.attr = __ATTR(nr_chunks, 0644, dev_show, nr_chunks_store),
	.which = SOM_STAT_CHUNKS,
};
SOM_DEV_ATTR(chunks_empty, SOM_STAT_EMPTY);
SOM_DEV_ATTR(units_total, SOM_STAT_TOTAL);
SOM_DEV_ATTR(units_free, SOM_STAT_FREE);
SOM_DEV_ATTR(units_zeroed, SOM_STAT_ZEROED);
SOM_DEV_ATTR(units_dirty, SOM_STAT_DIRTY);
SOM_DEV_ATTR(units_used, SOM_STAT_USED);
SOM_DEV_ATTR(units_quarantined, SOM_STAT_HELD);
SOM_DEV_ATTR(units_committed, SOM_STAT_COMMITTED);

static struct attribute *som_attrs[] = {
	&dev_attr_nr_chunks.attr.attr,
	&dev_attr_chunks_empty.attr.attr,
	&dev_attr_compact.attr,
	&dev_attr_units_pinnable.attr,
	&dev_attr_units_total.attr.attr,
	&dev_attr_units_free.attr.attr,
	&dev_attr_units_zeroed.attr.attr,
	&dev_attr_units_dirty.attr.attr,
	&dev_attr_units_used.attr.attr,
	&dev_attr_units_quarantined.attr.attr,
	&dev_attr_units_committed.attr.attr,
	&dev_attr_units_kept.attr,
	&dev_attr_zeroed_background.attr,
	&dev_attr_zero_pauses.attr,
	&dev_attr_zero_rate.attr.attr,
	&dev_attr_recycle_max.attr.attr,
	&dev_attr_recycle_low.attr.attr,
	&dev_attr_release_rate.attr.attr,
	&dev_attr_shrink_low.attr.attr,
	&dev_attr_shrink_rate.attr.attr,
	&dev_attr_limit_owner.attr.attr,
	&dev_attr_limit_user.attr.attr,
	NULL
};

static const struct attribute_group som_group = {
	.attrs = som_attrs,
};

/* Attributes of the device, for struct miscdevice. */
const struct attribute_group *som_groups[] = {
	&som_group,
	NULL
};

struct som_node {
	struct kobject kobj;
	int nid;
};

struct som_node_attr {
	struct kobj_attribute attr;
	enum som_stat which;
};

static ssize_t node_show(struct kobject *kobj, struct kobj_attribute *attr,
			 char *buf)
{
	struct som_node *node = container_of(kobj, struct som_node, kobj);
	struct som_node_attr *a = container_of(attr, struct som_node_attr, attr);

	return show_stat(node->nid, a->which, buf);
}

#define SOM_NODE_ATTR(_name, _which)					\
	static struct som_node_attr node_attr_##_name = {		\
		.attr = __ATTR(_name, 0444, node_show, NULL),		\
		.which = _which,					\
	}

SOM_NODE_ATTR(nr_chunks, SOM_STAT_CHUNKS);
SOM_NODE_ATTR(units_total, SOM_STAT_TOTAL);
SOM_NODE_ATTR(units_free, SOM_STAT_FREE);
SOM_NODE_ATTR(units_zeroed, SOM_STAT_ZEROED);
SOM_NODE_ATTR(units_dirty, SOM_STAT_DIRTY);
SOM_NODE_ATTR(units_used, SOM_STAT_USED);
SOM_NODE_ATTR(units_quarantined, SOM_STAT_HELD);

static struct attribute *som_node_attrs[] = {
	&node_attr_nr_chunks.attr.attr,
	&node_attr_units_total.attr.attr,
	&node_attr_units_free.attr.attr,
	&node_attr_units_zeroed.attr.attr,
	&node_attr_units_dirty.attr.attr,
	&node_attr_units_used.attr.attr,
	&node_attr_units_quarantined.attr.attr,
	NULL
};
ATTRIBUTE_GROUPS(som_node);

static void som_node_release(struct kobject *kobj)
{
	kfree(container_of(kobj, struct som_node, kobj));
}

static const struct kobj_type som_node_ktype = {
	.release = som_node_release,
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = som_node_groups,
};

static struct som_node *som_nodes[MAX_NUMNODES];

/**
 * som_sysfs_remove_nodes - remove the nodes' directories
 *
 * Context: Process context.
 */
void som_sysfs_remove_nodes(void)
{
	int nid;

	for (nid = 0; nid < MAX_NUMNODES; nid++) {
		if (som_nodes[nid])
			kobject_put(&som_nodes[nid]->kobj);
		som_nodes[nid] = NULL;
	}
}

/**
 * som_sysfs_add_nodes - a directory for each node that has memory
 * @dev: where
 *
 * Context: Process context.
 * Return: 0 or -errno, and none is left.
 */
int som_sysfs_add_nodes(struct device *dev)
{
	struct som_node *node;
	int nid, ret;

	for_each_node_state(nid, N_MEMORY) {
		node = kzalloc(sizeof(*node), GFP_KERNEL);
		if (!node) {
			ret = -ENOMEM;
			goto out_remove;
		}
		node->nid = nid;
		som_nodes[nid] = node;
		ret = kobject_init_and_add(&node->kobj, &som_node_ktype,
					   &dev->kobj, "node%d", nid);
		if (ret)
			goto out_remove;
	}
	return 0;

out_remove:
	som_sysfs_remove_nodes();
	return ret;
}
