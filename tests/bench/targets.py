"""What Spillway's figures are to be, and whether they are: all as ratios or limits within one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

from proxies import DIRECT, HAPROXY, NGINX, SPILLWAY
from results import Results

KB, MIB = 1000, 1024 * 1024
NS_PER_US = 1000
TWO_TO_ONE = 1.8  # times the requests a second, with twice the time
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


def choice(case: str, caches: str) -> Value:
    return figure("routing/choice", f"{case}/{caches}/choice_p50_ns", NS_PER_US)


def two_workers(results: Results) -> Optional[float]:
    """Two workers to one; unknown where the load generator left two too little of the machine."""
    limited = results.median("cpu/2-workers", SPILLWAY, "limited_by_proxy")
    return two_to_one(results, "requests_per_second") if limited == 1 else None


def two_workers_cpu(results: Results) -> Optional[float]:
    """Where workers get into each other's way, by locks or cache lines, each request costs more."""
    return two_to_one(results, "cpu_us")


def two_to_one(results: Results, name: str) -> Optional[float]:
    return results.quotient("cpu/2-workers", "cpu/1-worker", name, SPILLWAY)


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
    *(
        Target(f"the choice {among}, {caches} caches", 2, choice(case, caches), "us")
        for among, case in (
            ("among 1,000 deployments", "1,000 deployments"),
            ("with 1,000 groups", "1,000 groups of two"),
        )
        for caches in ("warm", "cold")
    ),
    Target(
        "requests a second, two workers to one",
        TWO_TO_ONE,
        two_workers,
        at_least=True,
        without=without_two_workers,
    ),
    Target(
        f"CPU a request, two workers to one (2 / {TWO_TO_ONE:g}, for the row above)",
        round(2 / TWO_TO_ONE, 2),
        two_workers_cpu,
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
