#!/usr/bin/env python3
"""Draws docs/balancing-*.svg and the tables of docs/balancing.md from the balancing simulation.

    plot_balancing.py build/debug/balancing_simulation [SEEDS]

Needs nothing but the standard library.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
COLOURS = {
    "simple-shuffle": "#888888",
    "least-busy": "#e69f00",
    "usage-based-routing-v2": "#56b4e9",
    "latency-based-routing": "#009e73",
    "cost-based-routing": "#cc79a7",
    "adaptive": "#d55e00",
}
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 860, 380, 70, 40, 200, 45
LOWEST_MS, HIGHEST_MS = 300.0, 60_000.0
TICKS_MS = (500, 1000, 2000, 5000, 10_000, 20_000, 50_000)


def x_of(second: float, length: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * second / length


def y_of(ms: float) -> float:
    share = math.log(max(ms, LOWEST_MS) / LOWEST_MS) / math.log(HIGHEST_MS / LOWEST_MS)
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(share, 1.0))


def text(x: float, y: float, words: str, **attributes: object) -> str:
    spelled = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{spelled}>{words}</text>'


def line(row: dict, length: float) -> str:
    """One strategy's 99th percentile over time; a gap where nothing was answered."""
    path, pen_up = [], True
    for i, ms in enumerate(row["p99_ms_timeline"]):
        if ms is None:
            pen_up = True
            continue
        x, y = x_of((i + 0.5) * row["bin_s"], length), y_of(ms)
        path.append(f"{'M' if pen_up else 'L'}{x:.1f} {y:.1f}")
        pen_up = False
    width = 3 if row["strategy"] == "adaptive" else 1.5
    colour = COLOURS[row["strategy"]]
    return f'<path d="{" ".join(path)}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def chart(rows: list[dict], title: str) -> str:
    length = len(rows[0]["p99_ms_timeline"]) * rows[0]["bin_s"]
    begin, end = (x_of(rows[0][key], length) for key in ("trouble_from_s", "trouble_until_s"))
    floor = HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<rect x="{begin:.1f}" y="{TOP}" width="{end - begin:.1f}" height="{floor - TOP}" '
        'fill="#f3ece4"/>',
        text(LEFT, 22, title, font_size=15),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "seconds", text_anchor="middle"),
    ]
    for tick in TICKS_MS:
        y = y_of(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(text(LEFT - 8, y + 4, f"{tick / 1000:g} s", text_anchor="end"))
    for second in range(0, length + 1, 60):
        x = x_of(second, length)
        parts.append(text(x, floor + 16, str(second), text_anchor="middle"))
    for place, row in enumerate(rows):
        y = TOP + 14 + 20 * place
        parts.append(line(row, length))
        parts.append(
            f'<path d="M{WIDTH - RIGHT + 12} {y - 4}h22" stroke="{COLOURS[row["strategy"]]}" '
            'stroke-width="3"/>'
        )
        parts.append(text(WIDTH - RIGHT + 40, y, row["strategy"]))
    return "\n".join([*parts, "</svg>", ""])


def table(rows: list[dict]) -> str:
    lines = [
        "| strategy | p50 | p99 | errors | calls wasted | answered by the troubled one |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        bold = "**" if row["strategy"] == "adaptive" else ""
        lines.append(
            f"| {bold}{row['strategy']}{bold} | {row['p50_ms'] / 1000:.2f} s "
            f"| {row['p99_ms'] / 1000:.2f} s | {row['errors']} of {row['requests']} "
            f"| {row['wasted']} | {row['troubled_share']:.1%} |"
        )
    return "\n".join(lines)


TITLES = {
    "slow": "One of four deployments answers ten times slower: p99 to the first token",
    "rate-limited": "One of four allows 60 requests a minute: p99 to the first token",
    "flapping": "One of four is down ten seconds out of thirty: p99 to the first token",
}


def main() -> None:
    answer = subprocess.run(sys.argv[1:], check=True, capture_output=True, text=True).stdout
    results = json.loads(answer)
    page = DOCS / "balancing.md"
    words = page.read_text(encoding="utf-8")
    for trouble in ("none", *TITLES):
        rows = [row for row in results if row["trouble"] == trouble]
        if trouble in TITLES:
            drawn = chart(rows, TITLES[trouble])
            (DOCS / f"balancing-{trouble}.svg").write_text(drawn, encoding="utf-8")
        begin, end = f"<!-- table: {trouble} -->\n", "\n<!-- end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        words = pattern.sub(lambda _: begin + table(rows) + end, words)
    page.write_text(words, encoding="utf-8")


if __name__ == "__main__":
    main()
