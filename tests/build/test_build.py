"""The build's own behaviour: configure, the archive's addresses, the library as a program of one's own finds it.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Callable

import pytest

from conftest import ALL_SERIES, SERIES, SONAME, TOP, VERSION

BUILD = TOP / "build"
# Nothing of the make that runs the tests, and nothing that would help a program to find its libraries.
CLEAN = {name: value for name, value in os.environ.items()
         if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "LD_LIBRARY_PATH", "PKG_CONFIG_PATH")}


def run(*command: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in command], cwd=options.pop("cwd", TOP), text=True, capture_output=True,
                          env=options.pop("env", CLEAN), check=False, **options)


def succeed(*command: object, **options) -> str:
    done = run(*command, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("option, words", [
    ("--bogus", "unknown option '--bogus'"),
    ("bogus", "unknown option 'bogus'"),
    ("--ffmpeg=6.1", "must be 5.1, 7.1, 8.1, 9.0"),
    ("--ffmpeg-src=/nonexistent", "no FFmpeg source tree"),
    ("--prefix=relative", "must be an absolute path"),
    ("--prefix=/with space", "must not contain a space"),
    ("--cc=$(reboot)", "cannot be used"),
])
def test_configure_refuses(option: str, words: str) -> None:
    done = run("./configure", option)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and option in done.stderr and words in done.stderr
    assert done.stdout == ""


def test_configure_lists_all_that_is_missing(tmp_path: Path) -> None:
    for name in ("sh", "dirname", "mktemp", "uname", "rm", "cat"):
        (tmp_path / name).symlink_to(shutil.which(name))
    before = (TOP / "config.mak").stat().st_mtime_ns
    done = run("./configure", "--cc=no-such-compiler", env={"PATH": str(tmp_path)})
    assert done.returncode == 1
    for package in ("build-essential", "pkg-config", "zlib1g-dev", "libx264-dev", "libgnutls28-dev", "libjansson-dev",
                    "xz-utils"):
        assert f"({package})" in done.stderr
        line = re.search(r"^  sudo apt-get install --no-install-recommends (.*)$", done.stderr, re.M)
        assert line[1].split().count(package) == 1
    assert (TOP / "config.mak").stat().st_mtime_ns == before


@pytest.mark.parametrize("user", ["0", "1000"])
def test_install_deps_runs_apt_get(tmp_path: Path, user: str) -> None:
    for name in ("sh", "dirname", "mktemp", "uname", "rm", "cat", "env"):
        (tmp_path / name).symlink_to(shutil.which(name))
    log = tmp_path / "log"
    for name, lines in (("apt-get", f'echo "$DEBIAN_FRONTEND $*" >> {log}'), ("id", f"echo {user}"),
                        ("sudo", f'echo sudo >> {log}; exec "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{lines}\n")
        (tmp_path / name).chmod(0o755)
    done = run("./configure", "--install-deps", "--ffmpeg=5.1", "--cc=no-such-compiler", "--python=no-such-python",
               env={"PATH": str(tmp_path)})
    # This apt-get installs nothing, so all is still missing.
    assert done.returncode == 1 and "build-essential" in done.stderr
    calls = log.read_text().splitlines()
    if user != "0":
        assert calls[::2] == ["sudo", "sudo"]
        calls = calls[1::2]
    assert len(calls) == 2 and "update" in calls[0]
    assert calls[1].startswith("noninteractive ") and "install -y --no-install-recommends" in calls[1]
    # What FFmpeg can do without is installed too.
    assert {"build-essential", "libcmocka-dev", "python3-pytest", "valgrind", "libffmpeg-nvenc-dev",
            "clang", "libfreetype-dev", "libfontconfig-dev"} <= set(calls[1].split())


def test_make_help_names_every_target() -> None:
    """But for the parts of those that are named."""
    makefiles = [TOP / "Makefile", *TOP.glob("build-aux/**/*.mak"), *TOP.glob("tests/**/*.mak")]
    targets = {word for path in makefiles for line in re.findall(r"^\.PHONY:(.*)", path.read_text(), re.MULTILINE)
               for word in line.split()}
    parts = (r"all|help|ptx|FORCE|emu-\w+|fake-cuda.*|\w+-programs|check-cross|check-wine|check-lean|check-cuda-abi|"
             r".*-asan|.*-tsan|.*-sm\d+")
    text = succeed("make", "help")
    missing = [target for target in sorted(targets) if not re.search(rf"\b{target}\b", text)
               and not re.fullmatch(parts, target)]
    assert len(targets) > 20 and not missing
    assert all(f"check-{part}" in text for part in ("fuzz", "threads", "format", "python"))


def test_configure_help_names_every_option() -> None:
    text = succeed("./configure", "--help")
    for option in re.findall(r"^ {8}(--[a-z-]+)[=)]", (TOP / "configure").read_text(), re.M):
        assert option in text


APT_LIST = """\
# deb http://commented.invalid/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://one.invalid/debian bookworm main contrib # a remark
deb http://one.invalid/debian bookworm-updates main
deb http://one.invalid/debian-security bookworm-security main
deb http://other.invalid/linux/debian bookworm stable
deb http://newer.invalid/debian newer main
"""
APT_SOURCES = """\
Types: deb deb-src
URIs: mirror+file:///etc/apt/mirrors/debian.list
Suites: trixie trixie-updates
# a remark
Components: main non-free
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 xyz
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://disabled.invalid/debian
Suites: sid
Components: main
"""


def test_archive_entries_of_both_formats(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(APT_LIST)
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(APT_SOURCES)
    stanzas = succeed("build-aux/apt-source.sh", "entries", tmp_path).strip().split("\n\n")
    assert [re.search("^URIs: (.*)$", stanza, re.M)[1] for stanza in stanzas] == [
        "http://one.invalid/debian", "http://one.invalid/debian-security", "http://newer.invalid/debian",
        "mirror+file:///etc/apt/mirrors/debian.list"]
    assert all("Types: deb-src\n" in stanza for stanza in stanzas)
    assert "Signed-By: /usr/share/keyrings/x.gpg" in stanzas[0] and "Signed-By" not in stanzas[1]
    assert " xyz\n -----END PGP PUBLIC KEY BLOCK-----" in stanzas[3]
    assert "Suites: bookworm trixie forky sid\n" in stanzas[0] and "bookworm-security" in stanzas[1]
    assert "Suites: newer bookworm trixie forky sid\n" in stanzas[2]


@pytest.mark.parametrize("series", ALL_SERIES)
def test_patch_adds_what_the_filter_needs(series: str) -> None:
    lines = (TOP / f"patches/ffmpeg-{series}.patch").read_text().splitlines()
    added = [line for line in lines if re.match(r"\+[^+]", line)]
    assert len(added) == 7 and not [line for line in lines if re.match("-[^-]", line)]
    kind = "AVFilter" if float(series) < 8 else "FFFilter"
    assert f"+extern const {kind} ff_vf_selfblindvsr;" in added
    assert '+selfblindvsr_filter_suggest="ffnvcodec"' in added


@pytest.mark.parametrize("series", SERIES)
def test_patch_of_the_program(series: str) -> None:
    """It is of use without this project, and touches the ffmpeg program alone."""
    text = (TOP / f"patches/fftools-{series}.patch").read_text()
    touched = set(re.findall(r"^\+\+\+ b/(.*)$", text, re.M))
    assert touched and all(name.startswith("fftools/ffmpeg") for name in touched)
    assert "selfblindvsr" not in text and "drain_filtergraph" in text


@pytest.mark.parametrize("program, warned", [("int main(void);", True), ("int drain_filtergraph(void);", False)])
def test_sources_whose_program_is_not_patched(tmp_path: Path, program: str, warned: bool) -> None:
    for folder in ("build-aux", "patches"):
        shutil.copytree(TOP / folder, tmp_path / folder)
    for name, text in (("allfilters.c", "extern const AVFilter ff_vf_selfblindvsr;"), ("ffmpeg.c", program)):
        file = tmp_path / "sources" / ("libavfilter" if name == "allfilters.c" else "fftools") / name
        file.parent.mkdir(parents=True)
        file.write_text(text + "\n")
    done = run(tmp_path / "build-aux/ffmpeg-source.sh", f"--src={tmp_path / 'sources'}")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("loses two frames") == warned
    assert (tmp_path / "build/src/ffmpeg-custom/fftools/ffmpeg.c").read_text() == program + "\n"
    assert (tmp_path / "build/src/ffmpeg-custom/.selfblindvsr.patch").read_text() == ""


@pytest.fixture(name="headers")
def fixture_headers(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs a copy of codec-headers.sh for an FFmpeg, on a system with or without headers of its own and without apt."""
    shutil.copytree(TOP / "build-aux", tmp_path / "build-aux")
    (tmp_path / "bin").mkdir()
    for name in ("sh", "dirname", "mkdir", "flock", "tail", "uname", "tar", "xz", "rm", "make", "touch", "sha256sum"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    (tmp_path / "cache").mkdir()

    def call(series: str, own: bool) -> subprocess.CompletedProcess:
        pkg_config = tmp_path / "bin/pkg-config"
        pkg_config.write_text(f"#!/bin/sh\nexit {int(not own)}\n")
        pkg_config.chmod(0o755)
        return run(tmp_path / "build-aux/codec-headers.sh", series,
                   env={"PATH": str(tmp_path / "bin"), "SBV_CACHE": str(tmp_path / "cache")})

    return call


def test_codec_headers_of_the_system(headers: Callable[..., subprocess.CompletedProcess]) -> None:
    done = headers("9.0", own=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("series, version", [("5.1", "11.1"), ("9.0", "12.1")])
def test_codec_headers_of_the_archive(headers: Callable[..., subprocess.CompletedProcess], tmp_path: Path, series: str,
                                      version: str) -> None:
    source = tmp_path / "nv-codec-headers"
    source.mkdir()
    (source / "Makefile").write_text("install:\n\tmkdir -p $(PREFIX)/lib/pkgconfig\n"
                                     "\ttouch $(PREFIX)/lib/pkgconfig/ffnvcodec.pc\n")
    tarball = tmp_path / f"cache/nv-codec-headers_{version}.5.orig.tar.xz"
    succeed("tar", "-C", tmp_path, "-cJf", tarball, "nv-codec-headers")
    tarball.with_name(f"{tarball.name}.sha256").write_text(succeed("sha256sum", tarball.name, cwd=tarball.parent))
    for _ in range(2):
        done = headers(series, own=False)
        assert done.returncode == 0 and done.stderr == ""
        assert (Path(done.stdout.strip()) / "ffnvcodec.pc").exists()


def test_no_codec_headers(headers: Callable[..., subprocess.CompletedProcess]) -> None:
    done = headers("9.0", own=False)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "no nv-codec-headers" in done.stderr and "no apt-get" in done.stderr


@pytest.mark.parametrize("series", ALL_SERIES)
def test_filter_is_in_the_source_tree(series: str) -> None:
    tree = BUILD / f"src/ffmpeg-{series}"
    if not tree.exists():
        pytest.skip(f"there are no sources of FFmpeg {series}")
    listed = (tree / "libavfilter/allfilters.c").read_text()
    kinds = {re.search(rf"^extern const (\w+) ff_vf_{name};", listed, re.M)[1] for name in ("scale", "selfblindvsr")}
    assert len(kinds) == 1
    assert (tree / "libavfilter/vf_selfblindvsr.c").resolve() == TOP / "vf_selfblindvsr.c"


def test_library_exports_the_public_functions_alone() -> None:
    listing = succeed("nm", "-D", "--defined-only", BUILD / "lib/libselfblindvsr.so")
    header = (TOP / "model/include/selfblindvsr.h").read_text()
    public = re.findall(r"^SBV_API .*?\b(sbv_\w+)\(", header, re.M)
    assert {line.split()[-1] for line in listing.splitlines()} == set(public)


MODELS = {path.name for path in (TOP / "model").glob("*.bin")}


def models_in(prefix: Path) -> set[str]:
    return {path.name for path in (prefix / "share/selfblindvsr").iterdir()}


@pytest.fixture(name="installed", scope="module")
def fixture_installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stage = tmp_path_factory.mktemp("stage")
    succeed("make", "install", f"DESTDIR={stage}", "PREFIX=/opt/sbv")
    return stage / "opt/sbv"


def test_install_puts_everything_under_the_prefix(installed: Path) -> None:
    files = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert {"include/selfblindvsr.h", "lib/libselfblindvsr.a", "lib/libselfblindvsr.so", f"lib/{SONAME}",
            "lib/pkgconfig/selfblindvsr.pc"} <= files
    assert models_in(installed) == MODELS
    assert (installed / "lib/pkgconfig/selfblindvsr.pc").read_text().startswith("prefix=/opt/sbv\n")


def test_uninstall_takes_away_what_was_installed(tmp_path: Path) -> None:
    """Every model that is shipped, and none that a user has put beside them."""
    succeed("make", "install", f"PREFIX={tmp_path}")
    assert models_in(tmp_path) == MODELS
    (tmp_path / "share/selfblindvsr/mine.bin").touch()
    succeed("make", "uninstall", f"PREFIX={tmp_path}")
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"mine.bin"}


def test_a_build_has_the_models_of_the_source() -> None:
    assert models_in(BUILD) >= MODELS


PROGRAM = r"""
#include <selfblindvsr.h>
#include <stdio.h>
static void log_line(void *opaque, enum sbv_log_level level, const char *message)
{
    (void)opaque, (void)level;
    puts(message);
}
int main(void)
{
    sbv_config config;
    sbv_session *session;
    sbv_config_default(&config);
    config.log = log_line;
    printf("%s %d\n", sbv_version(), sbv_open(&session, &config));
    sbv_close(&session);
    return 0;
}
"""


@pytest.mark.parametrize("how", ["shared", "static"])
def test_program_of_ones_own(installed: Path, tmp_path: Path, how: str) -> None:
    (tmp_path / "program.c").write_text(PROGRAM)
    env = {**CLEAN, "PKG_CONFIG_PATH": str(installed / "lib/pkgconfig")}
    pkg_config = ["pkg-config", f"--define-variable=prefix={installed}", "--cflags", "--libs", "selfblindvsr"]
    if how == "static":
        flags = succeed(*pkg_config, "--static", env=env).replace("-lselfblindvsr", "-l:libselfblindvsr.a").split()
    else:
        flags = succeed(*pkg_config, env=env).split() + [f"-Wl,-rpath,{installed}/lib"]
    # A statically linked program looks for the model beside itself.
    (installed / "bin").mkdir(exist_ok=True)
    program = installed / "bin" / how
    succeed("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", tmp_path / "program.c", *flags, "-o", program)
    *messages, last = succeed(program).splitlines()
    version = ".".join(VERSION)
    if (TOP / "model/default.bin").exists():
        assert last == f"{version} 0"
    else:
        assert last == f"{version} -5" and "share/selfblindvsr/default.bin" in messages[-1]


def test_nothing_is_built_twice() -> None:
    products = [BUILD / f"lib/{SONAME}", BUILD / "lib/libselfblindvsr.a", BUILD / "include/selfblindvsr.h"]
    succeed("make", "library")
    before = [path.stat().st_mtime_ns for path in products]
    assert succeed("make", "library") == ""
    assert [path.stat().st_mtime_ns for path in products] == before


PROGRAMS = [BUILD / f"lean-{series}/ffmpeg" for series in SERIES] + [BUILD / "bin/ffmpeg"]


@pytest.mark.parametrize("ffmpeg", PROGRAMS, ids=lambda path: path.parent.name)
def test_ffmpeg_finds_library_and_filter(ffmpeg: Path) -> None:
    if not ffmpeg.exists():
        pytest.skip(f"{ffmpeg.relative_to(TOP)} is not built")
    assert "Filter selfblindvsr" in succeed(ffmpeg, "-hide_banner", "-h", "filter=selfblindvsr", cwd="/")
    assert f"{BUILD}/lib/{SONAME}" in os.path.normpath(re.search(
        rf"{re.escape(SONAME)} => (\S+)", succeed("ldd", ffmpeg))[1])


def test_moved_tree_works(tmp_path: Path) -> None:
    ffmpeg = next((path for path in PROGRAMS if path.exists()), None)
    if ffmpeg is None or not (TOP / "model/default.bin").exists():
        pytest.skip("needs an ffmpeg and model/default.bin")
    for folder in ("lib", "share"):
        shutil.copytree(BUILD / folder, tmp_path / folder, symlinks=True)
    (tmp_path / "bin").mkdir()
    shutil.copy(ffmpeg, tmp_path / "bin")
    command = [tmp_path / "bin/ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=16x16:d=0.2",
               "-vf", "selfblindvsr", "-f", "framecrc", "-"]
    assert "64x64" in succeed(*command, cwd="/")
    (tmp_path / "share/selfblindvsr/default.bin").unlink()
    done = run(*command, cwd="/")
    assert done.returncode != 0 and f"{tmp_path}/" in done.stderr


def test_useful_ffmpeg_is_useful() -> None:
    ffmpeg = BUILD / "bin/ffmpeg"
    if not ffmpeg.exists():
        pytest.skip("build/bin/ffmpeg is not built")
    for listing, names in (("decoders", ["h264", "hevc", "av1", "vp9", "h264_cuvid"]),
                           ("encoders", ["libx264", "h264_nvenc", "png", "aac"]),
                           ("protocols", ["https", "file", "rtmps"]), ("filters", ["scale", "selfblindvsr", "xfade"])):
        words = succeed(ffmpeg, "-hide_banner", f"-{listing}").split()
        assert [name for name in names if name not in words] == []
    fonts = subprocess.run(["pkg-config", "--exists", "freetype2", "fontconfig"], check=False).returncode == 0
    assert not fonts or "drawtext" in succeed(ffmpeg, "-hide_banner", "-filters").split()
