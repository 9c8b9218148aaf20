"""A scripted HTTP/1.1 upstream on loopback, so close to the wire that every byte it sends is the test's own.

All upstreams of a test process share one event loop in one background thread; tests are plain functions that
script an upstream, call the gateway, and wait on what the upstream saw. Nothing here sleeps: a behaviour that has
to wait does so on a Gate that the test opens, and a test that has to wait does so on the upstream's condition.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import json
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Awaitable, Callable, Iterable, Optional

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
    """A latch: behaviours await it on the upstream's loop, the test opens it from its own thread."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def open(self) -> None:
        loop_thread().loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()


@dataclass
class Request:
    """One request as it came over the wire; `at` is when its last byte was read."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]
    head: bytes
    connection: int
    body: bytes = b""
    at: float = 0.0

    def header(self, name: str) -> Optional[str]:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def json(self) -> Any:
        return json.loads(self.body)

    def streams(self) -> bool:
        try:
            return self.json().get("stream") is True
        except (ValueError, AttributeError):
            return False


@dataclass
class ConnectionRecord:
    """What a test may ask about one connection that the gateway opened."""

    id: int
    opened_at: float
    closed_at: Optional[float] = None
    peer_left: bool = False  # the gateway closed its sending side first
    requests: int = 0
    bytes_sent: int = 0
    write_blocked: bool = False  # the gateway stopped reading

    @property
    def closed(self) -> bool:
        return self.closed_at is not None


class Left(Exception):
    """The gateway closed the connection while a behaviour was using it."""


class Exchange:
    """What a behaviour works with: the request, and the connection to answer it on."""

    def __init__(self, connection: "Connection", request: Request) -> None:
        self._connection = connection
        self.request = request
        self.first_on_connection = connection.record.requests == 1

    async def send(self, data: bytes) -> None:
        await self._connection.send(data)

    async def until_left(self) -> None:
        await self._connection.gone.wait()

    async def gate(self, gate: Gate) -> None:
        """Waits for the gate, or raises Left if the gateway goes first."""
        opened = asyncio.ensure_future(gate.wait())
        left = asyncio.ensure_future(self._connection.gone.wait())
        try:
            await asyncio.wait({opened, left}, return_when=asyncio.FIRST_COMPLETED)
            if not opened.done():
                raise Left()
        finally:
            opened.cancel()
            left.cancel()

    async def read_body(self) -> bytes:
        """For behaviours that answer before the body was read (`reads_body = False`)."""
        return await self._connection.read_body(self.request)

    def close(self) -> None:
        self._connection.close()

    def reset(self) -> None:
        self._connection.reset()

    def mark(self, name: str) -> None:
        """Counts something the test wants to wait for: upstream.marks[name]."""
        self._connection.server.mark(name)


Behaviour = Callable[[Exchange], Awaitable[None]]


class Connection(asyncio.Protocol):
    def __init__(self, server: "Upstream") -> None:
        self.server = server
        self.buffer = bytearray()
        self.wake = asyncio.Event()
        self.gone = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self.ended = False

    # --- called by the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        if self.server.send_buffer:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.server.send_buffer)
            self.transport.set_write_buffer_limits(high=self.server.send_buffer)
        self.record = self.server.opened()
        if self.server.on_connect == "reset":
            self.reset()
        elif self.server.on_connect == "close":
            self.close()
        elif self.server.on_connect == "serve":
            self.task = asyncio.ensure_future(self.serve())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.wake.set()

    def eof_received(self) -> bool:
        self.record.peer_left = True
        self.gone.set()
        self.wake.set()
        return False

    def connection_lost(self, error: Optional[Exception]) -> None:
        if not self.ended:
            self.record.peer_left = True
        self.record.closed_at = time.monotonic()
        self.gone.set()
        self.wake.set()
        self.writable.set()
        self.server.changed()

    def pause_writing(self) -> None:
        self.writable.clear()
        self.record.write_blocked = True
        self.server.changed()

    def resume_writing(self) -> None:
        self.writable.set()
        self.record.write_blocked = False
        self.server.changed()

    # --- one connection's life ---

    async def serve(self) -> None:
        try:
            while not self.ended:
                request = await self.read_head()
                behaviour = self.server.next_behaviour()
                if getattr(behaviour, "reads_body", True):
                    request.body = await self.read_body(request)
                request.at = time.monotonic()
                self.record.requests += 1
                self.server.received(request)
                await behaviour(Exchange(self, request))
        except Left:
            self.transport.abort()
        except Exception as error:  # a mistake in a test's script must not look like a gateway fault
            self.server.script_errors.append(error)
            self.reset()

    async def read_head(self) -> Request:
        end = await self.find(b"\r\n\r\n")
        head = bytes(self.buffer[: end + 4])
        del self.buffer[: end + 4]
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
        return Request(method, target, version, headers, head, self.record.id)  # type: ignore

    async def read_body(self, request: Request) -> bytes:
        if (request.header("transfer-encoding") or "").lower() == "chunked":
            return await self.read_chunked()
        length = int(request.header("content-length") or 0)
        return await self.take(length)

    async def read_chunked(self) -> bytes:
        body = b""
        while True:
            end = await self.find(b"\r\n")
            size = int((await self.take(end + 2)).split(b";")[0], 16)
            body += (await self.take(size + 2))[:-2]
            if size == 0:
                return body

    async def find(self, marker: bytes) -> int:
        while (at := self.buffer.find(marker)) < 0:
            await self.more()
        return at

    async def take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            await self.more()
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    async def more(self) -> None:
        if self.gone.is_set() or self.ended:
            raise Left()
        self.wake.clear()
        await self.wake.wait()

    async def send(self, data: bytes) -> None:
        if self.gone.is_set():
            raise Left()
        self.transport.write(data)
        self.record.bytes_sent += len(data)
        await self.writable.wait()
        await asyncio.sleep(0)  # lets the loop see that the peer left; waits for no time

    def close(self) -> None:
        self.ended = True
        self.transport.close()

    def reset(self) -> None:
        """Sends a TCP reset: what a crashed or overloaded server does."""
        self.ended = True
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


@dataclass
class Upstream:
    """One provider's endpoint: a listening port, a script, and a record of all that reached it.

    Queued behaviours answer one request each, in order of arrival; then `default` answers the rest.
    """

    default: Behaviour
    tls: Optional[ssl.SSLContext] = None
    host: str = "127.0.0.1"
    on_connect: str = "serve"  # or "reset", "close", "stall": before any byte is read
    send_buffer: int = 0  # bytes; 0: the system's
    listening: bool = True
    requests: list[Request] = field(default_factory=list)
    connections: list[ConnectionRecord] = field(default_factory=list)
    marks: collections.Counter = field(default_factory=collections.Counter)
    script_errors: list[Exception] = field(default_factory=list)

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

    def wait_for(self, condition: Callable[[], Any], what: str = "", timeout: float = WAIT_SECONDS) -> None:
        with self._condition:
            if not self._condition.wait_for(condition, timeout):
                raise AssertionError(f"the upstream did not see within {timeout} s: {what or condition}")

    def wait_for_requests(self, count: int, timeout: float = WAIT_SECONDS) -> None:
        self.wait_for(lambda: len(self.requests) >= count, f"{count} requests", timeout)

    def wait_for_disconnect(self, timeout: float = WAIT_SECONDS) -> None:
        """Waits until the gateway has left every connection on which a request came."""
        self.wait_for(
            lambda: all(c.closed for c in self.connections if c.requests), "the gateway leaving", timeout
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


def head(status: int, headers: Iterable[tuple[str, str]], reason: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status} {reason or 'Scripted'}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
