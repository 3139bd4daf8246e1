# SPDX-License-Identifier: GPL-2.0
#
# For a repository that is no kernel tree: the kselftest build of the kernel's source at
# KSRC, with the uapi header of this repository and the headers for programs at KHDR.
# Without that source the tests can be listed only.

KSRC ?= /usr/src/linux-source-6.12
KHDR ?= $(KSRC)/usr/include
KHDR_INCLUDES ?= -I$(CURDIR)/../../../../include/uapi -isystem $(KHDR)

ifneq ($(wildcard $(KSRC)/tools/testing/selftests/lib.mk),)
# The kernel's lib.mk finds its directory by its name in this list.
MAKEFILE_LIST :=
include $(KSRC)/tools/testing/selftests/lib.mk
else
emit_tests:
	@printf '$(COLLECTION):%s\n' $(TEST_GEN_PROGS) $(TEST_PROGS)
endif
