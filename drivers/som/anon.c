// SPDX-License-Identifier: GPL-2.0
/*
 * Make the kernel take som's memory for anonymous memory.
 *
 * The kernel keys a futex that is not private by what folio->mapping is
 * (get_futex_key()). Of a page of a file that is the file and the page's place in
 * it: for a chunk, a place in physical memory. A waiter would be woken by the next
 * owner of its unit, and lost when its unit moves. Of anonymous memory the key is
 * the address space and the address: the owner's own, wherever the memory is.
 *
 * So as long as som has memory, its folio->mapping is an anon_vma of som's own, and
 * it is marked as exclusive to one address space, which it is: get_user_pages()
 * would not pin it otherwise. The anon_vma has no VMA, so whoever walks through
 * it (memory_failure(), migration) finds nobody who maps the folio; entries of a
 * chunk are special, and unknown to rmap in any case.
 *
 * Documentation/mm/kernel-assumptions.rst has what this relies on.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/pagemap.h>
#include <linux/rcupdate.h>
#include <linux/rmap.h>
#include "anon.h"
#include "compat.h"

/* Its one reference is never dropped: nobody frees it. */
static struct anon_vma som_anon_vma;

/**
 * som_anon_init - prepare the mapping of all of som's memory
 *
 * Context: Module load; there is no memory yet.
 */
void som_anon_init(void)
{
	som_anon_vma.root = &som_anon_vma;
	som_anon_vma.parent = &som_anon_vma;
	som_anon_vma.rb_root = RB_ROOT_CACHED;
	init_rwsem(&som_anon_vma.rwsem);
	atomic_set(&som_anon_vma.refcount, 1);
}

/**
 * som_anon_exit - wait for those who have found som's anon_vma
 *
 * They look at it under RCU, then hold a reference or its lock, and let go of the
 * reference before the lock. The lock is tried, not waited for: who drops a lock
 * that somebody waits for touches it afterwards.
 *
 * Context: Module unload; no memory is left.
 */
void som_anon_exit(void)
{
	synchronize_rcu();
	while (atomic_read(&som_anon_vma.refcount) > 1 ||
	       !down_write_trylock(&som_anon_vma.rwsem))
		fsleep(USEC_PER_MSEC);
	up_write(&som_anon_vma.rwsem);
}

/**
 * som_anon_claim - make a folio anonymous
 * @folio: nobody maps it, and it is not on an LRU list
 *
 * folio->index stays: the page cache that the folio may be in goes by it.
 *
 * Context: Process context; takes the folio lock.
 */
void som_anon_claim(struct folio *folio)
{
	unsigned long mapping = (unsigned long)&som_anon_vma;

	folio_lock(folio);
	WRITE_ONCE(folio->mapping, (void *)(mapping | PAGE_MAPPING_ANON));
	SetPageAnonExclusive(&folio->page);
	folio_unlock(folio);
}

/**
 * som_anon_return - undo som_anon_claim()
 * @folio: nobody maps it
 * @mapping: what its mapping was
 *
 * Context: Process context; takes the folio lock.
 */
void som_anon_return(struct folio *folio, struct address_space *mapping)
{
	folio_lock(folio);
	ClearPageAnonExclusive(&folio->page);
	WRITE_ONCE(folio->mapping, mapping);
	folio_unlock(folio);
}

/**
 * som_anon_claim_page - make an ordinary page anonymous
 * @page: new, of order 0, nobody knows it
 *
 * It stays so until it is freed, which may be later than som gives it up, and than som is
 * unloaded: whoever has a pin on it looks at its kind, not behind it, as nobody maps it
 * any more. It is dirty from the beginning: the kernel takes the mapping of a page that
 * becomes dirty by a write fault in a shared mapping for one of a file
 * (fault_dirty_shared_page()).
 *
 * Context: Any.
 */
void som_anon_claim_page(struct page *page)
{
	unsigned long mapping = (unsigned long)&som_anon_vma;
	struct folio *folio = page_folio(page);

	if (!som_pages_may_be_anonymous())
		return;
	folio->mapping = (void *)(mapping | PAGE_MAPPING_ANON);
	__folio_set_swapbacked(folio);
	folio_set_dirty(folio);
	SetPageAnonExclusive(page);
}
