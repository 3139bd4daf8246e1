// SPDX-License-Identifier: GPL-2.0
/*
 * Make som's memory appear to the kernel as anonymous memory.
 *
 * get_futex_key() keys a shared futex by folio->mapping. For a page of a file the key is
 * the file and the offset: for a chunk, a place in physical memory. A waiter would be woken
 * by the unit's next owner, and lost when its unit is migrated. For anonymous memory the
 * key is the address space and the address, which is correct wherever the memory is.
 *
 * So while som has memory, its folio->mapping is an anon_vma of som's own, and the folio is
 * marked exclusive to one address space, without which get_user_pages() would not pin it.
 * The anon_vma has no VMA, so rmap walks (memory_failure(), migration) find no mapping; a
 * chunk's entries are special and unknown to rmap anyway.
 *
 * Documentation/mm/kernel-assumptions.rst lists the kernel code that this relies on.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/pagemap.h>
#include <linux/rcupdate.h>
#include <linux/rmap.h>
#include "anon.h"
#include "compat.h"

/* Its one reference is never dropped, so it is never freed. */
static struct anon_vma som_anon_vma;

/**
 * som_anon_init - Initialise the anon_vma of all of som's memory
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
 * som_anon_exit - Wait for users of som's anon_vma
 *
 * Users find it under RCU, take a reference or its lock, and drop the reference before the
 * lock. Use trylock: a thread that releases a contended lock accesses it afterwards.
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
 * som_anon_claim - Make a folio anonymous
 * @folio: unmapped folio, not on an LRU list
 *
 * folio->index stays: the page cache that may hold the folio uses it.
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
 * som_anon_return - Undo som_anon_claim()
 * @folio: unmapped folio
 * @mapping: its original mapping
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
 * som_anon_claim_page - Make an ordinary page anonymous
 * @page: new page of order 0, not yet visible to others
 *
 * The page stays anonymous until it is freed. A pin may delay that beyond the module's
 * unload: users of the pin check that the page is anonymous but do not follow its mapping,
 * as nothing maps it. The page is dirty from the start: a write fault in a shared mapping
 * that makes a page dirty treats its mapping as a file's (fault_dirty_shared_page()).
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
