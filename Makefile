# SPDX-License-Identifier: GPL-2.0
#
# The commands of this repository. The module itself is described in Kbuild and
# drivers/som/Makefile, which the kernel's build reads.

KDIR ?= /lib/modules/$(shell uname -r)/build

.PHONY: help deps modules demo bench check clean

help:
	@echo 'make demo     a real program with its heap on /dev/som, in a test machine'
	@echo 'make bench    what write tracking costs, in instructions, in a test machine'
	@echo 'make check    static checks, and all tests on all test kernels'
	@echo 'make deps     install what these two need (they do it themselves)'
	@echo 'make modules  build drivers/som/som.ko for the kernel at KDIR='
	@echo '              (default: the running kernel)'
	@echo 'make clean    remove what make modules has built'
	@echo
	@echo 'Kernels and builds are kept in $${SOM_CACHE:-~/.cache/som}.'
	@echo 'scripts/qemu-test.sh help tells how to run one test or one command.'

deps:
	@scripts/install-deps.sh

modules:
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_SOM=m modules

demo: deps
	@tools/som/demo/demo.sh

bench: deps
	@tools/testing/selftests/som/bench/bench.sh

check: deps
	@scripts/check.sh

clean:
	@find drivers -type f \( -name '*.o' -o -name '*.ko' -o -name '*.mod' \
		-o -name '*.mod.c' -o -name '.*.cmd' -o -name modules.order \) -delete
	@rm -f Module.symvers modules.order .*.cmd *.o *.mod *.mod.c
