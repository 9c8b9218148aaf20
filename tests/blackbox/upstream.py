"""A scripted HTTP/1.1 upstream on loopback, so close to the wire that every byte it sends is the
test's own.

Tests are plain functions that script an upstream, call the gateway, and wait on what the upstream
saw. Nothing here sleeps: a behaviour that has to wait does so on a Gate that the test opens, and a
test that has to wait does so on the upstream's condition.
"""

from __future__ import annotations

import asyncio
import collections
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from loop import WAIT_SECONDS, loop_thread
from observed import note_call
from upstream_connection import Behaviour, Connection, ConnectionRecord, Request


@dataclass
class Upstream:
    """One provider's endpoint: a listening port, a script, and a record of all that reached it.

    Queued behaviours answer one request each, in order of arrival; then `default` answers the rest.
    """

    default: Behaviour
    tls: Optional[ssl.SSLContext] = None
    host: str = "127.0.0.1"
    on_connect: str = "serve"  # or "reset", "close", "stall", "greet": without reading a request
    send_buffer: int = 0  # bytes; 0: the system's
    listening: bool = True
    requests: list[Request] = field(default_factory=list)
    connections: list[ConnectionRecord] = field(default_factory=list)
    marks: collections.Counter = field(default_factory=collections.Counter)
    script_errors: list[Exception] = field(default_factory=list)
    unread: bytearray = field(default_factory=bytearray)  # what came where nothing is served

    def __post_init__(self) -> None:
        self._queue: collections.deque[Behaviour] = collections.deque()
        self._condition = threading.Condition(threading.RLock())
        self._server: Optional[asyncio.AbstractServer] = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        self.port: int = self._socket.getsockname()[1]
        if self.listening:
            self.listen()

    # --- for tests ---

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return self.origin + "/v1"

    @property
    def count(self) -> int:
        return len(self.requests)

    @property
    def last(self) -> Request:
        return self.requests[-1]

    def script(self, *behaviours: Behaviour) -> "Upstream":
        with self._condition:
            self._queue.extend(behaviours)
        return self

    def always(self, behaviour: Behaviour) -> "Upstream":
        with self._condition:
            self._queue.clear()
            self.default = behaviour
        return self

    def wait_for(
        self, condition: Callable[[], Any], what: str = "", timeout: float = WAIT_SECONDS
    ) -> None:
        with self._condition:
            if not self._condition.wait_for(condition, timeout):
                raise AssertionError(
                    f"the upstream did not see within {timeout} s: {what or condition}"
                )

    def wait_for_requests(self, count: int, timeout: float = WAIT_SECONDS) -> None:
        self.wait_for(lambda: len(self.requests) >= count, f"{count} requests", timeout)

    def wait_for_disconnect(self, timeout: float = WAIT_SECONDS) -> None:
        """Waits until the gateway has left every connection on which a request came."""
        self.wait_for(
            lambda: all(c.closed for c in self.connections if c.requests),
            "the gateway leaving",
            timeout,
        )

    def listen(self) -> None:
        self._server = loop_thread().run(self._create_server())

    def close(self) -> None:
        if self._server:
            loop_thread().loop.call_soon_threadsafe(self._server.close)
        else:
            self._socket.close()

    # --- for connections, on the loop's thread ---

    async def _create_server(self) -> asyncio.AbstractServer:
        return await asyncio.get_running_loop().create_server(
            lambda: Connection(self), sock=self._socket, ssl=self.tls, backlog=512
        )

    def opened(self) -> ConnectionRecord:
        with self._condition:
            record = ConnectionRecord(len(self.connections), time.monotonic())
            self.connections.append(record)
            self._condition.notify_all()
            return record

    def received(self, request: Request) -> None:
        with self._condition:
            self.requests.append(request)
            note_call()
            self._condition.notify_all()

    def next_behaviour(self) -> Behaviour:
        with self._condition:
            return self._queue.popleft() if self._queue else self.default

    def mark(self, name: str) -> None:
        with self._condition:
            self.marks[name] += 1
            self._condition.notify_all()

    def changed(self) -> None:
        with self._condition:
            self._condition.notify_all()
