#!/bin/sh
# Packs what a machine with an NVIDIA GPU and no network needs to run check_gpu.py into one folder, build/gpu-bundle: the
# project's files, FFmpeg, NVIDIA's codec headers and Jansson as their authors published them, and run.sh.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
set -eu

usage() {
    cat <<'EOT'
Usage: tests/cuda/gpu/bundle.sh SERIES [FOLDER]

Packs FFmpeg SERIES (any but the oldest) and the project's files, as they are, into FOLDER (build/gpu-bundle), which is
replaced. Environment: SBV_CACHE, as for configure; SBV_MATERIAL, folders with photographs and clips: what there is room
for is packed too (pack_material.py, which needs PyTorch, Pillow and an ffmpeg with x264), and run.sh trains with it.
EOT
}

die() {
    echo "gpu-bundle: $*" >&2
    exit 1
}

case ${1:-} in
    -h | --help | '')
        usage
        exit
        ;;
esac
series=$1
top=$(cd "$(dirname "$0")/../../.." && pwd)
# The oldest takes codec headers and CUDA frames that others do not.
newer=$("$top/build-aux/series.sh")
newer=${newer#* }
case " $newer " in
    *" $series "*) ;;
    *) die "series '$series': must be one of $newer" ;;
esac
build=$top/build
folder=${2:-$build/gpu-bundle}
most=$((64 << 20))       # bytes
material_mebibytes=36   # of them, for training

SBV_BUILD=$build
export SBV_BUILD

# The files that git knows; in an unpacked tarball, all but what was built.
list_sources() {
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files
    else
        find . -type f ! -path './build/*' ! -path './config.mak' ! -name '*.pyc' | sed 's|^\./||'
    fi
}

pack_archives() {
    mkdir -p "$folder/archives"
    # Any codec headers but the oldest do for these series, any Jansson of its second version for us.
    for source in "ffmpeg $series" 'nv-codec-headers 12.1' 'jansson 2'; do
        # shellcheck disable=SC2086
        tarball=$("$top/build-aux/apt-source.sh" fetch $source)
        cp "$tarball" "$tarball.sha256" "$folder/archives"
    done
}

# FFmpeg's files that the project patches, patched: there may be no patch(1).
pack_patched_files() {
    "$top/build-aux/ffmpeg-source.sh" "$series"
    tree=$build/src/ffmpeg-$series
    for file in .selfblindvsr.patch $(sed -n 's|^+++ b/||p' "$tree/.selfblindvsr.patch"); do
        mkdir -p "$folder/ffmpeg/$(dirname "$file")"
        cp "$tree/$file" "$folder/ffmpeg/$file"
    done
}

pack_material() {
    # shellcheck disable=SC2086
    "${PYTHON:-python3}" "$top/model/training/pack_material.py" $SBV_MATERIAL --output "$folder/material" \
        --mebibytes $material_mebibytes --cache "$build/material" || die 'the material cannot be packed'
}

rm -rf "$folder"
mkdir -p "$folder/source"
(cd "$top" && list_sources | tar -cf - -T -) | tar -xf - -C "$folder/source"
pack_archives
pack_patched_files
[ -z "${SBV_MATERIAL:-}" ] || pack_material
echo "$series" >"$folder/SERIES"
cp "$top/tests/cuda/gpu/run.sh" "$folder/run.sh"
manifest=$(cd "$folder" && find . -type f | LC_ALL=C sort | xargs sha256sum)
echo "$manifest" >"$folder/MANIFEST"

bytes=$(find "$folder" -type f -exec cat {} + | wc -c)
[ "$bytes" -lt "$most" ] || die "$folder has $bytes bytes, more than $most"
echo "${folder#"$top"/}: $((bytes >> 20)) MiB; on a machine with a GPU: sh run.sh"
