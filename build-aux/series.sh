#!/bin/sh
# The FFmpeg series that the filter is built for, oldest first, in a line: those that patches/ has a patch for. With an
# argument, whether it is one of them. The shell alone: configure calls it before it knows what there is.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
cd "$(dirname "$0")/../patches"
list='' major=5
while [ $major -lt 40 ]; do
    for patch in ffmpeg-$major.*.patch; do
        series=${patch#ffmpeg-}
        [ ! -e "$patch" ] || list="$list${list:+ }${series%.patch}"
    done
    major=$((major + 1))
done
[ $# = 0 ] && { echo "$list"; exit; }
case " $list " in
    *" $1 "*) ;;
    *) exit 1 ;;
esac
