#!/bin/sh
# Configures and builds an FFmpeg with the filter, out of its source tree. Called by make, with the settings of config.mak
# in the environment: CC, MAKE, SBV_TARGET (native or windows) and SERIES_SRC (the user's source directory, for the series
# "custom").
#
# A configuration is kept until its options or the patch change; make inside FFmpeg then rebuilds what is out of date,
# which after a change of the filter is one object and two links.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
set -eu

usage() {
    cat <<'EOT'
Usage: build-aux/ffmpeg-build.sh KIND SERIES

KIND    full     the FFmpeg for users, in build/ffmpeg-SERIES: everything native, TLS, x264, NVIDIA by run-time loading
        lean     the FFmpeg of the tests, in build/lean-SERIES: what they use, about a minute on two processors
        compile  configure as lean and compile the filter alone, in build/lean-SERIES
        asan     a copy of lean, with the filter and the programs under the address sanitizer, in build/asan-SERIES
SERIES  5.1, 7.1, 8.1, 9.0 or custom

Environment: SBV_FFMPEG_OPTIONS, more options for FFmpeg's configure; SBV_TARGET=windows, for Windows: in build/mingw.
EOT
}

die() {
    echo "ffmpeg-build: $*" >&2
    exit 1
}

case ${1:-} in
    -h | --help)
        usage
        exit
        ;;
    full | lean | compile | asan) [ $# -eq 2 ] || die "needs KIND and SERIES; see --help" ;;
    *) die "unknown kind '${1:-}'; see --help" ;;
esac
kind=$1
series=$2
top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build
source=$build/src/ffmpeg-$series
target=${SBV_TARGET:-native}
case $target in
    windows) trees=$build/mingw exe=.exe ;;
    *) trees=$build exe='' ;;
esac
case $kind in
    full) tree=$trees/ffmpeg-$series ;;
    asan) tree=$trees/asan-$series ;;
    *) tree=$trees/lean-$series ;;
esac
log=$tree.log
: "${CC:=cc}" "${MAKE:=make}"

# The programs look for the library beside themselves. (Given to configure, $ORIGIN would go through several shells.)
# shellcheck disable=SC2016
origin_lib='$ORIGIN/../lib'

lean_protocols=file,pipe,fd
lean_demuxers=rawvideo,yuv4mpegpipe,matroska,mov,image2,image2pipe,concat,wav,nut,srt,ffmetadata,mpegts,h264
lean_muxers=null,framemd5,framecrc,rawvideo,yuv4mpegpipe,matroska,mov,mp4,image2,image2pipe,nut,wav,mpegts,h264
lean_codecs=rawvideo,wrapped_avframe,png,ffv1,mpeg4,mpeg2video,aac,pcm_s16le,subrip
lean_filters=format,null,scale,testsrc,testsrc2,color,mandelbrot,sine,anullsrc,setpts,settb,fps,trim,select,setparams,split
lean_filters=$lean_filters,psnr,ssim,showinfo,crop,aresample,aformat,anull,atrim,concat,tpad,setsar,setfield,setdar,copy,geq
lean_filters=$lean_filters,hflip,vflip,noise,metadata,signalstats,asetpts,buffer,buffersink,hwupload,hwdownload,hwupload_cuda
lean_filters=$lean_filters,selfblindvsr,scale_cuda,reverse,loop,overlay,xfade,hstack,apad
lean_filters=$lean_filters,pad,transpose,sendcmd,blend

# One option a line.
options() {
    cat <<EOT
--cc=$CC
--disable-autodetect
--disable-doc
--disable-debug
--disable-ffplay
--enable-libselfblindvsr
--enable-zlib
EOT
    case $kind in
        full) ;;
        *)
            cat <<EOT
