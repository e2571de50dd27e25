#!/bin/sh
# Runs a Windows program under Wine, without a screen, with settings of its own below build/.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
set -eu

usage() {
    cat <<'EOT'
Usage: build-aux/windows/wine.sh PROGRAM [ARGUMENT]...
       build-aux/windows/wine.sh --where       prints the path of Wine; fails where there is none

The settings are in build/wine, or in WINEPREFIX.
EOT
}

case ${1:-} in
    -h | --help | '')
        usage
        exit
        ;;
esac
wine=$(command -v wine64 || command -v /usr/lib/wine/wine64 || command -v wine) || {
    echo "wine: there is none; install the package wine64" >&2
    exit 127
}
if [ "$1" = --where ]; then
    echo "$wine"
    exit
fi
top=$(cd "$(dirname "$0")/../.." && pwd)
export LC_ALL=C.UTF-8 WINEPREFIX="${WINEPREFIX:-$top/build/wine}" WINEDEBUG="${WINEDEBUG:--all}" WINEDLLOVERRIDES='mscoree,mshtml,winemenubuilder.exe='
unset DISPLAY WAYLAND_DISPLAY
if [ ! -e "$WINEPREFIX/ready" ]; then
    mkdir -p "$WINEPREFIX"
    exec 8>"$WINEPREFIX.lock"
    flock 8
    if [ ! -e "$WINEPREFIX/ready" ]; then
        "$wine" wineboot -i >"$WINEPREFIX.log" 2>&1 8>&-
        touch "$WINEPREFIX/ready"
    fi
    flock -u 8
fi
exec "$wine" "$@"
