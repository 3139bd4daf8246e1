// SPDX-License-Identifier: GPL-2.0
/*
 * packages: convert Debian's package index to commands for redis.
 *
 *	packages load [MAX] < Packages		RESP for redis-cli --pipe
 *	packages query N < Packages		lines for redis-cli: N random gets
 *
 * A package becomes a hash pkg:NAME of all its fields, a member of the set
 * section:SECTION, a member of needed-by:OTHER for each package it depends on,
 * and an entry of the sorted set installed-size. The output depends only on
 * the input.
 */
#include <ctype.h>
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FIELDS	64

struct text {
	char *s;
	size_t len;
	size_t room;
};

/* One package: names and values of its fields. */
struct package {
	size_t nr;
	struct text name[MAX_FIELDS];
	struct text value[MAX_FIELDS];
};

static void append(struct text *t, const char *s, size_t len)
{
	if (t->len + len + 1 > t->room) {
		t->room = 2 * (t->len + len + 1);
		t->s = realloc(t->s, t->room);
		if (!t->s)
			err(1, "memory");
	}
	memcpy(t->s + t->len, s, len);
	t->len += len;
	t->s[t->len] = '\0';
}

static void set(struct text *t, const char *s, size_t len)
{
	t->len = 0;
	append(t, s, len);
}

/* Read a package. Return: false at the end of the input. */
static bool next_package(struct package *p)
{
	static char *line;
	static size_t room;
	ssize_t len;

	p->nr = 0;
	while ((len = getline(&line, &room, stdin)) > 0) {
		char *colon, *value;

		while (len && isspace((unsigned char)line[len - 1]))
			line[--len] = '\0';
		if (!len) {
			if (p->nr)
				return true;
			continue;
		}
		if (isspace((unsigned char)line[0])) {
			if (p->nr)
				append(&p->value[p->nr - 1], line, len);
			continue;
		}
		colon = strchr(line, ':');
		if (!colon || p->nr == MAX_FIELDS)
			continue;
		value = colon + 1 + strspn(colon + 1, " ");
		set(&p->name[p->nr], line, colon - line);
		set(&p->value[p->nr], value, line + len - value);
		p->nr++;
	}
	return p->nr > 0;
}

static const struct text *field(const struct package *p, const char *name)
{
	size_t i;

	for (i = 0; i < p->nr; i++)
		if (!strcmp(p->name[i].s, name))
			return &p->value[i];
	return NULL;
}

static void command(size_t words)
{
	printf("*%zu\r\n", words);
}

/* Write one word of a command, made of two parts. */
static void word(const char *prefix, const char *s, size_t len)
{
	printf("$%zu\r\n%s", strlen(prefix) + len, prefix);
	fwrite(s, 1, len, stdout);
	fputs("\r\n", stdout);
}

static void put_dependencies(const struct text *depends, const struct text *name)
{
	const char *s = depends->s;

	while (*s) {
		size_t len;

		s += strspn(s, " ,|");
		len = strcspn(s, " ,|:(");
		if (len) {
			command(3);
			word("SADD", "", 0);
			word("needed-by:", s, len);
			word("", name->s, name->len);
		}
		s += strcspn(s, ",|");
	}
}

static void put_package(const struct package *p, const struct text *name)
{
	const struct text *t;
	size_t i;

	command(2 + 2 * p->nr);
	word("HSET", "", 0);
	word("pkg:", name->s, name->len);
	for (i = 0; i < p->nr; i++) {
		word("", p->name[i].s, p->name[i].len);
		word("", p->value[i].s, p->value[i].len);
	}
	t = field(p, "Section");
	if (t) {
		command(3);
		word("SADD", "", 0);
		word("section:", t->s, t->len);
		word("", name->s, name->len);
	}
	t = field(p, "Installed-Size");
	if (t) {
		command(4);
		word("ZADD", "", 0);
		word("installed-size", "", 0);
		word("", t->s, t->len);
		word("", name->s, name->len);
	}
	t = field(p, "Depends");
	if (t)
		put_dependencies(t, name);
}

static void load(unsigned long max)
{
	struct package p = { 0 };
	const struct text *name;

	while (max-- && next_package(&p)) {
		name = field(&p, "Package");
		if (name)
			put_package(&p, name);
	}
}

static void query(unsigned long n)
{
	struct package p = { 0 };
	unsigned int random = 1;
	char **names = NULL;
	size_t nr = 0;

	while (next_package(&p)) {
		const struct text *name = field(&p, "Package");

		if (!name)
			continue;
		names = reallocarray(names, nr + 1, sizeof(*names));
		if (!names)
			err(1, "memory");
		names[nr] = strdup(name->s);
		if (!names[nr++])
			err(1, "memory");
	}
	if (!nr)
		errx(1, "no packages in the input");
	while (n--) {
		const char *name;

		random = random * 1664525 + 1013904223;
		name = names[(random >> 8) % nr];
		printf("HMGET pkg:%s Version SHA256 Depends Description\n", name);
	}
}

int main(int argc, char **argv)
{
	unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 10) : -1UL;

	if (argc >= 2 && argc <= 3 && !strcmp(argv[1], "load"))
		load(n);
	else if (argc == 3 && !strcmp(argv[1], "query"))
		query(n);
	else
		errx(2, "usage: packages load [MAX] | query N");
	if (fflush(stdout) || ferror(stdout))
		err(1, "stdout");
	return 0;
}
