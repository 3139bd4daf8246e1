/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counters and settings of the driver.
 */
#ifndef SOMCTL_ATTR_H
#define SOMCTL_ATTR_H

#include <stddef.h>

/**
 * struct count - a counter of the pool
 * @name: name of its file.
 * @label: text to print; indented if it is a part of the counter above.
 */
struct count {
	const char *name;
	const char *label;
};

/**
 * struct setting - a setting of the driver
 * @name: name of its file.
 * @values: valid values.
 * @meaning: a short description.
 */
struct setting {
	const char *name;
	const char *values;
	const char *meaning;
};

/* Counters in units of 2 MiB. Each table ends with an entry without a name. */
extern const struct count unit_counts[];
/* Counters in other units. */
extern const struct count other_counts[];
/* Counters of a node. */
extern const struct count node_counts[];

extern const struct setting settings[];

/* Return: the setting, or NULL if no setting has that name. */
const struct setting *setting_find(const char *name);

/* Return: the directory of its file, or NULL if this driver does not have it. */
const char *setting_dir(const struct setting *setting);

#endif /* SOMCTL_ATTR_H */
