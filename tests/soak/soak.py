#!/usr/bin/env python3
"""The soak: all kinds of traffic at once, for a long time, with reloads in between. Does anything
stay behind, and did every request end once, in the same way for all who saw it?

    tests/soak/soak.py --program build/spillway --seconds 1800 --seed 1

Rounds of traffic are followed by rests. When nobody asks, nothing is under way, descriptors are
those of the start and memory those of the warm-up. In the end three records are compared, request
by request: the clients', the gateway's access log and the providers'; and the counters in /metrics
with the sums of the log. Exits with 1 if anything does not agree.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "blackbox")]

import observed  # noqa: E402
from book import Book  # noqa: E402
from caller import Caller  # noqa: E402
from mix import Clients  # noqa: E402
from reconcile import Findings, Ledger, reconcile, reconcile_counters  # noqa: E402
from report import print_report, print_rest  # noqa: E402
from scene import Reloads, Scene  # noqa: E402
from traffic import plain  # noqa: E402
from watch import Quiet  # noqa: E402

ROUND_SECONDS = (10.0, 120.0)
ROUNDS = 10
WARM_UP_ROUNDS = 3  # until the allocator has met all kinds of traffic
# Memory of the last rest against that of the warm-up's: an allocator's arenas are never exactly as
# full as before.
GROWTH_BYTES = 4 << 20
GROWTH_SHARE = 0.15


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--program", default="build/spillway", help="the gateway")
    parser.add_argument("--seconds", type=float, default=1800.0, help="of traffic")
    parser.add_argument("--seed", type=int, default=1, help="of the mix")
    parser.add_argument("--clients", type=int, default=16, help="at once")
    parser.add_argument("--rate", type=float, default=80.0, help="requests a second, at most")
    parser.add_argument("--most", type=int, default=500_000, help="requests")
    parser.add_argument("--reload-seconds", type=float, default=3.0, help="between two reloads")
    parser.add_argument("--keep", type=Path, help="folder to keep the logs in")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="spillway-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    findings = Findings()
    try:
        ledger, book = soak(options, folder.resolve(), findings)
    finally:
        if not options.keep and not findings.failed:
            shutil.rmtree(folder, ignore_errors=True)
    print_report(ledger, book, findings)
    if findings.failed and not options.keep:
        print(f"The logs are in {folder}.")
    return 1 if findings.failed else 0


def soak(options: argparse.Namespace, folder: Path, findings: Findings) -> tuple[Ledger, Book]:
    book = Book()
    scene = Scene(str(Path(options.program).resolve()), folder, book, os.geteuid() != 0)
    metrics: dict[str, float] = {}
    try:
        metrics = rounds(options, scene, book, findings)
    except OSError as error:
        findings.add("the gateway cannot be asked any more", f"{type(error).__name__}: {error}")
    finally:
        try:
            scene.close()
        except AssertionError as error:
            findings.add("the gateway did not end well", str(error))
    ledger = reconcile(book, scene.log, findings)
    if metrics:
        reconcile_counters(ledger, book, metrics, findings)
    for provider in scene.providers:
        for error in provider.script_errors:
            findings.add("a provider's script failed", repr(error))
    return ledger, book


def rounds(
    options: argparse.Namespace, scene: Scene, book: Book, findings: Findings
) -> dict[str, float]:
    """The traffic, and what is left of it after each round; the counters when all is over."""
    port = scene.gateway.port
    callers = [Caller(port, book, options.seed, n) for n in range(options.clients)]
    clients = Clients(callers, book, options.rate, options.most)
    reloads = Reloads(scene, options.seed, options.reload_seconds)

    greet(Caller(port, book, options.seed, options.clients))
    rests = [rest(scene, book)]
    print_rest("start", rests[0])
    seconds = min(max(options.seconds / ROUNDS, ROUND_SECONDS[0]), ROUND_SECONDS[1])
    end = time.monotonic() + options.seconds
    while time.monotonic() < end and len(book.asked) < options.most:
        reloads.start()
        clients.run(min(seconds, end - time.monotonic()))
        reloads.stop()
        observed.begin()  # what the helpers note for single tests
        rests.append(rest(scene, book, rests[0].descriptors))
        print_rest(f"{len(book.asked)} requests", rests[-1])
        if not scene.gateway.alive:
            break
    for fault in clients.faults + reloads.faults:
        findings.add("a client or a reload failed", fault)
    judge_rests(rests, findings)
    metrics = scene.watch.metrics()
    for result, number in (("success", reloads.good), ("failure", reloads.broken)):
        name = f'spillway_config_reloads_total{{result="{result}"}}'
        findings.equal(name, metrics[name], number)
    print(f"reloads: {reloads.good} used, {reloads.broken} refused")
    return metrics


def greet(caller: Caller) -> None:
    """So that what is opened once and kept is there when descriptors are first counted."""
    for _ in range(8):
        plain(caller)
        caller.drop()


def rest(scene: Scene, book: Book, descriptors: int = 0) -> Quiet:
    def hang_up() -> None:
        for provider in scene.providers:
            provider.hang_up()

    found = scene.watch.quiet(hang_up, descriptors)
    book.rest()
    return found


def judge_rests(rests: list[Quiet], findings: Findings) -> None:
    warm_up = max(1, min(WARM_UP_ROUNDS, (len(rests) - 1) // 2))
    start, warm, last = rests[0], rests[warm_up], rests[-1]
    for found in rests:
        for name in found.left_over:
            findings.add("something is under way although nobody asks", name)
        if found.descriptors > start.descriptors:
            findings.add("descriptors", f"{found.descriptors}, at the start {start.descriptors}")
    allowed = max(GROWTH_BYTES, GROWTH_SHARE * warm.anonymous)
    grown = last.anonymous - warm.anonymous
    print(
        f"memory since the warm-up: {grown / 1e6:+.1f} MB allocated"
        f" ({(last.heap - warm.heap) / 1e6:+.1f} MB of it heap),"
        f" {(last.resident - warm.resident) / 1e6:+.1f} MB resident;"
        f" allowed {allowed / 1e6:+.1f} MB"
    )
    if grown > allowed:
        findings.add("memory grows", f"{grown} bytes, from {warm} to {last}")


if __name__ == "__main__":
    sys.exit(main())
