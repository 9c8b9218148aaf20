"""What clients and providers saw during one test, in a few words: for docs/reliability.md."""

from __future__ import annotations

import json
from typing import Any

_seen: list[str] = []  # appended by any thread
_calls: list[None] = []  # one entry for each request that reached a provider

MOST = 6  # different answers that are told; tables of cases have dozens


def begin() -> None:
    _seen.clear()
    _calls.clear()


def note(what: str) -> None:
    _seen.append(what)


def note_call() -> None:
    _calls.append(None)


def note_answer(response: Any) -> None:
    note(told(response))


def summary() -> dict[str, Any]:
    return {"seen": sorted(set(_seen)), "called": bool(_calls)}


def told(response: Any) -> str:
    content_type = response.header("content-type") or ""
    if content_type.startswith("text/event-stream"):
        return f"{response.status}, {end_of_stream(response.body)}"
    if not response.complete:
        return f"{response.status}, cut"
    if response.status >= 400 and content_type.startswith("application/json"):
        try:
            error = json.loads(response.body)["error"]
            return f"{response.status} `{error['code'] or error['type']}`"
        except (ValueError, KeyError, TypeError):
            pass
    return str(response.status)


def end_of_stream(body: bytes) -> str:
    events = [event for event in body.split(b"\n\n") if event.strip()]
    if b"[DONE]" in body[-40:] or b"response.completed" in (events[-1] if events else b""):
        return "a stream to its end"
    if events and b'"error"' in events[-1]:
        return "a stream, then an error event"
    return "a stream, cut"
