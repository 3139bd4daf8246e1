// SPDX-License-Identifier: GPL-2.0
/*
 * gperftools' tcmalloc on som, through its system allocator.
 *
 * Before its first allocation, tcmalloc calls tc_get_sysalloc_override() to get the system
 * allocator; a program only has to define that function. To decide later, call
 * MallocExtension::instance()->SetSystemAllocator() with an object such as the one here.
 *
 * tcmalloc never unmaps addresses, and releases memory by MADV_DONTNEED.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include <new>

#include <gperftools/malloc_extension.h>
#include <linux/som.h>

#include "som_hooks.h"
#include "som_space.h"

namespace {

const size_t kPage = 4096;

class SomSysAllocator : public SysAllocator {
 public:
	explicit SomSysAllocator(SysAllocator *ordinary) : ordinary_(ordinary) {}

	void *Alloc(size_t size, size_t *actual, size_t alignment) override
	{
		int saved = errno;
		size_t all;
		void *p;

		if (alignment < kPage)
			alignment = kPage;
		/* The rest of the unit would be unused. */
		if (__builtin_add_overflow(size, SOM_UNIT_SIZE - 1, &all))
			return nullptr;
		all &= ~(SOM_UNIT_SIZE - 1);
		p = som_space_alloc(all, alignment);
		if (!p) {
			errno = saved;
			return ordinary_->Alloc(size, actual, alignment);
		}
		if (actual)
			*actual = all;
		return p;
	}

 private:
	SysAllocator *ordinary_;
};

/* There is no allocator yet, and constructors have not run. It is never destroyed. */
alignas(SomSysAllocator) unsigned char place[sizeof(SomSysAllocator)];
bool active;

}  // namespace

SysAllocator *tc_get_sysalloc_override(SysAllocator *ordinary)
{
	int saved = errno;

	if (som_space_open(SOM_POLICY_FORK_COPY)) {
		errno = saved;
		return ordinary;
	}
	active = true;
	return new (place) SomSysAllocator(ordinary);
}

extern "C" bool som_tcmalloc_active(void)
{
	return active;
}
