// SPDX-License-Identifier: GPL-2.0
/*
 * For people: /sys/kernel/debug/som/owners, a line for each owner, parcels, a line for
 * each parcel, chunks, a line for each chunk, and units, a character for each unit of
 * the pool. Only root sees it.
 */
#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/mm_types.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/som.h>
#include "debugfs.h"
#include "inode.h"
#include "owner.h"
#include "parcel.h"
#include "parcel_file.h"
#include "pool.h"

static struct dentry *som_dir;

static int owners_show(struct seq_file *m, void *v)
{
	struct som_owner_stats stats;
	struct som_owner_walk walk;
	struct som_owner *owner;

	seq_puts(m, "pid uid mapped_kB reserved units_2m units_4k units_1g page_backed cached quarantined charged\n");
	som_owner_walk_begin(&walk);
	/* Once there is no more room, all is done again with more. */
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

/* Who has a chunk, and who keeps others from what has been released of it. */
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
 * som_debugfs_init - make the files
 *
 * Nothing depends on them: a failure is not told.
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
 * som_debugfs_exit - remove the files
 *
 * Context: Module unload.
 */
void som_debugfs_exit(void)
{
	debugfs_remove(som_dir);
}
