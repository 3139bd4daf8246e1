/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the environment asks for, the descriptor of the device, and what the user is
 * told.
 */
#ifndef SOM_PRELOAD_DEVICE_H
#define SOM_PRELOAD_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>

enum { CONFIG_UNREAD, CONFIG_OFF, CONFIG_ON };

/**
 * struct config - what the environment says
 * @read: CONFIG_*; OFF also once the device turned out not to be usable.
 * @min: smallest mapping that goes to som, in bytes.
 * @max: largest such mapping, in bytes.
 * @options: SOM_POLICY_* of the file: what a child of fork gets.
 * @noreserve: pass MAP_NORESERVE on.
 * @verbose: tell the user.
 * @device: path.
 */
struct config {
	atomic_int read;
	unsigned long min;
	unsigned long max;
	unsigned long long options;
	bool noreserve;
	bool verbose;
	const char *device;
};

extern struct config config;

bool is_on(void);
int get_fd(void);
void say_once(atomic_bool *said, const char *before, unsigned long value,
	      const char *after);

#endif /* SOM_PRELOAD_DEVICE_H */
