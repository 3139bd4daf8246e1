/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writing JSON (RFC 8259).
 */
#ifndef SOMCTL_JSON_H
#define SOMCTL_JSON_H

#include <stdio.h>

/**
 * struct json - where a value is being written
 * @out: the file.
 * @depth: objects and arrays that are open.
 * @more: something stands before the next value of the innermost one.
 */
struct json {
	FILE *out;
	unsigned int depth;
	int more;
};

/* @key is NULL in arrays and for the outermost value; @bracket is { or [. */
void json_open(struct json *j, const char *key, char bracket);
void json_close(struct json *j, char bracket);

/* Bytes that are no UTF-8 become U+FFFD. */
void json_string(struct json *j, const char *key, const char *value);

void json_number(struct json *j, const char *key, unsigned long value);

/* A number if it is one for JSON, too, a string otherwise. */
void json_word(struct json *j, const char *key, const char *value);

#endif /* SOMCTL_JSON_H */
