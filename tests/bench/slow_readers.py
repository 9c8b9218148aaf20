"""Memory of a proxy whose clients do not take what they asked for: it has to stop reading from upstream."""

from __future__ import annotations

import selectors
import socket
import time
from typing import Any

import payloads
import procfs
import proxies
from measure import Bench, Invalid
from programs import Program
from proxies import Setting
from workloads import settle

Figures = dict[str, Any]

CLIENTS = 200
RECEIVE_BYTES = 4096  # of a client's socket, so that little fits into the kernel
SLOW_BYTES = 1024  # that a slow client takes at a time
PAUSE_SECONDS = 0.1  # between two times
HELD_SECONDS = 6.0
STREAM_EVENTS = 8000  # about 2.5 MB, sent as fast as they are taken
ANSWER_BYTES = 1024 * 1024


def streams(bench: Bench, proxy: str) -> Figures:
    return held(bench, proxy, payloads.stream(0, STREAM_EVENTS))


def answers(bench: Bench, proxy: str) -> Figures:
    return held(bench, proxy, payloads.chat(payloads.PLAIN_BYTES, answer_bytes=ANSWER_BYTES))


def held(bench: Bench, proxy: str, body: bytes) -> Figures:
    """Every other client reads slowly, the rest do not read at all; then all of them leave."""
    with bench.upstream() as upstream:
        setting = Setting(upstream, bench.folder, cores=bench.cores.proxy, streaming=True)
        with proxies.start(proxy, setting) as running:
            before = procfs.memory(running.pid)
            procfs.forget_peak(running.pid)
            clients = [connect(running.port, payloads.request(body)) for _ in range(CLIENTS)]
            try:
                taken = read_slowly(clients[::2], running.program)
                while_held = procfs.memory(running.pid)
                check(clients[1::2])
            finally:
                for client in clients:
                    client.close()
            settle(running)
            after = procfs.memory(running.pid)
    return {
        "bytes_each": (while_held.anonymous - before.anonymous) / CLIENTS,
        "peak_bytes": max(while_held.peak, while_held.total),
        "settled_bytes": after.total,
        "taken_bytes_each": taken / len(clients[::2]),
    }


def connect(port: int, request: bytes) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    made.settimeout(HELD_SECONDS)
    made.connect(("127.0.0.1", port))
    made.sendall(request)
    return made


def read_slowly(clients: list[socket.socket], proxy: Program) -> int:
    """A little from each of them, again and again; how many bytes that were."""
    taken = 0
    until = time.monotonic() + HELD_SECONDS
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        while (turn := time.monotonic()) < until:
            for key, _ in selector.select(PAUSE_SECONDS):
                got = len(key.fileobj.recv(SLOW_BYTES))
                if got == 0:
                    raise Invalid("a client that reads slowly was cut off")
                taken += got
            if proxy.ended_within(max(0.0, turn + PAUSE_SECONDS - time.monotonic())):
                raise Invalid("the proxy ended while clients read slowly")
    return taken


def check(clients: list[socket.socket]) -> None:
    for client in clients:
        if not client.recv(64).startswith(b"HTTP/1.1 200"):
            raise Invalid("a client that does not read was not answered with a 200")
