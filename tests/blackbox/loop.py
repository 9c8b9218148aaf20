"""The one event loop on which all scripted upstreams of a test process live, and the gates tests
open on it."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any, Awaitable

WAIT_SECONDS = 10.0  # whatever is awaited comes within milliseconds, or the gateway is broken


class LoopThread:
    """An event loop that runs in a daemon thread for as long as the process lives."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="upstreams", daemon=True).start()

    def run(self, coroutine: Awaitable[Any], timeout: float = WAIT_SECONDS) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)


@functools.lru_cache(maxsize=None)
def loop_thread() -> LoopThread:
    return LoopThread()


class Gate:
    """A latch: behaviours await it on their loop, the test opens it from its own thread."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def open(self) -> None:
        loop_thread().loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()
