"""A TCP proxy that does what bad networks do, between any two parties.

It knows nothing of what it carries. A Fault describes one direction of a connection; the same fault
strikes each connection anew.
"""

from __future__ import annotations

import asyncio
import collections
import random
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Optional

from loop import WAIT_SECONDS, loop_thread

PIECE = 65536


@dataclass(frozen=True)
class Fault:
    latency: float = 0.0  # seconds before each piece
    jitter: float = 0.0  # seconds, up to which each piece waits in addition
    rate: float = 0.0  # bytes a second; 0: as fast as can be
    slice: int = PIECE  # bytes at most in one piece
    after: Optional[int] = None  # bytes that pass; `then` happens as the next one comes
    then: str = ""  # "reset", "half-close", "close" or "stall"


CLEAR = Fault()


class FaultProxy:
    """Listens on `port` and carries each connection to `target`, a port on loopback."""

    def __init__(self, target: int, up: Fault = CLEAR, down: Fault = CLEAR) -> None:
        self.target, self.up, self.down = target, up, down
        self.connections = 0
        self.struck: collections.Counter[str] = collections.Counter()
        self._condition = threading.Condition()
        self._tasks: set[asyncio.Task] = set()
        self._server = loop_thread().run(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _listen(self) -> asyncio.AbstractServer:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=PIECE)

    def close(self) -> None:
        def end() -> None:
            self._server.close()
            for task in self._tasks:
                task.cancel()

        loop_thread().loop.call_soon_threadsafe(end)

    def wait_until_struck(self, what: str) -> None:
        """Until a fault's `then` has happened."""
        with self._condition:
            assert self._condition.wait_for(lambda: self.struck[what] > 0, WAIT_SECONDS), what

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            to_client.transport.abort()
            self._tasks.discard(task)
            return
        both = (to_client, to_server)
        for writer in both:
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.gather(
                self._carry(client, to_server, self.up, both),
                self._carry(server, to_client, self.down, both),
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for writer in both:
                writer.transport.abort() if writer.transport.is_closing() else writer.close()
            self._tasks.discard(task)

    async def _carry(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        fault: Fault,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        passed, dice = 0, random.Random(1)
        while True:
            left = PIECE if fault.after is None else fault.after - passed
            try:
                data = await source.read(min(fault.slice, left) or 1)
            except ConnectionError:  # one side's reset is the other's as well
                self._reset(both)
                return
            if not data:
                if sink.can_write_eof():
                    sink.write_eof()
                return
            if left == 0:
                await self._strike(fault.then, source, sink, both)
                return
            pause = fault.latency + fault.jitter * dice.random()
            if fault.rate:
                pause += len(data) / fault.rate
            await asyncio.sleep(pause)
            sink.write(data)
            await sink.drain()
            passed += len(data)

    async def _strike(
        self,
        then: str,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        if then == "reset":
            self._reset(both)
        elif then == "close":
            for writer in both:
                writer.close()
        elif then == "half-close":
            sink.write_eof()
        with self._condition:
            self.struck[then] += 1
            self._condition.notify_all()
        if then in ("stall", "half-close"):
            await self._swallow(source, sink, then)

    async def _swallow(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, then: str
    ) -> None:
        """Nothing passes any more, but an end does: whoever waits gives up some time."""
        while await source.read(PIECE):
            pass
        if then == "stall":
            sink.close()

    @staticmethod
    def _reset(both: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        for writer in both:
            sock = writer.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
