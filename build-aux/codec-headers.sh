#!/bin/sh
# NVIDIA's codec headers, which FFmpeg needs to be told of for CUDA frames, NVDEC and NVENC: those of the system where
# they are recent enough for this FFmpeg, else upstream's out of the Debian archive, below build/. They are headers alone;
# the driver is loaded at run time.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
set -eu

usage() {
    cat <<'EOT'
Usage: build-aux/codec-headers.sh SERIES

Prints a folder to put into PKG_CONFIG_PATH, or nothing where the system's own headers will do for FFmpeg SERIES.
Fails, with one line that says why, where there are no headers. SBV_TARGET=windows in the environment: those of the system
are not for it.
EOT
}

die() {
    echo "codec-headers: $*" >&2
    exit 1
}

case ${1:-} in
    -h | --help | '')
        usage
        exit
        ;;
esac
top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build

case $(uname -m) in
    x86_64 | i?86 | aarch64 | ppc64le) ;;
    *) die "NVIDIA's codecs are not there on $(uname -m)" ;;
esac

# Those of Debian 12, 11.1.5.2, are too old for any FFmpeg after 5.1.
case $1 in
    5.1) least=9.1.23.1 newest=11.1 ;;
    *) least=12.1.14.0 newest=12.1 ;;
esac
[ "${SBV_TARGET:-native}" != native ] || ! pkg-config --exists "ffnvcodec >= $least" 2>/dev/null || exit 0

headers=$build/nv-codec-headers-$newest
mkdir -p "$build"
exec 6>"$headers.lock"
flock 6
if [ ! -e "$headers/lib/pkgconfig/ffnvcodec.pc" ]; then
    tarball=$(SBV_BUILD=$build "$top/build-aux/apt-source.sh" fetch nv-codec-headers "$newest" 2>"$headers.log") ||
        die "no nv-codec-headers: $(tail -n 1 "$headers.log")"
    rm -rf "$headers.src" "$headers.new"
    mkdir -p "$headers.src"
    tar -xf "$tarball" -C "$headers.src" --strip-components=1
    make -s -C "$headers.src" PREFIX="$headers" DESTDIR= install >/dev/null
    rm -rf "$headers.src"
fi
echo "$headers/lib/pkgconfig"
