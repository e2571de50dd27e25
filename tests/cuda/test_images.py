"""The GPU code in the library that was built: every kernel for every GPU, of formats that old drivers take, with nothing in
a thread's memory that belongs into registers.

The library is read by tests/support/cuda_images.py: no CUDA tool and no GPU is needed. What a driver of CUDA 12.0 would
make of the PTX is shown by the assembler of CUDA 12.0, which configure fetches from PyPI.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import sass
from conftest import TIMEOUT, TOP, no_gpu_code
from cuda_images import Kernel, Piece, images_of, read_image

if no_gpu_code():
    pytest.skip(no_gpu_code(), allow_module_level=True)

LIBRARY = TOP / "build/lib/libselfblindvsr.so"
COMPILER = TOP / "build/cuda-compiler"
OLDEST = COMPILER / "ptxas-oldest"
OLD_ABI, OLD_PTX = 7, (8, 0)  # what drivers from 525 on know
BLACKWELL = {"100", "120"}


def setting(name: str) -> str:
    """A line of config.mak."""
    found = re.search(rf"^{name} := *(.*)$", (TOP / "config.mak").read_text(), re.M)
    return found[1] if found else ""


KNOWN = set(setting("CUDA_KNOWN").split())
from_pypi = pytest.mark.skipif("--nvrtc" not in setting("CUDA_COMPILER"),
                               reason="the kernels were compiled by an nvcc of this machine")


@pytest.fixture(scope="module")
def pieces() -> list[Piece]:
    return [piece for image in images_of(LIBRARY) for piece in image]


def wanted(arch: str) -> set[str]:
    """The kernels that must be there for an architecture, of those that kernels.h lists."""
    kernels = set(re.findall(r'"(sbv_\w+)"', (TOP / "kernels/cuda/kernels.h").read_text()))
    wgmma = {name for name in kernels if "_wgmma" in name}
    mma = {name for name in kernels if "_mma" in name}
    assert wgmma and mma and len(kernels) > 30
    if arch == "90a":
        return wgmma
    return kernels - wgmma - (mma if arch == "75" else set())


def test_list_has_every_source() -> None:
    """The list of what is embedded is generated: a new .cu file cannot be left out."""
    listed = re.findall(r"^IMAGE(?:_AND_BLACKWELL)?\((\w+)\)$", (TOP / "build/obj/images/list.h").read_text(), re.M)
    sources = sorted(path.stem for path in (TOP / "kernels/cuda").glob("*.cu"))
    assert listed == [name for name in sources if name != "conv_wgmma" or "90a" in KNOWN]


@pytest.mark.parametrize("arch", ["75", "80", "86", "89", "90", "90a", "100", "120"])
def test_every_kernel_is_there(arch: str, pieces: list[Piece]) -> None:
    if arch not in KNOWN:
        pytest.skip(f"the compiler that was chosen makes no code for {arch}")
    found = [name for piece in pieces if not piece.is_ptx and piece.arch == arch for name in piece.kernels]
    assert sorted(found) == sorted(wanted(arch))  # each once


def test_every_kernel_is_there_for_later_gpus(pieces: list[Piece]) -> None:
    found = [(piece.arch, name) for piece in pieces if piece.is_ptx for name in piece.kernels]
    assert sorted(found) == sorted(("80", name) for name in wanted("80"))


@from_pypi
def test_old_drivers_take_it(pieces: list[Piece]) -> None:
    assert {piece.arch for piece in pieces if not piece.is_ptx} == {"75", "80", "86", "89", "90", "90a", *BLACKWELL}
    for piece in pieces:
        assert not piece.compressed
        if piece.is_ptx:
            assert piece.version <= OLD_PTX, piece.arch
            assert piece.code.startswith(b"//") and b"\n.version %d.%d\n" % piece.version in piece.code
        elif piece.arch not in BLACKWELL:
            assert piece.version == (1, OLD_ABI) and piece.code[8] == OLD_ABI, piece.arch


def test_old_drivers_see_no_new_format() -> None:
    """Machine code for Blackwell, whose format drivers before 570 do not know, lies in images of its own."""
    for image in images_of(LIBRARY):
        of_blackwell = {piece.arch for piece in image} & BLACKWELL
        assert not of_blackwell or of_blackwell == {piece.arch for piece in image}


@from_pypi
def test_the_oldest_driver_compiles_the_ptx(tmp_path: Path, pieces: list[Piece]) -> None:
    """Those of CUDA 12.0 compile what is in the library, and also what machine code of 9.0a was made from."""
    if not OLDEST.exists():
        pytest.skip("there is no ptxas 12.0 for this processor")
    texts = {f"{i}.80": piece.code.rstrip(b"\0") for i, piece in enumerate(pieces) if piece.is_ptx}
    texts["conv_wgmma.90a"] = (TOP / "build/obj/ptx/conv_wgmma.90a.ptx").read_bytes()
    assert len(texts) > 5
    for name, text in texts.items():
        path = tmp_path / f"{name}.ptx"
        path.write_bytes(text)
        done = subprocess.run([OLDEST, f"-arch=sm_{name.split('.')[1]}", path, "-o", tmp_path / "code"],
                              capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 0 and done.stdout + done.stderr == "", (name, done.stderr)


def test_nothing_but_registers(pieces: list[Piece]) -> None:
    """No register is spilled, no array ends up in memory: that costs a convolution a multiple of its time."""
    kernels = [(piece.arch, name, kernel) for piece in pieces if not piece.is_ptx for name, kernel in piece.kernels.items()]
    assert [(arch, name, kernel.frame) for arch, name, kernel in kernels if kernel.frame] == []
    assert all(0 < kernel.registers <= 255 for _, _, kernel in kernels)


def outside_most(name: str) -> int:
    """Instructions that finishing a tile of 8 x 32 pixels may take, of a thread, which has 128 sums. Each is set to zero (two at
    a time), gets its bias, is rounded (two at a time) and stored (eight at a time); a residual is loaded (eight at a time),
    widened and added; any slope is a comparison and a product. The rest are addresses and barriers."""
    each, rest = 1 / 2 + 1 + 1 / 2 + 1 / 8, 110
    if "_residual" in name:
        each += 1 / 8 + 2
    if "_relu" not in name and "_linear" not in name:
        each += 2
    return int(128 * each) + rest


@from_pypi
def test_little_is_done_between_products(pieces: list[Piece]) -> None:
    """The tile loop of the Hopper convolution, without the loop over its products in it: had 1770 instructions once."""
    kernels: dict[str, Kernel] = {name: kernel for piece in pieces if not piece.is_ptx and piece.arch == "90a"
                                  for name, kernel in piece.kernels.items()}
    assert len(kernels) == 8
    for name, kernel in kernels.items():
        products, tiles = sass.around(kernel.code, sass.HGMMA)[:2]
        assert sass.count(kernel.code, sass.HGMMA) == 12, name  # three taps of 64 channels, 16 at a time
        assert tiles.begin < products.begin and products.end < tiles.end
        assert 300 < tiles.length - products.length <= outside_most(name), name
        # a warpgroup that computes and one that loads trade registers: a launch gives each thread as many
        assert kernel.registers == 168


@from_pypi
def test_addresses_are_not_computed_anew(pieces: list[Piece]) -> None:
    """A step of the convolutions that gather their inputs, on 9.0: 16 or 8 products, their factors, the copies of a later step
    and where these come from, which is added up. 189 and 170 instructions when addresses were multiplied."""
    kernels = {name: kernel for piece in pieces if not piece.is_ptx and piece.arch == "90"
               for name, kernel in piece.kernels.items()}
    for name, products, most in (("sbv_conv_mma_gather_64", 16, 150), ("sbv_conv_mma_gather_32", 8, 140)):
        assert sass.count(kernels[name].code, sass.HMMA) == products
        assert sass.around(kernels[name].code, sass.HMMA)[0].length <= most, name


@from_pypi
def test_an_array_in_memory_is_seen(tmp_path: Path) -> None:
    source = tmp_path / "array.cu"
    source.write_text('extern "C" __global__ void indexed(int *p)\n'
                      "{\n"
                      "    int array[64];\n"
                      "    for (int i = 0; i < 64; i++)\n"
                      "        array[p[i] & 63] = p[i + 64];\n"
                      "    p[0] = array[p[1] & 63];\n"
                      "}\n")
    tools, ptx, cubin, image = TOP / "build-aux/cuda", *(tmp_path / f"array.80.{s}" for s in ("ptx", "cubin", "fatbin"))
    for command in ([sys.executable, tools / "ptx.py", *setting("CUDA_COMPILER").split(), "--arch", "80", source, ptx],
                    [*setting("PTXAS").split(), "-arch=sm_80", ptx, "-o", cubin],
                    [sys.executable, tools / "fatbin.py", image, cubin]):
        done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 0 and done.stdout + done.stderr == "", done.stderr
    (piece,) = read_image(image.read_bytes())
    assert list(piece.kernels) == ["indexed"] and piece.kernels["indexed"].frame >= 256


@from_pypi
def test_errors_name_the_line(tmp_path: Path) -> None:
    source = tmp_path / "wrong.cu"
    source.write_text('extern "C" __global__ void wrong()\n{\n    int a = nothing;\n}\n')
    done = subprocess.run([sys.executable, TOP / "build-aux/cuda/ptx.py", *setting("CUDA_COMPILER").split(), "--arch", "80",
                           source, tmp_path / "wrong.ptx"], cwd=TOP, capture_output=True, text=True, timeout=TIMEOUT,
                          check=False)
    assert done.returncode == 1 and "wrong.cu(3): error: identifier \"nothing\" is undefined" in done.stderr
    assert not (tmp_path / "wrong.ptx").exists()


def test_accumulators_are_held() -> None:
    """Nothing that the compiler does with the sums of wgmma can be moved before the wait: after it come 128 empty
    instructions, one for each sum, that may change it."""
    if "90a" not in KNOWN:
        pytest.skip("the compiler that was chosen makes no code for 90a")
    text = re.sub(r"\s*\n\s*", "\n", (TOP / "build/obj/ptx/conv_wgmma.90a.ptx").read_text())
    waits = text.count("\nwgmma.wait_group.sync.aligned 0;\n")
    fence = r"(?:// begin inline asm\n// end inline asm\n)"
    held = re.findall(rf"\nwgmma\.wait_group\.sync\.aligned 0;\n// end inline asm\n{fence}{{128}}", text)
    assert waits == len(held) == len(wanted("90a")) == 8
