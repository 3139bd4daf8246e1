#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# guest.sh PROGRAM...: what a guest of bench.sh does: run each program twice, when what
# booting has left to do is done.
sleep 2
for program; do
	"$program" || exit
	"$program" || exit
done
