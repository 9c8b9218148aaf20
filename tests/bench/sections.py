"""The sections of the page: a heading, words, a chart and tables each; empty where nothing was measured."""

from __future__ import annotations

from typing import Callable, Optional

import charts
import proxies
from results import Results, Summary
from scenarios import BODIES, RATES

KB, MB = 1000, 1_000_000
KEPT_UP = 0.99
ALL = [proxies.DIRECT, proxies.NGINX, proxies.HAPROXY, proxies.SPILLWAY]
PROXIES = ALL[1:]

# The words of a row, the scenario and the figure in it, and by what it is divided.
Row = tuple[str, str, str, float]


def spread(summary: Optional[Summary], scale: float = 1.0) -> str:
    if summary is None:
        return "-"
    middle, low, high = (charts.short(value / scale) for value in summary)
    return middle if low == high else f"{middle} ({low}-{high})"


def table(results: Results, rows: list[Row], columns: list[str]) -> str:
    """Rows of (words, scenario, figure, scale); rows without a figure are left out."""
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for words, scenario, figure, scale in rows:
        cells = [spread(results.summary(scenario, proxy, figure), scale) for proxy in columns]
        if any(cell != "-" for cell in cells):
            lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines) if len(lines) > 2 else ""


def added_table(results: Results, rows: list[Row]) -> str:
    """What each proxy adds to having none, as the difference of the medians."""
    lines = ["| added by | " + " | ".join(PROXIES) + " |", "|---|" + "---:|" * len(PROXIES)]
    for words, scenario, figure, scale in rows:
        added = [results.difference(scenario, figure, proxy, proxies.DIRECT) for proxy in PROXIES]
        if any(value is not None for value in added):
            cells = ["-" if value is None else signed(value / scale) for value in added]
            lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines) if len(lines) > 2 else ""


def signed(value: float) -> str:
    return charts.short(value) if value >= 0 else f"-{charts.short(-value)}"


def section(title: str, words: str, body: str, chart: str = "") -> str:
    if not body:
        return ""
    picture = f"![{title}]({chart})\n\n" if chart else ""
    return f"## {title}\n\n{words}\n\n{picture}{body}"


def cpu_section(results: Results, drawn: dict[str, str]) -> str:
    rows = [
        ("plain upstream, us a request", "cpu/plain", "cpu_us", 1.0),
        ("- share of it in user space", "cpu/plain", "user_share", 1.0),
        ("TLS upstream, us a request", "tls/plain", "cpu_us", 1.0),
        ("1,000 deployments in the group, us a request", "cpu/1000-deployments", "cpu_us", 1.0),
        ("1,000 groups, one of them asked, us a request", "cpu/1000-groups", "cpu_us", 1.0),
        ("instructions a request, user space", "count/instructions", "a_request", 1.0),
        ("system calls a request", "count/system calls", "many/all", 1.0),
        ("allocations a request", "cpu/allocations", "a_request", 1.0),
        ("requests a second on one core, plain", "cpu/plain", "requests_per_second", 1.0),
        ("- share of its core that the proxy used", "cpu/plain", "proxy_share", 1.0),
        ("requests a second, one worker, not pinned", "cpu/1-worker", "requests_per_second", 1.0),
        ("requests a second, two workers, not pinned", "cpu/2-workers", "requests_per_second", 1.0),
        ("requests a second, a worker a core", "cpu/all-cores", "requests_per_second", 1.0),
        ("one worker, not pinned, us a request", "cpu/1-worker", "cpu_us", 1.0),
        ("two workers, not pinned, us a request", "cpu/2-workers", "cpu_us", 1.0),
    ]
    words = (
        "Processor time, user and system, of all of the proxy's processes, divided by the requests that were answered: "
        "700 bytes of request, 500 of answer, 64 connections that stay open. Where a proxy did not use its core up, the "
        "load generator was what limited the requests a second, and the figure is a lower bound. Workers that "
        "are not pinned share the cores with upstream and load generator; two of them can answer 1.8 times as many requests "
        "as one only if a request takes them no more than 1.11 times its time. Instructions are counted by callgrind, which "
        "sees user space only: what the kernel does for a proxy, most of the time above, is not among them."
    )
    body = "\n".join(filter(None, [table(results, rows, ALL), two_workers_row(results)]))
    return section("CPU a request", words, body, drawn.get("cpu", ""))


