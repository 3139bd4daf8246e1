# SPDX-License-Identifier: GPL-2.0
#
# The commands of this repository. The kernel's build reads Kbuild and
# drivers/som/Makefile to build the module.

KDIR ?= /lib/modules/$(shell uname -r)/build

VERSION := $(shell cat VERSION)

.PHONY: help deps modules modules_install tools install install-dkms deb demo \
	bench check matrix series clean

help:
	@echo 'make demo     run redis-server with its heap on /dev/som, in a test machine'
	@echo 'make bench    compare the cost of som with THP and HugeTLB, in instructions'
	@echo '              and bytes: tables and plots, in test machines'
	@echo 'make check    run static checks, and all tests on all test kernels'
	@echo 'make matrix   run programs of Debian with their memory on som, databases and'
	@echo '              runtimes among them, in a test machine; not in make check'
	@echo 'make series   write patches to a 6.12 kernel tree into build/series'
	@echo 'make deps     install what these need (they do it themselves)'
	@echo 'make modules  build drivers/som/som.ko for the kernel at KDIR='
	@echo '              (default: the running kernel)'
	@echo 'make tools    build the library, somctl and the preloaded library'
	@echo 'make install  install them: DESTDIR=, prefix= (default: /usr/local)'
	@echo 'make modules_install, make install-dkms: install the module'
	@echo 'make deb      build Debian packages (installs its build dependencies)'
	@echo 'make clean    remove the files built by make modules and make tools'
	@echo
	@echo 'Kernels and builds are stored in $${SOM_CACHE:-~/.cache/som}.'
	@echo 'See scripts/qemu-test.sh help to run one test or one command.'

deps:
	@scripts/install-deps.sh

modules:
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_SOM=m modules

modules_install:
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_SOM=m modules_install

tools:
	$(MAKE) -C tools/som all

install:
	$(MAKE) -C tools/som install

# Install the source; dkms(8) builds it for each kernel.
install-dkms: dkmsdir = $(DESTDIR)/usr/src/som-$(VERSION)
install-dkms:
	install -d $(dkmsdir)/drivers/som $(dkmsdir)/include/uapi/linux
	install -m 644 Kbuild COPYING $(dkmsdir)/
	sed 's|#MODULE_VERSION#|$(VERSION)|' tools/som/dkms/dkms.conf.in \
		>$(dkmsdir)/dkms.conf
	find drivers/som -maxdepth 1 \( -name '*.[ch]' ! -name '*.mod.c' \
		-o -name Makefile -o -name Kconfig \) \
		-exec install -m 644 -t $(dkmsdir)/drivers/som {} +
	install -m 644 include/uapi/linux/som.h $(dkmsdir)/include/uapi/linux/

deb:
	@scripts/make-deb.sh

demo: deps
	@tools/som/demo/demo.sh

bench:
	@scripts/install-deps.sh gnuplot-nox
	@tools/testing/selftests/som/bench/bench.sh

check: deps
	@scripts/check.sh

# PROGRAMS= names some of them.
matrix: deps
	@scripts/matrix.sh $(PROGRAMS)

series:
	@scripts/make-series.sh

clean:
	@find drivers -type f \( -name '*.o' -o -name '*.ko' -o -name '*.mod' \
		-o -name '*.mod.c' -o -name '.*.cmd' -o -name modules.order \) -delete
	@rm -rf build
	@rm -f Module.symvers modules.order .*.cmd *.o *.mod *.mod.c
