// SPDX-License-Identifier: GPL-2.0
/*
 * What the operations of som_conform share: memory of each kind, what is in it
 * afterwards, and saying so.
 */
#include <stdarg.h>

#include "conform.h"

/* Every cache line has a word that tells where it was written. */
#define STEP	64

#define STATE_KEPT	0x01
#define STATE_ZERO	0x02
#define STATE_OTHER	0x04
#define STATE_SEGV	0x08
#define STATE_BUS	0x10

#define ANSWER_SIZE	512

/* Add a part to the answer. */
void say(struct conform *c, const char *fmt, ...)
{
	size_t len = strlen(c->answer);
	va_list args;

	if (len)
		len += snprintf(c->answer + len, ANSWER_SIZE - len, ", ");
	va_start(args, fmt);
	vsnprintf(c->answer + len, ANSWER_SIZE - len, fmt, args);
	va_end(args);
}

/* Return: did the call succeed? */
bool say_result(struct conform *c, long ret)
{
	const char *name = ret == -1 ? strerrorname_np(errno) : NULL;

	if (ret == -1)
		say(c, "%s", name ? name : "unknown error");
	else
		say(c, "ok");
	return ret != -1;
}

const char *signal_name(int sig)
{
	static char name[32];

	snprintf(name, sizeof(name), "SIG%s", sigabbrev_np(sig));
	return name;
}

size_t part_offset(enum conform_part part)
{
	switch (part) {
	case ONE_UNIT:
		return UNIT;
	case TWO_PAGES:
		return UNIT + 5 * PAGE;
	default:
		return 0;
	}
}

size_t part_len(enum conform_part part)
{
	switch (part) {
	case ONE_UNIT:
		return UNIT;
	case TWO_PAGES:
		return 2 * PAGE;
	default:
		return CONFORM_LEN;
	}
}

char *part_start(struct conform *c, enum conform_part part)
{
	return c->p + part_offset(part);
}

int map_flags(const struct conform *c)
{
	switch (c->kind) {
	case ANONYMOUS:
		return MAP_PRIVATE | MAP_ANONYMOUS;
	case HUGETLB:
		return MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
		       (21 << MAP_HUGE_SHIFT);
	case SOM_SHARED:
		return MAP_SHARED;
	default:
		return MAP_PRIVATE;
	}
}

/* Another mapping of the same kind. */
char *map_more(const struct conform *c, void *addr, size_t len, int prot,
	       int flags)
{
	return mmap(addr, len, prot, map_flags(c) | flags, c->fd, 0);
}

void fill_range(char *p, size_t len, size_t offset)
{
	size_t i;

	for (i = 0; i < len; i += STEP)
		WRITE_ONCE(*(__u64 *)(p + i), som_word(1, offset + i));
}

void fill(struct conform *c)
{
	fill_range(c->p, CONFORM_LEN, 0);
}

bool is_filled(const char *p, size_t len, size_t offset)
{
	size_t i;

	for (i = 0; i < len; i += STEP)
		if (READ_ONCE(*(__u64 *)(p + i)) != som_word(1, offset + i))
			return false;
	return true;
}

static int page_state(const char *p, size_t offset)
{
	int state = 0;
	size_t i;

	for (i = 0; i < PAGE; i += STEP) {
		__u64 word = READ_ONCE(*(__u64 *)(p + i));

		if (word == som_word(1, offset + i))
			state |= STATE_KEPT;
		else
			state |= word ? STATE_OTHER : STATE_ZERO;
	}
	return state;
}

/*
 * What the pages of a range are. Where one raises a signal it goes on further
 * behind, but the last page is always looked at: signals take their time.
 */
