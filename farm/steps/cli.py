"""farm/upscale: a film, four times as wide and high, by many workers.

Every frame is the one that a single ffmpeg would give. What was done stays done if this is interrupted: the same command
goes on.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Sequence

from . import encode, model, plan, probe, report, vf
from .common import FarmError, Killed, die_with_parent, read_json, run, write_json, write_text
from .prepare import is_prepared, prepare
from .progress import Progress
from .work import Work

FARM = Path(__file__).resolve().parent.parent
TOP = FARM.parent
PROFILES = FARM / "profiles"
ATTEMPTS = 3
ROUNDS = 5  # of the workflow, where it is killed, or chunks turn out to be damaged when they are joined
LITTLE = 1 << 18  # bytes with which nothing can be done


def say(text: str) -> None:
    print(f"farm: {text}", file=sys.stderr, flush=True)


def positive(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 10 ** 9:
        raise argparse.ArgumentTypeError(f"'{text}': must be a whole number from 1")
    return int(text)


def numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}': must be numbers of streams with commas between them") from None


def with_values(words: Sequence[str]) -> list[str]:
    """--encode -an as --encode=-an: argparse would take a value that begins with - for an option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in ("--vf", "--encode", "--snakemake"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="upscale", description="Restores a film by many workers, with the bits of one. Run again, it goes on where it "
        "was interrupted. Sound, subtitles, chapters, attachments and metadata are copied.")
    parser.add_argument("source", type=Path, help="the film")
    parser.add_argument("output", type=Path, help=f"the restored film: {', '.join(encode.CONTAINERS)}")
    parser.add_argument("--vf", default=vf.FILTER, metavar="CHAIN", help="filters, as for ffmpeg (default: %(default)s)")
    parser.add_argument("--model", metavar="MODEL", help=f"name of an installed model, or a model file: model= of {vf.FILTER} "
                        "(default: default)")
    parser.add_argument("--encode", default="-c:v libx264 -crf 16", metavar="OPTIONS",
                        help="options of ffmpeg for the video encoder (default: %(default)s)")
    parser.add_argument("--chunk", type=positive, default=500, metavar="FRAMES", help="frames of a chunk (default: %(default)s)")
    parser.add_argument("--profile", default="local", metavar="NAME",
                        help="where the chunks are restored: local, slurm, or the folder of a profile of Snakemake's")
    parser.add_argument("--workers", type=positive, metavar="N",
                        help="chunks at a time (default: one for each GPU, or one; with a cluster 100)")
    parser.add_argument("--threads", type=positive, metavar="N",
                        help="processors of a worker (default: those of this machine divided by the workers; with a cluster 1)")
    parser.add_argument("--gpu", action=argparse.BooleanOptionalAction,
                        help="a chunk asks for a GPU (default: if this machine has one, or --vf says backend=cuda)")
    parser.add_argument("--index", choices=("frames", "packets"), default="frames",
                        help="frames: the film is decoded once beforehand, and every chunk compared with that; packets: faster, "
                        "timestamps alone are compared (default: %(default)s)")
    parser.add_argument("--leave-out", type=numbers, default=[], metavar="N,N", help="streams of the source not to copy")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write an HTML page with a timeline of the workers")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="where chunks are kept (default: beside the output)")
    parser.add_argument("--keep", action="store_true", help="keep the work folder at the end")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it is there")
    parser.add_argument("--ffmpeg", metavar="PROGRAM", help="an ffmpeg with the filter, ffprobe beside it (default: "
                        "build/bin/ffmpeg, or ffmpeg)")
    parser.add_argument("--snakemake", default="", metavar="OPTIONS", help="more options for Snakemake")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, write nothing")
    return parser.parse_args(with_values(arguments))


# ---- What was asked for ----

def find_ffmpeg(wanted: str | None) -> tuple[str, str, str]:
    """ffmpeg, ffprobe, and the version of the first."""
    built = TOP / "build/bin/ffmpeg"
    found = shutil.which(wanted) if wanted else str(built) if built.exists() else shutil.which("ffmpeg")
    if not found:
        raise FarmError(f"there is no {wanted or 'ffmpeg: make builds one, or say --ffmpeg=PROGRAM'}")
    ffmpeg = os.path.abspath(found)
    ffprobe = os.path.join(os.path.dirname(ffmpeg), "ffprobe")
    if not os.path.exists(ffprobe):
        raise FarmError(f"there is no ffprobe beside {ffmpeg}")
    listed = run([ffmpeg, "-hide_banner", "-filters"])
    if f" {vf.FILTER} " not in listed.stdout:
        raise FarmError(f"{ffmpeg} has no filter {vf.FILTER}; say --ffmpeg=PROGRAM")
    return ffmpeg, ffprobe, run([ffmpeg, "-version"]).stdout.split(" Copyright")[0].strip()


