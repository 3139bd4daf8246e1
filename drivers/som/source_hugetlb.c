// SPDX-License-Identifier: GPL-2.0
/*
 * Chunks from HugeTLB: each is the 1 GiB page of an unlinked hugetlbfs file.
 *
 * References: the page cache has one per 4 KiB page, som has one more, and all others are
 * pins. som's reference keeps the kernel from migrating or dissolving the page.
 *
 * Memory failure: memory_failure() marks the folio, leaves it in the page cache and keeps
 * one reference, however many pages fail. That reference is no pin; it is dropped when the
 * chunk is returned. HugeTLB does not allocate a marked page. When HugeTLB shrinks, the
 * pages that have not failed go to the buddy allocator.
 *
 * With hugetlb_free_vmemmap=on the tail struct pages may be mapped read-only; nothing here
 * writes to them.
 *
 * Map count: som's entries are special and not counted. madvise(MADV_COLD or MADV_PAGEOUT)
 * inspects the folio of a 2 MiB entry, special or not, and tries to split it if one address
 * space maps it alone. A map count above one prevents that. The folio also appears as
 * anonymous memory (anon.c).
 */
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/falloc.h>
#include <linux/fs_context.h>
#include <linux/hugetlb.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include "anon.h"
#include "compat.h"
#include "range.h"
#include "source.h"

/* Map count added to the folio: more than one. */
#define SOM_HUGETLB_MAPCOUNT	2

static struct vfsmount *som_hugetlb_mnt;

static int som_hugetlb_open(void)
{
	struct file_system_type *type;
	struct fs_context *fc;
	struct vfsmount *mnt;
	int ret;

	type = get_fs_type("hugetlbfs");
	if (!type)
		return -EOPNOTSUPP;
	fc = fs_context_for_mount(type, SB_KERNMOUNT);
	if (IS_ERR(fc)) {
		ret = PTR_ERR(fc);
		goto out_type;
	}
	/* The kernel returns -EINVAL for a page size that it lacks. */
	ret = vfs_parse_fs_string(fc, "pagesize", "1G", 2);
	if (ret == -EINVAL)
		ret = -EOPNOTSUPP;
	if (ret)
		goto out_fc;
	mnt = fc_mount(fc);
	if (IS_ERR(mnt))
		ret = PTR_ERR(mnt);
	else
		som_hugetlb_mnt = mnt;
out_fc:
	put_fs_context(fc);
out_type:
	module_put(type->owner);
	return ret;
}

static void som_hugetlb_close(void)
{
	kern_unmount(som_hugetlb_mnt);
	som_hugetlb_mnt = NULL;
}

static int som_hugetlb_get(struct som_extent *ext)
{
	struct path root = {
		.mnt = som_hugetlb_mnt,
		.dentry = som_hugetlb_mnt->mnt_root,
	};
	struct file *file;
	struct folio *folio;
	int ret;

	file = kernel_tmpfile_open(&nop_mnt_idmap, &root, S_IFREG | 0600,
				   O_RDWR | O_LARGEFILE, current_cred());
	if (IS_ERR(file))
		return PTR_ERR(file);

	ret = vfs_fallocate(file, 0, 0, SOM_CHUNK_SIZE);
	if (ret) {
		if (ret == -ENOSPC)
			ret = -ENOMEM;
		goto out_file;
	}
	folio = filemap_get_folio(file->f_mapping, 0);
	if (IS_ERR(folio)) {
		ret = PTR_ERR(folio);
		goto out_file;
	}
	ext->refs = folio_nr_pages(folio) + 1;
	ext->poisoned = 0;
	if (WARN_ON_ONCE(folio_size(folio) != SOM_CHUNK_SIZE ||
			 folio_ref_count(folio) < ext->refs)) {
		ret = -EINVAL;
		goto out_folio;
	}

	som_folio_add_mapcount(folio, SOM_HUGETLB_MAPCOUNT);
	som_anon_claim(folio);
	ext->pfn = folio_pfn(folio);
	ext->nid = folio_nid(folio);
	ext->zeroed = true;
	ext->file = file;
	ext->folio = folio;
	return 0;

out_folio:
	folio_put(folio);
out_file:
	fput(file);
	return ret;
}

static bool som_hugetlb_poison(struct som_extent *ext)
{
	bool poisoned = folio_test_hwpoison(ext->folio);

	/* memory_failure() takes its reference before it sets the mark. */
	WRITE_ONCE(ext->poisoned, poisoned);
	return poisoned;
}

static int som_hugetlb_put(struct som_extent *ext)
{
	/* Truncation and freeing need the original mapping. */
	som_anon_return(ext->folio, ext->file->f_mapping);
	som_folio_add_mapcount(ext->folio, -SOM_HUGETLB_MAPCOUNT);
	/* Memory may have failed after the pool gave the extent up. */
	som_hugetlb_poison(ext);
	/* The kernel's reference still exists: the mark stays while som has one. */
	if (ext->poisoned)
		folio_put(ext->folio);
	folio_put(ext->folio);
	/* Free the page now; the last fput may be delayed. */
	vfs_fallocate(ext->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      0, SOM_CHUNK_SIZE);
	fput(ext->file);
	ext->folio = NULL;
	ext->file = NULL;
	return 0;
}

static bool som_hugetlb_pinned(const struct som_extent *ext)
{
	return folio_ref_count(ext->folio) >
	       ext->refs + READ_ONCE(ext->poisoned);
}

/* All struct pages; or one page of them and the page tables that map their whole range. */
static unsigned long som_hugetlb_cost(const struct som_extent *ext)
{
	unsigned long pages = SOM_CHUNK_PAGES * sizeof(struct page);
	unsigned long tables = DIV_ROUND_UP(pages, PMD_SIZE) * PAGE_SIZE;

	return folio_test_hugetlb_vmemmap_optimized(ext->folio) ?
		tables + PAGE_SIZE : pages;
}

const struct som_source som_source_hugetlb = {
	.name = "HugeTLB 1 GiB pages",
	.dir = "hugetlb_1g",
	.flags = SOM_SOURCE_PINS_LEAVE,
	.hint_file = "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages",
	.hint_boot = "hugepagesz=1G hugepages=N",
	.open = som_hugetlb_open,
	.close = som_hugetlb_close,
	.get = som_hugetlb_get,
	.put = som_hugetlb_put,
	.pinned = som_hugetlb_pinned,
	.poison = som_hugetlb_poison,
	.cost = som_hugetlb_cost,
};
