#!/usr/bin/env python3
"""Runs a recording build under the loads that release builds are compiled for, and keeps what it noted.

    make training

The program notes what it did once it has ended, in a file for each of those that it was compiled from.
docker/training.cmake says how the release build uses them.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

import payloads
import profiling
import proxies
from measure import Bench, Cores, own_load
from programs import ROOT, raise_descriptor_limit
from proxies import SPILLWAY, Running, Setting

SECONDS = 4.0


def bodies(bench: Bench, running: Running, seconds: float) -> None:
    """Requests of the sizes that the benchmark has beside the plain one."""
    for size in (16 * 1024, 128 * 1024):
        request = payloads.request(payloads.chat(size))
        own_load(bench, "closed", running.port, request, connections=16, seconds=seconds / 4)


def train(program: Path) -> None:
    raise_descriptor_limit()
    proxies.BUILDS[SPILLWAY] = program.resolve()
    for tls in (False, True):
        with tempfile.TemporaryDirectory(prefix="spillway-train-") as folder:
            bench = Bench(Path(folder), Cores.of_this_machine(), SECONDS, quick=False)
            with bench.upstream() as upstream:
                setting = Setting(upstream, bench.folder, cores=bench.cores.proxy, tls=tls)
                with proxies.start(SPILLWAY, setting) as running:
                    for load in profiling.LOADS:
                        load.run(bench, running, SECONDS, False)
                    bodies(bench, running, SECONDS)


def compiler_release(build: Path) -> str:
    """Of the build's compiler, which alone understands its notes."""
    compiler = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", (build / "CMakeCache.txt").read_text(), re.M)
    version = subprocess.run([compiler[1], "-dumpfullversion"], capture_output=True, text=True, check=True)
    return ".".join(version.stdout.strip().split(".")[:2])


def keep(build: Path, archive: Path) -> int:
    """Packs the build's notes by the path of what was compiled, whoever made them and when; says how many.

    A program that died took its notes along: then the archive stays as it is.
    """
    here = str(build.resolve()).replace("/", "#") + "#"
    notes = sorted((build / "training").glob("*.gcda"))
    if not notes:
        raise SystemExit(f"{build}: the program left no notes")
    begun = archive.with_suffix(".begun")
    with tarfile.open(begun, "w:xz", preset=9) as packed:
        for note in notes:
            content = note.read_bytes()
            entry = tarfile.TarInfo(note.name.removeprefix(here).replace("#", "/"))
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    begun.replace(archive)
    return len(notes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build", type=Path, help="the folder of the recording build")
    build = parser.parse_args().build
    train(build / "spillway")
    archive = ROOT / "docker" / "training" / f"gcc-{compiler_release(build)}.tar.xz"
    archive.parent.mkdir(exist_ok=True)
    print(f"{archive.relative_to(ROOT)}: notes of {keep(build, archive)} files.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
