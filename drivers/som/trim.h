/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_TRIM_H
#define _SOM_TRIM_H

extern unsigned long som_shrink_low;
extern unsigned long som_shrink_rate;

void som_trim_changed(void);
void som_trim_exit(void);

#endif /* _SOM_TRIM_H */
