/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The part of KUnit that the suites of som use, for user space. kunit.c has the
 * functions and main().
 */
#ifndef _SOM_TEST_KUNIT_TEST_H
#define _SOM_TEST_KUNIT_TEST_H

#include <setjmp.h>
#include <limits.h>
#include <linux/array_size.h>
#include <linux/bug.h>
#include <linux/errno.h>
#include <linux/types.h>

struct kunit_memory;

/**
 * struct kunit - a case that is running
 * @name: its name.
 * @failed: an expectation was not met.
 * @abort: where an assertion that was not met jumps to.
 * @memory: what it has allocated.
 */
struct kunit {
	const char *name;
	bool failed;
	jmp_buf abort;
	struct kunit_memory *memory;
};

struct kunit_case {
	void (*run_case)(struct kunit *test);
	const char *name;
};

struct kunit_suite {
	const char *name;
	struct kunit_case *test_cases;
};

#define KUNIT_CASE(fn)		{ .run_case = fn, .name = #fn }

/* One object of the program has this. */
#define kunit_test_suites(...)						\
	struct kunit_suite *const kunit_suites[] = { __VA_ARGS__, NULL }

extern struct kunit_suite *const kunit_suites[];

void kunit_fail(struct kunit *test, bool assert, const char *file, int line,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void *kunit_kcalloc(struct kunit *test, size_t n, size_t size, gfp_t gfp);

static inline void *kunit_kzalloc(struct kunit *test, size_t size, gfp_t gfp)
{
	return kunit_kcalloc(test, 1, size, gfp);
}

#define __KUNIT_TRUE(test, assert, condition, text, fmt, ...)		\
do {									\
	if (!(condition))						\
		kunit_fail(test, assert, __FILE__, __LINE__,		\
			   "%s" fmt, text, ##__VA_ARGS__);		\
} while (0)

#define __KUNIT_COMPARE(test, assert, left, op, right, fmt, ...)	\
do {									\
	__auto_type __left = (left);					\
	__auto_type __right = (right);					\
									\
	if (!(__left op __right))					\
		kunit_fail(test, assert, __FILE__, __LINE__,		\
			   "%s " #op " %s, but they are %lld and %lld " fmt, \
			   #left, #right, (long long)__left,		\
			   (long long)__right, ##__VA_ARGS__);		\
} while (0)

#define KUNIT_EXPECT_TRUE(test, condition)				\
	__KUNIT_TRUE(test, false, condition, #condition, "")
#define KUNIT_EXPECT_FALSE(test, condition)				\
	__KUNIT_TRUE(test, false, !(condition), "!(" #condition ")", "")
#define KUNIT_EXPECT_MEMEQ(test, left, right, size)			\
	__KUNIT_TRUE(test, false, !memcmp(left, right, size),		\
		     #left " and " #right " are the same", "")
#define KUNIT_EXPECT_EQ(test, left, right)				\
	__KUNIT_COMPARE(test, false, left, ==, right, "")
#define KUNIT_EXPECT_EQ_MSG(test, left, right, fmt, ...)		\
	__KUNIT_COMPARE(test, false, left, ==, right, fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_NE(test, left, right)				\
	__KUNIT_COMPARE(test, false, left, !=, right, "")
#define KUNIT_EXPECT_LT(test, left, right)				\
	__KUNIT_COMPARE(test, false, left, <, right, "")
#define KUNIT_EXPECT_LE(test, left, right)				\
	__KUNIT_COMPARE(test, false, left, <=, right, "")
#define KUNIT_EXPECT_GT(test, left, right)				\
	__KUNIT_COMPARE(test, false, left, >, right, "")
#define KUNIT_EXPECT_GE(test, left, right)				\
	__KUNIT_COMPARE(test, false, left, >=, right, "")

#define KUNIT_ASSERT_TRUE(test, condition)				\
	__KUNIT_TRUE(test, true, condition, #condition, "")
#define KUNIT_ASSERT_FALSE(test, condition)				\
	__KUNIT_TRUE(test, true, !(condition), "!(" #condition ")", "")
#define KUNIT_ASSERT_NOT_NULL(test, ptr)				\
	__KUNIT_TRUE(test, true, (ptr) != NULL, #ptr " is not NULL", "")
#define KUNIT_ASSERT_EQ(test, left, right)				\
	__KUNIT_COMPARE(test, true, left, ==, right, "")
#define KUNIT_ASSERT_EQ_MSG(test, left, right, fmt, ...)		\
	__KUNIT_COMPARE(test, true, left, ==, right, fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_NE(test, left, right)				\
	__KUNIT_COMPARE(test, true, left, !=, right, "")
#define KUNIT_ASSERT_LT(test, left, right)				\
	__KUNIT_COMPARE(test, true, left, <, right, "")
#define KUNIT_ASSERT_LE(test, left, right)				\
	__KUNIT_COMPARE(test, true, left, <=, right, "")
#define KUNIT_ASSERT_GT(test, left, right)				\
	__KUNIT_COMPARE(test, true, left, >, right, "")
#define KUNIT_ASSERT_GE(test, left, right)				\
	__KUNIT_COMPARE(test, true, left, >=, right, "")

#endif /* _SOM_TEST_KUNIT_TEST_H */
