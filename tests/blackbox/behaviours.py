"""What an upstream can be told to do with one request. Each function makes a behaviour for
Upstream.script().

Behaviours are small coroutines over an Exchange; a test with a need of its own writes its own.
"""

from __future__ import annotations

import functools
import json
from typing import Any, Iterable, Union

import canned
from framing import LAST_CHUNK, chunk, head
from loop import Gate
from upstream import Upstream
from upstream_connection import Behaviour, Exchange

HeaderList = Union[dict[str, str], Iterable[tuple[str, str]]]


def header_list(headers: HeaderList) -> list[tuple[str, str]]:
    return list(headers.items() if isinstance(headers, dict) else headers)


def encode(payload: Any) -> bytes:
    if isinstance(payload, bytes):
        return payload
    return (
        payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    ).encode()


# --- whole answers --------------------------------------------------------------------------------


def status(
    code: int,
    payload: Any = b"",
    headers: HeaderList = (),
    content_type: str = "application/json",
    reason: str = "",
) -> Behaviour:
    """An answer with a Content-Length, on a connection that stays open."""
    body = encode(payload)
    fields = [("Content-Type", content_type), ("Content-Length", str(len(body)))]

    async def behaviour(exchange: Exchange) -> None:
        await exchange.send(head(code, fields + header_list(headers), reason) + body)

    return behaviour


def error(
    code: int, /, message: str = "scripted failure", headers: HeaderList = (), **fields: Any
) -> Behaviour:
    """The OpenAI error shape with a status."""
    body = {
        "error": {"message": message, "type": "scripted", "param": None, "code": None, **fields}
    }
    return status(code, body, headers)


def answer(payload: Any = None, headers: HeaderList = (), text: str | None = None) -> Behaviour:
    """A plain 200: `payload`, or what the endpoint would plausibly say (a chat completion with
    `text`)."""

    async def behaviour(exchange: Exchange) -> None:
        request = exchange.request
        if payload is not None:
            await status(200, payload, headers)(exchange)
            return
        endpoint = canned.endpoint_of(request.target)
        if endpoint == "/audio/speech":
            await status(200, canned.AUDIO, headers, "audio/mpeg")(exchange)
        elif endpoint == "/chat/completions":
            await status(200, canned.chat_completion(request.json(), text), headers)(exchange)
        else:
            await status(200, canned.JSON_ANSWERS[endpoint](request.json()), headers)(exchange)

    return behaviour


# --- streams --------------------------------------------------------------------------------------

STREAM_HEADERS = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]


def stream(
    *pieces: Union[bytes, Gate],
    headers: HeaderList = (),
    end: str = "clean",
    code: int = 200,
) -> Behaviour:
    """A chunked event stream. A piece is bytes (one chunk, one write) or a Gate to wait for.

    `end`: "clean" sends the last chunk; "cut" closes without it; "reset" resets; "stall" waits for
    the gateway to go; "close" sends the last chunk and closes.
    """

    async def behaviour(exchange: Exchange) -> None:
        parts = pieces or canned.STREAMS[canned.endpoint_of(exchange.request.target)](
            exchange.request.json()
        )
        await exchange.send(head(code, STREAM_HEADERS + header_list(headers)))
        for piece in parts:
            if isinstance(piece, Gate):
                await exchange.gate(piece)
            else:
                await exchange.send(chunk(piece))
        await finish(exchange, end)

    return behaviour


async def finish(exchange: Exchange, end: str) -> None:
    if end in ("clean", "close"):
        await exchange.send(LAST_CHUNK)
    if end == "reset":
        exchange.reset()
    elif end == "stall":
        await exchange.until_left()
    elif end in ("cut", "close"):
        exchange.close()


def plausible(headers: HeaderList = ()) -> Behaviour:
    """What a healthy provider does: a stream where one is asked for, a plain answer otherwise."""

    async def behaviour(exchange: Exchange) -> None:
        endpoint = canned.endpoint_of(exchange.request.target)
        if exchange.request.streams() and endpoint in canned.STREAMS:
            await stream(headers=headers)(exchange)
        else:
            await answer(headers=headers)(exchange)

    return behaviour


# --- faults ---------------------------------------------------------------------------------------


def raw(*pieces: Union[bytes, Gate], end: str = "close") -> Behaviour:
    """Exactly these bytes. `end`: "close", "keep" (stays open), "reset" or "stall"."""

    async def behaviour(exchange: Exchange) -> None:
        for piece in pieces:
            if isinstance(piece, Gate):
                await exchange.gate(piece)
            else:
                await exchange.send(piece)
        if end != "keep":
            await finish(exchange, {"close": "cut"}.get(end, end))

    return behaviour


def reset() -> Behaviour:
    """A TCP reset before any byte of an answer."""
    return raw(end="reset")


def close() -> Behaviour:
    """An orderly close before any byte of an answer."""
    return raw(end="close")


def stall() -> Behaviour:
    """No answer at all, until the gateway leaves."""
    return raw(end="stall")


def after(gate: Gate, behaviour: Behaviour) -> Behaviour:
    async def waiting(exchange: Exchange) -> None:
        await exchange.gate(gate)
        await behaviour(exchange)

    return waiting


def early(behaviour: Behaviour) -> Behaviour:
    """Answers when the head is there, before the body was read, and closes."""

    @functools.wraps(behaviour)
    async def hasty(exchange: Exchange) -> None:
        await behaviour(exchange)
        exchange.close()

    hasty.reads_body = False  # type: ignore[attr-defined]
    return hasty


def only_on_reused(fault: Behaviour, otherwise: Behaviour) -> Behaviour:
    """`fault` where the connection has carried a request before, `otherwise` on a new one."""

    async def behaviour(exchange: Exchange) -> None:
        await (otherwise if exchange.first_on_connection else fault)(exchange)

    return behaviour


def healthy_upstream(**options: Any) -> Upstream:
    return Upstream(plausible(), **options)
