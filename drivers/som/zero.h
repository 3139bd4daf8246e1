/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_ZERO_H
#define _SOM_ZERO_H

extern unsigned long som_zero_rate;

int som_zero_init(void);
void som_zero_exit(void);
void som_zero_changed(void);
unsigned long som_zero_total(void);
unsigned long som_zero_pauses(void);

#endif /* _SOM_ZERO_H */
