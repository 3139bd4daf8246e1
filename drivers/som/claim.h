/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_CLAIM_H
#define _SOM_CLAIM_H

struct som_owner;
struct som_scan;

int som_claim_take(struct som_owner *owner, const void *claim);
void som_claim_end(struct som_owner *owner, const void *claim);
int som_claim_own(struct som_owner *owner);
int som_claim_check(struct som_owner *owner, struct som_scan *scan);

#endif /* _SOM_CLAIM_H */
