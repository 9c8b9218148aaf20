"""Which charts the page has, and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import charts
from results import Results, Summary
from scenarios import BODIES, RATES
from sections import ALL, KB, PROXIES


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
