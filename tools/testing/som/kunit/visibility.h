/* SPDX-License-Identifier: GPL-2.0 */
/* One program: nothing to export. */
#define EXPORT_SYMBOL_IF_KUNIT(symbol)	_Static_assert(1, #symbol)
