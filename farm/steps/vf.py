"""What --vf may say. A chunk gives the bits of the whole film only if every filter but selfblindvsr looks at one frame at
a time: then a frame depends on a few frames around it, and on no count.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import re
from dataclasses import dataclass

from .common import FarmError

FILTER = "selfblindvsr"
# Filters that look at each frame alone.
SINGLE_FRAME = ("colorspace", "copy", "crop", "eq", "format", "hflip", "lut", "lut3d", "lutrgb", "lutyuv", "null", "pad",
                "scale", "setdar", "setparams", "setsar", "transpose", "unsharp", "vflip", "zscale")
# The options of the filter in their order, for values without a name.
ORDER = ("model", "backend", "precision", "device", "border", "phase", "scene", "tile", "max_memory", "kernel_interval",
         "kernel", "kernel_file", "cycle", "refine", "adapt_interval", "start_number")
ADAPT_INTERVAL = 100  # default of the option


@dataclass(frozen=True)
class Chain:
    """A chain of filters, and what of selfblindvsr's options concerns the plan."""
    text: str
    options: dict[str, str]
    kernel_interval: int  # frames between estimates of the blur kernel, 0: there are none
    adapt_interval: int   # of the degradation, where the model is modulated

    def intervals(self, modulated: bool) -> list[int]:
        """Of the estimates that serve for more than one frame."""
        return [each for each in (self.kernel_interval, self.adapt_interval if modulated else 0) if each > 1]

    def estimates(self, modulated: bool) -> str:
        """The options by which an estimate serves for more than one frame, with their values, in words."""
        used = (("kernel_interval", self.kernel_interval), ("adapt_interval", self.adapt_interval if modulated else 0))
        return " and ".join(f"{name}={value}" for name, value in used if value > 1)

    @property
    def drops_borders(self) -> bool:
        return self.options.get("border") in ("none", "2")


def split(text: str, separator: str) -> list[str]:
    """Parts between separators that are neither quoted nor escaped, as FFmpeg's parsers see them."""
    parts, quoted, escaped = [""], False, False
    for letter in text:
        if escaped:
            escaped = False
        elif letter == "'":
            quoted = not quoted
        elif letter == "\\" and not quoted:
            escaped = True
        elif letter == separator and not quoted:
            parts.append("")
            continue
        parts[-1] += letter
    if quoted:
        raise FarmError(f"--vf {text}: a quote ' is not closed")
    return parts


def unquote_once(text: str) -> str:
    """Without a level of quotes and escapes."""
    return re.sub(r"'([^']*)'|\\(.)", lambda m: m[1] if m[1] is not None else m[2], text)


def unquote(text: str) -> str:
    """A value without its quotes and escapes: two levels of them, as in a filter graph."""
    return unquote_once(unquote_once(text))


def quote(text: str) -> str:
    """A value of an option as a filter graph has it: what unquote() undoes."""
    option = re.sub(r"([\\':])", r"\\\1", text)
    return re.sub(r"([\\'\[\],;])", r"\\\1", option)


def options_of(arguments: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for place, part in enumerate(split(unquote_once(arguments), ":") if arguments else []):
        name, equals, value = part.partition("=")
        if equals and re.fullmatch(r"\w+", name.strip()):
            options[name.strip()] = unquote_once(value)
        elif place < len(ORDER):
            options[ORDER[place]] = unquote_once(part)
    return options


def number(options: dict[str, str], name: str, default: int = 0) -> int:
    try:
        return int(options.get(name, default))
    except ValueError:
        raise FarmError(f"--vf: {name}={options[name]}: must be a whole number") from None


def check_single_frame(name: str, arguments: str) -> None:
    if name not in SINGLE_FRAME:
        raise FarmError(f"--vf: the filter {name or 'without a name'} cannot be used on chunks of a film, since it may look "
                        f"at more than one frame; besides {FILTER}: {', '.join(SINGLE_FRAME)}")
    if re.search(r"\bn\b", unquote(arguments)):
        raise FarmError(f"--vf: {name}={arguments}: n, the number of a frame, is not that of the film in a chunk")


def is_filter(part: str) -> bool:
    """Whether a filter of a chain is ours."""
    return part.strip().partition("=")[0].partition("@")[0] == FILTER


def with_option(text: str, option: str) -> str:
    """A chain of filters with one option of ours more."""
    parts = split(text, ",")
    place = next(index for index, part in enumerate(parts) if is_filter(part))
    own = parts[place].rstrip()
    parts[place] = f"{own}{':' if '=' in own else '='}{option}"
    return ",".join(parts)


def with_model(text: str, model: str) -> str:
    """A chain of filters whose model is this one. Errors: FarmError, as of parse()."""
    if "model" in parse(text).options:
        raise FarmError(f"--model {model}: --vf {text} names a model already")
    return with_option(text, f"model={quote(model)}")


def with_start_number(text: str, number: int) -> str:
    """A chain of filters whose own one counts its frames from this number on."""
    return with_option(text, f"start_number={number}")


def parse(text: str) -> Chain:
    """Checks a chain of filters. Errors: FarmError, what is wrong with it."""
    if any(len(split(text, special)) > 1 for special in ";["):
        raise FarmError(f"--vf {text}: must be one chain of filters, without labels")
    found = None
    for part in split(text, ","):
        name, _, arguments = part.strip().partition("=")
        if is_filter(part):
            if found is not None:
                raise FarmError(f"--vf {text}: {FILTER} must be there once, not twice")
            found = options_of(arguments)
        else:
            check_single_frame(name.partition("@")[0], arguments)
    if found is None:
        raise FarmError(f"--vf {text}: {FILTER} is not in it")
    if "kernel_file" in found:
        raise FarmError("--vf: kernel_file cannot be used, since every chunk would write the same file")
    if "start_number" in found:
        raise FarmError("--vf: start_number cannot be used, since every chunk has its own")
    interval = number(found, "kernel_interval")
    uses = interval or number(found, "refine") or found.get("cycle", "0") not in ("0", "false", "no")
    # A kernel that is given is no estimate; noise and codec are estimated all the same.
    return Chain(text, found, 0 if "kernel" in found or not uses else max(interval, 1),
                 number(found, "adapt_interval", ADAPT_INTERVAL))
