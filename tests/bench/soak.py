"""A long mixed load: does the proxy's memory grow?

At once, round after round: plain requests, large bodies, streams, requests that fail in every way that costs no other
request anything, and clients that leave in the middle. Between rounds, when nothing is under way, memory is read.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import payloads
import procfs
import proxies
from measure import Bench, Invalid, closed_load, own_load
from proxies import Setting

Figures = dict[str, Any]

ROUND_SECONDS = 10
LARGE_BYTES = 128 * 1024
SETTLED = 5  # memory after this part of the rounds is what later memory is compared with
LEAVE_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a reset


def run(bench: Bench, proxy: str, minutes: float) -> Figures:
    memory: list[int] = []
    done: dict[str, int] = {}
    with bench.upstream() as upstream:
        setting = Setting(upstream, bench.folder, cores=bench.cores.proxy, streaming=True, groups=2)
        with proxies.start(proxy, setting) as running:
            until = time.monotonic() + minutes * 60
            while time.monotonic() < until or len(memory) < SETTLED:
                for kind, number in one_round(bench, running.port).items():
                    done[kind] = done.get(kind, 0) + number
                if running.program.ended_within(0.5):
                    raise Invalid("the proxy ended")
                memory.append(procfs.memory(running.pid).anonymous)
    lacking = [kind for kind in KINDS if not done.get(kind)]
    if lacking:
        raise Invalid(f"no load of these kinds came about: {', '.join(lacking)}")
    return {
        "grown_bytes": memory[-1] - memory[len(memory) // SETTLED],
        "anonymous_bytes": memory[-1],
        "largest_bytes": max(memory),
        "minutes": minutes,
        **done,
    }


def one_round(bench: Bench, port: int) -> dict[str, int]:
    """How many requests of each kind there were."""
    with ThreadPoolExecutor(len(KINDS)) as threads:
        running = {kind: threads.submit(load, bench, port) for kind, load in KINDS.items()}
        return {kind: load.result() for kind, load in running.items()}


def plain(bench: Bench, port: int) -> int:
    body = payloads.chat(payloads.PLAIN_BYTES)
    return closed_load(bench, port, body, 32, ROUND_SECONDS)["answered"]


def large(bench: Bench, port: int) -> int:
    return closed_load(bench, port, payloads.chat(LARGE_BYTES), 8, ROUND_SECONDS)["answered"]


def streamed(bench: Bench, port: int) -> int:
    request = payloads.request(payloads.stream(20_000, 50))
    options = {"connections": 50, "seconds": ROUND_SECONDS - 2}
    return own_load(bench, "streams", port, request, **options)["answered"]


def failing(_: Bench, port: int) -> int:
    """Each request fails as it should; the second group is the one whose upstream fails."""
    wrong_key = {"Authorization": "Bearer sk-wrong"}
    bench_body = json.loads(payloads.chat(payloads.PLAIN_BYTES))
    # What is asked for, and the statuses that may come of it.
    asked: list[tuple[bytes, dict[str, str], set[int]]] = [
        (b"{", {}, {400}),
        (json.dumps({**bench_body, "model": "absent"}).encode(), {}, {404}),
        (payloads.chat(payloads.PLAIN_BYTES), wrong_key, {401}),
        (payloads.chat(payloads.PLAIN_BYTES, status=400), {}, {400}),
        (failing_upstream(), {}, {429, 500, 503}),
    ]
    return each_for_a_round(lambda number: fail(port, *asked[number % len(asked)]))


def failing_upstream() -> bytes:
    body = {"status": 503, **json.loads(payloads.chat(payloads.PLAIN_BYTES))}
    return json.dumps({**body, "model": "bench-1"}, separators=(",", ":")).encode()


def fail(port: int, body: bytes, headers: dict[str, str], statuses: set[int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        sent = {"Authorization": f"Bearer {payloads.KEY}", "Content-Type": "application/json"}
        connection.request("POST", payloads.PATH, body, {**sent, **headers})
        answer = connection.getresponse()
        if answer.status not in statuses:
            raise Invalid(f"{answer.status} where {statuses} was due: {answer.read(300)!r}")
        answer.read()
    finally:
        connection.close()


def leaving(_: Bench, port: int) -> int:
    """Clients that leave while they ask, before they are answered, and in the middle of a stream."""
    plain_request = payloads.request(payloads.chat(payloads.PLAIN_BYTES))
    stream = payloads.request(payloads.stream(5000, 1000))
    chosen = random.Random(1)

    def leave(number: int) -> None:
        request = (plain_request, stream, stream)[number % 3]
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            if chosen.random() < 0.5:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LEAVE_AT_ONCE)
            whole = number % 3 != 0 or number % 2 == 0
            client.sendall(request if whole else request[: len(request) // 2])
            if number % 3 == 2:
                client.recv(2048)

    return each_for_a_round(leave)


def each_for_a_round(one: Callable[[int], None]) -> int:
    number = 0
    until = time.monotonic() + ROUND_SECONDS
    while time.monotonic() < until:
        one(number)
        number += 1
    return number


KINDS: dict[str, Callable[[Bench, int], int]] = {
    "plain": plain,
    "large": large,
    "streamed": streamed,
    "failing": failing,
    "leaving": leaving,
}
