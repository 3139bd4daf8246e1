// SPDX-License-Identifier: GPL-2.0
/*
 * google/tcmalloc on som, through its address region factory. An example: Debian does not
 * have this tcmalloc, and it is built only if its headers are installed (make google).
 *
 * tcmalloc reserves addresses without access, and the factory creates a region of them.
 * The factory maps som there, without access, which costs nothing. A region gives access
 * to its parts on request; then the pool reserves memory. If it cannot, ordinary memory is
 * mapped there. tcmalloc releases memory by MADV_DONTNEED and requests whole huge pages,
 * which are units.
 *
 * A program calls som_google_tcmalloc_install() first in main(). Memory that tcmalloc
 * already has stays where it is.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <utility>

#include <libsom.h>
#include <tcmalloc/malloc_extension.h>

namespace {

using tcmalloc::AddressRegion;
using tcmalloc::AddressRegionFactory;
using tcmalloc::MallocExtension;

/* The kernel does not merge som mappings, so make few long ones. */
const uintptr_t kStep = 8 * SOM_UNIT_SIZE;

uintptr_t RoundUp(uintptr_t value, uintptr_t to)
{
	return (value + to - 1) & ~(to - 1);
}

/* tcmalloc calls this with a lock of its own held. */
class SomRegion : public AddressRegion {
 public:
	SomRegion(void *start, size_t size)
		: next_(reinterpret_cast<uintptr_t>(start)), ready_(next_),
		  end_(next_ + size) {}

	std::pair<void *, size_t> Alloc(size_t size, size_t alignment) override
	{
		uintptr_t start, end;

		if (alignment < SOM_UNIT_SIZE)
			alignment = SOM_UNIT_SIZE;
		if (size > end_ - next_)
			return {nullptr, 0};
		size = RoundUp(size, SOM_UNIT_SIZE);
		start = RoundUp(next_, alignment);
		if (start < next_ || start > end_ || size > end_ - start)
			return {nullptr, 0};
		end = start + size;
		if (end > ready_ && !GiveAccess(start, end))
			return {nullptr, 0};
		next_ = end;
		return {reinterpret_cast<void *>(start), size};
	}

 private:
	bool Protect(uintptr_t start, uintptr_t end)
	{
		return !mprotect(reinterpret_cast<void *>(start), end - start,
				 PROT_READ | PROT_WRITE);
	}

	bool GiveAccess(uintptr_t start, uintptr_t end)
	{
		uintptr_t from = ready_ > start ? ready_ : start;
		uintptr_t to = RoundUp(end, kStep);
		void *p = reinterpret_cast<void *>(from);
		int saved = errno;

		if (to > end_)
			to = end_;
		if (Protect(from, to)) {
			ready_ = to;
			return true;
		}
		/* The pool has few units left, or none. */
		if (!Protect(from, end) &&
		    mmap(p, end - from, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			 0) == MAP_FAILED)
			return false;
		errno = saved;
		ready_ = end;
		return true;
	}

	uintptr_t next_;
	uintptr_t ready_;
	uintptr_t end_;
};

class SomRegionFactory : public AddressRegionFactory {
 public:
	SomRegionFactory(int fd, AddressRegionFactory *ordinary)
		: fd_(fd), ordinary_(ordinary) {}

	AddressRegion *Create(void *start, size_t size, UsageHint hint) override
	{
		void *place = MallocInternal(sizeof(SomRegion));
		int saved = errno;

		if (!place || !som_map(fd_, start, size, PROT_NONE,
				       SOM_MAP_PRIVATE | SOM_MAP_FIXED)) {
			errno = saved;
			return ordinary_->Create(start, size, hint);
		}
		return new (place) SomRegion(start, size);
	}

 private:
	int fd_;
	AddressRegionFactory *ordinary_;
};

/* It is never destroyed. */
alignas(SomRegionFactory) unsigned char place[sizeof(SomRegionFactory)];

}  // namespace

/*
 * Return: 0, or -1 with errno. The file stays open, because tcmalloc will request more
 * memory. A program that closes all files gets ordinary memory from then on.
 */
extern "C" int som_google_tcmalloc_install(uint64_t options)
{
	AddressRegionFactory *ordinary = MallocExtension::GetRegionFactory();
	int fd = som_open(nullptr), error;

	if (fd < 0)
		return -1;
	if (som_set_options(fd, options)) {
		error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	MallocExtension::SetRegionFactory(new (place) SomRegionFactory(fd, ordinary));
	return 0;
}
