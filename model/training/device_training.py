# SPDX-License-Identifier: LGPL-2.1-or-later
"""A training that lives on one device: stages by the clock, averaged weights, a state from which it continues.

Stages: "single" trains extraction, trunk and tail on one frame, as if the window were that frame repeated; "flow"
trains the flow network on known motion; "windows" trains the rest on whole windows; "all" trains everything on them.
"""
from __future__ import annotations

import copy
import hashlib
import io
import json
import math
import pathlib
import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Mapping, Optional, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from device_set import CENTER, WITH_CLIPS, Batch, DeviceSet, Material
from exportable import Trainee
from lib import model_file
from losses import charbonnier, flow_error, matching_loss
from muon import Muon
from reference import resize
from teacher import Teacher
from true_degradation import misjudged
from training import SAFELY, Budget, read_curve, say, write_curve

STAGES = ("single", "flow", "windows", "all")
AVERAGE = 0.999          # what the average keeps of itself each step, after the first thousands
WARM_UP = 100            # steps
PART = 15 << 20          # bytes of a part of the state
EARLY = (5.0, 10.0, 20.0)  # seconds after which a first figure is printed


@dataclass(frozen=True)
class Settings:
    """Of a run. stages: names and the shares of the run at which they end. `coded` and `clips`: windows of a batch that
    come from the coded ones and from clips. `rate` is Muon's, `adam_rate` that of what Adam trains: the first filters,
    the gains of a modulated network and, times flow_rate outside of its own stage, the flow network. freeze_features:
    the extraction stays as it is."""
    budget: Budget
    stages: tuple[tuple[str, float], ...]
    rate: float = 0.01
    adam_rate: float = 1e-3
    flow_rate: float = 0.2
    fusion_rate: float = 1.0
    batch: int = 32
    patch: int = 64
    coded: int = 8
    clips: int = 2
    quantised: float = 0.2
    trust: float = 0.75
    flow_weight: float = 0.01
    knee: float = 0.02
    clip: float = 1.0
    seed: int = 1
    report_seconds: float = 20.0
    save_minutes: float = 4.0
    freeze_features: bool = False

    def stage(self, fraction: float) -> str:
        return next((name for name, end in self.stages if fraction < end), self.stages[-1][0])


def parse_stages(text: str) -> tuple[tuple[str, float], ...]:
    """"single:0.5,flow:0.6,all:1", each with the share of the run at which it ends. ValueError says what is wrong."""
    stages = []
    for part in text.split(","):
        name, colon, end = part.partition(":")
        if name not in STAGES or not colon:
            raise ValueError(f"{part!r} is not one of {', '.join(STAGES)} with a share, as in single:0.5,all:1")
        stages.append((name, float(end)))
    ends = [0.0, *(end for _, end in stages)]
    if ends[-1] != 1 or any(b <= a for a, b in zip(ends, ends[1:])):
        raise ValueError(f"{text!r}: the shares must rise, up to 1")
    return tuple(stages)


def restored_single(net: Trainee, frame: Tensor, degradation: Optional[Tensor] = None) -> Tensor:
    """What the network makes of a window of one frame repeated where its flow is zero. Of the fusion only the part of
    the center is trained: the others learn from real neighbours. degradation: as of Trainee.restored."""
    parts = net.fusion.weight.split(net.arch.n_feat, 1)
    weight = parts[CENTER] + sum(part.detach() for index, part in enumerate(parts) if index != CENTER)
    feats = net.features(frame.contiguous(memory_format=torch.channels_last))
    detail = net.rebuilt(F.conv2d(feats, weight, padding=1), net.gains(degradation, len(frame)))
    return detail + resize(frame, frame.shape[2] * net.arch.scale, frame.shape[3] * net.arch.scale)


def losses(net: Trainee, batch: Batch, stage: str, settings: Settings) -> dict[str, Tensor]:
    """The terms of the loss, and what is minimised as "sum"."""
    degradation = batch.degradation if net.arch.modulation else None
    if stage == "single":
        picture = charbonnier(restored_single(net, batch.frames[:, 0], degradation), batch.target, settings.knee)
        return {"picture": picture, "sum": picture}
    with torch.set_grad_enabled(stage != "windows"):
        pyramids = net.pyramids(batch.frames)
        flows = net.flows(pyramids)
        flow = flow_error(flows, batch.flow)
    if stage == "flow":
        return {"flow": flow, "sum": flow + 0.5 * matching_loss(pyramids, batch.flow)}
    picture = charbonnier(net.restored(batch.frames, flows[-1], degradation), batch.target, settings.knee)
    return {"picture": picture, "flow": flow, "sum": picture + settings.flow_weight * flow}


