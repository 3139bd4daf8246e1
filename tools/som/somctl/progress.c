// SPDX-License-Identifier: GPL-2.0
/*
 * Show the progress of a long job: on a terminal in one line that changes, otherwise in
 * a line for each step, which suits a log. A signal sets a flag and interrupts the
 * current write of the job.
 */
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "progress.h"

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	stopped = sig;
}

int stop_signal(void)
{
	return stopped;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

double progress_seconds(const struct progress *p)
{
	return now() - p->start;
}

/* The bar has at most 30 columns. */
static void draw(const struct progress *p)
{
	unsigned int bar = p->term.width > 60 ? p->term.width - 60 : 0, full, i;
	double seconds = progress_seconds(p);

	if (bar > 30)
		bar = 30;
	full = p->done * bar / p->total;
	printf("\r%s ", p->what);
	if (bar) {
		putchar('[');
		for (i = 0; i < bar; i++)
			fputs(i < full ? p->term.utf8 ? "\u2588" : "#" : " ",
			      stdout);
		fputs("] ", stdout);
	}
	printf("%3lu %%  %lu of %lu", p->done * 100 / p->total, p->done,
	       p->total);
	if (p->done && seconds > 0)
		printf("  %.1f/s  %.0f s left", p->done / seconds,
		       (p->total - p->done) * seconds / p->done);
	/* Overwrite the rest of a longer text. */
	fputs("    \b\b\b\b", stdout);
	fflush(stdout);
}

void progress_begin(struct progress *p, const char *what, unsigned long total)
{
	struct sigaction sa = { .sa_handler = on_signal };

	*p = (struct progress) {
		.what = what, .total = total, .start = now(),
	};
	term_init(&p->term);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	if (p->term.tty)
		draw(p);
}

void progress_update(struct progress *p, unsigned long done)
{
	if (done > p->total)
		done = p->total;
	if (done == p->done)
		return;
	p->done = done;
	if (p->term.tty) {
		draw(p);
		return;
	}
	printf("%s: %lu of %lu\n", p->what, done, p->total);
	fflush(stdout);
}

void progress_end(struct progress *p)
{
	unsigned int i;

	if (!p->term.tty)
		return;
	putchar('\r');
	for (i = 1; i < p->term.width; i++)
		putchar(' ');
	putchar('\r');
	fflush(stdout);
}
