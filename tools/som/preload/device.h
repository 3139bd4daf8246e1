/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The settings of the environment, the descriptor of the device, and messages.
 */
#ifndef SOM_PRELOAD_DEVICE_H
#define SOM_PRELOAD_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { STAGE_NEW, STAGE_STARTING, STAGE_OFF, STAGE_ON };

/**
 * struct config - a copy of the settings of the environment
 * @stage: STAGE_*; OFF if the device cannot be used. It is written last.
 * @min: smallest mapping to put on som, in bytes.
 * @max: largest mapping to put on som, in bytes.
 * @options: SOM_POLICY_* bits of the file: what a child of fork inherits.
 * @noreserve: pass on MAP_NORESERVE.
 * @verbose: print messages.
 * @device: path of the device.
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
