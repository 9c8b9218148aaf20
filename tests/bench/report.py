"""Writes docs/benchmarks.md and its charts from the results of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import charts
import proxies
from results import Results, Summary
from scenarios import BODIES, RATES
from targets import TARGETS, Target

KB, MB = 1000, 1_000_000
QUIET = 0.05  # of the machine, used by others
QUICK_ROUNDS = 3
KEPT_UP = 0.99
ALL = [proxies.DIRECT, proxies.NGINX, proxies.HAPROXY, proxies.SPILLWAY]
PROXIES = ALL[1:]


def write(found: dict[str, Any], docs: Path) -> None:
    results = Results(found["measurements"])
    docs.mkdir(parents=True, exist_ok=True)
    for old in docs.glob("benchmarks-*.svg"):
        old.unlink()
    drawn = draw(results, docs)
    parts = [
        intro(found, results),
        targets_table(results),
        *(part for section in SECTIONS if (part := section(results, found["scenarios"], drawn))),
        how(found),
    ]
    (docs / "benchmarks.md").write_text("\n\n".join(parts) + "\n")


# --- words ---


def intro(found: dict[str, Any], results: Results) -> str:
    machine = found["machine"]
    lines = [
        "# Benchmarks: what Spillway costs beside nginx and HAProxy",
        "",
        "Everything on loopback: a scripted upstream that answers at once, a load generator, and in between, in turn,",
        "nginx, HAProxy, Spillway or nothing. nginx and HAProxy relay; Spillway does so with all of its policies on: a",
        "key is checked, one of two deployments chosen, its health and load kept, metrics counted, every hundredth",
        "request logged. The proxy has a core of its own; upstream and load generator share the others.",
        "Figures are medians over the rounds, with the smallest and the largest in brackets. Less is better, except for",
        "requests a second.",
        "",
        f"{machine['processor']}{' (virtual)' if machine['virtual'] else ''}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}, Linux {machine['kernel']}; "
        f"{'; '.join(machine['programs'])}; revision {machine['revision']}. Run {found['begun']}, "
        f"{found['minutes']} minutes, {found['rounds']} rounds of {found['seconds']:g} s each.",
    ]
    if found["missing"]:
        lines += ["", f"Not installed, and so not measured: {', '.join(found['missing'])}."]
    loudest = results.busiest_neighbour()
    if loudest > QUIET:
        lines += [
            "",
            f"**The machine was not quiet**: other processes took up to {loudest:.0%} of it during a "
            "measurement. These figures show that the harness works, not what the proxies cost.",
        ]
    if found["rounds"] < QUICK_ROUNDS:
        lines += ["", "**A quick run**: too few rounds for a spread that means anything."]
    if found["invalid"]:
        lines += ["", "**Measurements that stayed invalid** and are left out:", ""]
        lines += [f"- {fault}" for fault in found["invalid"]]
    return "\n".join(lines)


def targets_table(results: Results) -> str:
    lines = ["## Targets", "", "| what | target | measured | |", "|---|---:|---:|---|"]
    for target in TARGETS:
        value = target.value(results)
        limit = f"<= {target.most:g}" + (f", then {target.later:g}" if target.later else "")
        measured = "-" if value is None else f"{value:.2f} {target.unit}"
        lines.append(
            f"| {target.what} | {limit} {target.unit} | {measured.strip()} | {verdict(target, value)} |"
        )
    lines += [
        "",
        'Ratios are the median of the ratios within each round. What is "to nginx" wants nginx in the run.',
    ]
    return "\n".join(lines)


def verdict(target: Target, value: Optional[float]) -> str:
    if value is None:
        return "not measured"
    if target.later is not None and value <= target.later:
        return "**pass**"
    return "pass" if value <= target.most else "no"


# --- tables ---


def spread(summary: Optional[Summary], scale: float = 1.0) -> str:
    if summary is None:
        return "-"
    middle, low, high = (charts.short(value / scale) for value in summary)
    return middle if low == high else f"{middle} ({low}-{high})"


def table(results: Results, rows: list[tuple[str, str, str, float]], columns: list[str]) -> str:
    """Rows of (words, scenario, figure, scale); rows without a figure are left out."""
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for words, scenario, figure, scale in rows:
        cells = [spread(results.summary(scenario, proxy, figure), scale) for proxy in columns]
        if any(cell != "-" for cell in cells):
            lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines) if len(lines) > 2 else ""


def section(title: str, words: str, body: str, chart: str = "") -> str:
    if not body:
        return ""
    picture = f"![{title}]({chart})\n\n" if chart else ""
    return f"## {title}\n\n{words}\n\n{picture}{body}"


def cpu_section(results: Results, titles: dict[str, str], drawn: dict[str, str]) -> str:
    rows = [
        ("plain upstream, us a request", "cpu/plain", "cpu_us", 1.0),
        ("- share of it in user space", "cpu/plain", "user_share", 1.0),
        ("TLS upstream, us a request", "tls/plain", "cpu_us", 1.0),
        ("1,000 deployments in the group, us a request", "cpu/1000-deployments", "cpu_us", 1.0),
        ("requests a second on one core, plain", "cpu/plain", "requests_per_second", 1.0),
        ("- share of its core that the proxy used", "cpu/plain", "proxy_share", 1.0),
        ("requests a second, one worker, not pinned", "cpu/1-worker", "requests_per_second", 1.0),
        ("requests a second, a worker a core", "cpu/all-cores", "requests_per_second", 1.0),
    ]
    words = (
        "Processor time, user and system, of all of the proxy's processes, divided by the requests that were answered: "
        "700 bytes of request, 500 of answer, 64 connections that stay open. Where a proxy did not use its core up, the "
        "load generator was what limited the requests a second, and the figure is a lower bound. With a worker a core, "
        "upstream and load generator run on the same cores."
    )
    return section("CPU a request", words, table(results, rows, ALL), drawn.get("cpu", ""))


def sse_section(results: Results, titles: dict[str, str], drawn: dict[str, str]) -> str:
    rows = [
        ("CPU, us an event", "sse/event", "cpu_us", 1.0),
        ("CPU, us an event, TLS upstream", "tls/event", "cpu_us", 1.0),
        ("an event's way, p50 us", "sse/event", "event_delay_p50_us", 1.0),
        ("an event's way, p99 us", "sse/event", "event_delay_p99_us", 1.0),
        ("to the first token, p50 us", "sse/first-token", "first_event_p50_us", 1.0),
        ("to the first token, p99 us", "sse/first-token", "first_event_p99_us", 1.0),
    ]
    words = (
        "150 streams, relayed as they come (nginx: `proxy_buffering off`, HAProxy: `option http-no-delay`, without which "
        "it holds events back for 40 ms and more), an event each 5 ms in each of them. Times to the first token are of "
        "streams of one second, begun one after the other on 150 connections."
    )
    return section("Streams", words, table(results, rows, ALL), drawn.get("sse", ""))


def latency_section(results: Results, titles: dict[str, str], drawn: dict[str, str]) -> str:
    rows = [
        (f"{label}, {name} us", f"latency/{scenario}", f"latency_{figure}_us", 1.0)
        for label, scenario in [
            ("one at a time", "one-at-a-time"),
            *((f"{rate:,}/s", str(rate)) for rate in RATES),
        ]
        for name, figure in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"))
    ]
    plain = table(results, rows, ALL)
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
        "\n\n".join(filter(None, [plain, "\n".join(behind)])),
        drawn.get("latency", ""),
    )


def memory_section(results: Results, titles: dict[str, str], drawn: dict[str, str]) -> str:
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
    ]
    words = (
        "User space only; what the kernel keeps for a socket is the same for all. A connection and a stream are counted in "
        "anonymous memory. nginx's memory includes what it sets aside for its connections at start. nginx and HAProxy pass "
        "a body on as it comes and cannot send it again; Spillway keeps it until the answer begins, for the next deployment."
    )
    return section("Memory", words, table(results, rows, PROXIES), drawn.get("memory", ""))


def bodies_section(results: Results, titles: dict[str, str], drawn: dict[str, str]) -> str:
    rows = [(f"{label}, us", f"body/{label}", "cpu_us", 1.0) for label in BODIES]
    words = "CPU a request with larger bodies; nginx with `proxy_request_buffering off`. From 1 MiB on mostly a picture."
    return section("Bodies", words, table(results, rows, PROXIES), drawn.get("bodies", ""))


def start_section(results: Results, titles: dict[str, str], drawn: dict[str, str]) -> str:
    rows = [
        ("until the first answer, ms", "startup/default", "ready_ms", 1.0),
        ("- with 1,000 deployments, ms", "startup/1000", "ready_ms", 1.0),
        ("the program, stripped, MB", "size/binary", "binary_bytes", MB),
    ]
    words = "From before the program is started until it has passed a chat request on; the median of eleven starts."
    return section("Start and size", words, table(results, rows, PROXIES))


SECTIONS = (
    cpu_section,
    sse_section,
    latency_section,
    memory_section,
    bodies_section,
    start_section,
)


def how(found: dict[str, Any]) -> str:
    commands = "\n".join(f"    {command}" for command in found["commands"])
    return f"""## How it was measured

    make bench                                        # everything; writes this page
    tests/bench/bench.py --quick                      # two minutes
    tests/bench/bench.py --only sse --rounds 3        # one kind of scenario; --list names them

