/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A text of lines of words whose first line names the columns.
 */
#ifndef SOMCTL_TABLE_H
#define SOMCTL_TABLE_H

#include <stddef.h>

/**
 * struct table - a parsed text
 * @columns: number of columns.
 * @rows: number of rows, without the names.
 * @words: words of the first line, then of each row; "" for missing words.
 * @text: memory of the words.
 */
struct table {
	size_t columns;
	size_t rows;
	char **words;
	char *text;
};

/* Parse a text and take over @text. */
void table_parse(struct table *t, char *text);
void table_free(struct table *t);

static inline const char *table_name(const struct table *t, size_t column)
{
	return t->words[column];
}

static inline const char *table_word(const struct table *t, size_t row,
				     size_t column)
{
	return t->words[(row + 1) * t->columns + column];
}

/* Return: the column of that name, or t->columns. */
size_t table_column(const struct table *t, const char *name);

/* Return: the width of a column, including its name. */
size_t table_width(const struct table *t, size_t column);

#endif /* SOMCTL_TABLE_H */
