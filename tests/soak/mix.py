"""How often each kind of traffic is drawn, and the clients that draw."""

from __future__ import annotations

import threading
import time
from typing import Callable

from book import Book
from caller import Caller
from traffic import (
    bad_head,
    crowd,
    embeddings,
    failing,
    failing_stream,
    half_body_left,
    half_body_waiting,
    half_head_left,
    half_head_waiting,
    large,
    left_at_once,
    left_between_calls,
    left_in_stream,
    left_waiting,
    malformed,
    own_pages,
    pipelined,
    plain,
    reset_at_once,
    silent_provider,
    slow_provider,
    slow_reader,
    stopped_reader,
    streamed,
)

PATIENCE_SECONDS = 120.0  # longer than any client waits for its answer

Kind = Callable[[Caller], None]
MIX: dict[Kind, int] = {
    plain: 20,
    large: 3,
    embeddings: 5,
    streamed: 15,
    pipelined: 3,
    slow_provider: 5,
    slow_reader: 2,
    stopped_reader: 1,
    own_pages: 3,
    failing: 14,
    failing_stream: 12,
    silent_provider: 1,
    crowd: 1,
    left_waiting: 4,
    left_between_calls: 1,
    left_at_once: 3,
    reset_at_once: 3,
    left_in_stream: 4,
    malformed: 8,
    bad_head: 4,
    half_head_waiting: 1,
    half_head_left: 2,
    half_body_waiting: 1,
    half_body_left: 2,
}


class Clients:
    """A bounded number of clients, at a bounded pace."""

    def __init__(self, callers: list[Caller], book: Book, rate: float, most: int) -> None:
        self._callers = callers
        self._book = book
        self._pause = len(callers) / rate  # seconds between two requests of one client
        self._most = most
        self.faults: list[str] = []

    def run(self, seconds: float) -> None:
        """Returns when all clients have all their answers and have closed their connections."""
        until = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._call, args=(caller, until), daemon=True)
            for caller in self._callers
        ]
        for thread in threads:
            thread.start()
        patience = until + PATIENCE_SECONDS
        for thread in threads:
            thread.join(max(0.0, patience - time.monotonic()))
            if thread.is_alive():
                self.faults.append("a client never came back")

    def _call(self, caller: Caller, until: float) -> None:
        kinds, weights = list(MIX), list(MIX.values())
        due = time.monotonic() + caller.random.random() * self._pause
        while due < until and len(self._book.asked) < self._most:
            time.sleep(max(0.0, due - time.monotonic()))  # the pace, not a synchronisation
            due = max(due + self._pause, time.monotonic())
            kind = caller.random.choices(kinds, weights)[0]
            try:
                kind(caller)
            except Exception as error:
                self.faults.append(f"{kind.__name__}: {type(error).__name__}: {error}")
                caller.drop()
        caller.drop()
