// SPDX-License-Identifier: GPL-2.0
/*
 * Write JSON: one value per line, indented by a tab for each level.
 */
#include <stddef.h>
#include <string.h>

#include "json.h"

/*
 * utf8_length - return the number of bytes of the character at @s
 *
 * Return: 0 if it is invalid: truncated, longer than necessary, a surrogate, or above
 * the last code point.
 */
static size_t utf8_length(const unsigned char *s)
{
	static const unsigned long least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned long code;
	size_t len, i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xf8 || s[0] < 0xc0)
		return 0;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	code = s[0] & (0x7f >> len);
	for (i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < least[len] || code > 0x10ffff ||
	    (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return len;
}

static void put_string(FILE *out, const char *value)
{
	const unsigned char *s = (const unsigned char *)value;
	size_t len;

	putc('"', out);
	for (; *s; s += len ? len : 1) {
		len = utf8_length(s);
		if (!len)
			fputs("\\ufffd", out);
		else if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if (*s < 0x20 || *s == 0x7f)
			fprintf(out, "\\u%04x", *s);
		else
			fwrite(s, 1, len, out);
	}
	putc('"', out);
}

/* Write the separator, the indentation and the key before a value. */
static void begin(struct json *j, const char *key)
{
	unsigned int i;

	if (j->more)
		putc(',', j->out);
	if (j->depth)
		putc('\n', j->out);
	for (i = 0; i < j->depth; i++)
		putc('\t', j->out);
	if (key) {
		put_string(j->out, key);
		fputs(": ", j->out);
	}
	j->more = 1;
}

void json_open(struct json *j, const char *key, char bracket)
{
	begin(j, key);
	putc(bracket, j->out);
	j->depth++;
	j->more = 0;
}

void json_close(struct json *j, char bracket)
{
	unsigned int i;

	j->depth--;
	if (j->more) {
		putc('\n', j->out);
		for (i = 0; i < j->depth; i++)
			putc('\t', j->out);
	}
	putc(bracket, j->out);
	j->more = 1;
	if (!j->depth)
		putc('\n', j->out);
}

void json_string(struct json *j, const char *key, const char *value)
{
	begin(j, key);
	put_string(j->out, value);
}

void json_number(struct json *j, const char *key, unsigned long value)
{
	begin(j, key);
	fprintf(j->out, "%lu", value);
}

void json_word(struct json *j, const char *key, const char *value)
{
	size_t len = strspn(value, "0123456789");

	begin(j, key);
	/* JSON has no leading zeroes, and many readers have only 64 bits. */
	if (!len || value[len] || len > 19 || (*value == '0' && len > 1))
		put_string(j->out, value);
	else
		fputs(value, j->out);
}
