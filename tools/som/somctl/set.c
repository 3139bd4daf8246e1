// SPDX-License-Identifier: GPL-2.0
/*
 * somctl set: list the settings of the driver, or change one.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "attr.h"
#include "file.h"
#include "somctl.h"

/* Return whether root may write it. Otherwise it can be set only at load time. */
static bool writable(const char *dir, const char *name)
{
	char *path = file_path(dir, name);
	struct stat st;
	bool may = !stat(path, &st) && st.st_mode & 0200;

	free(path);
	return may;
}

static int list_settings(void)
{
	const struct setting *s;
	const char *dir;
	char *value;

	for (s = settings; s->name; s++) {
		dir = setting_dir(s);
		value = dir ? file_read_line(dir, s->name) : NULL;
		if (!value)
			continue;
		printf("%-17s %-10s %s\n%-28s (%s%s)\n", s->name, value,
		       s->meaning, "", s->values,
		       writable(dir, s->name) ? "" : "; at load only");
		free(value);
	}
	return EXIT_DONE;
}

static int set(const struct setting *s, const char *dir, const char *value)
{
	char *before = file_read_line(dir, s->name), *after, *text;
	int ret = EXIT_DONE;

	if (asprintf(&text, "%s\n", value) < 0)
		return file_error(dir, s->name, ENOMEM);
	if (file_write(dir, s->name, text)) {
		int error = errno;

		ret = file_error(dir, s->name, error);
		if (error == EINVAL || error == ERANGE)
			complain("%s: invalid value %s, expected: %s", s->name,
				 value, s->values);
	} else {
		after = file_read_line(dir, s->name);
		printf("%s: %s, was %s\n", s->name, after ? after : "?",
		       before ? before : "?");
		free(after);
	}
	free(text);
	free(before);
	return ret;
}

int cmd_set(int argc, char **argv)
{
	const struct setting *s;
	const char *dir, *name;
	int ret;

	if (getopt_long(argc, argv, "+", NULL, NULL) != -1)
		return usage_error(NULL);
	if (optind != argc && optind + 2 != argc)
		return usage_error("set: specify a name and a value");
	ret = need_som();
	if (ret)
		return ret;
	if (optind == argc)
		return list_settings();
	name = argv[optind];
	if (!strcmp(name, "nr_chunks"))
		return usage_error("set: use grow and shrink to resize the pool");
	s = setting_find(name);
	if (!s)
		return usage_error("set: %s: no such setting; \"somctl set\" lists them",
				   name);
	dir = setting_dir(s);
	if (!dir) {
		complain("%s: this driver does not have it", name);
		return EXIT_FAILED;
	}
	if (!writable(dir, name)) {
		complain("%s: can be set only when the module is loaded: modprobe som %s=%s",
			 name, name, argv[optind + 1]);
		return EXIT_FAILED;
	}
	return set(s, dir, argv[optind + 1]);
}
