// SPDX-License-Identifier: GPL-2.0
/*
 * Runs KUnit suites as a program: KTAP on stdout, and an exit status. A warning of
 * the code that is tested fails the case, as a kernel report fails a test in a guest.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <kunit/test.h>

/* Allocations of a case, freed after it; ASan sees each of them alone. */
struct kunit_memory {
	struct kunit_memory *next;
	void *p;
};

static struct kunit *running;

void *kunit_kcalloc(struct kunit *test, size_t n, size_t size, gfp_t gfp)
{
	struct kunit_memory *memory = malloc(sizeof(*memory));

	if (!memory)
		return NULL;
	memory->p = calloc(n, size);
	memory->next = test->memory;
	test->memory = memory;
	return memory->p;
}

static void free_memory(struct kunit *test)
{
	struct kunit_memory *memory;

	while ((memory = test->memory)) {
		test->memory = memory->next;
		free(memory->p);
		free(memory);
	}
}

void kunit_fail(struct kunit *test, bool assert, const char *file, int line,
		const char *fmt, ...)
{
	va_list args;

	test->failed = true;
	printf("    # %s: %s:%d: expected: ", test->name, file, line);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	if (assert)
		longjmp(test->abort, 1);
}

void kunit_warn(const char *file, int line, const char *condition)
{
	kunit_fail(running, false, file, line, "no warning about %s", condition);
}

static const char *result(bool passed)
{
	return passed ? "ok" : "not ok";
}

static bool run_case(const struct kunit_case *c, int nr)
{
	struct kunit test = { .name = c->name };

	running = &test;
	if (!setjmp(test.abort))
		c->run_case(&test);
	free_memory(&test);
	printf("    %s %d %s\n", result(!test.failed), nr, c->name);
	return !test.failed;
}

static bool run_suite(const struct kunit_suite *suite, int nr)
{
	const struct kunit_case *c;
	int cases = 0, passed = 0;

	for (c = suite->test_cases; c->run_case; c++)
		cases++;
	printf("    KTAP version 1\n    # Subtest: %s\n    1..%d\n", suite->name,
	       cases);
	for (c = suite->test_cases; c->run_case; c++)
		passed += run_case(c, c - suite->test_cases + 1);
	printf("%s %d %s\n", result(passed == cases), nr, suite->name);
	return passed == cases;
}

int main(void)
{
	int suites = 0, passed = 0, i;

	while (kunit_suites[suites])
		suites++;
	printf("KTAP version 1\n1..%d\n", suites);
	for (i = 0; i < suites; i++)
		passed += run_suite(kunit_suites[i], i + 1);
	return passed == suites && suites ? EXIT_SUCCESS : EXIT_FAILURE;
}
