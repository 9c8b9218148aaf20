#!/usr/bin/env python3
"""Runs the fuzz targets, each for a time, and says what became of them.

    tests/fuzz/run.py [--seconds N] [--jobs N] [--keep] [TARGET ...]

after tests/fuzz/build.sh, which leaves them in build/fuzz-targets.

Every target starts from its kept corpus, tests/fuzz/corpus/TARGET. What libFuzzer finds worth remembering of a long
run goes to build/fuzz-runs/corpus/TARGET, and with --keep is merged, minimised, into the kept corpus. An input that
breaks a target is left in build/fuzz-runs/findings. Needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
KEPT = ROOT / "tests" / "fuzz" / "corpus"
PROGRAMS = ROOT / "build" / "fuzz-targets"
WORK = ROOT / "build" / "fuzz-runs"
# Inputs above this are not kept: the corpus is read by people, too.
KEPT_BYTES = 2048
# A run may take this much longer than it was asked to: the kept corpus comes first.
PATIENCE_SECONDS = 120
LIBFUZZER = ["-timeout=10", "-rss_limit_mb=2048", "-malloc_limit_mb=1024", "-print_final_stats=1"]
# What an input may be long: where every value is read in many ways, short ones find more in the same time.
INPUT_BYTES = {"retry_hint": 512, "configuration": 2048}
USUAL_INPUT_BYTES = 4096
SANITIZER = "abort_on_error=1:allow_addr2line=1"
ENVIRONMENT = {
    **os.environ,
    "ASAN_OPTIONS": SANITIZER + ":detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": SANITIZER + ":print_stacktrace=1",
}


class Outcome(NamedTuple):
    target: str
    broken: bool
    runs: int
    seconds: float
    log: Path


def is_libfuzzer(program: Path) -> bool:
    shown = subprocess.run([program, "-help=1"], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    return "libFuzzer" in shown.stderr


def run(program: Path, seconds: int, seed: int) -> Outcome:
    target = program.name.removeprefix("fuzz_")
    found = WORK / "corpus" / target
    findings = WORK / "findings"
    for folder in (found, findings, WORK / "logs", KEPT / target):
        folder.mkdir(parents=True, exist_ok=True)
    command = [program, f"-max_total_time={seconds}", f"-seed={seed}", f"-artifact_prefix={findings}/{target}-"]
    if is_libfuzzer(program):
        command += [*LIBFUZZER, f"-max_len={INPUT_BYTES.get(target, USUAL_INPUT_BYTES)}", found]
        dictionary = ROOT / "tests" / "fuzz" / "dictionaries" / f"{target}.dict"
        command += [f"-dict={dictionary}"] if dictionary.exists() else []
    command.append(KEPT / target)

    log = WORK / "logs" / f"{target}.log"
    begun = time.monotonic()
    with log.open("wb") as output:
        try:
            process = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, env=ENVIRONMENT, cwd=WORK,
                timeout=seconds + PATIENCE_SECONDS,
            )  # fmt: skip
            broken = process.returncode != 0
        except subprocess.TimeoutExpired:
            broken = True
    counted = re.findall(r"stat::number_of_executed_units:\s*(\d+)", log.read_text(errors="replace"))
    return Outcome(target, broken, int(counted[-1]) if counted else 0, time.monotonic() - begun, log)


def keep(program: Path) -> None:
    """Merges what was found into the kept corpus: of the inputs that reach new code, the smallest."""
    target = program.name.removeprefix("fuzz_")
    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder)
        sources = [KEPT / target, WORK / "corpus" / target]
        command = [program, "-merge=1", f"-max_len={KEPT_BYTES}", merged, *sources]
        subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT, cwd=WORK)
        chosen = {path.name: path.read_bytes() for path in merged.iterdir()}
    known = {path.read_bytes(): path for path in (KEPT / target).iterdir()}
    for name, content in chosen.items():
        if content not in known:
            (KEPT / target / name[:16]).write_bytes(content)


def report(outcome: Outcome) -> None:
    verdict = "BROKEN" if outcome.broken else "ok"
    print(f"{outcome.target:20} {verdict:6} {outcome.runs:12,} runs {outcome.seconds:6.0f} s", flush=True)
    if outcome.broken:
        lines = outcome.log.read_text(errors="replace").splitlines()
        interesting = [line for line in lines if re.search(r"broken:|ERROR|runtime error|SUMMARY|\.cpp:", line)]
        print("\n".join("  " + line for line in interesting[:12]))
        print(f"  see {outcome.log.relative_to(ROOT)} and build/fuzz-runs/findings", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=600, help="for each target (600)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (1)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="merge what was found into the kept corpus")
    options = parser.parse_args()

    programs = sorted(PROGRAMS.resolve().glob("fuzz_*"))
    if options.targets:
        programs = [program for program in programs if program.name.removeprefix("fuzz_") in options.targets]
    if not programs:
        print("no fuzz target is built: run tests/fuzz/build.sh")
        return 2
    outcomes = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(lambda program: run(program, options.seconds, options.seed), programs):
            report(outcome)
            outcomes.append(outcome)
    if options.keep:
        for program in programs:
            keep(program)
    broken = sum(outcome.broken for outcome in outcomes)
    print(f"{len(outcomes) - broken} passed, {broken} failed")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
