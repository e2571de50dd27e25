"""What --encode may say, and the containers that a film can be joined in.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
import shlex
from pathlib import Path

from .common import FarmError

CONTAINERS = {".mkv": "matroska", ".webm": "webm", ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov"}
# Options that would change which frames come out, when, or where to.
REFUSED = {"i", "f", "map", "vf", "filter", "filter_complex", "lavfi", "ss", "t", "to", "r", "fps_mode", "vsync", "frames",
           "vframes", "pass", "passlogfile", "enc_time_base", "copyts", "itsoffset", "an", "vn", "sn", "dn", "y", "n",
           "shortest", "fs", "filter_script", "s", "aspect", "acodec", "scodec", "autoscale", "progress", "video_track_timescale"}


def container_of(output: Path) -> str:
    try:
        return CONTAINERS[output.suffix.lower()]
    except KeyError:
        raise FarmError(f"{output}: the name must end in {', '.join(CONTAINERS)}") from None


def parse(text: str) -> list[str]:
    """The options of an encoder as words. Errors: FarmError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise FarmError(f"--encode {text}: {str(error).lower()}") from None
    option = ""
    for word in words:
        if re.fullmatch(r"-[A-Za-z].*", word):
            option = word
            name, _, kind = word[1:].partition(":")
            if name in REFUSED or kind[:1] in ("a", "s", "d", "t") or (name in ("c", "codec", "b", "q") and not kind):
                hint = f"; for video say -{name}:v" if name in ("c", "codec", "b", "q") and not kind else ""
                raise FarmError(f"--encode: {word} cannot be used: it takes options of a video encoder alone{hint}")
        elif not option:
            raise FarmError(f"--encode: '{word}' belongs to no option")
        else:
            option = ""
    return words
