/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What stdout can show.
 */
#ifndef SOMCTL_TERM_H
#define SOMCTL_TERM_H

#include <stdbool.h>

/**
 * struct term - what stdout can show
 * @tty: it is a terminal.
 * @color: it knows colours.
 * @utf8: it knows characters beyond ASCII.
 * @width: columns; 80 where that is not known.
 */
struct term {
	bool tty;
	bool color;
	bool utf8;
	unsigned int width;
};

void term_init(struct term *t);

/* Text from elsewhere, without what would be a command to a terminal. */
void term_print(const char *text, int width);

#endif /* SOMCTL_TERM_H */
