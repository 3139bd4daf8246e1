/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Write JSON (RFC 8259).
 */
#ifndef SOMCTL_JSON_H
#define SOMCTL_JSON_H

#include <stdio.h>

/**
 * struct json - state of the output
 * @out: the file.
 * @depth: number of open objects and arrays.
 * @more: the innermost one has a value already.
 */
struct json {
	FILE *out;
	unsigned int depth;
	int more;
};

/* @key is NULL in arrays and for the outermost value; @bracket is { or [. */
void json_open(struct json *j, const char *key, char bracket);
void json_close(struct json *j, char bracket);

/* Write a string. Bytes that are not valid UTF-8 become U+FFFD. */
void json_string(struct json *j, const char *key, const char *value);

void json_number(struct json *j, const char *key, unsigned long value);

/* Write a word as a number if JSON allows that, otherwise as a string. */
void json_word(struct json *j, const char *key, const char *value);

#endif /* SOMCTL_JSON_H */
