/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the environment asks for, the descriptor of the device, and what the user is
 * told.
 */
#ifndef SOM_PRELOAD_DEVICE_H
#define SOM_PRELOAD_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { STAGE_NEW, STAGE_STARTING, STAGE_OFF, STAGE_ON };

/**
 * struct config - what the environment says, copied
 * @stage: STAGE_*; OFF if the device cannot be used. The rest is written before it.
 * @min: smallest mapping that goes to som, in bytes.
 * @max: largest such mapping, in bytes.
 * @options: SOM_POLICY_* of the file: what a child of fork gets.
 * @noreserve: pass MAP_NORESERVE on.
 * @verbose: tell the user.
 * @device: path.
 */
struct config {
	atomic_int stage;
	unsigned long min;
	unsigned long max;
	unsigned long long options;
	bool noreserve;
	bool verbose;
	char device[4096];
};

extern struct config config;

bool is_on(void);
long map_device(unsigned long hint, size_t len, int prot, int flags);
long map_again(unsigned long addr, size_t len, unsigned long way);
bool is_our_fd(int fd);
int next_our_fd(unsigned int first, unsigned int last);
void move_our_fd(int fd);
void say_once(atomic_bool *said, const char *before, unsigned long value,
	      const char *after);

#endif /* SOM_PRELOAD_DEVICE_H */
