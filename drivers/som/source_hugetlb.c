// SPDX-License-Identifier: GPL-2.0
/*
 * Chunks from HugeTLB: one unlinked hugetlbfs file of one 1 GiB page each.
 *
 * The page stays in the file's page cache and som holds one more reference to
 * its folio. That reference is what keeps the kernel from migrating or
 * dissolving the page, and its count shows whether anybody else (GUP) holds
 * memory of it: the page cache has one reference for each 4 KiB page, som has
 * one, and every other is a pin.
 * When memory of it fails, memory_failure() marks the folio, leaves it in the page cache
 * and keeps one reference, however many of its pages fail. That one is no pin, and is
 * given back with the page: HugeTLB gives a marked page to nobody, and when it
 * shrinks, the pages that have not failed go to the buddy allocator.
 * The tail struct pages of such a page may be mapped read-only
 * (hugetlb_free_vmemmap=on); nothing here writes to them.
 *
 * som's entries are special and not counted, so to the kernel the folio would
 * be one that nobody maps. madvise(MADV_COLD or MADV_PAGEOUT) looks at what a
 * 2 MiB entry points to, special or not, and tries to split a folio that one
 * address space alone maps. So the folio is counted as mapped more than once
 * while som has it: that is left alone. It is anonymous memory to the kernel for as
 * long (anon.c).
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
#include "range.h"
#include "source.h"

/* Mappings the folio is said to have: "more than one". */
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
	/* The kernel's answer to a page size that it does not have is EINVAL. */
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

	atomic_add(SOM_HUGETLB_MAPCOUNT, &folio->_large_mapcount);
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

	/* Whoever sees the mark has the reference, too: it was taken before. */
	WRITE_ONCE(ext->poisoned, poisoned);
	return poisoned;
}

static int som_hugetlb_put(struct som_extent *ext)
{
	/* Truncation goes by it, and so does who frees the page. */
	som_anon_return(ext->folio, ext->file->f_mapping);
	atomic_sub(SOM_HUGETLB_MAPCOUNT, &ext->folio->_large_mapcount);
	/* As of now: it may have failed when the pool had given it up. */
	som_hugetlb_poison(ext);
	/* Only when it has no user any more can the kernel unmark it: that is not yet. */
	if (ext->poisoned)
		folio_put(ext->folio);
	folio_put(ext->folio);
	/* Free the page now; the last fput may happen later. */
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

/* All struct pages, or a page of them; and the page tables that map where all would be. */
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
