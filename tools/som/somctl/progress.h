/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How far a long job is, and the signal that ends it.
 */
#ifndef SOMCTL_PROGRESS_H
#define SOMCTL_PROGRESS_H

#include "term.h"

/**
 * struct progress - a job of many steps
 * @what: its name.
 * @total: steps.
 * @done: steps that are done.
 * @start: time of its begin, in seconds.
 * @term: where that is told.
 */
struct progress {
	const char *what;
	unsigned long total;
	unsigned long done;
	double start;
	struct term term;
};

/* From now on SIGINT and SIGTERM do not end the program, see stop_signal(). */
void progress_begin(struct progress *p, const char *what, unsigned long total);

/* So many are done; a line on a terminal, or a line for each change. */
void progress_update(struct progress *p, unsigned long done);

/* The line on the terminal is cleared for what is said at the end. */
void progress_end(struct progress *p);

/* Seconds since the begin. */
double progress_seconds(const struct progress *p);

/* Return: the signal that came, 0 if none did. */
int stop_signal(void);

#endif /* SOMCTL_PROGRESS_H */