Processor time is read from `/proc` before and after the load. For each scenario the proxies take turns, and each round
begins with another one; every measurement has a proxy of its own, warmed up. A measurement is thrown away and repeated
if an answer was not a 200, a connection broke, events were held back, the load generator was late, or the scripted
upstream had no time left, and the run fails if that happens three times. Loads by wrk keep 64 connections busy; fixed
rates and streams come from `tests/bench/load_main.cpp`, because they need every single latency and event. The proxies'
configurations are in `tests/bench/proxies.py`. The load commands, the proxy's and the upstream's port being PORT:

{commands}"""


# --- charts ---


def draw(results: Results, docs: Path) -> dict[str, str]:
    """Writes the charts that there are figures for; their file names."""
    latencies = [
        ("one at a time", "one-at-a-time"),
        *((f"{rate:,}/s", str(rate)) for rate in RATES),
    ]
    plans = {
        "cpu": (
            "CPU a request, us",
            PROXIES,
            False,
            [
                ("plain upstream", "cpu/plain", "cpu_us", 1.0),
                ("TLS upstream", "tls/plain", "cpu_us", 1.0),
            ],
        ),
        "sse": (
            "CPU an event, us",
            PROXIES,
            False,
            [
                ("plain upstream", "sse/event", "cpu_us", 1.0),
                ("TLS upstream", "tls/event", "cpu_us", 1.0),
            ],
        ),
        "latency": (
            "99th percentile of the latency, us",
            ALL,
            True,
            [(label, f"latency/{name}", "latency_p99_us", 1.0) for label, name in latencies],
        ),
        "memory": (
            "Memory each, kB",
            PROXIES,
            True,
            [
                ("idle connection", "memory/connections", "bytes_each", KB),
                ("stream, of 5,000", "memory/streams-5000", "bytes_each", KB),
                ("stream, of 9,000", "memory/streams-9000", "bytes_each", KB),
            ],
        ),
        "bodies": (
            "CPU a request by size of its body, us",
            PROXIES,
            True,
            [(label, f"body/{label}", "cpu_us", 1.0) for label in BODIES],
        ),
    }
    drawn = {}
    for name, (title, names, logarithmic, groups) in plans.items():
        groups = [
            one for one in groups if any(results.summary(one[1], proxy, one[2]) for proxy in names)
        ]
        rows = {
            proxy: [bar(results.summary(one[1], proxy, one[2]), one[3]) for one in groups]
            for proxy in names
        }
        picture = (
            charts.bars(title, [one[0] for one in groups], rows, logarithmic) if groups else ""
        )
        if picture:
            drawn[name] = f"benchmarks-{name}.svg"
            (docs / drawn[name]).write_text(picture)
    return drawn


def bar(summary: Optional[Summary], scale: float) -> charts.Bar:
    return tuple(value / scale for value in summary) if summary else None
