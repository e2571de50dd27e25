#!/bin/sh
# Prints the settings with which kernels.mak compiles by an nvcc: lines for config.mak. Usage: nvcc-settings.sh NVCC
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
set -eu

nvcc=$1
version=$("$nvcc" --version 2>/dev/null | sed -n 's/.*release \([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p')
if [ -z "$version" ]; then
    echo "$nvcc: cannot be run, or is no nvcc" >&2
    exit 1
fi
major=${version%%.*} minor=${version#*.}
if [ "$major" -lt 11 ] || { [ "$major" = 11 ] && [ "$minor" -lt 8 ]; }; then
    echo "$nvcc is of CUDA $version, and the kernels need 11.8 or later" >&2
    exit 1
fi

# The instructions of Hopper came with 12.0, which does not list them.
listed=$("$nvcc" --list-gpu-code 2>/dev/null | sed -n 's/^sm_//p' | tr '\n' ' ')
[ "$major" -lt 12 ] || listed="$listed 90a"
known=''
for architecture in 75 80 86 89 90 90a 100 120; do
    case " $listed " in
        *" $architecture "*) known="$known $architecture" ;;
    esac
done
known=${known# }
if [ -z "$known" ]; then
    echo "$nvcc lists no GPU that the kernels run on" >&2
    exit 1
fi
case $major in
    11) driver=520 ;;
    12) driver=525 ;;
    *) driver=580 ;;
esac
summary="compiled by $nvcc (CUDA $version) for $known; drivers from $driver on load them"
case $known in
    *90a*) ;;
    *) summary="$summary; without the fast convolutions of Hopper, which need CUDA 12" ;;
esac
cat <<EOT
CUDA_COMPILER := --nvcc $nvcc
CUDA_KNOWN := $known
CUDA_DRIVER := $driver
CUDA_SUMMARY := $summary
PTXAS := $nvcc -cubin -O3 -w
PTXAS_BLACKWELL := $nvcc -cubin -O3 -w
EOT
