/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_VIEW_FILE_H
#define _SOM_VIEW_FILE_H

struct som_open_view;

int som_view_open(const struct som_open_view *args);

#endif /* _SOM_VIEW_FILE_H */
