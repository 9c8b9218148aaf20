"""What came of each row of the failure catalogue, and the page made of it.

The tests note what they saw; `make catalogue` has it written to docs/failures.md.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from canned import DONE
from streams import without_comments
from upstream import Upstream
from wire import Response

FOLDER = os.environ.get("SPILLWAY_CATALOGUE")  # where the page goes; unset: nowhere

INTRODUCTION = """# What happens when a provider fails

Made by `make catalogue` from the tests in `tests/blackbox/test_failure_catalogue.py`, which run the program against
scripted providers over real sockets. Times are seconds after the client's request; deadlines are shortened, so that what
takes 20 or 30 seconds in production takes less here.

| the provider | beside it | the client got | who was asked, and when |
|---|---|---|---|
"""

FLAPPING = """
## A provider that is down for a while and comes back

![Calls to the primary over time](flapping.svg)

The primary answers 503 for {down:.0f} s. {requests} requests were made one after the other; {failed} failed. The primary
saw {probes} calls between the opening of its breaker and its recovery, and served again {back:.1f} s after it recovered.
"""


def told(answer: Response) -> str:
    """An answer in a few words."""
    if answer.status != 200:
        error = answer.error
        wait = answer.header("retry-after")
        return f"{answer.status} `{error['code'] or error['type']}`" + (
            f", retry-after {wait}" if wait else ""
        )
    if (answer.header("content-type") or "").startswith("text/event-stream"):
        text, _ = text_of(answer.body)
        end = "`[DONE]`" if answer.body.endswith(DONE) else "an error event"
        return f'200, "{shortened(text)}", then {end}'
    message = answer.json()["choices"][0]["message"]["content"]
    return f'200, "{shortened(message)}"'


def shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:24]}…{text[-12:]}"


def text_of(body: bytes) -> tuple[str, set[str]]:
    """The text of a chat stream, and the ids of its chunks."""
    events = [event for event in without_comments(body).split(b"\n\n") if event.strip()]
    chunks = [json.loads(event[6:]) for event in events if event != DONE.strip()]
    pieces = [
        choice["delta"].get("content") or ""
        for chunk in chunks
        for choice in chunk.get("choices", [])
    ]
    return "".join(pieces), {chunk["id"] for chunk in chunks if "id" in chunk}


@dataclass
class Scene:
    """One row: the upstreams by the name they have in the table, and the client's view."""

    upstreams: dict[str, Upstream]
    begun: float = field(default_factory=time.monotonic)

    def calls(self) -> list[tuple[float, str]]:
        return sorted(
            (request.at - self.begun, name)
            for name, upstream in self.upstreams.items()
            for request in upstream.requests
        )

    def asked(self) -> list[str]:
        return [name for _, name in self.calls()]


class Catalogue:
    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []
        self.flapping: Optional[dict[str, Any]] = None

    def note(self, provider: str, beside: str, answer: Response, scene: Scene) -> None:
        calls = ", ".join(f"{name} {at:.1f}" for at, name in scene.calls())
        self.rows.append((provider, beside, told(answer), calls))

    def write(self) -> None:
        if not FOLDER or not self.rows:
            return
        page = INTRODUCTION + "".join(f"| {' | '.join(row)} |\n" for row in self.rows)
        if self.flapping:
            page += FLAPPING.format(**self.flapping)
            (Path(FOLDER) / "flapping.svg").write_text(chart(self.flapping))
        (Path(FOLDER) / "failures.md").write_text(page)


def chart(run: dict[str, Any]) -> str:
    """Three lines of dots over time: what the client got, and what primary and fallback answered."""
    width, left = 900, 110
    end = max(at for at, _ in run["client"])
    x = lambda at: left + (width - left - 20) * at / end  # noqa: E731
    rows = [("client", run["client"]), ("primary", run["primary"]), ("fallback", run["fallback"])]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="190" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="190" fill="white"/>',
        f'<rect x="{x(run["down_from"]):.1f}" y="20" height="120" fill="#fbe3e0" '
        f'width="{x(run["down_until"]) - x(run["down_from"]):.1f}"/>',
        f'<text x="{x(run["down_from"]) + 4:.1f}" y="34" fill="#a33">primary is down</text>',
    ]
    for number, (name, calls) in enumerate(rows):
        y = 60 + 35 * number
        parts.append(f'<text x="10" y="{y + 4}">{name}</text>')
        # Dots on top of each other are one.
        parts += [
            f'<circle cx="{at}" cy="{y}" r="3" fill="{"#2a7" if good else "#c33"}"/>'
            for at, good in sorted({(round(x(at)), good) for at, good in calls})
        ]
    step = max(1, round(end / 8))
    parts += [
        f'<text x="{x(second):.1f}" y="170" text-anchor="middle">{second} s</text>'
        for second in range(0, int(end) + 1, step)
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"
