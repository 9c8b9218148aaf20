"""One client: a connection that it keeps for as long as the gateway does, and what it has to note
about each request."""

from __future__ import annotations

import itertools
import json
import random
import socket
import ssl
import struct
from typing import Any, Optional

from book import Asked, Book
from canned import DONE
from configurations import KEY
from instance import Instance
from wire import Client, Closed, Response, request_bytes

CHAT = "/v1/chat/completions"
WAIT_SECONDS = 30.0
# Providers repeat what they were told, which ends with the id, in all other answers.
NOT_REPEATED = {"embeddings", "slow reader", "own pages"}
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER


class CountingClient(Client):
    """Knows how many bytes came."""

    def __init__(self, port: int, **options: Any) -> None:
        self.came = 0
        super().__init__(port, timeout=WAIT_SECONDS, **options)

    def more(self) -> None:
        before = len(self.buffer)
        super().more()
        self.came += len(self.buffer) - before

    @property
    def taken(self) -> int:
        """Bytes that belong to what was read so far."""
        return self.came - len(self.buffer)

    def leave(self, by_reset: bool) -> None:
        if by_reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.close()


class Caller:
    def __init__(self, instance: Instance, book: Book, seed: int, number: int) -> None:
        self._port, self._tls = instance.port, instance.gateway.tls
        self.book = book
        self.random = random.Random(f"{seed} caller {number}")
        self._number = number
        self._counter = itertools.count()
        self._kept: Optional[CountingClient] = None

    # --- requests ---

    def new(self, kind: str, group: str = "", script: tuple[str, ...] = (), **more: Any) -> Asked:
        request = Asked(f"s{self._number}-{next(self._counter)}", kind, group, **more)
        if script:
            self.book.expect(request, script)
        return request

    def body(self, request: Asked, text: str = "one two three", **fields: Any) -> dict:
        messages = [{"role": "user", "content": f"{text} {request.id}"}]
        stream = {"stream": True} if request.streamed else {}
        return {
            "model": request.group,
            "user": request.id,
            "messages": messages,
            **stream,
            **fields,
        }

    def bytes_of(
        self,
        request: Asked,
        body: Any,
        target: str = CHAT,
        method: str = "POST",
        headers: Any = (),
        key: str = KEY,
    ) -> bytes:
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        fields = [("x-request-id", request.id), *headers]
        if key:
            fields.append(("Authorization", f"Bearer {key}"))
        return request_bytes(method, target, body, fields)

    # --- connections ---

    def connection(self) -> CountingClient:
        if self._kept is None:
            self._kept = self.fresh()
        return self._kept

    def fresh(self, **options: Any) -> CountingClient:
        """A connection for one request that may spoil it."""
        return CountingClient(self._port, tls=self._tls, **options)

    def drop(self) -> None:
        if self._kept:
            self._kept.close()
        self._kept = None

    # --- exchanges ---

    def ask(self, request: Asked, data: bytes, method: str = "POST") -> Asked:
        """Sends it on the kept connection, reads the answer, and enters both. A connection that was
        kept may be closed while the request is on its way to it: then it is sent once more."""
        kept = self._kept
        usable = kept and self._try(request, kept, data, method)
        if usable is None:
            self.drop()
            usable = self._try(request, self.connection(), data, method)
        self.book.enter(request)
        if not usable:
            self.drop()
        return request

    def _try(
        self, request: Asked, client: CountingClient, data: bytes, method: str
    ) -> Optional[bool]:
        """Whether the connection can be used again; None: it ended without an answer."""
        before = client.came
        try:
            client.send(data)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
            return None
        usable = self._exchange(request, client, method)
        return None if client.came == before and request.end == "silent" else usable

    def read(self, request: Asked, client: CountingClient, method: str = "POST") -> bool:
        """Reads one answer and enters the request; whether the connection can be used again."""
        usable = self._exchange(request, client, method)
        self.book.enter(request)
        return usable

    def _exchange(self, request: Asked, client: CountingClient, method: str) -> bool:
        response: Optional[Response] = None
        begin = client.taken
        try:
            response = client.read_head()
            client.read_body(response, method)
        except Closed:
            pass
        except OSError as error:
            request.note = f"{type(error).__name__} while reading"
        if response:
            judge(request, response)
            request.received = client.taken - begin if response.complete else 0
        usable = response is not None and response.complete and not request.note
        return usable and (response.header("connection") or "").lower() != "close"


def judge(request: Asked, response: Response) -> None:
    """How the request ended, in its client's eyes."""
    request.status = response.status
    request.deployment = response.header("x-spillway-deployment") or ""
    events = (response.header("content-type") or "").startswith("text/event-stream")
    if not response.complete:
        request.end = "cut"
    elif response.status >= 400:
        request.end = "failed"
    else:
        request.end = "whole" if not events or response.body.endswith(DONE) else "cut"
        repeated = request.end != "whole" or request.id.encode() in response.body
        if not repeated and request.kind not in NOT_REPEATED:
            request.note = "another request's answer, or not all of it"
