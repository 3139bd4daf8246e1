// SPDX-License-Identifier: GPL-2.0
/*
 * Parse a text of lines of words whose first line names the columns, for example the
 * driver's list of owners. The driver decides which columns exist.
 */
#include <stdlib.h>
#include <string.h>

#include "somctl.h"
#include "table.h"

#define BLANKS	" \t"

static size_t count_words(const char *line)
{
	size_t n = 0;

	for (line += strspn(line, BLANKS); *line; n++) {
		line += strcspn(line, BLANKS);
		line += strspn(line, BLANKS);
	}
	return n;
}

/* Ignore words after the last column. */
static void split_line(char *line, char **words, size_t columns)
{
	char *rest = line;
	size_t i;

	for (i = 0; i < columns; i++) {
		words[i] = strtok_r(i ? NULL : line, BLANKS, &rest);
		if (!words[i])
			break;
	}
	for (; i < columns; i++)
		words[i] = "";
}

void table_parse(struct table *t, char *text)
{
	size_t lines = 1;
	char *line, *rest;

	*t = (struct table) { .text = text };
	for (line = text; *line; line++)
		lines += *line == '\n';
	line = strtok_r(text, "\n", &rest);
	if (!line)
		return;
	t->columns = count_words(line);
	t->words = calloc(lines, t->columns * sizeof(*t->words));
	if (!t->words) {
		complain("no memory");
		exit(EXIT_FAILED);
	}
	split_line(line, t->words, t->columns);
	while ((line = strtok_r(NULL, "\n", &rest)))
		split_line(line, t->words + ++t->rows * t->columns,
			   t->columns);
}

void table_free(struct table *t)
{
	free(t->words);
	free(t->text);
}

size_t table_column(const struct table *t, const char *name)
{
	size_t i;

	for (i = 0; i < t->columns; i++)
		if (!strcmp(table_name(t, i), name))
			break;
	return i;
}

size_t table_width(const struct table *t, size_t column)
{
	size_t width = strlen(table_name(t, column)), len, i;

	for (i = 0; i < t->rows; i++) {
		len = strlen(table_word(t, i, column));
		if (len > width)
			width = len;
	}
	return width;
}