static int range_state(const char *p, size_t len, size_t offset)
{
	size_t step = len > UNIT / 4 ? 61 * PAGE : PAGE;
	volatile size_t i = 0;
	volatile int state = 0;
	int sig;

	som_catch_faults();
	sig = sigsetjmp(som_fault_env, 1);
	if (sig) {
		state |= sig == SIGSEGV ? STATE_SEGV : STATE_BUS;
		if (i + step >= len && i + PAGE < len)
			i = len - PAGE;
		else
			i += step;
	}
	WRITE_ONCE(som_fault_armed, 1);
	for (; i < len; i += PAGE)
		state |= page_state(p + i, offset + i);
	WRITE_ONCE(som_fault_armed, 0);
	return state;
}

static const char *state_name(int state)
{
	static char text[64];
	static const char *const names[] = {
		"data kept", "zeroes", "WRONG DATA", "SIGSEGV", "SIGBUS",
	};
	size_t i, len = 0;

	text[0] = 0;
	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (state & 1 << i)
			len += snprintf(text + len, sizeof(text) - len, "%s%s",
					len ? " and " : "", names[i]);
	return text;
}

/* What is at @p, where the fill had offset @offset. */
void say_range(struct conform *c, const char *p, size_t len, size_t offset)
{
	say(c, "%s", state_name(range_state(p, len, offset)));
}

/* The same, and each page can be written. */
void say_writable(struct conform *c, char *p, size_t len, size_t offset)
{
	int state = range_state(p, len, offset);
	size_t i;

	say(c, "%s", state_name(state));
	if (state & (STATE_SEGV | STATE_BUS))
		return;
	for (i = 0; i < len; i += PAGE) {
		int sig = som_try_write(p + i, som_word(1, offset + i));

		if (sig) {
			say(c, "%s for writing", signal_name(sig));
			return;
		}
	}
	fill_range(p, len, offset);
	if (!is_filled(p, len, offset))
		say(c, "WRITES LOST");
}

/* Whatever is outside of this part must be as it was: no word if it is. */
void say_rest(struct conform *c, size_t offset, size_t len)
{
	size_t end = offset + len;
	int state = 0;

	if (offset)
		state |= range_state(c->p, offset, 0);
	if (end < CONFORM_LEN)
		state |= range_state(c->p + end, CONFORM_LEN - end, end);
	if (state & ~STATE_KEPT)
		say(c, "THE REST: %s", state_name(state));
}

/* What is in a part, writable, and nothing has happened to the rest. */
void say_data(struct conform *c, enum conform_part part)
{
	size_t offset = part_offset(part), len = part_len(part);

	say_rest(c, offset, len);
	say_writable(c, c->p + offset, len, offset);
	say_rest(c, offset, len);
}

/* Return: pages that mincore() calls resident, or -1. */
int resident(const char *p, size_t len)
{
	static unsigned char vec[CONFORM_LEN / PAGE];
	size_t i;
	int n = 0;

	if (mincore((void *)p, len, vec))
		return -1;
	for (i = 0; i < len / PAGE; i++)
		n += vec[i] & 1;
	return n;
}

/* Return: a number from /proc/self/status, or -1. */
long status_value(const char *key)
{
	char line[128];
	long value = -1;
	FILE *f = fopen("/proc/self/status", "re");

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, strlen(key)) ||
		    line[strlen(key)] != ':')
			continue;
		value = strtol(line + strlen(key) + 1, NULL, 10);
		break;
	}
	fclose(f);
	return value;
}

/* The handler and what it jumps to are of one file: this one. */
int try_read(const void *p, __u64 *value)
{
	return som_try_read(p, value);
}

int try_write(void *p, __u64 value)
{
	return som_try_write(p, value);
}

int read_signal(const void *p)
{
	return som_read_signal(p);
}

void catch_faults(void)
{
	som_catch_faults();
}

/* Return: a child's exit status, or the negative signal that ended it. */
int run_child(void (*fn)(struct conform *c), struct conform *c)
{
	pid_t pid = fork();

	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		fn(c);
		_exit(0);
	}
	return som_wait_child(pid);
}
