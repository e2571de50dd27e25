#!/bin/sh
# The FFmpeg series that the filter is built for, oldest first, in a line: those that patches/ has a patch for. With an
# argument, whether it is one of them.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
cd "$(dirname "$0")/../patches"
list=$(printf '%s\n' ffmpeg-*.patch | sed 's/^ffmpeg-//; s/\.patch$//' | sort -t . -k 1n -k 2n | tr '\n' ' ')
list=${list% }
[ $# = 0 ] && { echo "$list"; exit; }
case " $list " in
    *" $1 "*) ;;
    *) exit 1 ;;
esac
