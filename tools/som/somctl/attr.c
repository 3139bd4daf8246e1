// SPDX-License-Identifier: GPL-2.0
/*
 * Tables of the counters and the settings of the driver. Older drivers have only
 * some of them.
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
	{ "units_committed", "reserved or used" },
	{ "units_cached", "  cached by owners" },
	{ "units_parcel", "  in parcels" },
	{ "units_page_backed", "page-backed" },
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
	  "limit of released units that a process caches" },
	{ "cache_low", "units",
	  "cached units above this return to the pool at release_rate" },
	{ "release_rate", "units per second and owner, 0 = never",
	  "how fast cached units return to the pool" },
	{ "shrink_low", "chunks",
	  "empty chunks above this return to HugeTLB at shrink_rate" },
	{ "shrink_rate", "chunks per minute, 0 = never",
	  "how fast empty chunks return to HugeTLB" },
	{ "limit_owner", "units or max",
	  "limit of one process" },
	{ "limit_user", "units or max",
	  "limit of all processes of one user" },
	{ "share_chunks", "0 or 1, while no unit is reserved or used",
	  "whether users share chunks, and each other's pins" },
	{ "max_parcels", "parcels",
	  "limit of parcels that one user has packed" },
	{ "max_page_backed", "units",
	  "limit of page-backed units" },
	{ "max_page_backed_user", "units, 0 = half of max_page_backed",
	  "limit of page-backed units of one user" },
	{ "max_records", "KiB, 0 = by the pool and mappings",
	  "limit of metadata of one process for scattered addresses" },
	{ "map_size", "4096, 2097152 or 1073741824 bytes",
	  "largest page table entry of files without a policy" },
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
