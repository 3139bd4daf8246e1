#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The test of the preloaded library, with its memory on som. A signal every two
# milliseconds, which it wants, is all that the debug kernel can do.
#
# SOM-TEST: kernels=generic timeout=300
LD_PRELOAD=/som/tests/libsom_preload.so exec /som/tests/preload_test
