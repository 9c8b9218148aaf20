"""Bar charts as plain SVG, with nothing but the standard library."""

from __future__ import annotations

import math
from typing import Optional, Sequence

COLOURS = {"no proxy": "#bbbbbb", "nginx": "#009e73", "HAProxy": "#56b4e9", "Spillway": "#d55e00"}
WIDTH, LEFT, TOP, BOTTOM, HEIGHT, RIGHT = 860, 70, 64, 40, 360, 20

# One bar: the median, and the smallest and largest value; None where nothing was measured.
Bar = Optional[tuple[float, float, float]]


def text(x: float, y: float, words: str, **attributes: object) -> str:
    spelled = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{spelled}>{words}</text>'


def short(value: float) -> str:
    """Three digits, and no more."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ticks(highest: float, logarithmic: bool, lowest: float) -> list[float]:
    if logarithmic:
        return [
            10.0**power
            for power in range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
        ]
    step = 10 ** math.floor(math.log10(highest))
    if highest / step < 4:
        step /= 2 if highest / step >= 2 else 5
    return [step * i for i in range(math.ceil(highest / step) + 1)]


def bars(
    title: str, groups: Sequence[str], rows: dict[str, list[Bar]], logarithmic: bool = False
) -> str:
    """A group of bars for each of `groups`, one bar in it for each row; whiskers show the spread."""
    shown = [bar for row in rows.values() for bar in row if bar]
    if not shown:
        return ""
    lowest = max(min(bar[0] for bar in shown), 1e-3)
    marks = ticks(max(bar[2] for bar in shown), logarithmic, lowest)
    floor = HEIGHT - BOTTOM

    def y_of(value: float) -> float:
        if logarithmic:
            begin = math.log10(marks[0])
            share = (math.log10(max(value, marks[0])) - begin) / max(
                math.log10(marks[-1]) - begin, 1
            )
        else:
            share = value / marks[-1]
        return floor - (floor - TOP) * share

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        text(LEFT, 22, title, font_size=15),
    ]
    for mark in marks:
        parts.append(f'<path d="M{LEFT} {y_of(mark):.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(text(LEFT - 8, y_of(mark) + 4, f"{mark:g}", text_anchor="end"))
    room = (WIDTH - LEFT - RIGHT) / len(groups)
    wide = room * 0.8 / len(rows)
    for at, (name, row) in enumerate(rows.items()):
        parts.append(
            f'<rect x="{LEFT + 110 * at}" y="34" width="12" height="12" fill="{COLOURS[name]}"/>'
        )
        parts.append(text(LEFT + 110 * at + 18, 44, name))
        for group, bar in enumerate(row):
            if bar is None:
                continue
            x, y = LEFT + room * group + room * 0.1 + wide * at, y_of(bar[0])
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide * 0.92:.1f}" height="{floor - y:.1f}" '
                f'fill="{COLOURS[name]}"/>'
            )
            middle = x + wide * 0.46
            parts.append(
                f'<path d="M{middle:.1f} {y_of(bar[1]):.1f}V{y_of(bar[2]):.1f}" stroke="#333333"/>'
            )
            parts.append(
                text(middle, y_of(bar[2]) - 4, short(bar[0]), text_anchor="middle", font_size=10)
            )
    for group, name in enumerate(groups):
        parts.append(text(LEFT + room * (group + 0.5), floor + 18, name, text_anchor="middle"))
    return "\n".join([*parts, "</svg>", ""])