--optflags=-O1
--disable-everything
--disable-network
--enable-indev=lavfi
--enable-protocol=$lean_protocols
--enable-demuxer=$lean_demuxers
--enable-muxer=$lean_muxers
--enable-decoder=$lean_codecs,h264
--enable-encoder=$lean_codecs,libx264
--enable-parser=png,mpeg4video,mpegvideo,h264,aac
--enable-bsf=aac_adtstoasc,mpeg4_unpack_bframes,h264_mp4toannexb,extract_extradata,setts
--enable-filter=$lean_filters
EOT
            ;;
    esac
    "options_$target"
    [ "$nvidia" = no ] || nvidia_options
    [ -z "${SBV_FFMPEG_OPTIONS:-}" ] || echo "$SBV_FFMPEG_OPTIONS" | tr ' ' '\n'
}

options_native() {
    printf '%s\n' --enable-gpl --enable-libx264
    [ "$kind" = full ] || return 0
    echo --enable-gnutls
    text_options
}

# One file that needs no other: everything is linked statically. TLS, encoders and decoders are those of Windows.
options_windows() {
    cross=${CC##* }
    [ "$kind" != full ] || printf '%s\n' --enable-gpl --enable-libx264
    cat <<EOT
--arch=x86_64
--target-os=mingw64
--enable-cross-compile
--cross-prefix=${cross%gcc}
--pkg-config=pkg-config
--pkg-config-flags=--static
--extra-ldflags=-static
EOT
    [ "$kind" != full ] || printf '%s\n' --enable-schannel --enable-mediafoundation --enable-d3d11va --enable-dxva2
}

# The filter drawtext, which writes what other filters have measured onto the picture; from FFmpeg 7 on it needs HarfBuzz.
text_options() {
    pkg-config --exists freetype2 fontconfig || return 0
    printf '%s\n' --enable-libfreetype --enable-libfontconfig
    if grep -q -e --enable-libharfbuzz "$source/configure" && pkg-config --exists harfbuzz; then
        echo --enable-libharfbuzz
    fi
}

# CUDA frames, in the full FFmpeg NVIDIA's decoders and encoders too, and where there is a compiler for them FFmpeg's own
# CUDA filters. Nothing of this is linked to anything of NVIDIA's.
nvidia_options() {
    echo --enable-ffnvcodec
    [ "$kind" != full ] || printf '%s\n' --enable-cuvid --enable-nvdec --enable-nvenc
    case $cuda_arch in
        '') ;;
        sm_30) echo --enable-cuda-llvm ;; # what FFmpeg takes by default
        *) printf '%s\n' --enable-cuda-llvm "--nvccflags=--cuda-gpu-arch=$cuda_arch -O2" ;;
    esac
}

# Sets nvidia to yes or no, and cuda_arch to the oldest GPU that Clang compiles for, empty where there is no Clang.
look_for_nvidia() {
    nvidia=no cuda_arch=''
    if ! headers=$("$top/build-aux/codec-headers.sh" "$series" 2>&1); then
        echo "FFmpeg $version is built without CUDA frames, NVDEC and NVENC: ${headers#*: }" >&2
        return
    fi
    nvidia=yes
    [ -z "$headers" ] || PKG_CONFIG_PATH=$headers:$PKG_CONFIG_PATH
    for arch in sm_30 sm_60 sm_75; do
        if echo 'extern "C" __attribute__((global)) void nothing(void) {}' |
            clang -x cuda --cuda-gpu-arch=$arch -nocudalib -nocudainc --cuda-device-only -S - -o /dev/null 2>/dev/null; then
            cuda_arch=$arch
            return
        fi
    done
    echo "FFmpeg $version is built without its own CUDA filters, scale_cuda say: they need clang" >&2
}

configure() {
    wanted=$(options && echo "$PKG_CONFIG_PATH" && cat "$source/.selfblindvsr.patch" "$source/RELEASE")
    if [ -e "$tree/.configured" ] && [ "$(cat "$tree/.configured")" = "$wanted" ]; then
        return
    fi
    echo "Configuring FFmpeg $version ($kind)" >&2
    rm -rf "$tree"
    mkdir -p "$tree"
    old_ifs=$IFS
    IFS='
'
    # shellcheck disable=SC2046
    (cd "$tree" && "$source/configure" $(options)) >"$log" 2>&1 || failed configured
    IFS=$old_ifs
    grep -q '^#define CONFIG_SELFBLINDVSR_FILTER 1$' "$tree/config.h" "$tree/config_components.h" 2>/dev/null ||
        die "FFmpeg $version was configured without the filter: does its patch name the right type in allfilters.c?"
    printf '%s\n' "$wanted" >"$tree/.configured"
}

