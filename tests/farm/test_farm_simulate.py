"""The simulation of the farm: what can be computed by hand, and what must hold whatever the assumptions.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TOP

sys.path.insert(0, str(TOP / "farm"))
import simulate  # noqa: E402
from simulate import Assumptions  # noqa: E402

EVEN = Assumptions(spread=0, slow=0, lost=0)


def test_one_gpu_by_hand() -> None:
    a = replace(EVEN, frames=10000)
    result = simulate.film(a, 1, 1000)
    work = a.start + a.seek / a.decode + (1000 + a.context) / a.speed
    assert result.restore == pytest.approx(10 * work + 9 * a.latency)
    assert result.index == 10000 / a.decode and result.join == pytest.approx(a.passes * 10000 * a.frame_bytes / a.stream)
    assert result.waste == pytest.approx(1 - 10000 / a.speed / result.restore)


def test_more_gpus_are_not_slower_and_nothing_beats_the_ideal() -> None:
    a = replace(EVEN, storage=1e15)
    times = [simulate.film(a, gpus, 500).restore for gpus in simulate.GPUS]
    assert all(now <= before + 1e-6 for before, now in zip(times, times[1:]))
    assert all(time >= EVEN.frames / EVEN.speed / gpus for time, gpus in zip(times, simulate.GPUS))


def test_what_is_slower_costs_time() -> None:
    usual = simulate.film(EVEN, 20, 500).total
    for worse in ({"start": 60.0}, {"latency": 30.0}, {"context": 50}, {"dispatch": 0.5}, {"storage": 1e8}, {"slow": 0.2},
                  {"lost": 100.0}):
        assert simulate.film(replace(EVEN, **worse), 20, 500).total > usual


def test_a_catalogue_ends_at_the_storage() -> None:
    a, most = EVEN, EVEN.storage / (EVEN.frame_bytes * (1 + EVEN.passes))
    rates = [simulate.best_catalogue(a, gpus)[1] for gpus in simulate.GPUS]
    assert rates[0] < a.speed and rates[-1] == pytest.approx(most, rel=0.02)


def test_it_prints_a_row_for_each_number_and_draws(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert simulate.main(["--frames", "20000"]) == 0
    assert [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()[2:]] == list(simulate.GPUS)
    assert simulate.main(["--speed", "0"]) == 1
    assert capsys.readouterr().err == "simulate: --speed 0.0: must be more than 0\n"
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: ./configure --install-deps")
    assert simulate.main(["--frames", "20000", "--figure", str(tmp_path / "x.png")]) == 0
    assert 10000 < (tmp_path / "x.png").stat().st_size < 150000
