// SPDX-License-Identifier: GPL-2.0
/*
 * A kernel that knows no 1 GiB pages: loading says EOPNOTSUPP and leaves
 * nothing behind.
 *
 * SOM-TEST: kernels=generic chunks=0 spare=0 no-module append=clearcpuid=pdpe1gb
 */
#include "som_test.h"

FIXTURE(no_1g)
{
	int ko;
};

FIXTURE_SETUP(no_1g)
{
	const char *path = getenv("SOM_KO");

	if (!path)
		SKIP(return, "SOM_KO is not set");
	self->ko = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->ko);
	ASSERT_NE(0, access(HUGE_1G, F_OK))
		TH_LOG("this kernel knows 1G pages");
}

FIXTURE_TEARDOWN_PARENT(no_1g)
{
	EXPECT_NE(0, access("/sys/module/som", F_OK));
	EXPECT_NE(0, access(SOM_DEV, F_OK));
}

TEST_F(no_1g, load_with_chunks)
{
	EXPECT_EQ(-1, syscall(SYS_finit_module, self->ko, "chunks=1", 0));
	EXPECT_EQ(EOPNOTSUPP, errno);
}

TEST_F(no_1g, load_without_chunks)
{
	EXPECT_EQ(-1, syscall(SYS_finit_module, self->ko, "", 0));
	EXPECT_EQ(EOPNOTSUPP, errno);
}

TEST_HARNESS_MAIN
