#!/usr/bin/env python3
"""Shows where Spillway's time goes: docs/profile.md, and a flame graph each of plain requests and of streams.

    make profile

Wants build/profile/spillway, a build with frame pointers and function names, and bench_programs of the release build.
Takes perf where it runs; as root, or where the machine lets everybody, the kernel's functions are seen as well.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import flame
import machine
import payloads
import proxies
import stacks
from measure import Bench, Cores, closed_load, own_load
from programs import ROOT, Invalid, raise_descriptor_limit
from proxies import SPILLWAY, Running, Setting
from stacks import GROUPS, Stack

WARM_UP_SECONDS = 2.0
LOAD_BEYOND_SECONDS = 2.0  # the load goes on for longer than perf looks
HOTTEST = 8  # functions of a group that are named
SELDOM = 0.002  # of all samples; functions below it are not named
STREAMS = 150
STREAM_SECONDS = 3
INTERVAL_US, SLOW_INTERVAL_US = 5000, 200_000  # the slow one for a program under callgrind


@dataclass
class Load:
    """What the proxy does while it is looked at."""

    title: str
    picture: str
    words: str
    # Loads it for so many seconds; the last argument says that it is slow.
    run: Callable[[Bench, Running, float, bool], object]


def plain(bench: Bench, running: Running, seconds: float, slow: bool) -> object:
    body = payloads.chat(payloads.PLAIN_BYTES)
    if not slow:
        return closed_load(bench, running.port, body, 64, seconds)
    options = {"connections": 64, "seconds": seconds}
    return own_load(bench, "closed", running.port, payloads.request(body), **options)


def streams(bench: Bench, running: Running, seconds: float, slow: bool) -> object:
    interval_us = SLOW_INTERVAL_US if slow else INTERVAL_US
    stream = payloads.stream(interval_us, round(STREAM_SECONDS * 1e6 / interval_us))
    begun_until = max(1.0, seconds - STREAM_SECONDS)
    options = {"connections": STREAMS, "seconds": begun_until, "open_rate": 2 * STREAMS}
    return own_load(bench, "streams", running.port, payloads.request(stream), **options)


LOADS = (
    Load(
        "Plain requests",
        "profile.svg",
        f"64 connections, requests of {payloads.PLAIN_BYTES} bytes, answers of 500.",
        plain,
    ),
    Load(
        "Streams",
        "profile-streams.svg",
        f"{STREAMS} streams of {STREAM_SECONDS} seconds, one after the other, an event each {INTERVAL_US // 1000} ms in each.",
        streams,
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", type=Path, default=ROOT / "build" / "profile" / "spillway")
    parser.add_argument("--docs", type=Path, default=ROOT / "build", help="where results go")
    parser.add_argument("--seconds", type=float, default=15.0, help="under perf")
    parser.add_argument("--callgrind", action="store_true", help="count instructions instead")
    options = parser.parse_args()
    raise_descriptor_limit()
    proxies.BUILDS[SPILLWAY] = options.program
    parts = [intro()]
    for load in LOADS:
        with tempfile.TemporaryDirectory(prefix="spillway-profile-") as folder:
            bench = Bench(Path(folder), Cores.of_this_machine(), options.seconds, quick=False)
            found = None if options.callgrind else sampled(bench, load)
            unit = "samples" if found else "instructions"
            found = found or counted(bench, load)
        what = "processor time" if unit == "samples" else "instructions in user space"
        picture = flame.draw(found, f"Spillway, {load.title.lower()}: {what}")
        (options.docs / load.picture).write_text(picture)
        parts.append(section(load, found, unit))
        print(f"wrote {options.docs / load.picture}: {sum(found.values()):,} {unit}")
    (options.docs / "profile.md").write_text("\n\n".join(parts) + "\n")
    return 0


def sampled(bench: Bench, load: Load) -> Optional[Counter[Stack]]:
    """By perf; None where it does not run."""
    data = bench.folder / "perf.data"
    with bench.upstream() as upstream:
        setting = Setting(upstream, bench.folder, cores=bench.cores.proxy, streaming=True)
        with proxies.start(SPILLWAY, setting) as running:
            load.run(bench, running, WARM_UP_SECONDS, False)
            command = stacks.perf_command(running.pid, bench.seconds, data)
            try:
                perf = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            except FileNotFoundError:
                return None
            load.run(bench, running, bench.seconds + LOAD_BEYOND_SECONDS, False)
            _, said = perf.communicate()
    if perf.returncode != 0:
        print(f"perf does not run here: {said[-300:]}", file=sys.stderr)
        return None
    return stacks.of_perf(data)


def counted(bench: Bench, load: Load) -> Counter[Stack]:
    """By callgrind, from the start of the program on: hence a load that is long beside it."""
    out = bench.folder / "callgrind.out"
    under = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    with bench.upstream() as upstream:
        setting = Setting(upstream, bench.folder, cores=bench.cores.proxy, under=under)
        with proxies.start(SPILLWAY, setting) as running:
            load.run(bench, running, bench.seconds, True)
    return stacks.of_callgrind(out)


def intro() -> str:
    told = machine.describe()
    parts = [
        "# Where the time of a request goes",
        "Spillway on a core of its own, with all policies on. The build has frame pointers and no link-time optimisation, "
        "so that stacks can be read; the release build is somewhat faster. Written by `make profile`.",
        f"{told['processor']}{' (virtual)' if told['virtual'] else ''}, {told['system']}, Linux {told['kernel']}; "
        f"revision {told['revision']}.",
        "In the pictures wide is much time; above a function are those that it called, and a tooltip has its name and share. "
        "The C library keeps no frame pointers, so that some of its functions do not know their caller. The clock is heard "
        "only where interrupts are let in: the kernel's `_raw_spin_unlock_irqrestore` stands for what ran before it without "
        "them, mostly the waking of the peer.",
    ]
    return "\n\n".join(parts)


def section(load: Load, found: Counter[Stack], unit: str) -> str:
    samples = sum(found.values())
    own: Counter[stacks.Frame] = Counter()
    under: Counter[stacks.Frame] = Counter()
    for stack, count in found.items():
        own[stack[-1]] += count
        for frame in set(stack):
            under[frame] += count
    words = {
        "samples": f"{samples:,} samples of the clock, {stacks.FREQUENCY} a second, by perf.",
        "instructions": f"{samples:,} instructions, by callgrind: user space only, start of the program included.",
    }[unit]
    parts = [
        f"## {load.title}",
        f"{load.words} {words}",
        f"![{load.title}]({load.picture})",
        groups_table(own, samples),
        "The hottest functions of each group: in the function itself, and with all that it called.",
        functions_table(own, under, samples),
    ]
    return "\n\n".join(parts)


def groups_table(own: Counter[stacks.Frame], samples: int) -> str:
    lines = ["| group | what it is | share |", "|---|---|---:|"]
    for group, words in GROUPS.items():
        share = sum(count for frame, count in own.items() if frame.group == group) / samples
        if share > 0:
            lines.append(f"| {group} | {words} | {share:.1%} |")
    return "\n".join(lines)


def functions_table(own: Counter[stacks.Frame], under: Counter[stacks.Frame], samples: int) -> str:
    lines = ["| group | function | itself | with callees |", "|---|---|---:|---:|"]
    for group in GROUPS:
        hottest = [one for one in own.most_common() if one[0].group == group][:HOTTEST]
        for frame, count in hottest:
            if count >= SELDOM * samples:
                shares = f"{count / samples:.1%} | {under[frame] / samples:.1%}"
                lines.append(f"| {group} | `{frame.name}` | {shares} |")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Invalid as fault:
        sys.exit(f"profiling.py: {fault}")
