"""The stages of stopping: not ready, not accepting, out of patience, gone."""

from __future__ import annotations

import signal
import time

import pytest

from behaviours import status, stream
from canned import DONE, LARGE_IMAGE, chat_text_events
from concurrency import eventually, in_background
from edge import BODY, CHAT
from loop import Gate
from settings import deployment
from streams import open_stream
from wire import Closed, request_bytes

LONG = {"timeouts": {"drain_delay": "30s", "drain": "30s"}}
SHORT = {"timeouts": {"drain_delay": "1s", "drain": "5s"}}


@pytest.fixture
def leaving(gateway, upstream):
    """A gateway that was told to stop, and waits before it does."""
    running = gateway(deployment(upstream()), spillway=LONG)
    running.terminate()
    running.wait_for_message("not ready any more")
    yield running
    running.process.send_signal(signal.SIGTERM)


@pytest.mark.row("S1")
def test_readiness_fails_first_and_new_connections_are_still_served(leaving):
    readiness = leaving.get("/health/readiness")
    assert (readiness.status, readiness.json()) == (503, {"status": "draining"})
    assert leaving.get("/health/liveliness").status == 200
    assert leaving.chat().status == 200


def test_connections_that_are_open_end_with_an_answer_that_says_so(gateway, upstream):
    running = gateway(deployment(upstream()), spillway=LONG)
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY))
        assert client.read_response().header("connection") != "close"
        running.terminate()
        running.wait_for_message("not ready any more")
        client.send(request_bytes("POST", CHAT, BODY))
        last = client.read_response()
        assert (last.status, last.header("connection")) == (200, "close")
        assert client.closed_by_gateway()
    running.process.send_signal(signal.SIGTERM)


def test_who_was_promised_another_answer_gets_it(gateway, upstream):
    gate = Gate()
    role, one, *rest = chat_text_events("one two")
    running = gateway(
        deployment(upstream(stream(role, one, gate, *rest, DONE))), spillway=LONG
    )
    with running.connect() as client:
        begun = open_stream(running, client).read_head()
        client.read_until(begun, one)
        running.terminate()
        running.wait_for_message("not ready any more")
        gate.open()
        client.read_body(begun)
        assert begun.complete and begun.header("connection") != "close"
        client.send(request_bytes("GET", "/health/readiness"))
        last = client.read_response()
        assert (last.status, last.header("connection")) == (503, "close")
    running.process.send_signal(signal.SIGTERM)


def test_after_the_delay_it_stops(gateway, upstream):
    running = gateway(deployment(upstream()), spillway=SHORT)
    begun = time.monotonic()
    running.stop()
    assert time.monotonic() - begun >= 1.0
    with pytest.raises(ConnectionRefusedError):
        running.connect()


def test_a_request_that_had_begun_is_answered_while_it_drains(gateway, upstream):
    running = gateway(deployment(upstream()))
    whole = request_bytes("GET", "/health/readiness")
    with running.connect() as client:
        client.send(whole[:-10])
        eventually(lambda: running.get("/health/liveliness").status == 200)  # so it was seen
        running.terminate()
        running.wait_for_message("draining")
        client.send(whole[-10:])
        last = client.read_response()
        assert (last.status, last.header("connection")) == (503, "close")


def test_a_request_that_came_just_before_the_signal_is_answered(gateway, upstream):
    running = gateway(deployment(upstream()))
    with running.connect() as client:
        client.send(request_bytes("GET", "/health/liveliness"))
        assert client.read_response().status == 200
        running.process.send_signal(signal.SIGSTOP)
        client.send(request_bytes("POST", CHAT, BODY))
        running.terminate()
        running.process.send_signal(signal.SIGCONT)
        assert client.read_response().status == 200


@pytest.mark.row("S1")
def test_a_plain_request_that_outlives_the_grace_period_is_told_so(gateway, upstream):
    gate = Gate()

    async def never(exchange):
        await exchange.gate(gate)

    served = upstream(never)
    running = gateway(deployment(served), spillway={"timeouts": {"drain": "300ms"}})
    asked = in_background(running.chat)
    served.wait_for(lambda: served.count == 1, "the request")
    running.stop()
    gate.open()
    told = asked.result(10)
    assert told.status == 503 and "shutting down" in told.error["message"]


def test_a_client_that_does_not_read_is_cut_off_and_has_its_line(gateway, upstream):
    role, one, *_ = chat_text_events("one two")
    served = upstream(stream(role, *([one] * 100_000)))
    running = gateway(deployment(served), spillway={"timeouts": {"drain": "300ms"}})
    with running.connect(receive_buffer=4096) as client:
        client.read_until(open_stream(running, client).read_head(), one)
        running.stop()
    (line,) = running.access_log()
    assert (line["status"], line["class"]) == (200, "unavailable"), line


def test_a_client_that_does_not_read_its_plain_answer_is_cut_off_too(gateway, upstream):
    served = upstream(status(200, LARGE_IMAGE))
    running = gateway(deployment(served), spillway={"timeouts": {"drain": "300ms"}})
    with running.connect(receive_buffer=4096) as client:
        ask = {"model": "m", "prompt": "x"}
        open_stream(running, client, ask, "/v1/images/generations").read_head()
        running.stop()
        with pytest.raises(Closed, match="reset"):  # whoever does not count would take it for whole
            client.take(len(LARGE_IMAGE))
    (line,) = running.access_log()
    assert (line["status"], line["class"]) == (200, "unavailable"), line


@pytest.mark.parametrize("spillway", [LONG, {"timeouts": {"drain": "30s"}}])
@pytest.mark.row("S2")
def test_a_second_signal_exits_at_once(gateway, upstream, spillway):
    role, one, *_ = chat_text_events("one two")
    running = gateway(deployment(upstream(stream(role, one, end="stall"))), spillway=spillway)
    with running.connect() as client:
        client.read_until(open_stream(running, client).read_head(), one)
        running.terminate()
        delayed = "drain_delay" in spillway["timeouts"]
        running.wait_for_message("not ready any more" if delayed else "draining")
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(10) == 0
        assert client.closed_by_gateway()
    running.wait_for_message("exiting at once")


def test_a_reload_while_stopping_is_not_begun(leaving):
    leaving.process.send_signal(signal.SIGHUP)
    assert leaving.chat().status == 200
    assert not any("reading the configuration" in line for line in leaving.stderr.lines)
