// SPDX-License-Identifier: GPL-2.0
/*
 * Tables of what the driver counts, and of what it lets one set. Newer drivers
 * have more; the oldest has the first few.
 */
#include <string.h>

#include "attr.h"
#include "file.h"

const struct count unit_counts[] = {
	{ "units_total", "in the pool" },
	{ "units_free", "  free" },
	{ "units_zeroed", "    zeroed" },
	{ "units_dirty", "    to be zeroed" },
	{ "units_used", "  used" },
	{ "units_quarantined", "  quarantined" },
	{ "units_poisoned", "failed" },
	{ "units_committed", "promised or used" },
	{ "units_cached", "  kept by owners" },
	{ "units_parcel", "  in parcels" },
	{ "units_page_backed", "pinnable" },
	{ }
};

const struct count other_counts[] = {
	{ "nr_chunks", "chunks" },
	{ "chunks_empty", "empty chunks" },
	{ "zeroed_background", "units zeroed in the background" },
	{ "zero_pauses", "pauses of the background zeroing" },
	{ }
};

const struct count node_counts[] = {
	{ "nr_chunks", "chunks" },
	{ "units_total", "units" },
	{ "units_free", "free" },
	{ "units_zeroed", "zeroed" },
	{ "units_dirty", "dirty" },
	{ "units_used", "used" },
	{ "units_quarantined", "quarantined" },
	{ }
};

const struct setting settings[] = {
	{ "zero_rate", "units per node and second, 0 = off",
	  "free units zeroed in the background" },
	{ "cache_max", "units, 0 = none",
	  "released units that an owner keeps for itself" },
	{ "cache_low", "units",
	  "what an owner keeps above this goes back at release_rate" },
	{ "release_rate", "units per second and owner, 0 = never",
	  "how fast kept units go back to the pool" },
	{ "shrink_low", "chunks",
	  "empty chunks that the pool keeps" },
	{ "shrink_rate", "chunks per minute, 0 = never",
	  "how fast other empty chunks go back to HugeTLB" },
	{ "limit_owner", "units or max",
	  "most that one process may have" },
	{ "limit_user", "units or max",
	  "most that all processes of one user may have" },
	{ "share_chunks", "0 or 1, while no unit is reserved or used",
	  "whether users share chunks, and each other's pins" },
	{ "max_parcels", "parcels",
	  "most parcels that one user can have packed" },
	{ "max_page_backed", "units",
	  "most units that can be pinnable at a time" },
	{ "max_page_backed_user", "units, 0 = half of max_page_backed",
	  "most of them that one user can have" },
	{ "max_records", "KiB, 0 = by the pool and mappings",
	  "most records for scattered use of addresses by one process" },
	{ "map_size", "4096, 2097152 or 1073741824 bytes",
	  "largest page table entry, unless a file chooses another" },
	{ }
};

const struct setting *setting_find(const char *name)
{
	const struct setting *s;

	for (s = settings; s->name; s++)
		if (!strcmp(s->name, name))
			return s;
	return NULL;
}

const char *setting_dir(const struct setting *setting)
{
	if (file_exists(DIR_SYSFS, setting->name))
		return DIR_SYSFS;
	if (file_exists(DIR_PARAM, setting->name))
		return DIR_PARAM;
	return NULL;
}
