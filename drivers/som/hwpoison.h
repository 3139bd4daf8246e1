/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_HWPOISON_H
#define _SOM_HWPOISON_H

int som_hwpoison_init(void);
void som_hwpoison_exit(void);

#endif /* _SOM_HWPOISON_H */
