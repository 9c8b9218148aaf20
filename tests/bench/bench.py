#!/usr/bin/env python3
"""Measures Spillway beside nginx, HAProxy and no proxy at all, on loopback, and writes docs/benchmarks.md.

    make bench                          everything, about half an hour
    tests/bench/bench.py --quick        the most important figures, about three minutes
    tests/bench/bench.py --only cpu     scenarios whose name begins so; --list names them
    tests/bench/bench.py --add ...      keeps what the last run had of other scenarios and proxies
    tests/bench/bench.py --before FILE  another build of Spillway takes its turns too, and is compared at the end

Wants build/release/spillway and the target bench_programs (make bench builds them), and what of wrk, nginx,
HAProxy, strace and valgrind is installed. Needs no root and nothing but Python's standard library. Ends with
status 1 if a measurement stayed invalid: an answer that was not a 200, a connection that broke, a load generator
that was late, a scripted upstream that had no time left.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import added
import gateways
import machine
import proxies
import report
from measure import Bench, Cores
from programs import BUILD, ROOT, Invalid, raise_descriptor_limit
from results import Results
from scenarios import Scenario, all_scenarios
from stage import Stage

TRIES = 3  # of a measurement that is not valid


def main() -> int:
    options = parse()
    # As an exception, so that whoever ends the run does not leave proxies behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    descriptors = raise_descriptor_limit()
    chosen = choose(all_scenarios(descriptors, options.soak), options)
    if options.list:
        print(
            "\n".join(
                f"{one.name:24} {one.title}" for one in all_scenarios(descriptors, options.soak)
            )
        )
        return 0
    if options.render:
        report.write(json.loads(options.json.read_text()), options.docs)
        return 0
    missing = [
        name
        for name in (
            "bench_upstream",
            "bench_load",
            "bench_routing",
            "libbench_allocations.so",
            "spillway",
        )
        if not (BUILD / name).exists()
    ]
    if missing:
        print(
            f"not built: {', '.join(missing)} (in {BUILD}); make bench builds them", file=sys.stderr
        )
        return 2
    options.json.parent.mkdir(parents=True, exist_ok=True)
    found = measure_all(chosen, options)
    print(f"wrote {options.json}")
    if options.docs:
        report.write(found, options.docs)
        print(f"wrote {options.docs / 'benchmarks.md'}")
    results = Results(found["measurements"])
    print(report.comparison(results) if options.before else report.targets_table(results))
    for fault in found["invalid"]:
        print(f"not valid: {fault}", file=sys.stderr)
    return 1 if found["invalid"] else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="one round of the most important scenarios"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="scenarios that begin so"
    )
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument(
        "--proxy", action="append", default=[], metavar="NAME", help="only these take their turns"
    )
    parser.add_argument(
        "--add",
        action="store_true",
        help="keep what --json has of other scenarios and proxies, and add to it",
    )
    parser.add_argument("--rounds", type=int, help="default: 5, with --quick 1")
    parser.add_argument(
        "--seconds", type=float, help="of a measurement; default: 3, with --quick 2"
    )
    parser.add_argument("--before", type=Path, metavar="FILE", help="another build of Spillway")
    parser.add_argument(
        "--with",
        dest="others",
        default="",
        metavar="LIST",
        help="other gateways, of portkey,litellm; tests/bench/install_gateways.sh installs them",
    )
    parser.add_argument("--soak", type=float, default=0, metavar="MINUTES", help="of mixed load")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "build" / "bench.json", help="where results go"
    )
    parser.add_argument(
        "--docs", type=Path, help="folder for benchmarks.md and its charts; default: none"
    )
    parser.add_argument(
        "--render", action="store_true", help="write --docs from --json; measure nothing"
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (2.0 if options.quick else 3.0)
    if options.render and not options.docs:
        parser.error("--render needs --docs")
    return options


def choose(scenarios: list[Scenario], options: argparse.Namespace) -> list[Scenario]:
    if options.only:
        return [one for one in scenarios if one.name.startswith(tuple(options.only))]
    return [one for one in scenarios if one.quick or not options.quick]


def measure_all(chosen: list[Scenario], options: argparse.Namespace) -> dict[str, Any]:
    """Runs the scenarios; what is known is written after each of them, in case the run is ended."""
    begun = time.time()
    folder = Path(tempfile.mkdtemp(prefix="spillway-bench-"))
    if options.before:
        proxies.BUILDS[proxies.BEFORE] = options.before
    absent = gateways.add(options.others)
    present = [name for name in proxies.installed() if not options.proxy or name in options.proxy]
    old = None
    if options.add and options.json.exists():
        old = json.loads(options.json.read_text())
    measurements: list[dict[str, Any]] = []
    invalid: list[str] = []
    told: dict[str, Any] = {
        "machine": machine.describe(),
        "begun": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(begun)),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "missing": [
            *(name for name in (proxies.NGINX, proxies.HAPROXY) if name not in proxies.installed()),
            *absent,
            *(tool for tool in ("strace", "valgrind") if shutil.which(tool) is None),
        ],
        "gateways": gateways.versions(),
        "scenarios": {one.name: one.title for one in chosen},
        "measurements": measurements,
        "invalid": invalid,
    }
    found = old or told
    try:
        cores = Cores.of_this_machine()
        bench = Bench(folder, cores, options.seconds, options.quick)
        for scenario in chosen:
            run(bench, scenario, present, options.rounds, measurements, invalid)
            told["minutes"] = round((time.time() - begun) / 60, 1)
            told["commands"] = sorted(bench.commands)
            found = added.merged(old, told) if old else told
            options.json.write_text(json.dumps(found, indent=1))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def run(
    bench: Bench,
    scenario: Scenario,
    present: list[str],
    rounds: int,
    measurements: list[dict[str, Any]],
    invalid: list[str],
) -> None:
    """A scenario with all of its proxies, in turn: whoever was first in one round is last in the next."""
    wanted = [*scenario.proxies, *(proxies.OTHERS if scenario.others else [])]
    names = [name for name in wanted if name in present]
    if proxies.BEFORE in present and proxies.SPILLWAY in names:
        names.append(proxies.BEFORE)
    rounds = min(rounds, scenario.rounds or rounds)
    # Other gateways are busy even when nobody asks them.
    on_stage = [name for name in names if scenario.turn and name not in proxies.OTHERS]
    by_themselves = [name for name in names if name not in on_stage]
    take_turns(bench, scenario, by_themselves, rounds, measurements, invalid)
    if on_stage:
        # In the same time, more rounds of shorter turns.
        seconds = min(bench.seconds, scenario.turn)
        rounds = round(rounds * bench.seconds / seconds)
        with Stage() as stage:
            short = dataclasses.replace(bench, seconds=seconds, stage=stage)
            take_turns(short, scenario, on_stage, rounds, measurements, invalid)


def take_turns(
    bench: Bench,
    scenario: Scenario,
    names: list[str],
    rounds: int,
    measurements: list[dict[str, Any]],
    invalid: list[str],
) -> None:
    for number in range(rounds if names else 0):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            measure(bench, scenario, name, number, measurements, invalid)


def measure(
    bench: Bench,
    scenario: Scenario,
    proxy: str,
    number: int,
    measurements: list[dict[str, Any]],
    invalid: list[str],
) -> None:
    """One measurement, repeated where it was not valid; a fault that stays is told, never hidden."""
    for attempt in range(1, TRIES + 1):
        try:
            figures = scenario.run(bench, proxy)
        except Invalid as fault:
            print(
                f"{scenario.name:24} {proxy:9} round {number + 1}: not valid: {fault}", flush=True
            )
            if bench.stage is not None:
                bench.stage.clear()
            if attempt == TRIES:
                invalid.append(f"{scenario.name}, {proxy}, round {number + 1}: {fault}")
            continue
        measurements.append(
            {"scenario": scenario.name, "proxy": proxy, "round": number, "figures": figures}
        )
        shown = "  ".join(f"{name} {value:,.2f}" for name, value in figures.items())
        print(f"{scenario.name:24} {proxy:9} round {number + 1}: {shown}", flush=True)
        return


if __name__ == "__main__":
    sys.exit(main())
