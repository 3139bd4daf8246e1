/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Files of the kernel: where they are, reading, writing, and what to say when
 * that fails.
 */
#ifndef SOMCTL_FILE_H
#define SOMCTL_FILE_H

#include <stdbool.h>
#include <stddef.h>

#define DIR_SYSFS	"/sys/class/misc/som"
#define DIR_PARAM	"/sys/module/som/parameters"
#define DIR_HUGE_1G	"/sys/kernel/mm/hugepages/hugepages-1048576kB"
#define DIR_DEBUG	"/sys/kernel/debug/som"

/* A directory and a name, with the prefix of --root. Return: to be freed. */
char *file_path(const char *dir, const char *name);

/*
 * All of a file, with a 0 behind it. Return: NULL with errno, or what is to be
 * freed.
 */
char *file_read(const char *dir, const char *name);

/* The same without the newline at the end. */
char *file_read_line(const char *dir, const char *name);

/* Return: 0, or -1 with errno; EINVAL where it is no number. */
int file_read_number(const char *dir, const char *name, unsigned long *value);

/* Return: 0, or -1 with errno. */
int file_write(const char *dir, const char *name, const char *text);
int file_write_number(const char *dir, const char *name, unsigned long value);

bool file_exists(const char *dir, const char *name);

/* Complain that something (errno) failed with a file. Return: exit status. */
int file_error(const char *dir, const char *name, int error);

/* Return: EXIT_DONE if som is loaded, or else EXIT_NO_SOM, and that was said. */
int need_som(void);

#endif /* SOMCTL_FILE_H */
