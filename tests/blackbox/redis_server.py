"""A real redis-server or valkey-server on a free port, and one that misbehaves."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest

START_SECONDS = 20.0


def server_program() -> str:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    if os.environ.get("CI") == "true":
        pytest.fail("neither redis-server nor valkey-server is installed")
    pytest.skip("neither redis-server nor valkey-server is installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RedisServer:
    """Keeps its port over restarts; what it held is gone then."""

    def __init__(self, folder: Path, password: str = "", tls: Optional[Path] = None) -> None:
        folder.mkdir(parents=True)
        self.folder, self.password, self.tls = folder, password, tls
        self.port = free_port()
        self.tls_port = free_port() if tls else 0
        self.process: Optional[subprocess.Popen] = None
        self.start()

    def start(self) -> None:
        lines = [f"port {self.port}", "bind 127.0.0.1", 'save ""', f"dir {self.folder}"]
        if self.password:
            lines.append(f"requirepass {self.password}")
        if self.tls:
            lines += [
                f"tls-port {self.tls_port}",
                f"tls-cert-file {self.tls}.pem",
                f"tls-key-file {self.tls}.key",
                "tls-auth-clients no",
            ]
        (self.folder / "redis.conf").write_text("\n".join(lines) + "\n")
        self.process = subprocess.Popen(
            [server_program(), str(self.folder / "redis.conf")],
            stdout=(self.folder / "log").open("a"),
            stderr=subprocess.STDOUT,
        )
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                assert self.command("PING") == "PONG"
                return
            except OSError:
                log = (self.folder / "log").read_text()
                if self.tls and self.process.poll() is not None and "tls-port" in log:
                    pytest.skip("the server was built without TLS")
                assert self.process.poll() is None and time.monotonic() < end, log

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def command(self, *words: str) -> Any:
        """One command on a connection of its own."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as peer:
            stream = peer.makefile("rb")
            if self.password:
                peer.sendall(encode("AUTH", self.password))
                assert read_reply(stream) == "OK"
            peer.sendall(encode(*words))
            return read_reply(stream)

    @contextmanager
    def listening(self, channel: str) -> Iterator[Iterator[str]]:
        """What is published on the channel from now on."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as peer:
            stream = peer.makefile("rb")
            peer.sendall(encode("SUBSCRIBE", channel))
            read_reply(stream)
            yield (read_reply(stream)[2] for _ in itertools.count())

    def keys(self) -> list[str]:
        return sorted(self.command("KEYS", "*"))


def url_of(server: Any, password: str = "") -> str:
    return f"redis://{':' + password + '@' if password else ''}127.0.0.1:{server.port}/0"


def encode(*words: str) -> bytes:
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def read_reply(stream: Any) -> Any:
    line = stream.readline()
    if not line:
        raise ConnectionError("closed")
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"*":
        return [read_reply(stream) for _ in range(int(rest))]
    if kind == b"$":
        return None if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode()
    if kind == b"-":
        raise RuntimeError(rest)
    return int(rest) if kind == b":" else rest


class FakeRedis:
    """Accepts, and says the same bytes to whatever it is sent; nothing at all if there are none."""

    def __init__(self, says: bytes = b"") -> None:
        self.says = says
        self.connections = 0
        self.heard = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._peers: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            while peer.recv(65536):
                with self.heard:
                    self.connections += 1
                    self.heard.notify_all()
                peer.sendall(self.says)
        except OSError:
            pass

    def wait_until_asked(self) -> None:
        with self.heard:
            assert self.heard.wait_for(lambda: self.connections > 0, 10)

    def close(self) -> None:
        self._listener.close()
        for peer in self._peers:
            peer.close()


class SlowRedis:
    """Stands before a server and holds back what it answers for `delay` seconds."""

    def __init__(self, server: RedisServer) -> None:
        self.server, self.delay = server, 0.0
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
                onward = socket.create_connection(("127.0.0.1", self.server.port))
            except OSError:
                return
            self._sockets += [peer, onward]
            for source, sink, held_back in ((peer, onward, False), (onward, peer, True)):
                threading.Thread(
                    target=self._carry, args=(source, sink, held_back), daemon=True
                ).start()

    def _carry(self, source: socket.socket, sink: socket.socket, held_back: bool) -> None:
        try:
            while data := source.recv(65536):
                if held_back and self._closed.wait(self.delay):
                    break
                sink.sendall(data)
        except OSError:
            pass
        sink.close()

    def close(self) -> None:
        self._closed.set()
        for each in self._sockets:
            each.close()
