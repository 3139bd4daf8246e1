// SPDX-License-Identifier: GPL-2.0
/*
 * Files of the kernel. They are small, and are read by one call: each read of a sysfs
 * file that starts at offset 0 makes a new snapshot.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "somctl.h"

#define FIRST_SIZE	4096UL

char *file_path(const char *dir, const char *name)
{
	char *path;

	if (asprintf(&path, "%s%s%s%s", options.root, dir, *name ? "/" : "",
		     name) < 0) {
		complain("no memory");
		exit(EXIT_FAILED);
	}
	return path;
}

static int file_open(const char *dir, const char *name, int flags)
{
	char *path = file_path(dir, name);
	int fd = open(path, flags | O_CLOEXEC), saved = errno;

	free(path);
	errno = saved;
	return fd;
}

char *file_read(const char *dir, const char *name)
{
	size_t size = FIRST_SIZE, len = 0;
	char *buf = NULL, *more;
	ssize_t n;
	int fd;

	fd = file_open(dir, name, O_RDONLY);
	if (fd < 0)
		return NULL;
	for (;;) {
		more = realloc(buf, size);
		if (!more)
			goto failed;
		buf = more;
		n = read(fd, buf + len, size - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			goto failed;
		if (!n)
			break;
		len += n;
		if (len == size - 1)
			size *= 2;
	}
	close(fd);
	buf[len] = 0;
	return buf;

failed:
	n = errno;
	free(buf);
	close(fd);
	errno = n;
	return NULL;
}

char *file_read_line(const char *dir, const char *name)
{
	char *text = file_read(dir, name);

	if (text)
		text[strcspn(text, "\n")] = 0;
	return text;
}

int file_read_number(const char *dir, const char *name, unsigned long *value)
{
	char *text = file_read_line(dir, name), *end;

	if (!text)
		return -1;
	errno = 0;
	*value = strtoul(text, &end, 10);
	if (end == text || *end)
		errno = EINVAL;
	free(text);
	return errno ? -1 : 0;
}

int file_write(const char *dir, const char *name, const char *text)
{
	size_t len = strlen(text);
	ssize_t n;
	int fd, saved;

	fd = file_open(dir, name, O_WRONLY);
	if (fd < 0)
		return -1;
	/* The kernel takes one write for the whole value. */
	n = write(fd, text, len);
	saved = n < 0 ? errno : EIO;
	close(fd);
	errno = saved;
	return n == (ssize_t)len ? 0 : -1;
}

int file_write_number(const char *dir, const char *name, unsigned long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu\n", value);
	return file_write(dir, name, text);
}

bool file_exists(const char *dir, const char *name)
{
	char *path = file_path(dir, name);
	bool found = !access(path, F_OK);

	free(path);
	return found;
}

int file_error(const char *dir, const char *name, int error)
{
	char *path = file_path(dir, name);
	bool denied = error == EACCES || error == EPERM;

	complain("%s: %s%s", path, strerror(error),
		 denied && geteuid() ? " (only root may)" : "");
	free(path);
	return denied ? EXIT_DENIED : EXIT_FAILED;
}

int need_som(void)
{
	char *path;

	if (file_exists(DIR_SYSFS, "nr_chunks"))
		return EXIT_DONE;
	path = file_path(DIR_SYSFS, "");
	complain("%s does not exist; load the module first: modprobe som", path);
	free(path);
	return EXIT_NO_SOM;
}
