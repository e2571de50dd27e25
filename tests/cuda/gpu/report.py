"""The table of check_gpu.py: one line for each thing that was checked or measured, a JSON file, and Markdown.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

from device import Device

OK, FAILED, NOT_RUN = "ok", "FAILED", "not run"


@dataclass
class Row:
    step: str     # "golden"
    name: str     # what was checked
    result: str   # OK, FAILED or NOT_RUN
    detail: str = ""                                     # figures, or the reason; one line
    data: dict[str, Any] = field(default_factory=dict)   # figures for programs
    seconds: float = 0.0


class Report:
    """Lines of the table, printed as they come; the JSON file is complete after each of them."""

    def __init__(self, device: Device, json_path: Optional[Path]) -> None:
        self.device = device
        self.json_path = json_path
        self.rows: list[Row] = []
        self.begin = self.last = time.monotonic()
        self.when = time.strftime("%Y-%m-%d", time.gmtime())
        print(device.line())
        print(f"{'step':<10} {'what':<56} {'result':<8} figures", flush=True)

    def add(self, step: str, name: str, result: str, detail: str = "", **data: Any) -> None:
        now = time.monotonic()
        row = Row(step, name, result, " ".join(detail.split()), data, round(now - self.last, 2))
        self.last = now
        self.rows.append(row)
        print(f"{row.step:<10} {row.name:<56} {row.result:<8} {row.detail}", flush=True)
        self.write_json()

    def check(self, step: str, name: str, good: bool, detail: str = "", **data: Any) -> None:
        self.add(step, name, OK if good else FAILED, detail, **data)

    def count(self, result: str) -> int:
        return sum(row.result == result for row in self.rows)

    def finish(self) -> int:
        """Prints the last line; returns the exit status."""
        for row in self.rows:
            if row.result == FAILED:
                print(f"FAILED: {row.step}, {row.name}: {row.detail}")
        print(f"{self.count(OK)} ok, {self.count(FAILED)} failed, {self.count(NOT_RUN)} not run, "
              f"{time.monotonic() - self.begin:.0f} s")
        self.write_json()
        return 1 if self.count(FAILED) or not self.count(OK) else 0

    def write_json(self) -> None:
        if not self.json_path:
            return
        document = {"date": self.when, "device": self.device.as_dict(), "ok": self.count(OK),
                    "failed": self.count(FAILED), "not_run": self.count(NOT_RUN),
                    "seconds": round(time.monotonic() - self.begin, 1), "rows": [asdict(row) for row in self.rows]}
        self.json_path.parent.mkdir(parents=True, exist_ok=True)
        new = self.json_path.with_name(self.json_path.name + ".new")
        new.write_text(json.dumps(document, indent=1) + "\n")
        os.replace(new, self.json_path)


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    return ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head),
            *("| " + " | ".join(row) + " |" for row in rows), ""]


def markdown(report: Report) -> str:
    """bench/RESULTS.md: what was measured on which GPU, and what was checked."""
    def rows_of(step: str) -> list[Row]:
        return [row for row in report.rows if row.step == step]

    lines = [f"# {report.device.name}", "", f"{report.when}, `make check-gpu`: {report.device.line()}.", ""]
    for row in rows_of("peak"):
        lines += [f"A large fp16 matrix product by cuBLAS: {row.detail}.", ""]
    lines += table(["frames", "frames/s", "ms a frame", "GPU memory, MiB"], [
        [row.name, f"{1 / row.data['steady_frame_s']:.2f}", f"{1e3 * row.data['steady_frame_s']:.2f}",
         f"{row.data['device_bytes'] / 2**20:.0f}"] for row in rows_of("frames") if row.result == OK])
    lines += table(["PyTorch on the same GPU", "frames/s", "ms a frame", "this library is faster by"], [
        [row.name, f"{1 / row.data['frame_s']:.2f}", f"{1e3 * row.data['frame_s']:.2f}",
         f"{row.data['ratio']:.2f}" if "ratio" in row.data else ""] for row in rows_of("torch") if row.result == OK])
    lines += table(["kernel", "ms", "TFLOP/s", "of the product"],
                   [row.data["cells"] for row in rows_of("bench") if "cells" in row.data])
    lines += table(["check", "result", "figures"],
                   [[f"{row.step}: {row.name}", row.result, row.detail] for row in report.rows
                    if row.result != OK or row.step not in ("peak", "frames", "bench", "torch")])
    return "\n".join(lines)
