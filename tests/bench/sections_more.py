"""More sections of the page: the choice of a deployment, system calls by name, and other gateways."""

from __future__ import annotations

import charts
from gateways import LITELLM, PORTKEY
from proxies import NGINX, SPILLWAY
from results import Results
from sections import MB, PROXIES, Row, section, spread, table

CHOICE = "routing/choice"
CALLS = "count/system calls"
MIB = 1024 * 1024
KINDS = {
    "one": "a request, one connection",
    "many": "a request, 64 connections",
    "event": "a relayed event, 16 streams",
}
RARE = 0.005  # calls; what rounds to nothing is left out
GATEWAYS = [NGINX, SPILLWAY, PORTKEY, LITELLM]


def choice_section(results: Results, _: dict[str, str]) -> str:
    tables = [
        choice_table(results, "choice", "ns, to the call"),
        choice_table(results, "with_books", "ns, and with its answer booked"),
    ]
    walked = results.median(CHOICE, SPILLWAY, "walked_bytes") or 0.0
    words = (
        "From the name of the model to the call that is to be made, without a server: what a worker does for a request on "
        "the state that workers share, and then what it changes there once the call is answered. Where nothing is said, by "
        "`simple-shuffle`; every deployment has answered before. A strategy that wants the least of something looks at all "
        "of the group where a few draws find nobody who is idle, unused or unknown. Warm: one choice after the other. Cold: "
        f"before each choice and each answer {walked / MIB:.0f} MiB are read, twice what the second-level cache holds, so "
        "that code and state come from the third level or from memory. A busy worker's caches still hold the code, and "
        "some of the state: there it takes less. The time that the clock takes is left out."
    )
    return section("The choice of a deployment", words, "\n\n".join(filter(None, tables)))


def choice_table(results: Results, what: str, words: str) -> str:
    columns = [(caches, at) for caches in ("warm", "cold") for at in ("p50", "p99")]
    cases = dict.fromkeys(
        figure.split("/")[0]
        for scenario, figure in results.figures(SPILLWAY)
        if scenario == CHOICE and "/" in figure
    )
    lines = [
        f"| {words} | " + " | ".join(f"{caches}, {at}" for caches, at in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for case in cases:
        names = [f"{case}/{caches}/{what}_{at}_ns" for caches, at in columns]
        cells = [spread(results.summary(CHOICE, SPILLWAY, name)) for name in names]
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return "\n".join(lines) if cases else ""


def calls_section(results: Results, _: dict[str, str]) -> str:
    tables = [calls_table(results, kind, words) for kind, words in KINDS.items()]
    words = (
        "Counted with strace once the proxy is warm; in brackets those that came back with EAGAIN, in vain. strace makes "
        "each call slow, so that under many connections a proxy finds more work at each wake-up than it would otherwise, "
        "and waits less often. Connections that are opened and closed are not in the figures; nor are calls that the "
        "C library answers without the kernel, such as the time where the machine's clock allows it."
    )
    return section("System calls", words, "\n\n".join(filter(None, tables)))


def calls_table(results: Results, kind: str, words: str) -> str:
    names = dict.fromkeys(
        figure.removeprefix(f"{kind}/")
        for proxy in PROXIES
        for scenario, figure in results.figures(proxy)
        if scenario == CALLS and figure.startswith(f"{kind}/")
    )
    ordered = sorted(names, key=lambda name: (name == "all", name))
    lines = [f"| {words} | " + " | ".join(PROXIES) + " |", "|---|" + "---:|" * len(PROXIES)]
    for name in ordered:
        numbers = [results.median(CALLS, proxy, f"{kind}/{name}") or 0.0 for proxy in PROXIES]
        vain = [results.median(CALLS, proxy, f"{kind}!/{name}") or 0.0 for proxy in PROXIES]
        if max(numbers) >= RARE:
            shown = "all of them" if name == "all" else f"`{name}`"
            lines.append(f"| {shown} | " + " | ".join(map(cell, numbers, vain)) + " |")
    return "\n".join(lines) if len(lines) > 2 else ""


def cell(calls: float, vain: float) -> str:
    if calls < RARE:
        return "-"
    return f"{charts.short(calls)} ({charts.short(vain)})" if vain >= RARE else charts.short(calls)


def gateways_section(results: Results, _: dict[str, str]) -> str:
    rows: list[Row] = [
        ("CPU, us a request", "cpu/plain", "cpu_us", 1.0),
        ("requests a second on one core", "cpu/plain", "requests_per_second", 1.0),
        ("one at a time, p50 us", "latency/one-at-a-time", "latency_p50_us", 1.0),
        ("one at a time, p99 us", "latency/one-at-a-time", "latency_p99_us", 1.0),
        ("idle, anonymous, MB", "memory/idle", "anonymous_bytes", MB),
        ("idle, resident in all, MB", "memory/idle", "total_bytes", MB),
    ]
    measured = [name for name in GATEWAYS if results.figures(name)]
    if not {PORTKEY, LITELLM} & set(measured):
        return ""
    words = (
        "The same load and upstream, one process on one core, no database and no log; on 8 connections for those that "
        "take milliseconds. Portkey checks no key here. Installed by `make bench-gateways`."
    )
    return section("Other gateways", words, table(results, rows, measured))
