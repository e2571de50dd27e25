"""The results of `make bench`: objects for programs, and a table for people.

This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Mapping, Optional

# Settings that are columns of the table, in order. The others are in the JSON file alone.
COLUMNS = ("model", "size", "precision", "threads")
NOT_RUN = "not run"


class Results:
    """One list: every figure is an object with a name, a unit, a value and the settings it was measured with."""

    def __init__(self, machine: Mapping[str, Any]) -> None:
        self.machine = dict(machine)
        self.objects: list[dict[str, Any]] = []
        self.lines: list[list[str]] = []

    def add(self, section: str, name: str, figures: Mapping[str, float], **settings: Any) -> None:
        """figures: by unit; they are one line of the table."""
        shown = {key: value for key, value in settings.items() if value is not None}
        for unit, value in figures.items():
            self.objects.append({"name": name, "unit": unit, "value": value,
                                 "settings": {"section": section, **shown, **self.machine}})
        self.lines.append([section, name, *(str(shown.get(column, "")) for column in COLUMNS),
                           ", ".join(f"{digits(value)} {unit}" for unit, value in figures.items())])

    def not_run(self, section: str, name: str, reason: str, **settings: Any) -> None:
        reason = " ".join(reason.split())
        self.objects.append({"name": name, "unit": NOT_RUN, "value": None,
                             "settings": {"section": section, "reason": reason, **settings, **self.machine}})
        self.lines.append([section, name, *(str(settings.get(column, "")) for column in COLUMNS),
                           f"{NOT_RUN}: {reason}"])

    def was_not_run(self, section: str, reason: str, **settings: Any) -> bool:
        """Whether this is known already of the same settings."""
        return any(each["unit"] == NOT_RUN and each["settings"]["section"] == section
                   and each["settings"]["reason"] == " ".join(reason.split())
                   and all(each["settings"].get(key) == value for key, value in settings.items())
                   for each in self.objects)

    def find(self, section: str, name: str, unit: str, **settings: Any) -> Optional[float]:
        """The value of the first object with these settings."""
        for each in self.objects:
            if (each["name"], each["unit"], each["settings"]["section"]) == (name, unit, section) and all(
                    each["settings"].get(key) == value for key, value in settings.items()):
                return each["value"]
        return None

    def table(self) -> str:
        rows = [["section", "what", *COLUMNS, "figures"], *self.lines]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)

    def write(self, path: Path, sections: tuple[str, ...], precisions: tuple[str, ...]) -> None:
        """Replaces these sections of the file, as far as they are of these precisions; the rest, of runs before, stays."""
        def measured(settings: Mapping[str, Any]) -> bool:
            return settings["section"] in sections and settings.get("precision", precisions[0]) in precisions

        kept: list[dict[str, Any]] = []
        if path.exists():
            try:
                kept = [each for each in json.loads(path.read_text(encoding="utf-8")) if not measured(each["settings"])]
            except (ValueError, KeyError, TypeError):
                pass  # not of ours, or half of one
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + ".new")
        new.write_text(json.dumps(kept + self.objects, indent=1) + "\n", encoding="utf-8")
        os.replace(new, path)


def digits(value: float) -> str:
    """Three digits that count, without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.{2 if abs(value) >= 1 else 4}f}" if abs(value) < 10 else f"{value:.1f}"
