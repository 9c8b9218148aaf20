#!/usr/bin/env python3
"""The soak: all kinds of traffic at once, for a long time, while operators change configurations,
log files and, in the beginning, the processes themselves. Does anything stay behind, and did every
request end once, in the same way for all who saw it?

    tests/soak/soak.py --program build/spillway --seconds 1800 --seed 1

Two gateways share what they know through Redis, where that is installed; the clients of one speak
TLS, and so does one of the providers. Rounds of traffic are followed by rests. When nobody asks,
nothing is under way, descriptors are those of the start and memory those of the warm-up. In the end
three records are compared, request by request: the clients', the gateways' access logs and the
providers'; and the counters in /metrics with the sums of the logs, from the round on in which no
process was replaced any more. Exits with 1 if anything does not agree.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Sequence

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "blackbox")]

import observed  # noqa: E402
from book import Book  # noqa: E402
from caller import Caller  # noqa: E402
from instance import Instance  # noqa: E402
from mix import Clients  # noqa: E402
from reconcile import (  # noqa: E402
    Findings,
    Ledger,
    reconcile,
    reconcile_counters,
    since,
    uncovered,
)
from report import print_report, print_rest  # noqa: E402
from scene import Changes, Scene  # noqa: E402
from successors import adopt_orphans  # noqa: E402
from traffic import plain  # noqa: E402
from watch import Quiet  # noqa: E402

ROUND_SECONDS = (6.0, 120.0)
ROUNDS = 12
UPGRADE_ROUNDS = 2  # the first, in which a process takes over from another
WARM_UP_ROUNDS = 3  # after those, until the allocator has met all kinds of traffic
SECURE_SHARE = 4  # every fourth client speaks TLS
COVERING_SECONDS = 60.0  # of traffic that must have met everything
# Memory of the last rest against that of the warm-up's. What the program has in use at rest stays
# the same; an allocator's arenas grow in ever rarer steps, when more than ever before coincides.
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
    parser.add_argument("--change-seconds", type=float, default=3.0, help="between two changes")
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
    adopt_orphans()
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
    ledger = reconcile(book, scene.logs, UPGRADE_ROUNDS + 1, findings)
    if metrics:
        reconcile_counters(ledger, metrics, findings)
        if options.seconds >= COVERING_SECONDS:
            for what in uncovered(metrics, ledger, scene.redis is not None):
                findings.add("the mix did not have it", what)
    for provider in scene.providers:
        for error in provider.script_errors:
            findings.add("a provider's script failed", repr(error))
    return ledger, book


def rounds(
    options: argparse.Namespace, scene: Scene, book: Book, findings: Findings
) -> dict[str, float]:
    """The traffic, and what is left of it after each round; what was counted since the last process
    was replaced."""
    instances = scene.instances
    callers = [
        Caller(of_client(instances, n), book, options.seed, n) for n in range(options.clients)
    ]
    clients = Clients(callers, book, options.rate, options.most)
    changes = Changes(scene, options.seed, options.change_seconds)

    for number, instance in enumerate(instances, options.clients):
        greet(Caller(instance, book, options.seed, number))
    rests = [rest(scene)]
    book.rest()
    begin: list[dict[str, float]] = [{} for _ in instances]
    seconds = min(max(options.seconds / ROUNDS, ROUND_SECONDS[0]), ROUND_SECONDS[1])
    left = options.seconds
    while left > 0 and len(book.asked) < options.most:
        changes.start(upgrading=book.round <= UPGRADE_ROUNDS)
        clients.run(min(seconds, left))
        changes.stop()
        left -= seconds
        observed.begin()  # what the helpers note for single tests
        rests.append(rest(scene, rests[0]))
        if book.round <= UPGRADE_ROUNDS:
            begin = [instance.watch.metrics() for instance in instances]
        book.rest()
        print(f"{len(book.asked)} requests so far", flush=True)
        if not scene.alive:
            break
    for fault in clients.faults + changes.faults:
        findings.add("a client or an operator failed", fault)
    for instance, *found in zip(instances, *rests):
        judge_rests(instance, found, findings)
        for counter, number in instance.reloads.items():
            findings.equal(counter, instance.watch.metrics()[counter], number)
    print("changes: " + ", ".join(f"{number} {what}" for what, number in changes.counts.items()))
    counted = [since(each.watch.metrics(), before) for each, before in zip(instances, begin)]
    if scene.redis:
        reconcile_news(counted, findings)
    return sums(counted)


def of_client(instances: list[Instance], number: int) -> Instance:
    return instances[1 if number % SECURE_SHARE == 0 else 0]


def greet(caller: Caller) -> None:
    """So that what is opened once and kept is there when descriptors are first counted."""
    for _ in range(8):
        plain(caller)
        caller.drop()


def rest(scene: Scene, start: Sequence[Quiet] = ()) -> list[Quiet]:
    """What each gateway holds when nobody asks."""
    limits = [found.descriptors for found in start] or [0] * len(scene.instances)
    rests = []
    for instance, descriptors in zip(scene.instances, limits):
        rests.append(instance.watch.quiet(scene.hang_up, descriptors))
        print_rest(f"port {instance.port}", rests[-1])
    return rests


def sums(counted: list[dict[str, float]]) -> dict[str, float]:
    """Over all gateways."""
    names = {name for each in counted for name in each}
    return {name: sum(each.get(name, 0) for each in counted) for name in names}


def reconcile_news(counted: list[dict[str, float]], findings: Findings) -> None:
    """All gateways hear the same, which is what each of them tells, unless it is news no longer."""
    family = "spillway_shared_state_messages_total"
    heard = [each[f'{family}{{direction="received"}}'] for each in counted]
    told = sum(each[f'{family}{{direction="published"}}'] for each in counted)
    if len(set(heard)) > 1 or max(heard) > told:
        findings.add("news between the gateways", f"{told:g} were told, {heard} were heard")
    for each in counted:
        findings.equal("failures to share", each["spillway_shared_state_errors_total"], 0)


def judge_rests(instance: Instance, rests: list[Quiet], findings: Findings) -> None:
    warm_up = UPGRADE_ROUNDS + WARM_UP_ROUNDS
    start, warm, last = rests[0], rests[min(warm_up, len(rests) - 1)], rests[-1]
    for found in rests:
        for name in found.left_over:
            findings.add("something is under way although nobody asks", name)
        if found.descriptors > start.descriptors:
            findings.add("descriptors", f"{found.descriptors}, at the start {start.descriptors}")
    allowed = max(GROWTH_BYTES, GROWTH_SHARE * warm.anonymous)
    grown = last.anonymous - warm.anonymous
    print(
        f"port {instance.port}, memory since the warm-up: {grown / 1e6:+.1f} MB allocated"
        f" ({(last.heap - warm.heap) / 1e6:+.1f} MB of it heap),"
        f" {(last.resident - warm.resident) / 1e6:+.1f} MB resident;"
        f" allowed {allowed / 1e6:+.1f} MB"
    )
    if grown > allowed:
        findings.add("memory grows", f"{grown} bytes, from {warm} to {last}")


if __name__ == "__main__":
    sys.exit(main())
