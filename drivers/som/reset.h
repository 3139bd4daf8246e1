/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_RESET_H
#define _SOM_RESET_H

struct som_reset;

int som_reset(struct som_reset *args);

#endif /* _SOM_RESET_H */