def find_snakemake() -> str:
    built = TOP / "build/farm-venv/bin/snakemake"
    found = str(built) if built.exists() else shutil.which("snakemake")
    if not found:
        raise FarmError("Snakemake is not installed: ./configure --install-deps installs it, and so does pip install -r "
                        f"{FARM / 'requirements.txt'}")
    return found


def find_profile(name: str) -> Path:
    known = sorted(path.name for path in PROFILES.iterdir())
    folder = PROFILES / name if name in known else Path(name)
    if not (folder / "config.yaml").exists():
        raise FarmError(f"--profile {name}: there is no such profile; known are {', '.join(known)}, or a folder with a config.yaml")
    return folder.resolve()


def gpus_here() -> list[str]:
    """The GPUs of this machine that may be used, by the names that CUDA_VISIBLE_DEVICES knows them by."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    return sorted(match[1] for path in Path("/dev").glob("nvidia*") if (match := re.fullmatch(r"nvidia(\d+)", path.name)))


def check_files(arguments: argparse.Namespace) -> tuple[Path, Path]:
    source, output = arguments.source.absolute(), arguments.output.absolute()
    if not source.is_file():
        raise FarmError(f"{arguments.source}: there is no such file")
    if not os.access(source, os.R_OK):
        raise FarmError(f"{arguments.source}: it cannot be read")
    if not output.parent.is_dir():
        raise FarmError(f"{arguments.output}: there is no folder {output.parent}")
    if not os.access(output.parent, os.W_OK):
        raise FarmError(f"{arguments.output}: {output.parent} cannot be written")
    if output.exists() and source.samefile(output):
        raise FarmError(f"{arguments.output}: the output is the source")
    if output.exists() and not arguments.overwrite:
        raise FarmError(f"{arguments.output}: it is there already; --overwrite replaces it")
    if arguments.report and not arguments.report.absolute().parent.is_dir():
        raise FarmError(f"--report {arguments.report}: there is no folder {arguments.report.absolute().parent}")
    return source, output


def work_folder(output: Path) -> Path:
    """Beside the output, under a name that no shell and no scheduler misunderstands."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", output.name)
    same = plain == output.name
    return output.with_name(f"{plain}{'' if same else '-' + hashlib.sha256(output.name.encode()).hexdigest()[:8]}.farm")


def make_job(arguments: argparse.Namespace, source: Path, output: Path, profile: Path) -> dict[str, Any]:
    chain = vf.parse(arguments.vf if arguments.model is None else vf.with_model(arguments.vf, arguments.model))
    local = profile == PROFILES / "local"
    devices = gpus_here() if local else []
    gpu = arguments.gpu if arguments.gpu is not None else bool(devices) or chain.options.get("backend") in ("cuda", "2")
    if chain.options.get("backend") in ("cpu", "1") and arguments.gpu is None:
        gpu = False
    if gpu and local and not devices:
        raise FarmError("--gpu: this machine has no NVIDIA GPU")
    if gpu and "device" in chain.options:
        raise FarmError("--vf: device cannot be used: every worker has a GPU of its own; CUDA_VISIBLE_DEVICES says which there are")
    workers = arguments.workers or (len(devices) if gpu and local else 1 if local else 100)
    if gpu and local and workers > len(devices):
        raise FarmError(f"--workers {workers}: this machine has {len(devices)} GPU{'s' if len(devices) > 1 else ''}")
    ffmpeg, ffprobe, version = find_ffmpeg(arguments.ffmpeg)
    shared = max(1, (os.cpu_count() or 1) // workers) if local and workers > 1 else 0
    return {
        "source": str(source), "output": str(output), "vf": chain.text, "encode": encode.parse(arguments.encode),
        "container": encode.container_of(output), "chunk": arguments.chunk, "index": arguments.index,
        "leave_out": arguments.leave_out,
        "ffmpeg": ffmpeg, "ffprobe": ffprobe, "version": version, "directory": os.getcwd(), "gpu": gpu, "workers": workers,
        "slots": (devices[:workers] if gpu else [None] * workers) if local else None,
        "cpus": 1 if local else arguments.threads or 1, "threads": arguments.threads or shared, "attempts": ATTEMPTS,
    }


# ---- Running ----

def snakemake_command(work: Work, profile: Path, more: Sequence[str], target: str) -> list[str]:
    job = work.job
    limits = ["--cores" if job["slots"] else "--jobs", str(job["workers"])]
    if job["gpu"] and job["slots"]:
        limits += ["--resources", f"gpu={job['workers']}"]
    return [find_snakemake(), "--snakefile", str(FARM / "Snakefile"), "--directory", str(work.folder), "--profile", str(profile),
            *limits, "--nolock", "--rerun-incomplete", "--rerun-triggers", "mtime", "--keep-going", "--scheduler", "greedy",
            *more, "--", target]


def end_child(child: subprocess.Popen[bytes], local: bool) -> None:
    """Of a cluster's jobs Snakemake gives up those it has submitted; on this machine everything ends with it."""
    child.send_signal(signal.SIGKILL if local else signal.SIGTERM)
    try:
        child.wait(60)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def run_workflow(work: Work, command: list[str], progress: Progress | None) -> bool:
    """Whether the workflow reached its target. Errors: Killed."""
    local = work.job["slots"] is not None
    with open(work.folder / "snakemake.log", "wb") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                 preexec_fn=die_with_parent(signal.SIGKILL if local else signal.SIGTERM))
        try:
            while child.poll() is None:
                if progress:
                    progress.tell()
                time.sleep(0.2)
        finally:
            if child.returncode is None:
                end_child(child, local)
    if child.returncode < 0:
        raise Killed(f"Snakemake was killed by signal {-child.returncode}")
    return child.returncode == 0


