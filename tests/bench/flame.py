"""A flame graph as plain SVG: how much of the time each function was on the stack, and who called it.

Wide is much; above a function are those that it called. The full name and the share are a tooltip. Nothing in it
is a script, so that it can be shown anywhere.
"""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass, field

from stacks import ASIO, CORE, GROUPS, JSON, KERNEL, LIBC, MEMORY, OTHER, SERVER, Frame, Stack

COLOURS = {
    KERNEL: "#f2c28b",
    ASIO: "#9fc5e8",
    CORE: "#f28e6b",
    SERVER: "#f6b5a0",
    JSON: "#b6d7a8",
    MEMORY: "#d5a6bd",
    LIBC: "#d9d2e9",
    OTHER: "#dddddd",
}
WIDTH, MARGIN, ROW, TOP, LETTER = 1200, 10, 17, 64, 6.2
SMALLEST = 0.0008  # of all samples; narrower boxes could not be seen


@dataclass
class Node:
    samples: int = 0
    children: dict[Frame, "Node"] = field(default_factory=dict)


def tree(stacks: Counter[Stack]) -> Node:
    root = Node()
    for stack, samples in stacks.items():
        root.samples += samples
        node = root
        for frame in stack:
            node = node.children.setdefault(frame, Node())
            node.samples += samples
    return root


def depth(node: Node, least: float) -> int:
    shown = [child for child in node.children.values() if child.samples >= least]
    return 1 + max((depth(child, least) for child in shown), default=0)


def draw(stacks: Counter[Stack], title: str) -> str:
    root = tree(stacks)
    least = root.samples * SMALLEST
    height = TOP + ROW * (depth(root, least) - 1) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="DejaVu Sans Mono, Menlo, monospace" font-size="10">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{MARGIN}" y="22" font-size="15" font-family="sans-serif">{html.escape(title)}</text>',
        *legend(stacks, root.samples),
    ]
    scale = (WIDTH - 2 * MARGIN) / root.samples
    boxes(parts, root, MARGIN, height - MARGIN - ROW, scale, root.samples, least)
    return "\n".join([*parts, "</svg>", ""])


def legend(stacks: Counter[Stack], samples: int) -> list[str]:
    """Each group's own share: of the samples that were taken in one of its functions."""
    own: Counter[str] = Counter()
    for stack, count in stacks.items():
        own[stack[-1].group] += count
    parts, x = [], MARGIN
    for group in GROUPS:
        if own[group]:
            words = f"{group} {own[group] / samples:.0%}"
            parts.append(
                f'<rect x="{x}" y="34" width="12" height="12" fill="{COLOURS[group]}"/>'
                f'<text x="{x + 17}" y="44" font-size="11">{words}</text>'
            )
            x += 17 + int(LETTER * 1.2 * len(words)) + 20
    return parts


def boxes(
    parts: list[str], node: Node, x: float, y: float, scale: float, samples: int, least: float
) -> None:
    for frame, child in sorted(node.children.items()):
        wide = child.samples * scale
        if child.samples >= least:
            parts.append(box(frame, x, y, wide, child.samples / samples))
            boxes(parts, child, x, y - ROW, scale, samples, least)
        x += wide


def box(frame: Frame, x: float, y: float, wide: float, share: float) -> str:
    name = html.escape(frame.name)
    drawn = (
        f'<g><title>{name}: {share:.1%}</title><rect x="{x:.1f}" y="{y}" width="{wide:.1f}" '
        f'height="{ROW - 1}" rx="1" fill="{COLOURS[frame.group]}" stroke="#ffffff" stroke-width="0.4"/>'
    )
    label = shortened(frame.name, int((wide - 4) / LETTER))
    if label:
        drawn += f'<text x="{x + 2:.1f}" y="{y + 12}">{html.escape(label)}</text>'
    return f"{drawn}</g>"


def shortened(name: str, room: int) -> str:
    """As many of the last parts of a name as there is room for; the begin of the last one if there is little."""
    if room < 3:
        return ""
    while len(name) > room and "::" in name:
        name = name.split("::", 1)[1]
    return name if len(name) <= room else f"{name[: room - 2]}.."
