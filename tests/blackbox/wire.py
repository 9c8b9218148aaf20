"""A raw HTTP/1.1 client: what goes out is the test's own bytes, what comes in is told apart to the
last chunk."""

from __future__ import annotations

import json
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import Any, Optional

from observed import note, note_answer

WAIT_SECONDS = 20.0


class Closed(Exception):
    """The other side closed, or reset, while more was expected."""


@dataclass
class Response:
    status: int
    reason: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    complete: bool = False  # the body ended as its framing says it should
    interim: list[int] = field(default_factory=list)  # statuses of 1xx answers before it

    def header(self, name: str) -> Optional[str]:
        values = self.all(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict:
        """The error object, after checking that the body is the OpenAI shape and nothing else."""
        document = self.json()
        assert list(document) == ["error"], document
        assert set(document["error"]) == {"message", "type", "param", "code"}, document
        assert (self.header("content-type") or "").startswith("application/json"), self.headers
        assert isinstance(document["error"]["message"], str) and document["error"]["message"], (
            document
        )
        return document["error"]


class Client:
    """One connection to the gateway."""

    def __init__(
        self,
        port: int,
        timeout: float = WAIT_SECONDS,
        receive_buffer: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.timeout = timeout
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:  # before connect, so that the window is small from the start
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:  # an end without a goodbye is to be seen
            self.socket = tls.wrap_socket(
                self.socket, server_hostname=host, suppress_ragged_eofs=False
            )
        self.buffer = bytearray()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def more(self) -> None:
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise Closed("reset") from error
        except ssl.SSLEOFError as error:
            raise Closed("cut") from error
        if not data:
            raise Closed("closed")
        self.buffer += data

    def line(self) -> bytes:
        while (end := self.buffer.find(b"\r\n")) < 0:
            self.more()
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        return line

    def take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self.more()
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def closed_by_gateway(self, timeout: float = WAIT_SECONDS) -> bool:
        """True once the gateway has closed; False if it has not within `timeout` or sends something
        instead."""
        self.socket.settimeout(timeout)
        try:
            self.more()
            return False
        except Closed:
            note("closed")
            return True
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(self.timeout)

    def silent_for(self, seconds: float) -> bool:
        """True if nothing comes, not even the end: for what must *not* happen, which only time can
        show."""
        self.socket.settimeout(seconds)
        try:
            self.more()
            return False
        except TimeoutError:
            return True
        except Closed:
            return False
        finally:
            self.socket.settimeout(self.timeout)

    # --- responses ---

    def read_head(self) -> Response:
        interim: list[int] = []
        while True:
            version, code, *reason = self.line().decode("latin-1").split(" ", 2)
            headers = []
            while line := self.line().decode("latin-1"):
                name, value = line.split(":", 1)
                headers.append((name, value.strip()))
            if int(code) >= 200:
                return Response(int(code), "".join(reason), version, headers, interim=interim)
            interim.append(int(code))

    def read_response(self, method: str = "GET") -> Response:
        response = self.read_head()
        self.read_body(response, method)
        return response

    def read_body(self, response: Response, method: str = "GET") -> None:
        """Reads the body to its end; `complete` stays False where it was cut."""
        parts = [response.body]
        try:
            if method == "HEAD" or response.status in (204, 304):
                pass
            elif (response.header("transfer-encoding") or "").lower() == "chunked":
                while data := self.read_chunk():
                    parts.append(data)
            elif (length := response.header("content-length")) is not None:
                parts.append(self.take(int(length)))
            else:
                self.read_to_end()
                parts.append(bytes(self.buffer))
            response.complete = True
        except Closed:
            parts.append(bytes(self.buffer))
        response.body = b"".join(parts)
        note_answer(response)

    def read_chunk(self) -> bytes:
        size = int(self.line().split(b";")[0], 16)
        data = self.take(size)
        assert self.line() == b"", "a chunk is followed by CRLF"
        return data

    def read_to_end(self) -> None:
        try:
            while True:
                self.more()
        except Closed as error:
            if str(error) != "closed":
                raise

    def read_until(self, response: Response, marker: bytes) -> bytes:
        """Reads a chunked body until it holds `marker`; the rest stays for later."""
        while marker not in response.body:
            data = self.read_chunk()
            assert data, f"the body ended without {marker!r}: {response.body!r}"
            response.body += data
        return response.body


def request_bytes(
    method: str,
    target: str,
    body: Optional[bytes] = None,
    headers: Any = (),
    host: str = "gateway.test",
) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    fields = headers.items() if isinstance(headers, dict) else headers
    lines += [f"{name}: {value}" for name, value in fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
        if not any(line.lower().startswith("content-type:") for line in lines):
            lines.append("Content-Type: application/json")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def deadline(seconds: float = WAIT_SECONDS) -> float:
    return time.monotonic() + seconds
