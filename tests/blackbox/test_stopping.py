"""SIGTERM: what runs may finish, nothing new begins."""

from __future__ import annotations

import time

import pytest

from behaviours import stream
from canned import DONE, chat_text_events
from edge import BODY, CHAT
from loop import Gate
from settings import deployment
from streams import assert_ends_in_an_error_event, open_stream
from wire import request_bytes


@pytest.mark.row("S1")
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


@pytest.mark.row("S1")
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


@pytest.mark.row("S1")
def test_a_stream_that_outlives_the_grace_period_is_cut_and_looks_cut(gateway, upstream):
    one, two, *_ = chat_text_events("one two three")
    served = upstream(stream(one, two, end="stall"))
    running = gateway(deployment(served), spillway={"timeouts": {"drain": "300ms"}})
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        client.read_until(answer, two)
        running.stop()
        client.read_body(answer)
    assert answer.body.startswith(one + two)
    assert_ends_in_an_error_event(answer)
    (line,) = [entry for entry in running.access_log() if entry["path"] == CHAT]
    assert (line["status"], line["class"]) == (200, "unavailable"), "the client did not leave"


def test_a_client_of_http_1_0_is_told_that_its_stream_was_cut_as_well(gateway, upstream):
    one, two, *_ = chat_text_events("one two three")
    served = upstream(stream(one, two, end="stall"))
    running = gateway(deployment(served), spillway={"timeouts": {"drain": "300ms"}})
    body = BODY[:-1] + b',"stream":true}'
    with running.connect() as client:
        client.send(f"POST {CHAT} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = client.read_head()
        served.wait_for(lambda: served.connections[0].bytes_sent > len(one + two), "its events")
        running.stop()
        client.read_body(answer)
    assert answer.body.startswith(one + two)
    assert b'"error"' in answer.body and b"[DONE]" not in answer.body