def two_workers_row(results: Results) -> str:
    """The last of the table."""
    found = [results.quotient("cpu/2-workers", "cpu/1-worker", "cpu_us", proxy) for proxy in ALL]
    if not any(found):
        return ""
    cells = ["-" if value is None else f"{value:.2f}" for value in found]
    return "| - two workers' to one's | " + " | ".join(cells) + " |"


def sse_section(results: Results, drawn: dict[str, str]) -> str:
    rows = [
        ("CPU, us an event", "sse/event", "cpu_us", 1.0),
        ("CPU, us an event, TLS upstream", "tls/event", "cpu_us", 1.0),
        ("instructions an event, user space", "count/instructions", "an_event", 1.0),
        ("system calls an event", "count/system calls", "event/all", 1.0),
        ("allocations an event", "cpu/allocations", "an_event", 1.0),
        ("an event's way, p50 us", "sse/event", "event_delay_p50_us", 1.0),
        ("an event's way, p99 us", "sse/event", "event_delay_p99_us", 1.0),
        ("to the first token, p50 us", "sse/first-token", "first_event_p50_us", 1.0),
        ("to the first token, p99 us", "sse/first-token", "first_event_p99_us", 1.0),
    ]
    words = (
        "150 streams, relayed as they come (nginx: `proxy_buffering off`, HAProxy: `option http-no-delay`, without which "
        "it holds events back for 40 ms and more), an event each 5 ms in each of them. The events of a stream differ in "
        "nothing but their text: Spillway compares such events, and reads those that differ in more, which costs it more "
        "than is measured here. Times to the first token are of streams of one second, begun one after the other on 150 "
        "connections."
    )
    body = "\n\n".join(filter(None, [table(results, rows, ALL), added_table(results, rows[5:])]))
    return section("Streams", words, body, drawn.get("sse", ""))


def latency_section(results: Results, drawn: dict[str, str]) -> str:
    rows = [
        (f"{label}, {name} us", f"latency/{scenario}", f"latency_{figure}_us", 1.0)
        for label, scenario in [
            ("one at a time", "one-at-a-time"),
            *((f"{rate:,}/s", str(rate)) for rate in RATES),
        ]
        for name, figure in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"))
    ]
    plain = table(results, rows, ALL)
    added = added_table(results, rows)
    words = (
        "From when a request was due until its answer was there; what a proxy adds is the difference to no proxy. At a "
        "fixed rate requests are sent whether or not earlier ones were answered, so that a pause is charged with all that "
        "it held up. Without a proxy the upstream runs on the proxy's core, so that requests cross cores there too."
    )
    behind = [
        f"{proxy} at {rate:,} requests a second answered {kept:.0%} of them in time."
        for rate in RATES
        for proxy in ALL
        if (kept := results.median(f"latency/{rate}", proxy, "kept_up")) is not None
        and kept < KEPT_UP
    ]
    return section(
        "Latency",
        words,
        "\n\n".join(filter(None, [plain, added, "\n".join(behind)])),
        drawn.get("latency", ""),
    )


