/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Files of the kernel: their directories, reading, writing, and error messages.
 */
#ifndef SOMCTL_FILE_H
#define SOMCTL_FILE_H

#include <stdbool.h>
#include <stddef.h>

#define DIR_SYSFS	"/sys/class/misc/som"
#define DIR_PARAM	"/sys/module/som/parameters"
#define DIR_HUGE_1G	"/sys/kernel/mm/hugepages/hugepages-1048576kB"
#define DIR_DEBUG	"/sys/kernel/debug/som"

/* Join a directory and a name, after the prefix of --root. Free the result. */
char *file_path(const char *dir, const char *name);

/*
 * Read a whole file and append a 0. Return: the text, to be freed, or NULL with
 * errno.
 */
char *file_read(const char *dir, const char *name);

/* Read a file without the newline at its end. */
char *file_read_line(const char *dir, const char *name);

/* Read a number. Return: 0, or -1 with errno; EINVAL if it is not a number. */
int file_read_number(const char *dir, const char *name, unsigned long *value);

/* Write a text. Return: 0, or -1 with errno. */
int file_write(const char *dir, const char *name, const char *text);
int file_write_number(const char *dir, const char *name, unsigned long value);

bool file_exists(const char *dir, const char *name);

/* Print an error (errno) of a file. Return: exit status. */
int file_error(const char *dir, const char *name, int error);

/* Print an error if som is not loaded. Return: EXIT_DONE or EXIT_NO_SOM. */
int need_som(void);

#endif /* SOMCTL_FILE_H */
