"""An HTML page on how a film was restored: a timeline of the workers, and the speed of each.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import html
from statistics import median
from typing import Any

from .common import read_json
from .progress import clock
from .work import Work

WIDTH, ROW, LABEL = 900, 22, 180  # pixels
SLOW = 0.7  # of the median speed
STYLE = """body{font:14px sans-serif;margin:2em;color:#222}table{border-collapse:collapse}td,th{padding:.2em .8em;
text-align:right;border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}.slow{color:#b00}
rect.done{fill:#4a90c2}rect.slow{fill:#d98032}rect.failed{fill:#b00}text{font:12px sans-serif}"""


def speed(record: dict[str, Any]) -> float:
    """Frames of the film per second."""
    return record["frames"] / max(record["ended"] - record["begun"], 1e-3)


def by_worker(records: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    workers: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(records, key=lambda r: r["begun"]):
        workers.setdefault(record["worker"], []).append(record)
    return dict(sorted(workers.items()))


def slow_workers(workers: dict[str, list[dict[str, Any]]]) -> set[str]:
    speeds = {name: median(map(speed, done)) for name, done in workers.items()}
    usual = median(speeds.values()) if speeds else 0
    return {name for name, value in speeds.items() if value < SLOW * usual}


def timeline(workers: dict[str, list[dict[str, Any]]], failures: list[dict[str, Any]], slow: set[str]) -> str:
    rows = sorted({*workers, *(failure["worker"] for failure in failures)})
    times = [t for done in workers.values() for r in done for t in (r["begun"], r["ended"])] + [f["time"] for f in failures]
    if not times:
        return "<p>No chunk has been restored yet.</p>"
    start, span = min(times), max(max(times) - min(times), 1e-3)

    def x(moment: float) -> float:
        return LABEL + (WIDTH - LABEL) * (moment - start) / span
    parts = [f'<svg width="{WIDTH + 10}" height="{ROW * (len(rows) + 1)}" role="img" aria-label="timeline">']
    for row, name in enumerate(rows):
        top = ROW * row
        parts.append(f'<text x="0" y="{top + 15}">{html.escape(name)}</text>')
        for record in workers.get(name, []):
            width = max(x(record["ended"]) - x(record["begun"]) - 1, 1)
            parts.append(f'<rect class="{"slow" if name in slow else "done"}" x="{x(record["begun"]):.1f}" y="{top + 2}" '
                         f'width="{width:.1f}" height="{ROW - 4}"><title>chunk {record["chunk"]}: {record["frames"]} frames, '
                         f'{speed(record):.2f} frames/s</title></rect>')
        for failure in (f for f in failures if f["worker"] == name):
            parts.append(f'<rect class="failed" x="{x(failure["time"]) - 2:.1f}" y="{top}" width="4" height="{ROW}"><title>chunk '
                         f'{failure["chunk"]}: {html.escape(failure["message"])}</title></rect>')
    parts.append(f'<text x="{LABEL}" y="{ROW * len(rows) + 15}">0:00:00</text><text x="{WIDTH}" y="{ROW * len(rows) + 15}" '
                 f'text-anchor="end">{clock(span)}</text></svg>')
    return "".join(parts)


def table(workers: dict[str, list[dict[str, Any]]], slow: set[str]) -> str:
    rows = ["<table><tr><th>worker</th><th>chunks</th><th>frames</th><th>frames/s</th><th>computed</th></tr>"]
    for name, done in workers.items():
        note = " (slow)" if name in slow else ""
        rows.append(f'<tr{" class=slow" if note else ""}><td>{html.escape(name)}{note}</td><td>{len(done)}</td>'
                    f'<td>{sum(r["frames"] for r in done)}</td><td>{median(map(speed, done)):.2f}</td>'
                    f'<td>{html.escape(", ".join(sorted({r["computed"] for r in done})))}</td></tr>')
    return "".join(rows) + "</table>"


def page(work: Work) -> str:
    """The page, of what is done and has failed so far."""
    records = [record for chunk in work.list if (record := read_json(work.record(chunk)))]
    failures = [found for chunk in work.list for path in work.failure_files(chunk.name) if (found := read_json(path))]
    workers = by_worker(records)
    slow = slow_workers(workers)
    done, frames = sum(r["frames"] for r in records), sum(chunk.frames for chunk in work.list)
    title = html.escape(work.job["output"])
    failed = "".join(f"<li>chunk {f['chunk']}, frames {f['first']} to {f['last']}, on {html.escape(f['worker'])}: "
                     f"{html.escape(f['message'])}</li>" for f in failures)
    return (f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>'
            f"<p>{done} of {frames} frames, {len(records)} of {len(work.list)} chunks, {len(workers)} workers. "
            f"Filters: <code>{html.escape(work.job['vf'])}</code></p><h2>Timeline</h2>{timeline(workers, failures, slow)}"
            f"<h2>Workers</h2>{table(workers, slow)}<h2>Failed attempts</h2>{f'<ul>{failed}</ul>' if failed else '<p>None.</p>'}"
            "</html>\n")
