"""The scripted providers: each call is answered as the book says for it."""

from __future__ import annotations

import asyncio
import ssl
import weakref
from typing import Optional

import behaviours
from book import Book
from canned import DONE, chat_chunk, chat_text_events, echo, sse
from framing import LAST_CHUNK, chunk, head
from loop import loop_thread
from upstream import Upstream
from upstream_connection import Behaviour, Connection, ConnectionRecord, Exchange, Request

LONG_EVENTS = 1200  # with their size more than the kernel keeps for a reader who is slow
LONG_EVENT = sse(chat_chunk({"content": "x" * 8000}))
OVERLOADED = sse({"error": {"message": "Overloaded", "type": "overloaded_error"}})


def slow(seconds: float) -> Behaviour:
    async def behaviour(exchange: Exchange) -> None:
        await pause(exchange, seconds)
        await behaviours.plausible()(exchange)

    return behaviour


async def pause(exchange: Exchange, seconds: float) -> None:
    """The pace of a slow provider; ends early when the gateway leaves."""
    try:
        await asyncio.wait_for(exchange.until_left(), seconds)
    except asyncio.TimeoutError:
        pass


def events_of(exchange: Exchange) -> list[bytes]:
    """Those of a good answer: role, one a word, finish. What another provider says is the same, so
    that a stream that broke may be continued."""
    return chat_text_events(echo(exchange.request.json()))


async def trickle(exchange: Exchange) -> None:
    """A stream with pauses between its events, and one in the middle of an event."""
    role, first, second, *others = events_of(exchange)
    await exchange.send(head(200, behaviours.STREAM_HEADERS))
    for piece in (role, first, second[:20], second[20:], *others, DONE):
        await exchange.send(chunk(piece))
        await pause(exchange, 0.1)
    await exchange.send(LAST_CHUNK)


def broken(words: int, *then: bytes, end: str = "clean") -> Behaviour:
    """A stream that stops being a good one after so many words."""

    async def behaviour(exchange: Exchange) -> None:
        await behaviours.stream(*events_of(exchange)[: words + 1], *then, end=end)(exchange)

    return behaviour


async def not_all_json(exchange: Exchange) -> None:
    role, *others = events_of(exchange)
    await behaviours.stream(role, b"data: {oops}\n\n", *others, DONE)(exchange)


async def long(exchange: Exchange) -> None:
    role, *_, finish = events_of(exchange)
    await behaviours.stream(role, *[LONG_EVENT] * LONG_EVENTS, finish, DONE)(exchange)


SHORT_BODY = head(200, [("Content-Type", "application/json"), ("Content-Length", "400")]) + b'{"id"'

BEHAVIOURS: dict[str, Behaviour] = {
    "ok": behaviours.plausible(),
    # failures before anything of the answer
    "429": behaviours.error(429),
    "429 soon": behaviours.error(429, headers={"retry-after-ms": "200"}),
    "500": behaviours.error(500),
    "503": behaviours.error(503),
    "529": behaviours.error(529),
    "400": behaviours.error(400),
    "404": behaviours.error(404),
    "html": behaviours.status(502, b"<html>bad</html>", content_type="text/html"),
    "reset": behaviours.reset(),
    "close": behaviours.close(),
    "cut head": behaviours.raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "cut body": behaviours.raw(SHORT_BODY),
    "no http": behaviours.raw(b"\x15\x03\x01\x00\x02\x02\x46"),
    "stall": behaviours.stall(),
    "slow": slow(0.15),
    "slower": slow(0.6),
    # failures in streams
    "error first": behaviours.stream(OVERLOADED, DONE),
    "cut early": broken(0, end="cut"),
    "cut": broken(1, end="cut"),
    "reset late": broken(2, end="reset"),
    "error late": broken(1, OVERLOADED),
    "no json": not_all_json,
    "no done": broken(9),
    "stalled": broken(1, end="stall"),
    # streams that take their time
    "trickle": trickle,
    "long": long,
}


class Provider(Upstream):
    """Keeps no requests, so that a long run needs no more memory than a short one."""

    def __init__(self, book: Book, tls: Optional[ssl.SSLContext]) -> None:
        self._book = book
        self._open: "weakref.WeakSet[Connection]" = weakref.WeakSet()
        super().__init__(self._answer, tls=tls, host="localhost" if tls else "127.0.0.1")

    async def _create_server(self) -> asyncio.AbstractServer:
        def made() -> Connection:
            connection = Connection(self)
            self._open.add(connection)
            return connection

        return await asyncio.get_running_loop().create_server(
            made, sock=self._socket, ssl=self.tls, backlog=512
        )

    async def _answer(self, exchange: Exchange) -> None:
        name = self._book.note_call(exchange.request.json(), exchange.first_on_connection)
        await BEHAVIOURS[name](exchange)

    def opened(self) -> ConnectionRecord:
        record = super().opened()
        self.connections.clear()
        return record

    def received(self, request: Request) -> None:
        pass

    def hang_up(self) -> None:
        """Closes all connections: those that the gateway keeps for later calls among them."""

        async def close() -> None:
            for connection in list(self._open):
                connection.close()

        loop_thread().run(close())


def providers(
    book: Book, count: int, secure: tuple[int, ...], tls: ssl.SSLContext
) -> list[Provider]:
    return [Provider(book, tls if n in secure else None) for n in range(count)]
