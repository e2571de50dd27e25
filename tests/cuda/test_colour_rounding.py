"""colour.cu gives the bits of kernels/reference/colour.c, which no emulator of the host's compiler can show: a CUDA compiler
contracts a product and the sum behind it to one operation with one rounding, unless the product is written as product().

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re

import pytest
from conftest import TOP, no_gpu_code
from cuda_images import images_of

if no_gpu_code():
    pytest.skip(no_gpu_code(), allow_module_level=True)


def test_every_product_is_rounded() -> None:
    ptx = [piece.code.decode() for image in images_of(TOP / "build/lib/libselfblindvsr.so") for piece in image
           if piece.is_ptx and "sbv_colour_in" in piece.kernels]
    assert len(ptx) == 1
    # mul.rn.f32 is never contracted; mul.f32 may be, and fma.rn.f32 was.
    products = re.findall(r"\b(?:mul|fma)(?:\.\w+)*\.f32\b", ptx[0])
    assert products and set(products) == {"mul.rn.f32"}
