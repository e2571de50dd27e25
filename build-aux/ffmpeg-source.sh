#!/bin/sh
# An FFmpeg source tree with the filter in it: build/src/ffmpeg-SERIES.
#
# The sources come from the Debian archive or from a directory of the user's, which is copied and not changed. Two patches
# per FFmpeg version: patches/ffmpeg-SERIES.patch adds the library to configure and the filter to the lists,
# patches/fftools-SERIES.patch keeps the ffmpeg program from losing frames where it configures its filters anew.
# vf_selfblindvsr.c is linked in, so that a change of it is seen by the next make.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
set -eu

usage() {
    cat <<'EOT'
Usage: build-aux/ffmpeg-source.sh SERIES        prepare FFmpeg SERIES, 9.0 say, from the Debian archive
       build-aux/ffmpeg-source.sh --src=DIR     prepare a copy of the sources in DIR, as series "custom"

Does nothing where the tree is there and its patches are unchanged. Exit status 3: the archive has no such series.
EOT
}

die() {
    echo "ffmpeg-source: $*" >&2
    exit 1
}

top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build
SBV_BUILD=$build
export SBV_BUILD

# The patch patches/$2-*.patch whose hunks all fit the tree in $1: that of its own series first, then the newest.
choose_patch() {
    for candidate in "$top/patches/$2-$(release_of "$1" | cut -d . -f 1,2).patch" \
        $(find "$top/patches" -name "$2-*.patch" | sort -rV); do
        if [ -e "$candidate" ] && patch --dry-run -s -f -d "$1" -p1 <"$candidate" >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

release_of() {
    cat "$1/RELEASE" 2>/dev/null || echo 'of unknown version'
}

# Adds the filter to the tree $1, unless the user has.
add_filter() {
    ! grep -q ' ff_vf_selfblindvsr;' "$1/libavfilter/allfilters.c" || return 0
    patch=$(choose_patch "$1" ffmpeg) ||
        die "none of the patches in patches/ fits FFmpeg '$(release_of "$1")'; supported: $("$top/build-aux/series.sh")"
    patch -s -f -d "$1" -p1 <"$patch"
    cat "$patch" >>"$1/.selfblindvsr.patch"
}

# Makes the ffmpeg program of the tree $1 drain its filters, unless the user has. FFmpeg can do without, at a price.
add_draining() {
    ! grep -q drain_filtergraph "$1"/fftools/ffmpeg*.c || return 0
    patch=$(choose_patch "$1" fftools) || {
        echo "ffmpeg-source: warning: none of patches/fftools-*.patch fits FFmpeg '$(release_of "$1")': where the size of the" \
            "pictures changes in a stream, its ffmpeg loses two frames" >&2
        return 0
    }
    patch -s -f -d "$1" -p1 <"$patch"
    cat "$patch" >>"$1/.selfblindvsr.patch"
}

# Patches the fresh tree $1 and moves it to $2, whole or not at all.
finish() {
    : >"$1/.selfblindvsr.patch"
    add_filter "$1"
    add_draining "$1"
    ln -sf ../../../../vf_selfblindvsr.c "$1/libavfilter/vf_selfblindvsr.c"
    rm -rf "$2"
    mv "$1" "$2"
    echo "FFmpeg $(release_of "$2") is ready in ${2#"$top"/}" >&2
}

# Whether the tree $1 was made with today's patches of the series $2.
up_to_date() {
    [ -e "$1/.selfblindvsr.patch" ] &&
        cat "$top/patches/ffmpeg-$2.patch" "$top/patches/fftools-$2.patch" | cmp -s "$1/.selfblindvsr.patch" -
}

from_archive() {
    series=$1
    tree=$build/src/ffmpeg-$series
    "$top/build-aux/series.sh" "$series" ||
        die "no patch for FFmpeg '$series'; there are patches for $("$top/build-aux/series.sh")"
    up_to_date "$tree" "$series" && return
    tarball=$("$top/build-aux/apt-source.sh" fetch ffmpeg "$series") || exit $?
    rm -rf "$tree.new"
    mkdir -p "$tree.new"
    tar -xf "$tarball" -C "$tree.new" --strip-components=1
    finish "$tree.new" "$tree"
}

from_directory() {
    directory=$1
    tree=$build/src/ffmpeg-custom
    [ -e "$directory/libavfilter/allfilters.c" ] || die "'$directory' is no FFmpeg source tree: it has no libavfilter/allfilters.c"
    rm -rf "$tree.new"
    mkdir -p "$tree.new"
    tar -C "$directory" -cf - --exclude-vcs . | tar -C "$tree.new" -xf -
    rm -f "$tree.new/config.h" "$tree.new/ffbuild/config.mak"
    finish "$tree.new" "$tree"
}

case ${1:-} in
    -h | --help | '')
        usage
        exit
        ;;
esac
mkdir -p "$build/src"
exec 7>"$build/src/lock"
flock 7
case $1 in
    --src=*) from_directory "${1#--src=}" ;;
    -*) die "unknown option '$1'; see --help" ;;
    *) from_archive "$1" ;;
esac
