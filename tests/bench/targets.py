"""What Spillway's figures are to be, and whether they are: all as ratios or limits within one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

from proxies import DIRECT, HAPROXY, NGINX, SPILLWAY
from results import Results

KB, MIB = 1000, 1024 * 1024
Value = Callable[[Results], Optional[float]]


@dataclass
class Target:
    what: str
    bound: float
    value: Value
    unit: str = ""
    later: Optional[float] = None  # what it is to be in the end
    at_least: bool = False  # or at most
    without: Optional[Callable[[Results], str]] = None  # says why there is no value


def ratio(scenario: str, figure: str, to: str) -> Value:
    return lambda results: results.ratio(scenario, figure, SPILLWAY, to)


def figure(scenario: str, name: str, scale: float = 1.0) -> Value:
    def value(results: Results) -> Optional[float]:
        found = results.median(scenario, SPILLWAY, name)
        return None if found is None else found / scale

    return value


def added(name: str) -> Value:
    return lambda results: results.difference("latency/one-at-a-time", name, SPILLWAY, DIRECT)


def added_ratio(name: str) -> Value:
    def value(results: Results) -> Optional[float]:
        ours, theirs = (
            results.difference("latency/one-at-a-time", name, proxy, DIRECT)
            for proxy in (SPILLWAY, NGINX)
        )
        return None if ours is None or theirs is None or theirs <= 0 else ours / theirs

    return value


def routing(results: Results) -> Optional[float]:
    return more_than_plain(results, "cpu/1000-deployments")


def groups(results: Results) -> Optional[float]:
    return more_than_plain(results, "cpu/1000-groups")


def more_than_plain(results: Results, scenario: str) -> Optional[float]:
    much = results.median(scenario, SPILLWAY, "cpu_us")
    plain = results.median("cpu/plain", SPILLWAY, "cpu_us")
    return None if much is None or plain is None else much - plain


def two_workers(results: Results) -> Optional[float]:
    """Two workers to one; unknown where the load generator left two too little of the machine."""
    limited = results.median("cpu/2-workers", SPILLWAY, "limited_by_proxy")
    one, two = (
        results.median(f"cpu/{name}", SPILLWAY, "requests_per_second")
        for name in ("1-worker", "2-workers")
    )
    return two / one if limited == 1 and one and two else None


def without_two_workers(results: Results) -> str:
    if results.median("cpu/2-workers", SPILLWAY, "limited_by_proxy") is None:
        return "not measured"
    return "no figure: upstream and load generator share the cores and left two workers too little"


TARGETS = [
    Target(
        "CPU a plain chat request, to nginx", 1.05, ratio("cpu/plain", "cpu_us", NGINX), later=0.95
    ),
    Target("CPU a request with a TLS upstream, to nginx", 1.1, ratio("tls/plain", "cpu_us", NGINX)),
    Target(
        "CPU a relayed event, to HAProxy", 1.1, ratio("sse/event", "cpu_us", HAPROXY), later=1.0
    ),
    Target("CPU a relayed event, to nginx unbuffered", 0.95, ratio("sse/event", "cpu_us", NGINX)),
    Target("added latency, one at a time, p50", 40, added("latency_p50_us"), "us"),
    Target("added latency, one at a time, p99", 100, added("latency_p99_us"), "us"),
    Target("the same p50, to nginx's", 1.3, added_ratio("latency_p50_us")),
    Target("the same p99, to nginx's", 1.3, added_ratio("latency_p99_us")),
    Target(
        "p99 at 5,000 requests a second, to nginx's",
        1.3,
        ratio("latency/5000", "latency_p99_us", NGINX),
    ),
    Target("CPU a request of 128 KiB, to nginx", 1.2, ratio("body/128 KiB", "cpu_us", NGINX)),
    Target("CPU a request of 1 MiB, to nginx", 1.3, ratio("body/1 MiB", "cpu_us", NGINX)),
    Target(
        "memory a stream, 9,000 streams", 8, figure("memory/streams-9000", "bytes_each", KB), "kB"
    ),
    Target("memory an idle connection", 2, figure("memory/connections", "bytes_each", KB), "kB"),
    Target("anonymous memory, idle", 6, figure("memory/idle", "anonymous_bytes", MIB), "MiB"),
    Target("the program, stripped", 8, figure("size/binary", "binary_bytes", MIB), "MiB"),
    Target("ready to serve", 20, figure("startup/default", "ready_ms"), "ms"),
    Target("ready to serve with 1,000 deployments", 60, figure("startup/1000", "ready_ms"), "ms"),
    Target("what 1,000 deployments instead of two add to a request", 2, routing, "us"),
    Target("what 1,000 groups instead of one add to a request", 2, groups, "us"),
    Target(
        "requests a second, two workers to one",
        1.8,
        two_workers,
        at_least=True,
        without=without_two_workers,
    ),
    Target(
        "growth under ten minutes of mixed load",
        0.25,
        figure("memory/soak", "grown_bytes", MIB),
        "MiB",
        without=lambda _: "not measured (--soak 10)",
    ),
    Target("allocations a request", 10, figure("cpu/allocations", "a_request")),
]
