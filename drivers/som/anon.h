/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_ANON_H
#define _SOM_ANON_H

struct address_space;
struct folio;
struct page;

void som_anon_init(void);
void som_anon_exit(void);
void som_anon_claim(struct folio *folio);
void som_anon_return(struct folio *folio, struct address_space *mapping);
void som_anon_claim_page(struct page *page);

#endif /* _SOM_ANON_H */
