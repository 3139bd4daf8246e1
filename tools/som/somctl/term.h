/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Properties of stdout.
 */
#ifndef SOMCTL_TERM_H
#define SOMCTL_TERM_H

#include <stdbool.h>

/**
 * struct term - properties of stdout
 * @tty: it is a terminal.
 * @color: it supports colours.
 * @utf8: it supports UTF-8.
 * @width: columns; 80 if unknown.
 */
struct term {
	bool tty;
	bool color;
	bool utf8;
	unsigned int width;
};

void term_init(struct term *t);

/* Print a foreign text without control characters for the terminal. */
void term_print(const char *text, int width);

#endif /* SOMCTL_TERM_H */