def memory_section(results: Results, drawn: dict[str, str]) -> str:
    rows = [
        ("idle, anonymous, MB", "memory/idle", "anonymous_bytes", MB),
        ("idle, resident in all, MB", "memory/idle", "total_bytes", MB),
        ("an idle connection, kB", "memory/connections", "bytes_each", KB),
        ("a stream, of 5,000, kB", "memory/streams-5000", "bytes_each", KB),
        ("a stream, of 9,000, kB", "memory/streams-9000", "bytes_each", KB),
        ("120 KiB bodies, 64 at once: peak, MB", "memory/burst 120 KiB", "peak_bytes", MB),
        ("- three seconds later, MB", "memory/burst 120 KiB", "settled_bytes", MB),
        ("10 MiB bodies, 16 at once: peak, MB", "memory/burst 10 MiB", "peak_bytes", MB),
        ("- three seconds later, MB", "memory/burst 10 MiB", "settled_bytes", MB),
        ("slow readers of streams, each, kB", "memory/slow streams", "bytes_each", KB),
        ("- all 200 of them: peak, MB", "memory/slow streams", "peak_bytes", MB),
        ("- three seconds after they left, MB", "memory/slow streams", "settled_bytes", MB),
        ("slow readers of answers of 1 MiB, each, kB", "memory/slow answers", "bytes_each", KB),
        ("- all 200 of them: peak, MB", "memory/slow answers", "peak_bytes", MB),
        ("- three seconds after they left, MB", "memory/slow answers", "settled_bytes", MB),
        ("after a long mixed load, anonymous, MB", "memory/soak", "anonymous_bytes", MB),
        ("- grown since a fifth of it, MB", "memory/soak", "grown_bytes", MB),
    ]
    words = (
        "User space only; what the kernel keeps for a socket is the same for all. A connection and a stream are counted in "
        "anonymous memory. nginx's memory includes what it sets aside for its connections at start. nginx and HAProxy pass "
        "a body on as it comes and cannot send it again; Spillway keeps it until the answer begins, for the next deployment. "
        "Slow readers: 200 clients ask for 2 MB and more each; every other one takes 10 kB a second at most, the rest "
        "nothing, for six seconds. A proxy that went on reading would hold all of it."
    )
    body = "\n\n".join(filter(None, [table(results, rows, PROXIES), soaked(results)]))
    return section("Memory", words, body, drawn.get("memory", ""))


def soaked(results: Results) -> str:
    """What the long mixed load was made of; empty where there was none."""
    kinds = ("plain", "large", "streamed", "failing", "leaving")
    done = [results.median("memory/soak", proxies.SPILLWAY, kind) for kind in ("minutes", *kinds)]
    if None in done:
        return ""
    minutes, *numbers = done
    parts = ", ".join(f"{number:,.0f} {kind}" for kind, number in zip(kinds, numbers))
    return (
        f"The mixed load lasted {minutes:g} minutes, all kinds of requests at once: {parts}. Large are bodies of "
        "128 KiB; failing are malformed or refused requests and failures of the upstream, leaving are clients that "
        "went away while they asked, waited or read. Memory is read every ten seconds, when nothing is under way."
    )


def bodies_section(results: Results, drawn: dict[str, str]) -> str:
    rows = [(f"{label}, us", f"body/{label}", "cpu_us", 1.0) for label in BODIES]
    words = "CPU a request with larger bodies; nginx with `proxy_request_buffering off`. From 1 MiB on mostly a picture."
    return section("Bodies", words, table(results, rows, PROXIES), drawn.get("bodies", ""))


def start_section(results: Results, drawn: dict[str, str]) -> str:
    rows = [
        ("until the first answer, ms", "startup/default", "ready_ms", 1.0),
        ("- with 1,000 deployments, ms", "startup/1000", "ready_ms", 1.0),
        ("the program, stripped, MB", "size/binary", "binary_bytes", MB),
        ("- and all of its shared libraries, MB", "size/binary", "with_libraries_bytes", MB),
        ("the container image, its base included, MB", "size/binary", "image_bytes", MB),
    ]
    words = (
        "From before the program is started until it has passed a chat request on; the median of eleven starts. A "
        "container image holds the program and its shared libraries beside what its base has; the C and C++ "
        "libraries, which are in the sum, are usually in the base."
    )
    return section("Start and size", words, table(results, rows, PROXIES))


SECTIONS: tuple[Callable[[Results, dict[str, str]], str], ...] = (
    cpu_section,
    sse_section,
    latency_section,
    memory_section,
    bodies_section,
    start_section,
)
