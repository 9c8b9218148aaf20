"""What is measured. A scenario takes a proxy's name and returns named figures; it is run in rounds, proxies in turn."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Callable, Optional

import instructions
import routing
import slow_readers
import soak
import starts as starting
import syscalls
import workloads as work
from measure import Bench
from proxies import DIRECT, HAPROXY, NGINX, SPILLWAY
from workloads import KIB, MIB, Figures

BODIES = {
    "0.7 KiB": 700,
    "16 KiB": 16 * KIB,
    "128 KiB": 128 * KIB,
    "1 MiB": MIB,
    "10 MiB": 10 * MIB,
}
BURSTS = {"120 KiB": (120 * KIB, 64), "10 MiB": (10 * MIB, 16)}  # bodies, and how many at once
RATES = (100, 1000, 5000, 10000)
TURN_SECONDS = 1.0
EVERYONE = (DIRECT, NGINX, HAPROXY, SPILLWAY)
# Each stream of 9,000 takes the proxy two descriptors.
DESCRIPTORS_FOR_9000 = 19_000


@dataclass
class Scenario:
    name: str
    title: str
    run: Callable[[Bench, str], Figures]
    proxies: tuple[str, ...] = (NGINX, HAPROXY, SPILLWAY)
    quick: bool = False  # part of --quick
    rounds: Optional[int] = None  # at most so many, where little changes from one to the next
    others: bool = False  # other gateways take their turns as well
    # The proxies run side by side and take turns of so many seconds at most (stage.py): for what is
    # compared between them and depends on who else uses the machine.
    turn: Optional[float] = None


def all_scenarios(descriptors: int, soak_minutes: float) -> list[Scenario]:
    """In the order in which they are run: what matters most comes first."""
    found = [
        *cpu(),
        *choices(),
        *streams(),
        *latencies(),
        *memory(descriptors),
        *bodies(),
        *tls(),
        *counts(),
        *starts(),
    ]
    if soak_minutes > 0:
        found.append(
            Scenario(
                "memory/soak",
                f"{soak_minutes:g} minutes of mixed load",
                lambda bench, proxy: soak.run(bench, proxy, soak_minutes),
                (SPILLWAY,),
                rounds=1,
            )
        )
    return found


def cpu() -> list[Scenario]:
    def workers(count: int) -> Callable[[Bench, str], Figures]:
        return lambda bench, proxy: work.unpinned(bench, proxy, count)

    cores = os.cpu_count() or 1
    return [
        Scenario(
            "cpu/plain",
            "700-byte request, one core",
            work.plain_cpu,
            EVERYONE,
            quick=True,
            others=True,
            turn=TURN_SECONDS,
        ),
        Scenario("cpu/1000-deployments", "1,000 in the group", work.many_deployments, (SPILLWAY,)),
        Scenario("cpu/1000-groups", "1,000 groups of two", work.many_groups, (SPILLWAY,)),
        Scenario("cpu/allocations", "how often memory is asked for", work.allocations, rounds=1),
        Scenario("cpu/1-worker", "one worker, not pinned", workers(1)),
        Scenario("cpu/2-workers", "two workers, not pinned", workers(2)),
        *(
            [Scenario("cpu/all-cores", "a worker for each core, not pinned", workers(cores))]
            if cores > 2
            else []
        ),
    ]


def choices() -> list[Scenario]:
    return [
        Scenario(
            "routing/choice",
            "of a deployment, by itself",
            routing.choose,
            (SPILLWAY,),
            quick=True,
        )
    ]


def streams() -> list[Scenario]:
    return [
        Scenario(
            "sse/event",
            "150, an event each 5 ms",
            work.stream_cpu,
            EVERYONE,
            quick=True,
            turn=2 * TURN_SECONDS,
        ),
        Scenario("sse/first-token", "150, a second each", work.first_token, EVERYONE),
    ]


def latencies() -> list[Scenario]:
    def at(rate: Optional[int]) -> Callable[[Bench, str], Figures]:
        return lambda bench, proxy: work.latency(bench, proxy, rate)

    return [
        Scenario(
            "latency/one-at-a-time",
            "one connection",
            at(None),
            EVERYONE,
            quick=True,
            others=True,
            turn=TURN_SECONDS,
        ),
        *(
            Scenario(
                f"latency/{rate}",
                f"{rate:,} a second",
                at(rate),
                EVERYONE,
                quick=rate == 1000,
                turn=TURN_SECONDS if rate >= 5000 else None,
            )
            for rate in RATES
        ),
    ]


def memory(descriptors: int) -> list[Scenario]:
    def open_streams(count: int) -> Callable[[Bench, str], Figures]:
        return lambda bench, proxy: work.open_streams(bench, proxy, count)

    def burst(size: int, connections: int) -> Callable[[Bench, str], Figures]:
        return lambda bench, proxy: work.burst(bench, proxy, size, connections)

    counts = (5000, 9000) if descriptors >= DESCRIPTORS_FOR_9000 else (5000,)
    return [
        Scenario(
            "memory/idle",
            "after one request",
            work.idle_memory,
            quick=True,
            rounds=1,
            others=True,
        ),
        Scenario("memory/connections", "5,000 idle connections", work.idle_connections, rounds=2),
        *(
            Scenario(f"memory/streams-{count}", "an event a second", open_streams(count), rounds=2)
            for count in counts
        ),
        *(
            Scenario(f"memory/burst {label}", f"{many} at once", burst(size, many), rounds=2)
            for label, (size, many) in BURSTS.items()
        ),
        Scenario(
            "memory/slow streams", "200 clients that hardly read", slow_readers.streams, rounds=2
        ),
        Scenario("memory/slow answers", "of 1 MiB, 200 clients", slow_readers.answers, rounds=1),
    ]


def counts() -> list[Scenario]:
    """What does not depend on who else uses the machine; once is enough."""
    found = [
        ("callgrind_control", "count/instructions", "in user space", instructions.count, True),
        ("strace", "count/system calls", "by name", syscalls.count, False),
    ]
    return [
        Scenario(name, title, run, quick=quick, rounds=1)
        for program, name, title, run, quick in found
        if shutil.which(program)
    ]


def bodies() -> list[Scenario]:
    def of(size: int) -> Callable[[Bench, str], Figures]:
        return lambda bench, proxy: work.body_cpu(bench, proxy, size)

    return [
        Scenario(
            f"body/{label}",
            "passed on as it comes",
            of(size),
            quick=size == 128 * KIB,
            turn=TURN_SECONDS if size < MIB else None,
        )
        for label, size in BODIES.items()
    ]


def tls() -> list[Scenario]:
    return [
        # Longer turns: after each of them connections upstream are made anew.
        Scenario(
            "tls/plain",
            "700-byte request",
            lambda bench, proxy: work.plain_cpu(bench, proxy, tls=True),
            turn=3 * TURN_SECONDS,
        ),
        Scenario(
            "tls/event",
            "150 streams",
            lambda bench, proxy: work.stream_cpu(bench, proxy, tls=True),
            turn=3 * TURN_SECONDS,
        ),
    ]


def starts() -> list[Scenario]:
    def many(bench: Bench, proxy: str) -> Figures:
        return starting.start_up(bench, proxy, 1000)

    return [
        Scenario(
            "startup/default", "until the first answer", starting.start_up, quick=True, rounds=1
        ),
        Scenario("startup/1000", "with 1,000 deployments", many, (SPILLWAY,), rounds=1),
        Scenario(
            "size/binary", "the program, stripped", starting.binary_size, quick=True, rounds=1
        ),
    ]
