/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Progress of a long job, and the signal that stops it.
 */
#ifndef SOMCTL_PROGRESS_H
#define SOMCTL_PROGRESS_H

#include "term.h"

/**
 * struct progress - a job of many steps
 * @what: its name.
 * @total: steps.
 * @done: completed steps.
 * @start: start time in seconds.
 * @term: properties of the output.
 */
struct progress {
	const char *what;
	unsigned long total;
	unsigned long done;
	double start;
	struct term term;
};

/* Begin. From now on SIGINT and SIGTERM only set a flag, see stop_signal(). */
void progress_begin(struct progress *p, const char *what, unsigned long total);

/* Set the number of completed steps, and show it. */
void progress_update(struct progress *p, unsigned long done);

/* Clear the line on the terminal before the final message. */
void progress_end(struct progress *p);

/* Return: the seconds since the start. */
double progress_seconds(const struct progress *p);

/* Return: the received signal, or 0. */
int stop_signal(void);

#endif /* SOMCTL_PROGRESS_H */
