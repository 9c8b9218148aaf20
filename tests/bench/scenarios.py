"""What is measured. A scenario takes a proxy's name and returns named figures; it is run in rounds, proxies in turn."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Callable, Optional

import payloads
import procfs
import proxies
from measure import Bench, Invalid, closed_load, held_load, own_load, spending
from programs import wait_until_answered
from proxies import DIRECT, HAPROXY, NGINX, SPILLWAY, Setting

KIB, MIB = 1024, 1024 * 1024
BODIES = {
    "0.7 KiB": 700,
    "16 KiB": 16 * KIB,
    "128 KiB": 128 * KIB,
    "1 MiB": MIB,
    "10 MiB": 10 * MIB,
}
RATES = (100, 1000, 5000, 10000)
STREAMS = 150
EVENT_INTERVAL_US = 5000
WARM_UP_SECONDS = 1.0
SETTLE_SECONDS = 3.0
LATEST_US = 2000.0  # how late the load generator may be in one request of a hundred
HELD_BACK_US = 20_000.0  # an event in the middle that took so long was not relayed when it came

Figures = dict[str, Any]


@dataclass
class Scenario:
    name: str
    title: str
    run: Callable[[Bench, str], Figures]
    proxies: tuple[str, ...] = (NGINX, HAPROXY, SPILLWAY)
    quick: bool = False  # part of --quick
    rounds: Optional[int] = None  # at most so many, where little changes from one to the next


def all_scenarios(descriptors: int) -> list[Scenario]:
    everyone = (DIRECT, NGINX, HAPROXY, SPILLWAY)
    found = [
        Scenario("cpu/plain", "700-byte chat request, one core", plain_cpu, everyone, quick=True),
        Scenario(
            "cpu/1000-deployments",
            "the same, 1,000 deployments in the group",
            many_deployments,
            (SPILLWAY,),
        ),
        Scenario("cpu/1-worker", "one worker, not pinned", lambda b, p: unpinned(b, p, 1)),
        Scenario(
            "cpu/all-cores",
            "a worker for each core, not pinned",
            lambda b, p: unpinned(b, p, os.cpu_count()),
        ),
        Scenario("sse/event", "150 streams, an event each 5 ms", stream_cpu, everyone, quick=True),
        Scenario("sse/first-token", "150 streams of a second each", first_token, everyone),
        Scenario(
            "latency/one-at-a-time",
            "one connection",
            lambda b, p: latency(b, p, None),
            everyone,
            quick=True,
        ),
    ]
    for rate in RATES:
        found.append(
            Scenario(
                f"latency/{rate}",
                f"{rate:,} requests a second",
                lambda b, p, rate=rate: latency(b, p, rate),
                everyone,
                quick=rate == 1000,
            )
        )
    found += [
        Scenario("memory/idle", "after one request", idle_memory, quick=True, rounds=1),
        Scenario("memory/connections", "5,000 idle connections", idle_connections, rounds=2),
        Scenario(
            "memory/streams-5000",
            "5,000 streams, an event a second",
            lambda b, p: streams(b, p, 5000),
            rounds=2,
        ),
    ]
    if descriptors >= 19000:
        found.append(
            Scenario(
                "memory/streams-9000",
                "9,000 streams, an event a second",
                lambda b, p: streams(b, p, 9000),
                rounds=2,
            )
        )
    for label, size, connections in (("120 KiB", 120 * KIB, 64), ("10 MiB", 10 * MIB, 16)):
        found.append(
            Scenario(
                f"memory/burst {label}",
                f"{connections} connections with {label} bodies",
                lambda b, p, s=size, c=connections: burst(b, p, s, c),
                rounds=1,
            )
        )
    for label, size in BODIES.items():
        found.append(
            Scenario(
                f"body/{label}",
                f"{label} body",
                lambda b, p, s=size: body_cpu(b, p, s),
                quick=size == 128 * KIB,
            )
        )
    found += [
        Scenario(
            "tls/plain",
            "700-byte chat request, TLS upstream",
            lambda b, p: plain_cpu(b, p, tls=True),
            everyone[1:],
        ),
        Scenario("tls/event", "150 streams, TLS upstream", lambda b, p: stream_cpu(b, p, tls=True)),
        Scenario("startup/default", "until the first answer", start_up, quick=True, rounds=1),
        Scenario(
            "startup/1000",
            "with 1,000 deployments",
            lambda b, p: start_up(b, p, 1000),
            (SPILLWAY,),
            rounds=1,
        ),
        Scenario("size/binary", "the program, stripped", binary_size, quick=True, rounds=1),
    ]
    return found


# --- processor time ---


def plain_cpu(bench: Bench, proxy: str, tls: bool = False, deployments: int = 2) -> Figures:
    return cpu(
        bench, proxy, payloads.chat(payloads.PLAIN_BYTES), 64, tls=tls, deployments=deployments
    )


def many_deployments(bench: Bench, proxy: str) -> Figures:
    return plain_cpu(bench, proxy, deployments=1000)


def body_cpu(bench: Bench, proxy: str, size: int) -> Figures:
    return cpu(bench, proxy, payloads.chat(size), 64 if size < MIB else 16, streaming=True)


def cpu(bench: Bench, proxy: str, body: bytes, connections: int, **how: Any) -> Figures:
    with bench.upstream() as upstream:
        setting = Setting(upstream, bench.folder, cores=bench.cores.proxy, **how)
        with proxies.start(proxy, setting) as running:
            closed_load(bench, running.port, body, connections, WARM_UP_SECONDS)
            with spending(bench, upstream, running) as spent:
                found = closed_load(bench, running.port, body, connections, bench.seconds)
    figures = {"requests_per_second": found["answered"] / found["seconds"], **common(spent)}
    if proxy != DIRECT:
        figures["cpu_us"] = spent.proxy_us / found["answered"]
        parts = spent.user_us + spent.system_us
        figures["user_share"] = spent.user_us / parts if parts else 0.0
    return figures


def unpinned(bench: Bench, proxy: str, workers: int) -> Figures:
    cores = sorted(os.sched_getaffinity(0))
    body = payloads.chat(payloads.PLAIN_BYTES)
    with bench.upstream(threads=len(cores), cores=cores) as upstream:
        with proxies.start(proxy, Setting(upstream, bench.folder, workers=workers)) as running:
            closed_load(bench, running.port, body, 64, WARM_UP_SECONDS, cores, len(cores))
            with spending(bench, upstream, running) as spent:
                found = closed_load(bench, running.port, body, 64, bench.seconds, cores, len(cores))
    return {
        "requests_per_second": found["answered"] / found["seconds"],
        "cpu_us": spent.proxy_us / found["answered"],
        **common(spent),
    }


def common(spent: Any) -> Figures:
    return {
        "proxy_share": spent.proxy_share,
        "upstream_share": spent.upstream_share,
        "foreign_share": spent.foreign_share,
    }


# --- streams ---


def stream_cpu(bench: Bench, proxy: str, tls: bool = False) -> Figures:
    events = round(bench.seconds * 1e6 / EVENT_INTERVAL_US)
    return many_streams(bench, proxy, EVENT_INTERVAL_US, events, bench.seconds / 2, tls=tls)


def first_token(bench: Bench, proxy: str) -> Figures:
    return many_streams(bench, proxy, 25_000, 40, bench.seconds)


def many_streams(
    bench: Bench, proxy: str, interval_us: int, events: int, seconds: float, **how: Any
) -> Figures:
    """`seconds` is until when streams are begun; those that are on their way then are read to their end."""
    request = payloads.request(payloads.stream(interval_us, events))
    with bench.upstream_beside(proxy) as upstream:
        setting = Setting(upstream, bench.folder, cores=bench.cores.proxy, streaming=True, **how)
        with proxies.start(proxy, setting) as running, spending(bench, upstream, running) as spent:
            found = own_load(
                bench,
                "streams",
                running.port,
                request,
                connections=STREAMS,
                seconds=seconds,
                open_rate=STREAMS,
            )
    if found["event_delay_us"]["p50"] > HELD_BACK_US:
        raise Invalid(
            f"events were held back: half of them {found['event_delay_us']['p50']:.0f} us and more"
        )
    figures = {
        "events_per_second": found["events"] / found["seconds"],
        **percentiles("first_event", found["first_event_us"]),
        **percentiles("event_delay", found["event_delay_us"]),
        **common(spent),
    }
    if proxy != DIRECT:
        figures["cpu_us"] = spent.proxy_us / found["events"]
    return figures


# --- latency ---


def latency(bench: Bench, proxy: str, rate: Optional[int]) -> Figures:
    request = payloads.request(payloads.chat(payloads.PLAIN_BYTES))
    how = {"mode": "closed", "connections": 1}
    if rate is not None:
        how = {"mode": "open", "connections": 32 if rate <= 1000 else 128, "rate": rate}
    seconds = bench.seconds * (2 if rate and rate <= 100 else 1)
    with bench.upstream_beside(proxy) as upstream:
        with proxies.start(
            proxy, Setting(upstream, bench.folder, cores=bench.cores.proxy)
        ) as running:
            own_load(bench, port=running.port, request=request, seconds=WARM_UP_SECONDS, **how)
            with spending(bench, upstream, running) as spent:
                found = own_load(bench, port=running.port, request=request, seconds=seconds, **how)
    figures = {**percentiles("latency", found["latency_us"]), **common(spent)}
    if rate is not None:
        late = found["lateness_us"]["p99"]
        if late > LATEST_US:
            raise Invalid(f"the load generator was late: one request in a hundred by {late:.0f} us")
        figures["kept_up"] = found["answered"] / found["seconds"] / rate
    if proxy != DIRECT:
        figures["cpu_us"] = spent.proxy_us / found["answered"]
    return figures


def percentiles(name: str, found: Optional[Figures]) -> Figures:
    return {f"{name}_{at}_us": found[at] for at in ("p50", "p99", "p999")} if found else {}


# --- memory ---


def idle_memory(bench: Bench, proxy: str) -> Figures:
    with bench.upstream() as upstream:
        with proxies.start(
            proxy, Setting(upstream, bench.folder, cores=bench.cores.proxy)
        ) as running:
            used = procfs.memory(running.pid)
    return {"anonymous_bytes": used.anonymous, "total_bytes": used.total}


def idle_connections(bench: Bench, proxy: str) -> Figures:
    return held(bench, proxy, "idle", payloads.request(payloads.chat(payloads.PLAIN_BYTES)), 5000)


def streams(bench: Bench, proxy: str, count: int) -> Figures:
    return held(
        bench, proxy, "streams", payloads.request(payloads.stream(1_000_000, 10_000)), count
    )


def held(bench: Bench, proxy: str, mode: str, request: bytes, count: int) -> Figures:
    with bench.upstream() as upstream:
        setting = Setting(upstream, bench.folder, cores=bench.cores.proxy, streaming=True)
        with proxies.start(proxy, setting) as running:
            before = procfs.memory(running.pid)
            with held_load(bench, mode, running.port, request, connections=count, open_rate=1500):
                time.sleep(SETTLE_SECONDS)
                used = procfs.memory(running.pid)
    return {"bytes_each": (used.anonymous - before.anonymous) / count, "total_bytes": used.total}


def burst(bench: Bench, proxy: str, size: int, connections: int) -> Figures:
    with bench.upstream() as upstream:
        setting = Setting(upstream, bench.folder, cores=bench.cores.proxy, streaming=True)
        with proxies.start(proxy, setting) as running:
            before = procfs.memory(running.pid)
            procfs.forget_peak(running.pid)
            closed_load(bench, running.port, payloads.chat(size), connections, bench.seconds)
            time.sleep(SETTLE_SECONDS)
            after = procfs.memory(running.pid)
    return {
        "before_bytes": before.total,
        "peak_bytes": after.peak,
        "settled_bytes": after.total,
    }


# --- start-up and size ---


def start_up(bench: Bench, proxy: str, deployments: int = 2) -> Figures:
    """Milliseconds from the start of the program until it has answered a chat request."""
    request = payloads.request(payloads.chat(payloads.PLAIN_BYTES))
    times = []
    with bench.upstream() as upstream:
        for _ in range(5 if bench.quick else 11):
            setting = Setting(
                upstream, bench.folder, cores=bench.cores.proxy, deployments=deployments
            )
            begun = time.perf_counter()
            with proxies.launch(proxy, setting) as running:
                times.append(
                    (wait_until_answered(running.port, request, running.program) - begun) * 1000
                )
    return {
        "ready_ms": statistics.median(times),
        "fastest_ms": min(times),
        "slowest_ms": max(times),
    }


def binary_size(bench: Bench, proxy: str) -> Figures:
    names = {NGINX: "nginx", HAPROXY: "haproxy", SPILLWAY: str(bench.spillway)}
    stripped = bench.folder / "stripped"
    subprocess.run(["strip", "-o", stripped, shutil.which(names[proxy])], check=True)
    return {"binary_bytes": stripped.stat().st_size}