def bicubic_loss(batch: Batch, knee: float) -> Tensor:
    """The picture term of a bicubic scaler, to compare with."""
    center = batch.frames[:, batch.frames.shape[1] // 2]
    plain = F.interpolate(center, size=batch.target.shape[2:], mode="bicubic", align_corners=False)
    return charbonnier(plain.clamp(0, 1), batch.target, knee)


class Step:
    """Forward, backward and the optimiser's step on a batch. On a GPU it is recorded once for each stage and replayed,
    as launching a thousand small kernels takes longer than they do."""

    def __init__(self, net: Trainee, optimisers: Sequence[torch.optim.Optimizer], settings: Settings,
                 graphs: bool) -> None:
        self.net, self.optimisers, self.settings, self.graphs = net, optimisers, settings, graphs
        self.device = next(net.parameters()).device
        self.recorded: dict[str, tuple[Any, Batch, dict[str, Tensor]]] = {}

    def plain(self, batch: Batch, stage: str) -> dict[str, Tensor]:
        # no cache of converted weights: a recording must convert them again
        with torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False):
            terms = losses(self.net, batch, stage, self.settings)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        terms["sum"].backward()
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                nn.utils.clip_grad_norm_(group["params"], self.settings.clip)
            optimiser.step()
        return {name: value.detach() for name, value in terms.items()}

    def record(self, batch: Batch, stage: str) -> None:
        """Needs three steps of warming up, which train like others."""
        parts = batch.frames, batch.target, batch.flow, batch.teachable, batch.degradation
        static = Batch(*(None if x is None else x.clone() for x in parts))
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                self.plain(static, stage)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            terms = self.plain(static, stage)
        self.recorded[stage] = graph, static, terms

    def __call__(self, batch: Batch, stage: str) -> dict[str, Tensor]:
        if not self.graphs:
            return self.plain(batch, stage)
        if stage not in self.recorded:
            try:
                self.recorded.clear()  # its memory
                self.record(batch, stage)
            except RuntimeError as error:
                say(f"{stage}: not recorded, launched kernel by kernel: {str(error).splitlines()[0]}")
                self.graphs = False
                return self.plain(batch, stage)
        graph, static, terms = self.recorded[stage]
        for into, value in zip((static.frames, static.target, static.flow, static.degradation),
                               (batch.frames, batch.target, batch.flow, batch.degradation)):
            if value is not None:
                into.copy_(value)
        graph.replay()
        return terms


def operations(run: Callable[[], object]) -> Optional[float]:
    """TFLOP of the matrix products and convolutions that a call does; None where PyTorch cannot count them."""
    try:
        from torch.utils.flop_counter import FlopCounterMode
    except ImportError:
        return None
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e12


@dataclass
class Meter:
    """Means since the last report, kept on the device until then."""
    sums: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0
    since: float = 0.0

    def add(self, terms: Mapping[str, Tensor]) -> None:
        self.steps += 1
        for name, value in terms.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()

    def take(self, now: float) -> dict[str, float]:
        """The means, and steps a second."""
        means = {name: (value / self.steps).item() for name, value in self.sums.items()}
        means["steps_per_second"] = self.steps / max(now - self.since, 1e-9)
        self.sums, self.steps, self.since = {}, 0, now
        return means


def trained_elsewhere(net: Trainee) -> list[nn.Module]:
    """The parts that this training leaves as they are."""
    return [getattr(net, name) for name in ("kernel_net", "degradation_net") if hasattr(net, name)]


def extraction(net: Trainee) -> list[Any]:
    """What makes the features of a frame."""
    return [net.difference, net.mix, net.extra]


