"""SIGTERM: what runs may finish, nothing new begins."""

from __future__ import annotations

import time

import pytest

from behaviours import stream
from canned import DONE, chat_text_events
from loop import Gate
from settings import deployment
from streams import open_stream
from wire import request_bytes


def test_sigterm_lets_a_running_stream_finish(gateway, upstream):
    gate = Gate()
    one, two, three, *rest = chat_text_events("one two three")
    served = upstream(stream(one, two, gate, three, *rest, DONE))
    running = gateway(deployment(served))
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        client.read_until(answer, two)
        running.terminate()
        running.wait_for_message("draining")
        gate.open()
        client.read_body(answer)
        assert answer.complete and answer.body.endswith(DONE)
        assert client.closed_by_gateway()
    running.stop()


def test_sigterm_closes_idle_connections_at_once_and_refuses_new_ones(gateway, upstream):
    running = gateway(deployment(upstream()), spillway={"timeouts": {"drain": "20s"}})
    with running.connect() as idle, running.connect() as silent:
        idle.send(request_bytes("GET", "/health/liveliness"))
        assert idle.read_response().status == 200
        begun = time.monotonic()
        running.stop()
        assert time.monotonic() - begun < 10, "nothing ran: there was nothing to wait for"
        assert idle.closed_by_gateway() and silent.closed_by_gateway()
    with pytest.raises(ConnectionRefusedError):
        running.connect()


def test_a_stream_that_outlives_the_grace_period_is_cut_and_looks_cut(gateway, upstream):
    one, two, *_ = chat_text_events("one two three")
    served = upstream(stream(one, two, end="stall"))
    running = gateway(deployment(served), spillway={"timeouts": {"drain": "300ms"}})
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        client.read_until(answer, two)
        running.stop()
        client.read_body(answer)
    assert not answer.complete and b"[DONE]" not in answer.body
