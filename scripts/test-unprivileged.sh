#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test-unprivileged.sh [UNITS [NAME]...]: run all test programs, or those, in a guest as
# one user who may only open the device, with a limit of UNITS (4) for each process and of
# twice as many for the user. Most cases fail then, because they set limits or read data
# that only root can read. The requirements are: every program can be killed, it leaves the
# pool as before, and the kernel reports nothing. Takes 40 minutes; not part of make check.
set -euo pipefail
# shellcheck source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
# shellcheck source=lib/tests.sh
. "$SOM_ROOT/scripts/lib/tests.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/som-unprivileged.XXXXXX")
trap 'rm -rf "$work"' EXIT

"$SOM_ROOT/scripts/install-deps.sh"
"$SOM_ROOT/scripts/qemu-test.sh" prepare generic
with_lock selftests build_tests "$work/tests" || die 'the tests do not build'
cp "$SOM_ROOT/scripts/guest-unprivileged.sh" "$work/tests/"
"$SOM_ROOT/scripts/qemu-test.sh" exec --kernel generic --chunks 1 --timeout 5400 \
	--add "$work/tests:/unprivileged" --add /usr/bin/setpriv -- \
	sh /unprivileged/guest-unprivileged.sh "${@:-4}"