class DeviceTraining:
    """A run: `state` is where it continues from, and is kept; the curve and the model file lie at `output`."""

    def __init__(self, net: Trainee, material: Material, settings: Settings, output: pathlib.Path, state: pathlib.Path,
                 metadata: Mapping[str, str], teacher: Optional[Teacher] = None) -> None:
        self.settings, self.output, self.state, self.metadata = settings, output, state, dict(metadata)
        self.teacher = teacher
        self.net = net.to(memory_format=torch.channels_last)
        self.device = next(net.parameters()).device
        for part in trained_elsewhere(net) + (extraction(net) if settings.freeze_features else []):
            part.requires_grad_(False)
        flow, fusion = list(net.flow_net.parameters()), list(net.fusion.parameters())
        gains = list(net.modulation.parameters()) if net.arch.modulation else []
        known = {id(p) for p in [*flow, *fusion, *gains, net.difference]}
        rest = [p for p in net.parameters() if p.requires_grad and id(p) not in known]
        self.average = copy.deepcopy(self.net)
        pairs = zip(self.average.parameters(), net.parameters())
        self.pairs = list(zip(*((mean, value) for mean, value in pairs if value.requires_grad)))
        gpu = self.device.type == "cuda"
        parts = rest, fusion, [net.difference], flow, *([gains] if gains else [])
        # rates as tensors, so that a recorded step reads them anew
        self.rates = [torch.tensor(0.0, device=self.device) if gpu else 0.0 for _ in parts]
        groups = [{"params": params, "lr": rate} for params, rate in zip(parts, self.rates)]
        self.optimisers = (Muon(groups[:2]),
                           torch.optim.Adam(groups[2:], betas=(0.9, 0.99), **({"capturable": True} if gpu else {})))
        self.step, self.spent, self.rows = 0, 0.0, []
        if state.exists():
            self.load()
        self.take = Step(net, self.optimisers, settings, graphs=gpu)
        self.data = DeviceSet(material, settings.patch, self.device, settings.seed + self.step)
        self.flops: dict[str, Optional[float]] = {}

    def end_at(self, moment: float) -> None:
        """Plans the run, with what was spent before, to end then, seconds since 1970."""
        minutes = (self.spent + moment - time.time()) / 60
        self.settings = replace(self.settings, budget=Budget(minutes, self.settings.budget.steps))

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Of the optimisers: the reconstruction, the fusion, the first filters, the flow network and, where there are
        some, the gains."""
        return [group for optimiser in self.optimisers for group in optimiser.param_groups]

    @property
    def fraction(self) -> float:
        return self.settings.budget.fraction(self.step, self.spent)

    def set_rates(self, stage: str) -> float:
        """A warm-up, then a cosine by the clock. Returns the rate of the reconstruction."""
        share = 0.5 * (1 + math.cos(math.pi * self.fraction)) * min(1.0, 0.02 + self.step / WARM_UP)
        rate, adam_rate = share * self.settings.rate, share * self.settings.adam_rate
        of_flow = {"flow": 1.0, "all": self.settings.flow_rate}.get(stage, 0.0)
        of_fusion = self.settings.fusion_rate if stage in WITH_CLIPS else 1.0
        of_gains = 0.0 if stage == "flow" else 1.0
        values = rate, rate * of_fusion, adam_rate, adam_rate * of_flow, adam_rate * of_gains
        for group, value in zip(self.groups, values):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(value)
            else:
                group["lr"] = value
        return rate

    def draw(self, stage: str) -> Batch:
        settings = self.settings
        with torch.no_grad():
            if stage == "flow":
                return self.data.batch(stage, settings.batch, 0, 0, settings.quantised)
            batch = self.data.batch(stage, settings.batch, settings.coded, settings.clips, settings.quantised)
            if self.net.arch.modulation:
                batch.degradation = misjudged(batch.degradation, self.data.draw)
            if self.teacher:
                batch.target = self.teacher.blended(batch.target, settings.trust * batch.teachable)
            return batch

    def train_step(self, stage: str) -> dict[str, Tensor]:
        batch = self.draw(stage)
        if stage not in self.flops:
            self.flops[stage] = operations(lambda: self.take.plain(batch, stage))
        terms = self.take(batch, stage)
        if stage != "flow":
            terms = {**terms, "bicubic": bicubic_loss(batch, self.settings.knee)}
        keep = min(AVERAGE, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_mul_(self.pairs[0], keep)
            torch._foreach_add_(self.pairs[0], self.pairs[1], alpha=1 - keep)
        self.step += 1
        return terms

    def run(self) -> None:
        """Trains until the minutes are used up. An interrupt keeps what there is."""
        began = last = saved = time.monotonic()
        meter, early, stage = Meter(since=began), list(EARLY), ""
        try:
            while self.fraction < 1:
                if self.settings.stage(self.fraction) != stage:
                    self.report(meter, stage)
                    stage = self.settings.stage(self.fraction)
                    self.set_rates(stage)
                rate = self.set_rates(stage)
                meter.add(self.train_step(stage))
                if self.device.type == "cuda" and self.step % 8 == 0:
                    torch.cuda.synchronize()  # so that the clock is that of the device
                now = time.monotonic()
                self.spent, last = self.spent + now - last, now
                if now - meter.since > self.settings.report_seconds or (early and now - began > early[0]):
                    early = [seconds for seconds in early if now - began < seconds]
                    self.report(meter, stage, rate)
                if now - saved > 60 * self.settings.save_minutes:
                    self.save()
                    saved = now
        except KeyboardInterrupt:
            say(f"interrupted at step {self.step}")
        self.report(meter, stage)
        self.save()

    def report(self, meter: Meter, stage: str, rate: float = 0.0) -> None:
        """A line and a row of the curve; nothing where there was no step since the last."""
        if not meter.steps:
            return
        row = meter.take(time.monotonic())
        work = self.flops.get(stage)
        if work:
            row["tflops"] = work * row["steps_per_second"]
        self.rows.append({"step": self.step, "minute": self.spent / 60, **({"rate": rate} if rate else {}), **row})
        say(f"step {self.step} minute {self.spent / 60:.2f} {stage}: "
            + " ".join(f"{name} {value:.5g}" for name, value in row.items()))

    def save(self) -> None:
        """The state, the model file and the curve."""
        write_parts(self.state, {"net": self.net.state_dict(), "average": self.average.state_dict(),
                                 "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
                                 "step": self.step, "spent": self.spent})
        tensors = {name: value.numpy() for name, value in copy.deepcopy(self.average).cpu().export().items()}
        steps = {"steps": str(self.step), "minutes": f"{self.spent / 60:.1f}"}
        model_file.write(self.output, tensors, {**self.metadata, **steps}, dtype="F16")
        write_curve(self.output.with_suffix(".csv"), self.rows)

    def load(self) -> None:
        """Continues from the state. ValueError where it is not one of this network."""
        try:
            state = read_parts(self.state, self.device)
            self.net.load_state_dict(state["net"])
            self.average.load_state_dict(state["average"])
            for optimiser, values in zip(self.optimisers, state["optimisers"]):
                optimiser.load_state_dict(values)
            self.step, self.spent = int(state["step"]), float(state["spent"])
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:100]
            raise ValueError(f"{self.state}: not a state of this network: {reason}") from None
        for group, rate in zip(self.groups, self.rates):
            group["lr"] = rate
        self.rows = [row for row in read_curve(self.output.with_suffix(".csv")) if row["step"] <= self.step]


def write_parts(path: pathlib.Path, state: Mapping[str, Any]) -> None:
    """A state in files of at most PART bytes beside `path`, which lists them. What was there before stays whole until
    the list is replaced."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    data = buffer.getbuffer()
    digest = hashlib.sha256(data).hexdigest()
    names = []
    for index, begin in enumerate(range(0, len(data), PART)):
        names.append(f"{path.name}.{digest[:8]}.{index:02}")
        (path.parent / names[-1]).write_bytes(data[begin:begin + PART])
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps({"parts": names, "bytes": len(data), "sha256": digest}) + "\n", encoding="utf-8")
    before = listed_parts(path) if path.exists() else []
    partial.replace(path)
    for name in set(before) - set(names):
        (path.parent / name).unlink(missing_ok=True)


def listed_parts(path: pathlib.Path) -> list[str]:
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["parts"]
    except (KeyError, TypeError, ValueError):
        raise ValueError("it is not a list of parts") from None
    return [pathlib.Path(name).name for name in names]


def read_parts(path: pathlib.Path, device: torch.device) -> dict[str, Any]:
    """What write_parts wrote. ValueError where a part is missing or damaged."""
    names = listed_parts(path)
    missing = [name for name in names if not (path.parent / name).exists()]
    if missing:
        raise ValueError(f"its part {missing[0]} is missing")
    data = b"".join((path.parent / name).read_bytes() for name in names)
    if hashlib.sha256(data).hexdigest() != json.loads(path.read_text(encoding="utf-8")).get("sha256"):
        raise ValueError("its parts are damaged")
    return torch.load(io.BytesIO(data), map_location=device, **SAFELY)
