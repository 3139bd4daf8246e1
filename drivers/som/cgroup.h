/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_CGROUP_H
#define _SOM_CGROUP_H

#include <linux/refcount.h>
#include <linux/types.h>

struct som_cgroup;

/** define SOM_CGROUP_LINE - length of a line of som_cgroup_show(). */
#define SOM_CGROUP_LINE	64

struct som_cgroup *som_cgroup_current(void);
void som_cgroup_put(struct som_cgroup *cg);
const struct som_cgroup *som_cgroup_over(const struct som_cgroup *cg,
					 unsigned long nr_units,
					 unsigned long *excess);
void som_cgroup_add(struct som_cgroup *cg, unsigned long nr_units);
void som_cgroup_sub(struct som_cgroup *cg, unsigned long nr_units);
bool som_cgroup_within(const struct som_cgroup *cg,
		       const struct som_cgroup *of);
int som_cgroup_set(const char *text);
ssize_t som_cgroup_show(char *buf, loff_t pos, size_t count);
void som_cgroup_exit(void);

/** define SOM_NO_LIMIT - value of a limit that is never reached. */
#define SOM_NO_LIMIT	ULONG_MAX

int som_limit_parse(const char *text, unsigned long *limit);
int som_limit_print(char *buf, unsigned long limit);

#endif /* _SOM_CGROUP_H */
