#!/bin/sh
# Run a program of tests that speaks TAP, and say in a line what came of it.
#
#     [RUNNER=PROGRAM] [NEEDS=PATTERN] run_test.sh LOGS PROGRAMS NAME
#
# PROGRAMS/NAME writes LOGS/NAME.log. Status 77 means: skipped, for the reason in the last line. A test that fails shows
# its log, and is named in LOGS/failed. RUNNER runs the program, for another processor; what it skips of other
# instruction sets than its own is no news then. A line that matches NEEDS must be in the log.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
set -u
logs=$1 test=$3
log=$logs/$test.log
CMOCKA_MESSAGE_OUTPUT=TAP ${RUNNER:-} "$2/$test" > "$log" 2>&1
status=$?
if [ -n "${RUNNER:-}" ]; then sed -i '/^# skip/d' "$log"; fi
if [ $status = 0 ] && ! grep -q "${NEEDS:-}" "$log"; then
    echo "no line matches '${NEEDS:-}'" >> "$log"
    status=1
fi
case $status in
    0)
        skips=$(grep -i '# *skip' "$log")
        # in one piece, as other tests write at the same time
        printf '%s\n' "  PASS  $test ($(grep -c '^ok' "$log") tests)${skips:+
$skips}"
        ;;
    77)
        reason=$(tail -n 1 "$log")
        echo "1..0 # SKIP $reason" >> "$log"
        echo "  SKIP  $test: $reason"
        ;;
    *)
        cat "$log"
        echo "  FAIL  $test (status $status)"
        echo "$test" >> "$logs/failed"
        exit 1
        ;;
esac
