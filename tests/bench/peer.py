"""Another engine on the work of this library, in a process of its own:

    peer.py ENGINE MODEL FOLDER [--trunk BLOCKS] [--size 320x180] [--threads 1] [--precision fp32|bf16]

--trunk: the first so many residual blocks of MODEL.bin on FOLDER/in.f32, [row][column][channel]; without it MODEL is
the whole network as ONNX, on a window of noise. It prints "ready NAME VERSION" and answers each line "run" by the
seconds that one pass took, of the processor with one thread, else of the clock. At the end of its input it writes the
result of a trunk, FOLDER/ENGINE.f32. Exit status 77: the engine, or what it needs, is not installed.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import struct
import sys
import time
from pathlib import Path
from typing import Callable, Iterator

TOP = Path(__file__).resolve().parents[2]
NOT_OFFERED = 77
sys.path.insert(0, str(TOP / "model/tools"))


def trunk_layers(model: Path, blocks: int) -> Iterator[tuple["np.ndarray", "np.ndarray"]]:
    """Weights and biases of the convolutions, two for each block: x + second(relu(first(x)))."""
    from lib import model_file
    tensors, _ = model_file.read(model)
    for block in range(blocks):
        for index in (1, 2):
            name = f"recons_net.{block}.conv{index}"
            yield tensors[f"{name}.weight"].astype(np.float32), tensors[f"{name}.bias"].astype(np.float32)


Pass = Callable[[], "np.ndarray"]  # of a trunk: the result, N, C, H, W


def ncnn_trunk(asked: argparse.Namespace, x: "np.ndarray") -> tuple[str, Pass]:
    import ncnn
    layers, blobs, weights, data = ["Input in 0 1 x0"], 1, [], "x0"
    for index, (weight, bias) in enumerate(trunk_layers(asked.model, asked.trunk)):
        size = f"0={weight.shape[0]} 1=3 4=1 5=1 6={weight.size}"
        if index % 2 == 0:
            layers += [f"Split s{index} 1 2 {data} a{index} b{index}",
                       f"Convolution c{index} 1 1 a{index} h{index} {size} 9=1"]
            blobs += 3
        else:
            data = f"x{index}"
            layers += [f"Convolution c{index} 1 1 h{index - 1} y{index} {size}",
                       f"BinaryOp p{index} 2 1 b{index - 1} y{index} {data} 0=0"]
            blobs += 2
        weights += [struct.pack("<I", 0), weight.tobytes(), bias.tobytes()]
    param, raw = asked.folder / "ncnn.param", asked.folder / "ncnn.bin"
    param.write_text("\n".join(["7767517", f"{len(layers)} {blobs}", *layers]) + "\n", encoding="ascii")
    raw.write_bytes(b"".join(weights))
    net = ncnn.Net()
    net.opt.num_threads = asked.threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = asked.precision == "bf16"
    if net.load_param(str(param)) or net.load_model(str(raw)):
        raise RuntimeError("ncnn does not load the trunk")

    def run() -> "np.ndarray":
        extractor = net.create_extractor()
        extractor.input("x0", ncnn.Mat(x[0]))
        return np.array(extractor.extract(data)[1])[None]

    return ncnn.__version__, run


def openvino_compiled(asked: argparse.Namespace, model: object) -> object:
    import openvino
    return openvino.Core().compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": asked.threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if asked.precision == "bf16" else "f32"})


def openvino_trunk(asked: argparse.Namespace, x: "np.ndarray") -> tuple[str, Pass]:
    import openvino
    from openvino import opset13 as ops
    data = hidden = start = ops.parameter(x.shape, np.float32)
    around = {"strides": [1, 1], "pads_begin": [1, 1], "pads_end": [1, 1], "dilations": [1, 1]}
    for index, (weight, bias) in enumerate(trunk_layers(asked.model, asked.trunk)):
        conv = ops.add(ops.convolution(hidden, weight, **around), bias.reshape(1, -1, 1, 1))
        if index % 2 == 0:
            hidden = ops.relu(conv)
        else:
            data = hidden = ops.add(data, conv)
    request = openvino_compiled(asked, openvino.Model([data], [start])).create_infer_request()
    return openvino.__version__.split("-")[0], lambda: request.infer([x])[0]


def openvino_model(asked: argparse.Namespace, x: "np.ndarray") -> tuple[str, Pass]:
    import openvino
    model = openvino.Core().read_model(asked.model)
    model.reshape(list(x.shape))
    request = openvino_compiled(asked, model).create_infer_request()
    return openvino.__version__.split("-")[0], lambda: request.infer([x])[0]


def onnx_trunk(asked: argparse.Namespace, shape: tuple[int, ...]) -> bytes:
    from onnx import TensorProto, helper, numpy_helper
    nodes, weights, data = [], [], "x"
    for index, (weight, bias) in enumerate(trunk_layers(asked.model, asked.trunk)):
        weights += [numpy_helper.from_array(weight, f"w{index}"), numpy_helper.from_array(bias, f"b{index}")]
        given = data if index % 2 == 0 else f"h{index - 1}"
        nodes.append(helper.make_node("Conv", [given, f"w{index}", f"b{index}"], [f"c{index}"], pads=[1] * 4))
        if index % 2 == 0:
            nodes.append(helper.make_node("Relu", [f"c{index}"], [f"h{index}"]))
        else:
            nodes.append(helper.make_node("Add", [data, f"c{index}"], [f"y{index}"]))
            data = f"y{index}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", data)]
    model = helper.make_model(helper.make_graph(nodes, "trunk", ends[:1], ends[1:], weights),
                              opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString()


def onnxruntime_session(asked: argparse.Namespace, model: object, x: "np.ndarray") -> tuple[str, Pass]:
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = asked.threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return onnxruntime.__version__, lambda: session.run(None, {session.get_inputs()[0].name: x})[0]


def onnxruntime_trunk(asked: argparse.Namespace, x: "np.ndarray") -> tuple[str, Pass]:
    return onnxruntime_session(asked, onnx_trunk(asked, x.shape), x)


def onnxruntime_model(asked: argparse.Namespace, x: "np.ndarray") -> tuple[str, Pass]:
    return onnxruntime_session(asked, str(asked.model), x)


TRUNKS = {"ncnn": ncnn_trunk, "OpenVINO": openvino_trunk, "ONNX Runtime": onnxruntime_trunk}
MODELS = {"OpenVINO": openvino_model, "ONNX Runtime": onnxruntime_model}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Times another engine on the work of this library.")
    parser.add_argument("engine", choices=TRUNKS)
    parser.add_argument("model", type=Path, help="a model file, or the whole network as ONNX")
    parser.add_argument("folder", type=Path, help="for what goes in and comes out")
    parser.add_argument("--trunk", type=int, default=0, metavar="BLOCKS", help="only so many residual blocks")
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    return parser.parse_args()


def main() -> int:
    asked = parse()
    width, height = (int(side) for side in asked.size.split("x"))
    clock = time.process_time if asked.threads == 1 else time.perf_counter
    try:
        if asked.trunk:
            raw = np.fromfile(asked.folder / "in.f32", np.float32).reshape(height, width, -1)
            x = np.ascontiguousarray(raw.transpose(2, 0, 1)[None])
            version, run = TRUNKS[asked.engine](asked, x)
        else:
            x = np.random.RandomState(1).random_sample((1, 5, 3, height, width)).astype(np.float32)
            version, run = MODELS[asked.engine](asked, x)
    except ImportError as error:
        print(f"not installed: {error.name}", file=sys.stderr)
        return NOT_OFFERED
    result = run()  # what is chosen or packed when it is first used
    print(f"ready {asked.engine} {version}", flush=True)
    for line in sys.stdin:
        if line != "run\n":
            break
        begin = clock()
        result = run()
        print(f"{clock() - begin:.6f}", flush=True)
    if asked.trunk:
        result[0].transpose(1, 2, 0).astype(np.float32).tofile(asked.folder / f"{asked.engine}.f32")
    return 0


if __name__ == "__main__":
    try:
        import numpy as np
    except ImportError:
        print("not installed: numpy", file=sys.stderr)
        sys.exit(NOT_OFFERED)
    sys.exit(main())
