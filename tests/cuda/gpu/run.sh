#!/bin/sh
# Builds the library, its tests and an FFmpeg out of this folder, for the GPU of this machine, then checks and measures
# them on it. Needs nvcc, gcc, make, python3 and a Unix's usual tools; nothing is fetched.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
set -eu

usage() {
    cat <<'EOT'
Usage: run.sh [--output=DIR] [--seconds=N] [--architectures=LIST] [--without-ffmpeg] [OPTION OF check_gpu.py]...

Where the bundle has training material, 90 s are for checks, 60 s for benchmarks and the rest trains the default model:
trained.bin, its curve trained.csv, and trained.pt* from which train_device.py continues. SBV_TRAINING: more options of
train_device.py.

  --output=DIR          for check-gpu.json, RESULTS.md, the log of the build, the model (default: this folder)
  --seconds=N           time for everything, the build included; what is left then is not run (default: 3600; with
                        training 540)
  --architectures=LIST  what nvcc compiles for, "80 90" say (default: the GPU of this machine)
  --without-ffmpeg      do not build FFmpeg; the filter is not checked then
EOT
}

die() {
    echo "run.sh: $*" >&2
    exit 1
}

begin=$(date +%s)
here=$(cd "$(dirname "$0")" && pwd)
source=$here/source
build=$source/build
output=$here seconds='' architectures='' with_ffmpeg=yes
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            usage
            exit
            ;;
        --output=*) output=${1#*=} ;;
        --seconds=*) seconds=${1#*=} ;;
        --architectures=*) architectures=${1#*=} ;;
        --without-ffmpeg) with_ffmpeg=no ;;
        *) break ;;
    esac
    shift
done
[ -d "$here/material" ] && with_training=yes || with_training=no
[ -n "$seconds" ] || { [ "$with_training" = yes ] && seconds=540 || seconds=3600; }
mkdir -p "$output" "$build"
output=$(cd "$output" && pwd)
log=$output/build.log

look_for_tools() {
    for tool in gcc make python3; do
        command -v $tool >/dev/null || die "there is no $tool"
    done
    nvcc=$(command -v nvcc || command -v /usr/local/cuda/bin/nvcc) || die "there is no nvcc"
    cuda_settings=$(sh "$source/build-aux/cuda/nvcc-settings.sh" "$nvcc" 2>&1) || die "$cuda_settings"
    found=$(python3 "$source/tests/cuda/gpu/device.py" architecture) || exit 1
    : "${architectures:=$found}"
    processors=$(nproc 2>/dev/null || echo 2)
}

# Jansson is a dozen files that need no configuration: Android's is for any system with GCC.
build_jansson() {
    [ ! -e "$build/jansson/lib/libjansson.a" ] || return 0
    rm -rf "$build/jansson" &&
        mkdir -p "$build/jansson/source" "$build/jansson/include" "$build/jansson/lib" &&
        tar -xf "$(echo "$here"/archives/jansson_*.orig.tar.?z)" -C "$build/jansson/source" --strip-components=1 &&
        (cd "$build/jansson/source" &&
            cp src/jansson.h android/jansson_config.h ../include &&
            gcc -std=gnu99 -O2 -fPIC -DHAVE_STDINT_H=1 -I../include -Isrc -c src/*.c &&
            ar rcs libjansson.a ./*.o &&
            mv libjansson.a ../lib)
}

# What configure would write. It is left alone where it says the same, so that a second run builds nothing anew.
write_config() {
    config="CC := gcc
PYTHON := python3
CONFIG_TARGET := native
CONFIG_PREFIX := /usr/local
CONFIG_CFLAGS :=
CONFIG_CUDA := yes
$cuda_settings
FFMPEG_SERIES := none
FFMPEG_SRC :=
CONFIGURE_ARGS :="
    [ "$(cat "$source/config.mak" 2>/dev/null)" = "$config" ] && [ -n "$(find "$source/config.mak" -newer "$source/configure")" ] ||
        echo "$config" >"$source/config.mak"
}

# A tree that build-aux/ffmpeg-source.sh takes for its own.
unpack_ffmpeg() {
    tree=$build/src/ffmpeg-$series
    [ ! -e "$tree/.selfblindvsr.patch" ] || return 0
    rm -rf "$tree" "$tree.new" &&
        mkdir -p "$tree.new" &&
        tar -xf "$(echo "$here"/archives/ffmpeg_*.orig.tar.?z)" -C "$tree.new" --strip-components=1 &&
        (cd "$here/ffmpeg" && tar -cf - .) | tar -xf - -C "$tree.new" &&
        ln -sf ../../../../vf_selfblindvsr.c "$tree.new/libavfilter/vf_selfblindvsr.c" &&
        mv "$tree.new" "$tree"
}

build_ffmpeg() {
    series=$(cat "$here/SERIES")
    unpack_ffmpeg || return 1
    command -v pkg-config >/dev/null || PATH=$PATH:$source/tests/cuda/gpu/bin
    # No assembler but the compiler's own is needed, and nothing that is compressed.
    SBV_CACHE=$here/archives SBV_FFMPEG_OPTIONS='--disable-x86asm --disable-zlib' PATH=$PATH \
        make -C "$source" -j"$processors" ARCHITECTURES="$architectures" "lean-$series"
}

# $1: what, then a command. Its output goes into the log.
step() {
    what=$1
    shift
    echo "$what"
    if "$@" >>"$log" 2>&1; then
        return 0
    fi
    tail -n 15 "$log" >&2
    return 1
}

build_everything() {
    step "Building Jansson" build_jansson || return 1
    export CPATH="$build/jansson/include${CPATH:+:$CPATH}"
    export LIBRARY_PATH="$build/jansson/lib${LIBRARY_PATH:+:$LIBRARY_PATH}"
    write_config
    step "Building the library and its tests for compute capability $architectures" \
        make -C "$source" -j"$processors" ARCHITECTURES="$architectures" gpu-programs || return 1
    [ $with_ffmpeg = no ] || step "Building FFmpeg" build_ffmpeg ||
        echo "There is no FFmpeg: the filter is not checked." >&2
    echo "Built in $(($(date +%s) - begin)) s"
}

# $1, $2: files for the figures, $3: the seconds there are for it, then options.
check_gpu() {
    json=$1 markdown=$2 limit=$3
    shift 3
    python3 "$source/tests/cuda/gpu/check_gpu.py" --json "$output/$json" --markdown "$output/$markdown" \
        --seconds "$limit" "$@"
}

train() {
    # shellcheck disable=SC2086
    python3 "$source/model/training/train_device.py" --material "$here/material" --init "$source/model/default.bin" \
        --output "$output/trained.bin" --until $((begin + seconds)) ${SBV_TRAINING:-}
}

look_for_tools
: >"$log"
chmod +x "$source"/build-aux/*.sh "$source"/tests/cuda/gpu/bin/*
status=0
if ! build_everything; then
    [ "$with_training" = yes ] || die "the library cannot be built; see $log"
    echo "run.sh: the library cannot be built; see $log" >&2
    status=1
elif [ "$with_training" = yes ]; then
    check_gpu check-gpu.json CHECKS.md 90 --quick --steps kernels,golden,session,filter,leak "$@" || status=1
    check_gpu bench-gpu.json RESULTS.md 60 --quick --steps peak,frames,bench,torch "$@" || status=1
else
    check_gpu check-gpu.json RESULTS.md $((seconds - ($(date +%s) - begin))) "$@" || status=1
fi
[ "$with_training" = no ] || train || status=1
exit $status
