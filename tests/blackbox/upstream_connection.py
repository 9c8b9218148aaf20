"""One connection of a scripted upstream: reads requests, hands each to its behaviour, writes what
that sends."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Optional

from loop import Gate

if TYPE_CHECKING:
    from upstream import Upstream


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

    async def send_together(self, *pieces: bytes) -> None:
        """Sends pieces in one segment; over TLS each of them is a record of its own."""
        await self._connection.send_together(pieces)

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

    def pause_reading(self) -> None:
        """From here on what the gateway sends stays in the kernel's buffers, then in its own."""
        self._connection.transport.pause_reading()

    def resume_reading(self) -> None:
        self._connection.transport.resume_reading()

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
        elif self.server.on_connect == "greet":
            transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        elif self.server.on_connect == "serve":
            self.task = asyncio.ensure_future(self.serve())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.server.on_connect != "serve":
            self.server.unread += data
            self.server.changed()
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
        except (
            Exception
        ) as error:  # a mistake in a test's script must not look like a gateway fault
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
        await self.send_together((data,))

    async def send_together(self, pieces: tuple[bytes, ...]) -> None:
        if self.gone.is_set():
            raise Left()
        self.transport.writelines(pieces)
        self.record.bytes_sent += sum(len(piece) for piece in pieces)
        self.server.changed()
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