failed() {
    tail -n 15 "$log" >&2
    die "FFmpeg $version could not be $1; the whole log is $log"
}

# The filter compiles without a warning.
compile_filter() {
    object=libavfilter/vf_selfblindvsr.o
    "$MAKE" -C "$tree" "$object" >"$log.filter" 2>&1 || {
        cat "$log.filter" >&2
        die "vf_selfblindvsr.c does not compile with FFmpeg $version"
    }
    if grep 'warning:' "$log.filter" >&2; then
        rm -f "$tree/$object"
        die "vf_selfblindvsr.c compiles with warnings with FFmpeg $version"
    fi
    rm -f "$log.filter"
}

build_programs() {
    case $kind in
        full) cost=12 ;;
        *) cost=2 ;;
    esac
    processors=$(nproc 2>/dev/null || sysctl -n hw.ncpu)
    [ -e "$tree/ffmpeg$exe" ] || echo "Building FFmpeg $version ($kind), about $((cost / processors + 1)) minutes; log: ${log#"$top"/}" >&2
    LD_RUN_PATH=$origin_lib "$MAKE" -C "$tree" "ffmpeg$exe" "ffprobe$exe" >"$log" 2>&1 || failed built
    [ "$target" = windows ] || "$tree/ffmpeg" -hide_banner -filters 2>/dev/null | grep -q ' selfblindvsr ' ||
        die "the FFmpeg $version just built has no filter selfblindvsr"
    touch "$tree/ffmpeg$exe" "$tree/ffprobe$exe"
}

# What is the project's own, or patched by it, compiled anew and linked with the rest of lean as it is.
sanitize() {
    rm -rf "$tree"
    cp -a "$build/lean-$series" "$tree"
    rm -f "$tree/ffmpeg" "$tree/ffmpeg_g" "$tree/ffprobe" "$tree/ffprobe_g" "$tree/libavfilter/vf_selfblindvsr.o"
    find "$tree/fftools" -name '*.o' -delete
    LD_RUN_PATH=$origin_lib "$MAKE" -C "$tree" ECFLAGS='-g -fsanitize=address -fno-omit-frame-pointer' \
        LDEXEFLAGS=-fsanitize=address ffmpeg >"$log" 2>&1 || failed built
    touch "$tree/ffmpeg"
}

main() {
    # Two makes at once take turns.
    mkdir -p "$trees"
    exec 8>"$tree.lock"
    flock 8

    if [ "$series" = custom ]; then
        [ -n "${SERIES_SRC:-}" ] || die "series custom needs ./configure --ffmpeg-src=DIR"
        [ -e "$source/.selfblindvsr.patch" ] || "$top/build-aux/ffmpeg-source.sh" --src="$SERIES_SRC"
    else
        "$top/build-aux/ffmpeg-source.sh" "$series" || exit $?
    fi
    version=$(cat "$source/RELEASE" 2>/dev/null || echo "$series")
    case $target in
        windows)
            PKG_CONFIG_PATH=''
            PKG_CONFIG_LIBDIR=$build/windows/lib/pkgconfig:$trees/deps/lib/pkgconfig:/usr/x86_64-w64-mingw32/lib/pkgconfig
            export PKG_CONFIG_LIBDIR
            ;;
        *) PKG_CONFIG_PATH=$build/lib/pkgconfig:${PKG_CONFIG_PATH:-} ;;
    esac
    export PKG_CONFIG_PATH
    if [ "$kind" = asan ]; then
        sanitize
        return
    fi
    look_for_nvidia
    configure
    [ "$kind" = full ] || compile_filter
    [ "$kind" = compile ] || build_programs
}

# On one line, so that the shell has read all of this file before the minutes in which it may be changed.
main; exit