def prepare_all(work: Work, profile: Path, more: Sequence[str]) -> None:
    """Makes index and plan, here or on the cluster, unless those of the run before still hold."""
    if is_prepared(work):
        return
    if work.job["slots"] is not None:
        for attempt in range(ATTEMPTS):
            try:
                prepare(work)
                break
            except Killed:
                if attempt + 1 == ATTEMPTS:
                    raise
    else:
        (work.folder / "prepared.json").unlink(missing_ok=True)
        if not run_workflow(work, snakemake_command(work, profile, more, "prepared.json"), None):
            raise FarmError(message_of(work, "prepare"))


def workflow_error(work: Work) -> str:
    """Of Snakemake itself: the last line of its log that is about an error."""
    log = work.folder / "snakemake.log"
    said = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if "rror" in line]
    return f"the workflow failed{f': {said[-1]}' if said else ''}; its log is {log}"


def message_of(work: Work, step: str) -> str:
    files = work.failure_files(step)
    return (read_json(files[-1]) or {}).get("message") or workflow_error(work) if files else workflow_error(work)


def keep_what_is_done(work: Work) -> None:
    """Discards what does not belong to the plan or is damaged, and says so."""
    work.chunks.mkdir(exist_ok=True)
    for path in (work.joined, work.folder / "verified.json"):
        path.unlink(missing_ok=True)
    names, done, lost, stale = set(), 0, [], 0
    for chunk in work.list:
        record = read_json(work.record(chunk))
        if work.is_done(chunk, whole=True):
            done += 1
            names |= {work.record(chunk).name, work.film(chunk).name}
        elif record is not None and record.get("key") == work.key(chunk):
            lost.append(chunk.number)
        elif record is not None:
            stale += 1
    for path in work.chunks.iterdir():
        if path.name not in names:
            path.unlink(missing_ok=True)
    shutil.rmtree(work.folder / "failures", ignore_errors=True)
    # Records appear whole. Snakemake, were it killed, would take the last of them for incomplete.
    shutil.rmtree(work.folder / ".snakemake/incomplete", ignore_errors=True)
    if lost:
        say(f"chunks {', '.join(map(str, lost[:10]))}{' and more' if len(lost) > 10 else ''} are damaged: they are made again")
    if stale:
        say("the film is wanted in another way than last time, or its source has changed: its chunks are made anew")
    if done:
        say(f"{done} of {len(work.list)} chunks are done already")


def tell_failures(work: Work) -> FarmError:
    """What ended the workflow, as an error; of chunks every one is named."""
    failed = [chunk for chunk in work.list if work.failure_files(chunk.name) and not work.record(chunk).exists()]
    for chunk in failed:
        attempts = [read_json(path) or {} for path in work.failure_files(chunk.name)]
        say(f"chunk {chunk.number}, frames {chunk.first} to {chunk.last - 1}, failed {len(attempts)} times: "
            f"{attempts[-1].get('message', 'no message')}")
    if (free := shutil.disk_usage(work.folder).free) < LITTLE:
        return FarmError(f"no space left on device: {free >> 10} KiB are free in {work.folder}; make room, and the same command "
                         "goes on")
    if failed:
        return FarmError(f"{len(failed)} of {len(work.list)} chunks failed; what is done is kept in {work.folder}, and the same "
                         "command goes on")
    if work.failure_files("join"):
        return FarmError(message_of(work, "join"))
    return FarmError(workflow_error(work))


