/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_ZERO_H
#define _SOM_ZERO_H

extern unsigned long som_zero_rate;

int som_zero_init(void);
void som_zero_exit(void);
void som_zero_changed(void);
unsigned long som_zero_total(void);
unsigned long som_zero_pauses(void);

extern unsigned long som_shrink_low;
extern unsigned long som_shrink_rate;

void som_trim_changed(void);
void som_trim_exit(void);

#endif /* _SOM_ZERO_H */
