/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_PARCEL_FILE_H
#define _SOM_PARCEL_FILE_H

struct som_pack;
struct som_parcel_info;
struct som_settings;

int som_pack(const struct som_settings *settings, const struct som_pack *args);
int som_parcel_get_info(struct som_settings *settings,
			struct som_parcel_info *args);

#endif /* _SOM_PARCEL_FILE_H */
