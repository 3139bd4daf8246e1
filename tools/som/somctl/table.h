/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A text of lines of words, the first of which names the columns.
 */
#ifndef SOMCTL_TABLE_H
#define SOMCTL_TABLE_H

#include <stddef.h>

/**
 * struct table - such a text
 * @columns: how many.
 * @rows: how many, without the names.
 * @words: those of the first line, then of each row; "" where it had fewer.
 * @text: what they are in.
 */
struct table {
	size_t columns;
	size_t rows;
	char **words;
	char *text;
};

/* @text is the table's from now on. */
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

/* Return: the column of that name, t->columns if there is none. */
size_t table_column(const struct table *t, const char *name);

/* The width of a column, with its name. */
size_t table_width(const struct table *t, size_t column);

#endif /* SOMCTL_TABLE_H */
