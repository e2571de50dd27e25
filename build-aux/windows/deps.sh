#!/bin/sh
# Libraries for the Windows build that Debian has no Windows packages of, cross-compiled from Debian's source packages
# and linked statically.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
set -eu

usage() {
    cat <<'EOT'
Usage: build-aux/windows/deps.sh jansson|x264|cmocka PREFIX

Builds the library, and installs it with its headers and its licence below PREFIX.
Environment: CC, the cross compiler (x86_64-w64-mingw32-gcc); MAKE.
EOT
}

die() {
    echo "windows deps: $*" >&2
    exit 1
}

case ${1:-} in
    -h | --help)
        usage
        exit
        ;;
esac
[ $# -eq 2 ] || die "needs a library and a prefix; see --help"
library=$1
mkdir -p "$2"
prefix=$(cd "$2" && pwd)
top=$(cd "$(dirname "$0")/../.." && pwd)
: "${CC:=x86_64-w64-mingw32-gcc}" "${MAKE:=make}"
cross=${CC##* }
cross=${cross%gcc*}
source=$prefix/src/$library
log=$prefix/$library.log

# The series of the package: that of Debian 12.
unpack() {
    tarball=$(SBV_BUILD=$top/build "$top/build-aux/apt-source.sh" fetch "$library" "$1")
    rm -rf "$source"
    mkdir -p "$source" "$prefix/include" "$prefix/lib" "$prefix/licences"
    tar -xf "$tarball" -C "$source" --strip-components=1
}

# Compiles the C files given into lib/lib$library.a.
archive() {
    (
        cd "$source"
        mkdir -p objects
        for file in "$@"; do
            object=objects/$(basename "$file" .c).o
            # shellcheck disable=SC2086
            $CC -O2 -D__USE_MINGW_ANSI_STDIO=1 $flags -c "$file" -o "$object"
        done
        rm -f "$prefix/lib/lib$library.a"
        "${cross}ar" rcs "$prefix/lib/lib$library.a" objects/*.o
    ) >"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        die "$library could not be built; the whole log is $log"
    }
}

build_jansson() {
    unpack 2
    sed 's/@json_inline@/inline/; s/@json_[a-z_]*@/1/' "$source/src/jansson_config.h.in" >"$source/src/jansson_config.h"
    flags='-Isrc -DHAVE_STDINT_H -DHAVE_FCNTL_H -DHAVE_UNISTD_H -DHAVE_SYS_TIME_H -DHAVE_GETTIMEOFDAY -DHAVE_GETPID
        -DHAVE_ATOMIC_BUILTINS -DHAVE_SCHED_H -DHAVE_SCHED_YIELD'
    (cd "$source" && ls src/*.c) >"$prefix/$library.files"
    # shellcheck disable=SC2046
    archive $(cat "$prefix/$library.files")
    cp "$source/src/jansson.h" "$source/src/jansson_config.h" "$prefix/include"
    cp "$source/LICENSE" "$prefix/licences/jansson.txt"
}

build_cmocka() {
    unpack 1
    flags='-Iinclude -DHAVE_STDINT_H -DHAVE_INTTYPES_H -DHAVE_MALLOC_H -DHAVE_SIGNAL_H'
    archive src/cmocka.c
    cp "$source/include/cmocka.h" "$prefix/include"
    cp "$source/COPYING" "$prefix/licences/cmocka.txt"
}

build_x264() {
    unpack 0.164
    (
        cd "$source"
        CC=$CC ./configure --host=x86_64-w64-mingw32 --cross-prefix="$cross" --prefix="$prefix" --enable-static \
            --disable-cli --disable-opencl
        "$MAKE"
        "$MAKE" install-lib-static
    ) >"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        die "x264 could not be built; the whole log is $log"
    }
    cp "$source/COPYING" "$prefix/licences/x264.txt"
}

main() {
    # Two makes at once take turns.
    exec 5>"$prefix/lock"
    flock 5
    echo "  DEP   $library for Windows"
    "build_$library"
    rm -rf "$source" "$prefix/$library.files"
}

case $library in
    jansson | cmocka | x264) ;;
    *) die "unknown library '$library'; see --help" ;;
esac
# On one line, so that the shell has read all of this file before the minutes in which it may be changed.
main; exit
