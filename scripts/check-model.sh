#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check-model.sh MODEL [MUTANT]: search all states of a Promela model with spin. Prints
# nothing if no state is wrong. MUTANT is a word that leaves out a step of the protocol;
# with it, prints nothing if there is a counterexample.
set -euo pipefail

model=$(realpath "$1") mutant=${2:-}
dir=$(mktemp -d "${TMPDIR:-/tmp}/som-model.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"

if ! spin ${mutant:+"-D$mutant"} -a "$model" >spin.log 2>&1 ||
   ! gcc -O2 -w -o pan pan.c >gcc.log 2>&1; then
	cat ./*.log
	exit 1
fi
./pan -a -m1000000 >pan.log 2>&1 || true
errors=$(sed -n 's/.*, errors: \([0-9]*\)$/\1/p' pan.log)
if grep -qE 'max search depth too small|out of memory' pan.log || [ -z "$errors" ]; then
	cat pan.log
	echo "not all states were searched"
elif [ -z "$mutant" ] && [ "$errors" != 0 ]; then
	cat pan.log
	spin -t -p -g "$model" | tail -n 60
elif [ -n "$mutant" ] && [ "$errors" = 0 ]; then
	echo "no counterexample with $mutant"
fi
