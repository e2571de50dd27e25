# SPDX-License-Identifier: LGPL-2.1-or-later
"""The run of a training: steps within a budget, averaged weights, checkpoints, curves, the model file.

What is minimised and what it is shown comes from a Method (supervised.py, selfsupervised.py).
"""
from __future__ import annotations

import copy
import csv
import pathlib
import queue
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lib import model_file
from lib import plots
from exportable import Network

try:
    from tqdm import tqdm
except ImportError:  # the lines of figures say the same
    tqdm = None

# PyTorch 1's safe loading refuses plain numbers
SAFELY = {"weights_only": True} if int(torch.__version__.split(".")[0]) > 1 else {}
AVERAGE = 0.999  # what the average keeps of itself each step, after the first thousands


def multiplies_bf16(device: str) -> bool:
    """Whether it multiplies in bfloat16 and sums in single precision. On other CPUs PyTorch sums in bfloat16 too,
    which takes ten times as long and learns little."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


@dataclass
class Budget:
    """How long a run is: minutes of wall clock, or steps, or whichever is over first."""
    minutes: Optional[float]
    steps: Optional[int]

    def fraction(self, step: int, seconds: float) -> float:
        """How much of it is used, 0 to 1."""
        shares = [seconds / (60 * self.minutes)] if self.minutes else []
        shares += [step / self.steps] if self.steps else []
        return min(1.0, max(shares))


class Method:
    """What one way of training consists of. `terms` and `checks` name the columns of the curve."""

    terms: Sequence[str]
    checks: Sequence[str]

    def rates(self, fraction: float) -> tuple[float, float, float]:
        """Learning rates of the reconstruction, the flow network and the kernel network."""
        raise NotImplementedError

    def sources(self, fraction: float, workers: int, seed: int) -> tuple[Any, Callable[[], list[Callable[[], Any]]]]:
        """A name for what is drawn at this point of the run, and a maker of that many sources of batches."""
        raise NotImplementedError

    def losses(self, net: Network, batch: Any, fraction: float) -> dict[str, Tensor]:
        """The terms of the loss, and what is minimised as "sum"."""
        raise NotImplementedError

    def check(self, net: Network) -> dict[str, float]:
        """Figures of the averaged network on material that is always the same."""
        raise NotImplementedError


class Prefetch:
    """Batches drawn ahead by threads, in an order that does not depend on their speed."""

    def __init__(self, sources: Sequence[Callable[[], Any]], ahead: int = 2) -> None:
        self.queues = [queue.Queue(ahead) for _ in sources]
        self.turn, self.stopped = 0, False
        self.threads = [threading.Thread(target=self._fill, args=pair, daemon=True)
                        for pair in zip(sources, self.queues)]
        for thread in self.threads:
            thread.start()

    def _fill(self, draw: Callable[[], Any], into: queue.Queue) -> None:
        while not self.stopped:
            try:
                item = draw()
            except Exception as error:  # handed over to the thread that wants the batch
                item = error
            while not self.stopped:
                try:
                    into.put(item, timeout=0.2)
                    break
                except queue.Full:
                    continue
            if isinstance(item, Exception):
                return

    def __call__(self) -> Any:
        item = self.queues[self.turn].get()
        self.turn = (self.turn + 1) % len(self.queues)
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        self.stopped = True
        for thread in self.threads:
            thread.join()


def parameter_groups(net: Network) -> list[dict[str, list[nn.Parameter]]]:
    """Reconstruction, flow network, kernel network (if there is one)."""
    flow = list(net.flow_net.parameters())
    kernel_net = list(net.kernel_net.parameters()) if net.arch.kernel_net else []
    known = {id(p) for p in flow + kernel_net}
    rest = [p for p in net.parameters() if id(p) not in known]
    return [{"params": params} for params in (rest, flow, kernel_net) if params]


@dataclass
class Options:
    """Of a run. Paths: the model file, its checkpoint; the curve lies beside the model file."""
    output: pathlib.Path
    checkpoint: pathlib.Path
    device: str
    bf16: bool
    clip: float
    report: int
    save_minutes: float
    workers: int
    seed: int
    dtype: str


class Training:
    """State of a run: the network, its average, the optimiser and the time spent."""

    def __init__(self, method: Method, net: Network, budget: Budget, options: Options,
                 metadata: Mapping[str, str], identity: Mapping[str, str]) -> None:
        """metadata is that of the model file; identity tells this run's checkpoint from another's."""
        self.method, self.budget, self.options = method, budget, options
        self.metadata, self.identity = dict(metadata), dict(identity)
        self.net = net.to(options.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.net)
        self.optimiser = torch.optim.Adam(parameter_groups(self.net), lr=1e-4, betas=(0.9, 0.99))
        self.step, self.spent = 0, 0.0
        self.rows: list[dict[str, float]] = []

    @property
    def fraction(self) -> float:
        return self.budget.fraction(self.step, self.spent)

    def train_step(self, batch: Any) -> dict[str, float]:
        fraction = self.fraction
        for group, value in zip(self.optimiser.param_groups, self.method.rates(fraction)):
            group["lr"] = value
        with torch.autocast(torch.device(self.options.device).type, torch.bfloat16, enabled=self.options.bf16):
            losses = self.method.losses(self.net, batch, fraction)
        loss = losses.pop("sum")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norms = [nn.utils.clip_grad_norm_(group["params"], self.options.clip)
                 for group in self.optimiser.param_groups]
        if all(torch.isfinite(norm) for norm in norms):
            self.optimiser.step()
        keep = min(AVERAGE, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.net.parameters()):
                mean.lerp_(value, 1 - keep)
        self.step += 1
        return ({name: value.item() for name, value in losses.items()}
                | {"loss": loss.item(), "norm": max(norms).item()})

    def save(self) -> None:
        state: dict[str, Any] = {"net": self.net.state_dict(), "average": self.average.state_dict(),
                                 "optimiser": self.optimiser.state_dict(), "step": self.step, "spent": self.spent,
                                 "identity": self.identity}
        partial = self.options.checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.options.checkpoint)

    def load(self) -> None:
        """Continues from the checkpoint. ValueError where it is not one, or of another network or run."""
        path = self.options.checkpoint
        try:
            state = torch.load(path, map_location=self.options.device, **SAFELY)
            self.net.load_state_dict(state["net"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.spent = int(state["step"]), float(state["spent"])
        except OSError:
            raise
        except Exception as error:  # whatever an unpickler finds wrong
            reason = " ".join(str(error).split())[:100]
            raise ValueError(f"{path}: not a checkpoint of this network: {reason}") from None
        for name, value in state.get("identity", {}).items():
            if self.identity.get(name, "") != value:
                raise ValueError(f"{path}: a checkpoint of another run, with {name} {value or '-'}; "
                                 "remove it, or name another with --checkpoint")
        self.rows = [row for row in read_curve(self.curve) if row["step"] <= self.step]

    @property
    def curve(self) -> pathlib.Path:
        return self.options.output.with_suffix(".csv")

    def check(self) -> None:
        """A line and a row of the curve that say how good the average is by now."""
        figures = self.method.check(self.average)
        say(f"check at step {self.step}: " + " ".join(f"{k} {v:.3f}" for k, v in figures.items()))
        self.rows.append({"step": self.step, "minute": self.spent / 60, **figures})

    def keep(self) -> None:
        """A check; then checkpoint, model file and curve."""
        self.check()
        self.save()
        provenance = {"steps": str(self.step), "minutes": f"{self.spent / 60:.1f}"}
        tensors = {name: value.numpy() for name, value in self.average.export().items()}
        model_file.write(str(self.options.output), tensors, self.metadata | provenance, dtype=self.options.dtype)
        write_curve(self.curve, self.rows)
        try:
            plots.training_curves(self.options.output.with_suffix(".png"), self.rows, ("loss", *self.method.terms),
                                  self.method.checks)
        except plots.PlotError as error:
            say(f"no picture of the curve: {error}")

    def run(self) -> None:
        """Trains until the budget is used up. An interrupt keeps what there is."""
        source, batches = None, None
        means: dict[str, list[float]] = {}
        bar = progress_bar(self.budget)
        if not self.step:
            self.check()
        last_save = last = time.monotonic()
        try:
            while self.fraction < 1:
                wanted, make = self.method.sources(self.fraction, max(1, self.options.workers),
                                                   self.options.seed + self.step)
                if wanted != source:
                    close(batches)
                    batches = Prefetch(make()) if self.options.workers else make()[0]
                    source = wanted
                for name, value in self.train_step(batches()).items():
                    means.setdefault(name, []).append(value)
                now = time.monotonic()
                self.spent, last = self.spent + now - last, now
                self.advance(bar, means)
                if now - last_save > 60 * self.options.save_minutes:
                    self.keep()
                    last_save = now
        except KeyboardInterrupt:
            say(f"interrupted at step {self.step}")
        finally:
            close(batches)
            if bar is not None:
                bar.close()
        self.keep()

    def advance(self, bar: Any, means: dict[str, list[float]]) -> None:
        """Moves the progress bar, and every so many steps writes a line of the means since the last one."""
        if bar is not None:
            bar.n = round(1000 * self.fraction) / 10
            bar.set_postfix_str(f"step {self.step} loss {means['loss'][-1]:.4f}")
        if self.step % self.options.report:
            return
        row = {name: float(np.mean(values)) for name, values in means.items()}
        rate = max(self.method.rates(self.fraction))
        self.rows.append({"step": self.step, "minute": self.spent / 60, "rate": rate, **row})
        say(f"step {self.step} minute {self.spent / 60:.1f} rate {rate:.2e} "
            + " ".join(f"{k} {v:.5f}" for k, v in row.items()))
        means.clear()


def close(batches: Any) -> None:
    if isinstance(batches, Prefetch):
        batches.close()


def progress_bar(budget: Budget) -> Any:
    """Per cent of the budget; none where standard error is not a terminal."""
    if tqdm is None:
        return None
    return tqdm(total=100.0, unit="%", disable=None, bar_format="{desc}{percentage:5.1f}%|{bar}| {elapsed} {postfix}")


def say(line: str) -> None:
    """A line that leaves the progress bar whole."""
    if tqdm is None:
        print(line, flush=True)
    else:
        tqdm.write(line)


def read_curve(path: pathlib.Path) -> list[dict[str, float]]:
    """Rows of a curve written by write_curve(); none where there is no such file."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        try:
            return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
        except (TypeError, ValueError):
            raise ValueError(f"{path}: not a curve of train.py") from None


def write_curve(path: pathlib.Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Rows as CSV, a column for every name that occurs, in order of appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    partial = path.with_suffix(".part.csv")
    with open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.8g}" for k, v in row.items()})
    partial.replace(path)
