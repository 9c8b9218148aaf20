"""How each kind of figure is measured: start an upstream and a proxy, load it, and return named figures."""

from __future__ import annotations

import math
import os
import sys
from typing import Any, Optional

import payloads
import procfs
import proxies
from measure import Bench, Invalid, Spent, closed_load, held_load, own_load, spending
from proxies import DIRECT, Running, Setting
from stage import serving

KIB, MIB = 1024, 1024 * 1024
STREAMS = 150
EVENT_INTERVAL_US = 5000
WARM_UP_SECONDS = 1.0
SETTLE_SECONDS = 3.0
LATEST_US = 2000.0  # how late the load generator may be in one request of a hundred
HELD_BACK_US = 20_000.0  # an event in the middle that took so long was not relayed when it came
FULL = 0.9  # of its cores: a proxy that used less was not what limited the requests a second

Figures = dict[str, Any]


# --- processor time ---


def plain_cpu(bench: Bench, proxy: str, **how: Any) -> Figures:
    if proxy in proxies.OTHERS:
        return gateway_cpu(bench, proxy)
    return cpu(bench, proxy, payloads.chat(payloads.PLAIN_BYTES), 64, **how)


def gateway_cpu(bench: Bench, proxy: str) -> Figures:
    """For gateways that take milliseconds: a load that waits for every answer, on fewer connections."""
    options = {"mode": "closed", "connections": 8}
    with serving(bench, proxy) as at:
        options |= {"port": at.running.port}
        body = payloads.chat(payloads.PLAIN_BYTES)
        options |= {"request": payloads.request(body, headers=at.running.headers)}
        if at.fresh:
            own_load(bench, seconds=3 * WARM_UP_SECONDS, **options)
        with spending(bench, at.upstream, at.running) as spent:
            found = own_load(bench, seconds=bench.seconds, **options)
    return {
        "requests_per_second": found["answered"] / found["seconds"],
        "cpu_us": spent.proxy_us / found["answered"],
        **common(spent),
    }


def many_deployments(bench: Bench, proxy: str) -> Figures:
    return plain_cpu(bench, proxy, deployments=1000)


def many_groups(bench: Bench, proxy: str) -> Figures:
    return plain_cpu(bench, proxy, groups=1000)


def body_cpu(bench: Bench, proxy: str, size: int) -> Figures:
    return cpu(bench, proxy, payloads.chat(size), 64 if size < MIB else 16, streaming=True)


def cpu(bench: Bench, proxy: str, body: bytes, connections: int, **how: Any) -> Figures:
    with serving(bench, proxy, **how) as at:
        port, sent = at.running.port, {"headers": at.running.headers}
        if at.fresh:
            closed_load(bench, port, body, connections, WARM_UP_SECONDS, **sent)
        with spending(bench, at.upstream, at.running) as spent:
            found = closed_load(bench, port, body, connections, bench.seconds, **sent)
    figures = {"requests_per_second": found["answered"] / found["seconds"], **common(spent)}
    if proxy != DIRECT:
        figures["cpu_us"] = spent.proxy_us / found["answered"]
        parts = spent.user_us + spent.system_us
        figures["user_share"] = spent.user_us / parts if parts else 0.0
    return figures


def allocations(bench: Bench, proxy: str) -> Figures:
    """How often the proxy asks for memory, in a request and in an event, once it is warm."""
    count = bench.folder / "allocations"
    count.write_bytes(bytes(8))
    body = payloads.chat(payloads.PLAIN_BYTES)
    stream = payloads.request(payloads.stream(EVENT_INTERVAL_US, 200))

    def counted() -> int:
        return int.from_bytes(count.read_bytes(), sys.byteorder)

    with bench.upstream() as upstream:
        setting = Setting(
            upstream,
            bench.folder,
            cores=bench.cores.proxy,
            streaming=True,
            count_allocations=count,
        )
        with proxies.start(proxy, setting) as running:
            closed_load(bench, running.port, body, 64, WARM_UP_SECONDS)
            before = counted()
            found = closed_load(bench, running.port, body, 64, bench.seconds)
            between = counted()
            events = own_load(
                bench, "streams", running.port, stream, connections=STREAMS, seconds=1
            )["events"]
            after = counted()
    return {
        "a_request": (between - before) / found["answered"],
        "an_event": (after - between) / events,
    }


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
        "limited_by_proxy": float(spent.proxy_share >= FULL * workers),
        **common(spent),
    }


