"""Providers that drip, never end, flap, or have several addresses."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from behaviours import STREAM_HEADERS, error, plausible, raw, stall
from canned import chat_chunk, sse
from concurrency import in_background
from error_table import NO_RETRIES
from framing import chunk, head
from gateway import is_sanitized
from settings import deployment
from state import in_flight
from streams import ROLE, open_stream


def dripping(data: bytes):
    """One byte every twenty milliseconds, for as long as anybody listens."""

    async def behaviour(exchange):
        for byte in itertools.chain(data, itertools.repeat(0x20)):
            await exchange.send(bytes([byte]))
            await asyncio.sleep(0.02)

    return behaviour


DRIPS = {
    "a head": b"HTTP/1.1 200 OK\r\nX-Drip: ",
    "an answer": head(200, [("Content-Type", "application/json"), ("Content-Length", "100000")]),
}


@pytest.mark.row("U39")
@pytest.mark.parametrize("data", DRIPS.values(), ids=DRIPS)
def test_bytes_that_keep_coming_do_not_put_the_deadline_of_an_attempt_off(gateway, upstream, data):
    first = upstream(default=dripping(data))
    running = gateway(deployment(first, timeout=0.5, order=1), deployment(upstream(), order=2))
    assert running.chat().status == 200
    first.wait_for_disconnect()


@pytest.mark.row("U39", "U37")
def test_a_stream_that_drips_before_its_first_token_moves_on(gateway, upstream):
    drip = dripping(head(200, [("Content-Type", "text/event-stream")]) + b": ")
    first = upstream(default=drip)
    running = gateway(
        deployment(first, stream_timeout=0.5, order=1), deployment(upstream(), order=2)
    )
    answer = running.chat(stream=True)
    assert answer.status == 200 and b"[DONE]" in answer.body
    first.wait_for_disconnect()


@pytest.mark.row("U40")
def test_a_stream_without_end_costs_no_memory_and_ends_with_its_client(binary, gateway, upstream):
    event = chunk(sse(chat_chunk({"content": "x" * 4000})))

    async def endless(exchange):
        await exchange.send(head(200, STREAM_HEADERS) + chunk(ROLE))
        while True:
            await exchange.send(event * 16)

    served = upstream(endless)
    running = gateway(deployment(served))
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        client.read_until(answer, b"xxx")
        before = running.resident_bytes()
        for _ in range(2000):
            assert client.read_chunk()
        kept = 256 if is_sanitized(binary) else 0  # MiB of freed memory that is not used again
        assert running.resident_bytes() - before < (24 + kept) * 1024 * 1024
    served.wait_for_disconnect(timeout=5)


@pytest.mark.row("U40")
def test_an_error_without_end_is_read_to_its_bound_only(gateway, upstream):
    async def endless(exchange):
        await exchange.send(head(500, [("Content-Type", "text/plain")]))
        while True:
            await exchange.send(b"e" * 65536)

    served = upstream(default=endless)
    running = gateway(deployment(served), router=NO_RETRIES)
    answer = running.chat()
    assert answer.status == 500 and len(answer.body) < 8192
    served.wait_for_disconnect()


@pytest.mark.row("U56")
def test_a_provider_that_fails_every_second_time_is_not_stormed(gateway, upstream):
    turns = itertools.count()
    good, bad = plausible(), error(500)

    async def flapping(exchange):
        await (bad if next(turns) % 2 else good)(exchange)

    first, second = upstream(default=flapping), upstream(default=flapping)
    running = gateway(
        deployment(first, id="first"), deployment(second, id="second"), router={"num_retries": 2}
    )
    asked = 24
    answers = [running.chat() for _ in range(asked)]
    assert {answer.status for answer in answers} <= {200, 500}
    # Each request may visit both, and one of them may be asked again: not more, whatever happens.
    assert first.count + second.count <= 2 * asked + 0.2 * asked + 3
    assert sum(answer.status == 200 for answer in answers) >= asked * 0.8


@pytest.mark.row("S25")
def test_idle_connections_that_go_do_not_disturb_calls_on_others(gateway, upstream):
    async def then_close(exchange):
        await plausible()(exchange)
        exchange.close()

    served = upstream(stall(), default=then_close)
    running = gateway(deployment(served, id="only"), threads=1)
    with running.connect() as waiting:
        open_stream(running, waiting, {"model": "m", "messages": []})
        served.wait_for_requests(1)
        for _ in range(5):
            assert running.chat().status == 200
        assert in_flight(running, "only") == 1
        assert waiting.silent_for(0.2)


@pytest.mark.row("U1")
def test_who_refuses_connections_is_passed_over_at_once(gateway, upstream):
    running = gateway(
        deployment(upstream(listening=False), id="dead", order=1),
        deployment(upstream(), id="alive", order=2),
    )
    answer = running.chat()
    assert (answer.status, answer.header("x-spillway-deployment")) == (200, "alive")
    assert answer.header("x-spillway-attempts") == "2"


@pytest.mark.row("U9")
def test_a_head_that_never_ends_is_not_waited_for(gateway, upstream):
    async def endless(exchange):
        await exchange.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await exchange.send(b"X-More: " + b"a" * 1000 + b"\r\n")

    served = upstream(default=endless)
    running = gateway(deployment(served), router=NO_RETRIES)
    begun = time.monotonic()
    assert running.chat().status == 502
    assert time.monotonic() - begun < 20
    served.wait_for_disconnect()


@pytest.mark.row("U36")
def test_a_conflict_is_the_clients_own(gateway, upstream):
    first, second = upstream(default=error(409)), upstream()
    running = gateway(deployment(first, order=1), deployment(second, order=2))
    assert running.chat().status == 409 and second.count == 0


@pytest.mark.row("U6")
def test_a_reset_of_a_new_connection_is_somebody_elses_turn(gateway, upstream):
    first = upstream(default=raw(end="reset"))
    running = gateway(deployment(first, order=1), deployment(upstream(), order=2))
    calls = [in_background(running.chat) for _ in range(5)]
    assert {call.result(20).status for call in calls} == {200}
