"""Clients that leave: what they held is free again, and the log tells whose call was abandoned."""

from __future__ import annotations

import json
import socket
import struct

import pytest

from behaviours import error, stall, stream
from canned import DONE
from concurrency import eventually
from edge import BODY, CHAT
from framing import LAST_CHUNK, chunk, head
from loop import Gate
from settings import deployment
from streams import FINISH, ONE, ROLE, open_stream
from wire import request_bytes

ONE_AT_ONCE = {"limits": {"concurrent_requests": 1}}


def answered_again(running):
    """The limit is one request at once: it is answered only if nobody holds that place."""
    return eventually(lambda: running.chat().status == 200)


# --- a place among the concurrent requests --------------------------------------------------------
@pytest.mark.row("C19")
def test_a_client_that_leaves_before_the_upstream_answers_frees_its_place(gateway, upstream):
    served = upstream(stall())
    running = gateway(deployment(served), spillway=ONE_AT_ONCE)
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY))
        served.wait_for_requests(1)
    served.wait_for_disconnect()
    assert answered_again(running)


def test_a_client_that_leaves_while_its_request_waits_to_be_tried_again_frees_its_place(
    gateway, upstream
):
    async def limited(exchange):
        await error(429, headers={"retry-after": "4"})(exchange)
        exchange.mark("limited")

    served = upstream(limited)
    running = gateway(deployment(served), spillway=ONE_AT_ONCE, threads=1)
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY))
        served.wait_for(lambda: served.marks["limited"], "the first attempt")
        running.get("/health/liveliness")  # the one thread has seen the 429 by then
    assert answered_again(running)


@pytest.mark.row("C20")
def test_a_client_that_leaves_in_the_middle_of_a_stream_frees_its_place(gateway, upstream):
    served = upstream(stream(ROLE, ONE, end="stall"))
    running = gateway(deployment(served), spillway=ONE_AT_ONCE)
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        client.read_until(answer, ONE)
    served.wait_for_disconnect()
    assert answered_again(running)


@pytest.mark.parametrize("linger", [True, False], ids=["close", "reset"])
def test_clients_that_leave_as_soon_as_they_have_asked_free_their_places(gateway, upstream, linger):
    running = gateway(deployment(upstream()), spillway=ONE_AT_ONCE)
    for _ in range(30):
        with running.connect() as client:
            client.send(request_bytes("POST", CHAT, BODY))
            if not linger:
                option = struct.pack("ii", 1, 0)
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
    assert answered_again(running)


# --- what the log says ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "behaviour, body",
    [
        (stall(), {"model": "m", "messages": []}),
        (stream(ROLE, ONE, end="stall"), {"model": "m", "messages": [], "stream": True}),
    ],
    ids=["waiting", "mid-stream"],
)
@pytest.mark.row("C19", "C20")
def test_the_line_of_a_client_that_left_names_it_and_the_call_under_way(
    gateway, upstream, behaviour, body
):
    served = upstream(behaviour)
    running = gateway(deployment(served, id="busy"))
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, json.dumps(body).encode()))
        served.wait_for_requests(1)
        if body.get("stream"):
            client.read_until(client.read_head(), ONE)
    line = running.wait_for_log(lambda entry: entry["path"] == CHAT)
    assert (line["status"], line["class"]) == (499, "client_closed")
    assert line["client"] == "127.0.0.1"
    assert (line["group"], line["deployment"], line["provider"]) == ("m", "busy", "openai")


# --- a client that has all of its answer has not left too early -----------------------------------
def stream_with_a_late_last_chunk(gate):
    async def behaviour(exchange):
        fields = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, fields) + chunk(ROLE + ONE + FINISH + DONE))
        await exchange.gate(gate)
        await exchange.send(LAST_CHUNK)

    return behaviour


def read_all_and_leave(running):
    with running.connect() as client:
        answer = open_stream(running, client).read_response("POST")
    assert answer.complete and answer.body.endswith(DONE)
    running.get("/health/liveliness")  # the one thread has seen the client leave by then


def test_leaving_with_a_whole_stream_is_a_success_though_its_last_chunk_never_comes(
    gateway, upstream
):
    running = gateway(deployment(upstream(stream_with_a_late_last_chunk(Gate()))), threads=1)
    read_all_and_leave(running)
    line = running.wait_for_log(lambda entry: entry["path"] == CHAT)
    assert (line["status"], line["class"]) == (200, "success")


def test_a_last_chunk_that_comes_soon_after_the_client_left_keeps_the_connection(gateway, upstream):
    """The gateway waits for it but a moment: a busy machine may need more than one try."""
    served = upstream()
    running = gateway(deployment(served, id="only"), threads=1)

    def connection_is_used_again():
        gate = Gate()
        served.script(stream_with_a_late_last_chunk(gate))
        read_all_and_leave(running)
        gate.open()
        streamed = served.last.connection
        wait_for_lines(running, served.count)
        assert running.chat().status == 200
        return served.last.connection == streamed

    assert eventually(connection_is_used_again)
    wait_for_lines(running, served.count)
    lines = [line for line in running.access_log() if line["path"] == CHAT]
    assert {(line["status"], line["class"]) for line in lines} == {(200, "success")}
    metrics = running.get("/metrics").body.decode()
    (attempts,) = [
        line
        for line in metrics.splitlines()
        if line.startswith("spillway_attempts_total{") and 'class="success"' in line
    ]
    assert attempts.endswith(f" {served.count}")


def wait_for_lines(running, count):
    """Until so many requests to the chat endpoint were logged."""
    eventually(lambda: sum(line["path"] == CHAT for line in running.access_log()) >= count)


# --- connecting on behalf of nobody ---------------------------------------------------------------
def test_a_handshake_is_abandoned_when_its_client_leaves(gateway, upstream):
    served = upstream(on_connect="stall")
    url = served.url.replace("http://127.0.0.1", "https://localhost")
    running = gateway(
        deployment(None, api_base=url), spillway={"timeouts": {"connect": "60s"}}, threads=1
    )
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY))
        served.wait_for(lambda: served.unread, "the handshake's first bytes")
    served.wait_for(lambda: served.connections[0].closed, "the gateway leaving")
    assert running.wait_for_log(lambda entry: entry["path"] == CHAT)["status"] == 499
    assert len(served.connections) == 1