def common(spent: Spent) -> Figures:
    return {
        "proxy_share": spent.proxy_share,
        "upstream_share": spent.upstream_share,
        "foreign_share": spent.foreign_share,
    }


# --- streams ---


def stream_cpu(bench: Bench, proxy: str, tls: bool = False) -> Figures:
    """All streams are begun within the first half of the time, and last as long as all of it."""
    events = round(bench.seconds * 1e6 / EVENT_INTERVAL_US)
    begun_until = bench.seconds / 2
    rate = max(STREAMS, math.ceil(STREAMS / begun_until))
    return many_streams(bench, proxy, EVENT_INTERVAL_US, events, begun_until, rate, tls=tls)


def first_token(bench: Bench, proxy: str) -> Figures:
    return many_streams(bench, proxy, 25_000, 40, bench.seconds, STREAMS)


def many_streams(
    bench: Bench,
    proxy: str,
    interval_us: int,
    events: int,
    seconds: float,
    open_rate: int,
    **how: Any,
) -> Figures:
    """`seconds` is until when streams are begun; those that are on their way then are read to their end."""
    request = payloads.request(payloads.stream(interval_us, events))
    options = {"connections": STREAMS, "seconds": seconds, "open_rate": open_rate}
    with serving(bench, proxy, beside=True, streaming=True, **how) as at:
        options |= {"mode": "streams", "port": at.running.port, "request": request}
        if at.fresh:
            own_load(bench, **options)
        with spending(bench, at.upstream, at.running) as spent:
            found = own_load(bench, **options)
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
    body = payloads.chat(payloads.PLAIN_BYTES)
    how: dict[str, Any] = {"mode": "closed", "connections": 1}
    if rate is not None:
        how = {"mode": "open", "connections": 32 if rate <= 5000 else 64, "rate": rate}
    seconds = bench.seconds * (2 if rate and rate <= 100 else 1)
    with serving(bench, proxy, beside=True) as at:
        how |= {"port": at.running.port}
        how |= {"request": payloads.request(body, headers=at.running.headers)}
        if at.fresh:
            own_load(bench, seconds=WARM_UP_SECONDS, **how)
        with spending(bench, at.upstream, at.running) as spent:
            found = own_load(bench, seconds=seconds, **how)
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


def open_streams(bench: Bench, proxy: str, count: int) -> Figures:
    return held(
        bench, proxy, "streams", payloads.request(payloads.stream(1_000_000, 10_000)), count
    )


def settle(running: Running) -> None:
    """Leaves the proxy alone for as long as the page says, and it must live through that."""
    if running.program.ended_within(SETTLE_SECONDS):
        raise Invalid(f"{running.program.command} ended while its memory settled")


def held(bench: Bench, proxy: str, mode: str, request: bytes, count: int) -> Figures:
    with bench.upstream() as upstream:
        setting = Setting(upstream, bench.folder, cores=bench.cores.proxy, streaming=True)
        with proxies.start(proxy, setting) as running:
            before = procfs.memory(running.pid)
            with held_load(bench, mode, running.port, request, connections=count, open_rate=1500):
                settle(running)
                used = procfs.memory(running.pid)
    return {"bytes_each": (used.anonymous - before.anonymous) / count, "total_bytes": used.total}


def burst(bench: Bench, proxy: str, size: int, connections: int) -> Figures:
    with bench.upstream() as upstream:
        setting = Setting(upstream, bench.folder, cores=bench.cores.proxy, streaming=True)
        with proxies.start(proxy, setting) as running:
            before = procfs.memory(running.pid)
            procfs.forget_peak(running.pid)
            closed_load(bench, running.port, payloads.chat(size), connections, bench.seconds)
            settle(running)
            after = procfs.memory(running.pid)
    return {
        "before_bytes": before.total,
        "peak_bytes": max(after.peak, after.total),
        "settled_bytes": after.total,
    }
