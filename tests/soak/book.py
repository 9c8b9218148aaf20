"""What was asked and what reached the providers: the two sides that the gateway's log is held to.

Every request has an id of its own. Clients send it as `x-request-id`, where the access log has it
from, and as the body's `user`, where the providers see it. The names of what the providers are to
do with the calls of a request, one after the other, wait here under that id.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Optional

WAIT_SECONDS = 20.0


@dataclass
class Asked:
    """One request, as its client saw it."""

    id: str
    kind: str
    group: str = ""  # the model group that it named; empty: none that there is
    streamed: bool = False
    # How it ended: "whole", "failed" (whole, but an error), "cut" (its end is missing, or an error
    # event), "left" (by its client), "silent" (closed without an answer).
    end: str = "silent"
    status: int = 0  # of the answer; 0: no head was seen
    received: int = 0  # bytes of the answer, where all of them were read
    deployment: str = ""  # as the answer named it
    statuses: tuple[int, ...] = ()  # that the log may tell; empty: the one that was seen
    lines: tuple[int, ...] = (1,)  # how many lines the log may have
    note: str = ""  # what went wrong on the client's side of the test itself
    round: int = 0  # of the traffic, in which it ended


@dataclass
class Called:
    """One call, as a provider saw it."""

    deployment: str
    behaviour: str
    stale: bool = False  # dropped on a used connection: the gateway repeats it as the same attempt


@dataclass
class Book:
    asked: list[Asked] = field(default_factory=list)
    calls: dict[str, list[Called]] = field(default_factory=dict)
    unmarked: list[str] = field(default_factory=list)  # calls that belong to nobody
    round: int = 0
    _scripts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()

    # --- for clients ---

    def expect(self, request: Asked, script: tuple[str, ...]) -> None:
        """Providers will answer its calls as the script says, and then well."""
        with self._changed:
            self._scripts[request.id] = script

    def enter(self, request: Asked) -> None:
        """The request is over for its client. Its script stays for calls that are still to come."""
        with self._changed:
            request.round = self.round
            self.asked.append(request)

    def wait_for_call(self, id: str) -> bool:
        """Whether a provider was asked in time."""
        with self._changed:
            return self._changed.wait_for(lambda: id in self.calls, WAIT_SECONDS)

    def rest(self) -> None:
        """Nothing is under way: no script is wanted any more, and another round begins."""
        with self._changed:
            self._scripts.clear()
            self.round += 1

    # --- for providers ---

    def note_call(self, body: Any, first_on_connection: bool) -> str:
        """The name of the behaviour for this call."""
        id: Optional[str] = body.get("user") if isinstance(body, dict) else None
        with self._changed:
            if not id:
                self.unmarked.append(repr(body)[:200])
                return "ok"
            calls = self.calls.setdefault(id, [])
            script = self._scripts.get(id, ())
            name = script[len(calls)] if len(calls) < len(script) else "ok"
            stale = name in ("reset", "close") and not first_on_connection
            calls.append(Called(body.get("model", ""), name, stale))
            self._changed.notify_all()
            return name
