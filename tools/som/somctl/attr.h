/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the driver counts, and what it lets one set.
 */
#ifndef SOMCTL_ATTR_H
#define SOMCTL_ATTR_H

#include <stddef.h>

/**
 * struct count - a number of the pool
 * @name: of the file.
 * @label: for people; indented where it is a part of another.
 */
struct count {
	const char *name;
	const char *label;
};

/**
 * struct setting - what can be set
 * @name: of the file.
 * @values: what can be written.
 * @meaning: in half a sentence.
 */
struct setting {
	const char *name;
	const char *values;
	const char *meaning;
};

/* In units of 2 MiB; both end with an entry without a name. */
extern const struct count unit_counts[];
/* Others. */
extern const struct count other_counts[];
/* What a node has. */
extern const struct count node_counts[];

extern const struct setting settings[];

/* Return: NULL if there is none of that name. */
const struct setting *setting_find(const char *name);

/* Return: the directory that has its file, NULL if this driver does not. */
const char *setting_dir(const struct setting *setting);

#endif /* SOMCTL_ATTR_H */