def restore_all(work: Work, profile: Path, more: Sequence[str]) -> None:
    """Runs the workflow to its end, again where chunks turn out to be damaged. Errors: FarmError."""
    progress = Progress(work)
    done = False
    for _ in range(ROUNDS):
        shutil.rmtree(work.folder / "failures" / "damaged", ignore_errors=True)
        try:
            done = run_workflow(work, snakemake_command(work, profile, more, "verified.json"), progress)
        except Killed as error:
            say(f"{error}: it is started again")
            keep_what_is_done(work)
            continue
        if done or not work.failure_files("damaged"):
            break
        say("chunks are damaged: they are made again")
        shutil.rmtree(work.folder / "failures")
    progress.tell(last=True)
    if not done:
        raise tell_failures(work)


def check_source_again(work: Work) -> None:
    known = read_json(work.folder / "source.json")
    if known and known["identity"] != probe.identity(Path(work.job["source"])):
        say("the source has changed since the last run: everything is made anew")


def dry_run(job: dict[str, Any], profile: Path, folder: Path) -> None:
    source, chain = Path(job["source"]), vf.parse(job["vf"])
    facts = probe.probe(job["ffprobe"], source)
    frames = facts["packets"] or probe.count_packets(job["ffprobe"], source, facts)
    size = plan.chunk_size(job["chunk"], chain.intervals(model.is_modulated(chain, job)))
    print(f"source    {source}: {facts['size'][0]}x{facts['size'][1]}, about {frames} frames")
    for stream in facts["streams"]:
        what = ("restored" if stream["index"] == facts["video"] else
                "left out" if stream["index"] in job["leave_out"] else "copied")
        print(f"          {probe.describe(stream)}: {what}")
    print(f"chunks    about {-(-frames // size)} of {size} frames")
    print(f"filters   {job['vf']}")
    print(f"encoder   {shlex.join(job['encode'])}")
    print(f"workers   {job['workers']}, {'a GPU each' if job['gpu'] else 'without GPU'}; profile {profile.name}")
    print(f"work in   {folder}")
    print(f"output    {job['output']}")


def finish(work: Work, output: Path, overwrite: bool) -> None:
    """Gives the film its name."""
    verified = read_json(work.folder / "verified.json")
    if not verified or verified["key"] != work.plan["key"]:
        raise FarmError(workflow_error(work))
    for warning in verified["warnings"]:
        say(f"warning: {warning}")
    if output.exists() and not overwrite:
        raise FarmError(f"{output}: it has appeared meanwhile; the film is {work.joined}")
    os.replace(work.joined, output)
    say(f"{output}: {verified['frames']} frames")


def upscale(arguments: argparse.Namespace) -> None:
    source, output = check_files(arguments)
    profile = find_profile(arguments.profile)
    job = make_job(arguments, source, output, profile)
    folder = arguments.work.absolute() if arguments.work else work_folder(output)
    if arguments.dry_run:
        dry_run(job, profile, folder)
        return
    find_snakemake()
    probe.probe(job["ffprobe"], source)
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FarmError(f"{folder} is in use: another upscale is at work on this film") from None
        write_json(folder / "job.json", job)
        work, more = Work(folder), shlex.split(arguments.snakemake)
        try:
            check_source_again(work)
            prepare_all(work, profile, more)
            tell_plan(work)
            keep_what_is_done(work)
            restore_all(work, profile, more)
            finish(work, output, arguments.overwrite)
        finally:
            if not work.index_file.exists():
                shutil.rmtree(folder)
            if arguments.report and (folder / "plan.json").exists():
                write_text(arguments.report, report.page(work))
    if not arguments.keep:
        shutil.rmtree(folder)


def tell_plan(work: Work) -> None:
    made, facts = work.plan, work.plan["source"]
    size = plan.chunk_size(work.job["chunk"], made["intervals"])
    rounded = f" of {size}, because of {made['estimates']}" if size != work.job["chunk"] else ""
    say(f"{made['frames']} frames in {len(made['chunks'])} chunks{rounded}")
    if made["complaints"]:
        say(f"warning: the source is damaged: {made['complaints']}")
    for stream in facts["streams"]:
        if stream["index"] in made["left_out"]:
            say(f"{probe.describe(stream)} is left out")


def main(arguments: Sequence[str] | None = None) -> int:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupt)
    try:
        upscale(parse(sys.argv[1:] if arguments is None else arguments))
    except FarmError as error:
        say(f"error: {error}")
        return 1
    except OSError as error:
        say(f"error: {error.filename or ''}: {error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the same command goes on where this one was")
        return 130
    return 0
