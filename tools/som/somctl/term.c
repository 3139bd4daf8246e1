// SPDX-License-Identifier: GPL-2.0
/*
 * Properties of stdout. Colours and characters beyond ASCII are used on terminals only,
 * so that files and pipes get the same output everywhere.
 */
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "term.h"

#define WIDTH	80

void term_init(struct term *t)
{
	const char *name = getenv("TERM"), *off = getenv("NO_COLOR");
	struct winsize size;

	*t = (struct term) { .width = WIDTH };
	t->tty = isatty(STDOUT_FILENO);
	if (!t->tty)
		return;
	if (name && *name && strcmp(name, "dumb"))
		t->color = !off || !*off;
	if (setlocale(LC_CTYPE, ""))
		t->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		t->width = size.ws_col;
}

void term_print(const char *text, int width)
{
	int n = 0;

	for (; *text; text++, n++)
		putchar(*text >= ' ' && *text < 0x7f ? *text : '?');
	for (; n < width; n++)
		putchar(' ');
}
