// SPDX-License-Identifier: GPL-2.0
/* som_conform: memory of a virtual machine. */
#include <linux/kvm.h>

#include "conform.h"

/*
 * Real mode, at guest address 0x1000: write 0x5a to ES:0 for ES = 0x2000 and
 * 0xf000, add the word at 0x3000:0 to it, and halt.
 *
 *	mov $0x2000, %ax; mov %ax, %es
 *	movb $0x5a, %es:0
 *	mov $0xf000, %ax; mov %ax, %es
 *	movb $0x5a, %es:0
 *	mov $0x3000, %ax; mov %ax, %ds
 *	mov 0, %al; mov %al, %es:1
 *	hlt
 */
static const unsigned char program[] = {
	0xb8, 0x00, 0x20, 0x8e, 0xc0,
	0x26, 0xc6, 0x06, 0x00, 0x00, 0x5a,
	0xb8, 0x00, 0xf0, 0x8e, 0xc0,
	0x26, 0xc6, 0x06, 0x00, 0x00, 0x5a,
	0xb8, 0x00, 0x30, 0x8e, 0xd8,
	0xa0, 0x00, 0x00,
	0x26, 0xa2, 0x01, 0x00,
	0xf4,
};

#define CODE		0x1000
#define FIRST		0x20000
#define SOURCE		0x30000
#define SECOND		0xf0000

static int kvm_run(struct conform *c, int vm, int kvm)
{
	struct kvm_regs regs = { .rip = CODE, .rflags = 2 };
	struct kvm_sregs sregs;
	struct kvm_run *run;
	int cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (cpu < 0) {
		say(c, "no processor: %s", strerrorname_np(errno));
		return -1;
	}
	run = mmap(NULL, size, RW, MAP_SHARED, cpu, 0);
	ioctl(cpu, KVM_GET_SREGS, &sregs);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	ioctl(cpu, KVM_SET_SREGS, &sregs);
	ioctl(cpu, KVM_SET_REGS, &regs);
	if (ioctl(cpu, KVM_RUN, 0)) {
		say(c, "KVM_RUN: %s", strerrorname_np(errno));
		return -1;
	}
	if (run->exit_reason != KVM_EXIT_HLT) {
		say(c, "exit %d", run->exit_reason);
		return -1;
	}
	munmap(run, size);
	close(cpu);
	return 0;
}

static void op_kvm(struct conform *c)
{
	struct kvm_userspace_memory_region region = {
		.memory_size = 2 * UNIT,
		.userspace_addr = (uintptr_t)c->p + UNIT,
	};
	char *p = c->p + UNIT;
	int kvm, vm;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0) {
		say(c, "no /dev/kvm");
		return;
	}
	if (!c->row->arg)
		fill(c);
	else
		fill_range(c->p, UNIT, 0);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0) {
		say(c, "no machine: %s", strerrorname_np(errno));
		return;
	}
	if (c->row->arg == 2) {
		mprotect(p + UNIT - PAGE, PAGE, PROT_READ);
		mprotect(p + UNIT - PAGE, PAGE, RW);
		region.memory_size = UNIT - PAGE;
	}
	say_result(c, ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
	memcpy(p + CODE, program, sizeof(program));
	p[SOURCE] = 0x77;
	p[FIRST] = 0;
	p[SECOND] = 0;
	if (kvm_run(c, vm, kvm))
		return;
	say(c, p[FIRST] == 0x5a && p[SECOND] == 0x5a && p[SECOND + 1] == 0x77 ?
	    "runs" : "WRONG DATA");
	/* The kernel takes memory away from the machine as it does from us. */
	if (mprotect(p, UNIT, PROT_READ) || mprotect(p, UNIT, RW))
		say(c, "mprotect");
	p[SOURCE] = 0x66;
	munmap(p + UNIT, UNIT);
	close(vm);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	region.memory_size = UNIT;
	ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
	if (kvm_run(c, vm, kvm))
		return;
	say(c, p[SECOND + 1] == 0x66 ? "again" : "WRONG DATA");
	munmap(p, UNIT);
	if (map_more(c, p, UNIT, RW, MAP_FIXED) == MAP_FAILED)
		say(c, "mmap");
	say_range(c, p, UNIT, UNIT);
}

static const struct conform_row kvm_rows[] = {
	{ "memory of a machine", op_kvm, 0, 0,
	  { "no /dev/kvm; debug: ok, runs, again, zeroes" } },
	{ "memory of a machine, empty before", op_kvm, 1, 0,
	  { "no /dev/kvm; debug: ok, runs, again, zeroes" } },
	{}
};

const struct conform_topic conform_kvm = { "KVM", kvm_rows };
