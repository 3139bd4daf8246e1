// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to hand memory to another process: PACK, claim and the first touch of
 * each unit, beside the ways that copy, or share pages.
 *
 * Names of figures: parcel.UNITS (claimed without, "populate.UNITS" with MAP_POPULATE),
 * parcel.gig (512 units that one entry maps), writev.UNITS (process_vm_writev() to
 * memory that the other process has touched), memfd.UNITS (a memfd whose pages are there
 * is unmapped, sent by SCM_RIGHTS, mapped with MAP_POPULATE and touched), pipe.UNITS
 * (vmsplice() into a pipe that is read), crossover (KiB from which a parcel of one unit
 * is cheaper than process_vm_writev()).
 */
#include <signal.h>
#include <sys/uio.h>

#include "../som_pass.h"
#include "bench.h"

#define ROUNDS	5
#define OTHERS	64	/* units at most that are copied */

static int fd;

static void touch(char *p, size_t units)
{
	size_t i;

	for (i = 0; i < units; i++)
		write_byte(p + i * UNIT);
}

static char *map_som(size_t units)
{
	char *p = mmap(NULL, units * UNIT, PROT_READ | PROT_WRITE, MAP_SHARED,
		       fd, 0);

	if (p == MAP_FAILED)
		die("mmap of som");
	touch(p, units);
	return p;
}

static __u64 measure_parcel(size_t units, int flags)
{
	struct som_pack pack = { .size = sizeof(pack) };
	__u64 samples[ROUNDS], t;
	char *p = map_som(units);
	int i, parcel;

	for (i = 0; i < ROUNDS; i++) {
		pack.start = (uintptr_t)p;
		pack.end = pack.start + units * UNIT;
		t = now();
		parcel = ioctl(fd, SOM_IOC_PACK, &pack);
		p = mmap(NULL, units * UNIT, PROT_READ | PROT_WRITE,
			 MAP_SHARED | flags, parcel, 0);
		if (p == MAP_FAILED)
			die("claim");
		touch(p, units);
		samples[i] = now() - t;
		close(parcel);
	}
	munmap(p, units * UNIT);
	return smallest(samples, ROUNDS);
}

/* Another process, whose memory is at the same address as this one's. */
static pid_t start_other(char **mem)
{
	int fds[2];
	char byte;
	pid_t pid;

	*mem = map_som(OTHERS);
	if (pipe(fds))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		mmap(*mem, OTHERS * UNIT, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_FIXED, fd, 0);
		touch(*mem, OTHERS);
		check(write(fds[1], "", 1) == 1, "the other is ready");
		pause();
		_exit(0);
	}
	check(read(fds[0], &byte, 1) == 1, "the other is ready");
	close(fds[0]);
	close(fds[1]);
	return pid;
}

static __u64 measure_writev(pid_t pid, char *mem, size_t len)
{
	struct iovec iov = { mem, len };
	__u64 samples[ROUNDS], t;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		t = now();
		check(process_vm_writev(pid, &iov, 1, &iov, 1, 0) == (ssize_t)len,
		      "all is copied");
		samples[i] = now() - t;
	}
	return smallest(samples, ROUNDS);
}

static __u64 measure_memfd(size_t units)
{
	int memfd = memfd_create("bench", MFD_CLOEXEC), got, socks[2], i;
	size_t len = units * UNIT, page;
	__u64 samples[ROUNDS], t;
	long word;
	char *p;

	if (memfd < 0 || ftruncate(memfd, len) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, socks))
		die("memfd");
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		 memfd, 0);
	for (i = 0; i < ROUNDS; i++) {
		t = now();
		munmap(p, len);
		if (som_pass(socks[0], memfd, 0))
			die("sendmsg");
		got = som_pass_receive(socks[1], &word, 0);
		if (got < 0)
			die("recvmsg");
		p = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_POPULATE, got, 0);
		if (p == MAP_FAILED)
			die("mmap of memfd");
		for (page = 0; page < len; page += PAGE)
			write_byte(p + page);
		samples[i] = now() - t;
		close(got);
	}
	munmap(p, len);
	close(memfd);
	close(socks[0]);
	close(socks[1]);
	return smallest(samples, ROUNDS);
}

static __u64 measure_pipe(char *mem, char *to, size_t units)
{
	__u64 samples[ROUNDS], t;
	size_t done, len = units * UNIT;
	int fds[2], i;

	if (pipe(fds) || fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) < 0)
		die("pipe");
	for (i = 0; i < ROUNDS; i++) {
		t = now();
		for (done = 0; done < len;) {
			struct iovec iov = { mem + done, 1 << 20 };
			ssize_t n = vmsplice(fds[1], &iov, 1, 0);

			if (n <= 0 || read(fds[0], to + done, n) != n)
				die("vmsplice");
			done += n;
		}
		samples[i] = now() - t;
	}
	close(fds[0]);
	close(fds[1]);
	return smallest(samples, ROUNDS);
}

static void measure_gig(void)
{
	struct som_policy policy = { .size = sizeof(policy) };

	if (ioctl(fd, SOM_IOC_GET_POLICY, &policy))
		die("SOM_IOC_GET_POLICY");
	policy.map_size = GIB;
	if (ioctl(fd, SOM_IOC_SET_POLICY, &policy))
		die("SOM_IOC_SET_POLICY");
	/* One touch maps all of it: those of measure_parcel() are but stores. */
	figure(measure_parcel(GIB_UNITS, MAP_POPULATE), "parcel.gig");
}

int main(void)
{
	static const size_t sizes[] = { 1, 8, 64, 512 };
	char *mem, *to;
	__u64 one;
	size_t i, pages;
	pid_t pid;

	print_machine();
	som_zero_rate(0);
	som_fresh(2);
	fd = som_open();
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		figure(measure_parcel(sizes[i], 0), "parcel.%zu", sizes[i]);
		figure(measure_parcel(sizes[i], MAP_POPULATE), "populate.%zu",
		       sizes[i]);
	}
	pid = start_other(&mem);
	to = mmap(NULL, OTHERS * UNIT, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	for (i = 0; sizes[i] <= OTHERS; i++) {
		figure(measure_writev(pid, mem, sizes[i] * UNIT), "writev.%zu",
		       sizes[i]);
		figure(measure_memfd(sizes[i]), "memfd.%zu", sizes[i]);
		figure(measure_pipe(mem, to, sizes[i]), "pipe.%zu", sizes[i]);
	}
	one = measure_parcel(1, MAP_POPULATE);
	for (pages = 1; pages < 512; pages++)
		if (measure_writev(pid, mem, pages * PAGE) > one)
			break;
	figure(pages * PAGE >> 10, "crossover");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	munmap(mem, OTHERS * UNIT);
	measure_gig();
	close(fd);
	return 0;
}
