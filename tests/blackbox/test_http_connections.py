"""Client connections: kept, pipelined, closed, counted."""

from __future__ import annotations

import json
import socket
import struct

import pytest

from behaviours import after, plausible
from edge import BODY, CHAT, send_raw
from loop import Gate
from settings import deployment
from wire import request_bytes


def test_a_connection_is_kept_and_used_again(scene):
    with scene.connect() as client:
        for number in range(20):
            client.send(request_bytes("POST", CHAT, BODY.replace(b"hello", b"%d" % number)))
            response = client.read_response("POST")
            assert response.json()["choices"][0]["message"]["content"] == f"echo: {number}"


def test_a_connection_is_kept_after_an_error_of_the_clients(scene):
    with scene.connect() as client:
        for body, status in [(b"{", 400), (BODY, 200), (b'{"model":"none"}', 404), (BODY, 200)]:
            client.send(request_bytes("POST", CHAT, body))
            assert client.read_response("POST").status == status


@pytest.mark.row("C23", "R16")
def test_pipelined_requests_are_answered_in_order(gateway, upstream):
    gate = Gate()
    served = upstream(after(gate, plausible()))  # the first is slow, the others are not
    running = gateway(deployment(served))
    with running.connect() as client:
        wire = b"".join(
            request_bytes("POST", CHAT, BODY.replace(b"hello", b"%d" % n)) for n in range(5)
        )
        client.send(wire)
        served.wait_for_requests(1)
        gate.open()
        for number in range(5):
            answer = client.read_response("POST").json()
            assert answer["choices"][0]["message"]["content"] == f"echo: {number}"


@pytest.mark.row("R17")
def test_connection_close_is_obeyed(scene):
    with scene.connect() as client:
        client.send(
            request_bytes("POST", CHAT, BODY, {"Connection": "close"})
            + request_bytes("POST", CHAT, BODY)
        )
        response = client.read_response("POST")
        assert response.status == 200 and response.header("connection") == "close"
        assert client.closed_by_gateway()


@pytest.mark.row("C17")
def test_an_idle_connection_is_closed_without_a_byte(gateway, upstream):
    running = gateway(deployment(upstream()), spillway={"timeouts": {"keepalive": "300ms"}})
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY))
        assert client.read_response("POST").status == 200
        assert client.closed_by_gateway(timeout=5)
        assert not client.buffer


@pytest.mark.row("R22")
def test_http_1_0_gets_a_plain_answer_and_a_close(scene):
    head = f"POST {CHAT} HTTP/1.0\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    response = send_raw(scene, head + BODY)
    assert response.status == 200 and response.closes
    assert response.header("transfer-encoding") is None


@pytest.mark.row("C36", "R22")
def test_http_1_0_gets_a_stream_until_the_close(scene):
    body = BODY[:-1] + b',"stream":true}'
    with scene.connect() as client:
        client.send(f"POST {CHAT} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        response = client.read_response("POST")
    assert response.header("transfer-encoding") is None
    assert response.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.row("C21")
def test_a_client_that_closes_its_sending_side_has_left(gateway, upstream):

    served = upstream(default=after(Gate(), plausible()))
    running = gateway(deployment(served))
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY))
        served.wait_for_requests(1)
        client.socket.shutdown(socket.SHUT_WR)
        served.wait_for_disconnect(timeout=1)


@pytest.mark.row("C24")
def test_connections_beyond_the_limit_do_not_hurt_the_others(gateway, upstream):
    running = gateway(deployment(upstream()), spillway={"limits": {"connections": 4}})
    held = [running.connect() for _ in range(4)]
    for client in held:
        client.send(request_bytes("POST", CHAT, BODY))
        assert client.read_response("POST").status == 200
    with running.connect() as fifth:
        fifth.send(request_bytes("POST", CHAT, BODY))
        held[0].send(request_bytes("POST", CHAT, BODY))
        assert held[0].read_response("POST").status == 200
        for client in held:
            client.close()
    assert running.chat().status == 200


@pytest.mark.row("C22")
def test_a_body_that_is_reset_halfway_reaches_no_upstream(scene):

    before = scene.upstream.count
    with scene.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY)[:-10])
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert scene.chat().status == 200
    assert scene.upstream.count == before + 1
    assert json.loads(scene.upstream.last.body)["messages"]
