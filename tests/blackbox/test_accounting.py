"""Nothing is missing from the books: each request has its line with its size, each call its
outcome."""

from __future__ import annotations

import json

import pytest

from behaviours import error, stall, stream
from concurrency import eventually
from edge import BODY, CHAT, post_head, send_raw
from error_table import NO_RETRIES
from settings import deployment
from state import in_flight, metric
from streams import ONE, ROLE, open_stream
from test_hedging import attempts_metric, pair
from wire import request_bytes

LEFT = {("busy", "client_closed"): 1}


def the_line(running, path=CHAT):
    """Of the only request to this path."""
    running.wait_for_log(lambda entry: entry["path"] == path)
    (line,) = [entry for entry in running.access_log() if entry["path"] == path]
    return line


# --- sizes ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "body, behaviour",
    [(b"{", stall()), (b'{"model":"nobody"}', stall()), (BODY, error(400)), (BODY, error(503))],
    ids=["no JSON", "no such model", "a provider's refusal", "nobody left"],
)
def test_the_line_of_a_refusal_has_the_size_that_its_client_received(
    gateway, upstream, body, behaviour
):
    running = gateway(deployment(upstream(default=behaviour)), router=NO_RETRIES)
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, body, [("Connection", "close")]))
        client.read_to_end()
    assert the_line(running)["response_bytes"] == len(client.buffer)


def test_the_line_of_a_broken_stream_counts_its_error_event(gateway, upstream):
    running = gateway(deployment(upstream(stream(ROLE, ONE, end="cut"))), router=NO_RETRIES)
    with running.connect() as client:
        open_stream(running, client)
        client.read_to_end()
    assert b'data: {"error"' in client.buffer
    assert the_line(running)["response_bytes"] == len(client.buffer)


# --- clients that leave ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "head",
    [post_head("Content-Length: 500"), post_head("Transfer-Encoding: chunked")],
    ids=["length", "chunked"],
)
def test_a_client_that_leaves_before_its_body_is_whole_has_one_line(gateway, upstream, head):
    running = gateway(deployment(upstream()))
    with running.connect() as client:
        client.send(head + (b"" if b"chunked" in head else b'{"model"'))
    line = the_line(running)
    assert (line["status"], line["class"]) == (499, "client_closed")
    assert (line["attempts"], line["response_bytes"]) == (0, 0)
    assert metric(running, "spillway_client_disconnects_total") == 1


@pytest.mark.parametrize("streamed", [False, True], ids=["waiting", "mid-stream"])
def test_a_call_under_way_when_its_client_leaves_counts_once(gateway, upstream, streamed):
    served = upstream(stream(ROLE, ONE, end="stall") if streamed else stall())
    running = gateway(deployment(served, id="busy"))
    body = {"model": "m", "messages": [], "stream": streamed}
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, json.dumps(body).encode()))
        served.wait_for_requests(1)
        if streamed:
            client.read_until(client.read_head(), ONE)
    assert the_line(running)["attempts"] == 1
    assert attempts_metric(running) == LEFT
    assert eventually(lambda: in_flight(running, "busy") == 0)


def test_both_calls_of_a_hedged_request_count_when_its_client_leaves(gateway, upstream):
    slow, quick = upstream(stall()), upstream(stall())
    running = pair(gateway, slow, quick)
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY))
        quick.wait_for_requests(1)
    assert the_line(running)["attempts"] == 2
    assert attempts_metric(running) == {
        ("slow", "client_closed"): 1,
        ("quick", "client_closed"): 1,
    }


def test_a_call_that_the_end_of_the_grace_period_cuts_is_in_the_log(gateway, upstream):
    served = upstream(stall())
    running = gateway(deployment(served), spillway={"timeouts": {"drain": "100ms"}})
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY))
        served.wait_for_requests(1)
        running.terminate()
        assert client.read_head().status == 503
    line = the_line(running)
    assert (line["status"], line["attempts"]) == (503, 1)


def test_a_body_that_the_end_of_the_grace_period_cuts_did_not_end_by_its_client(gateway, upstream):
    running = gateway(deployment(upstream()), spillway={"timeouts": {"drain": "100ms"}})
    with running.connect() as client:
        client.send(post_head("Content-Length: 500", "Expect: 100-continue"))
        assert client.line() == b"HTTP/1.1 100 Continue"
        client.line()
        running.terminate()
        assert client.closed_by_gateway()
    assert (the_line(running)["status"], the_line(running)["class"]) == (503, "unavailable")


# --- whose mistake it was -------------------------------------------------------------------------
@pytest.mark.parametrize(
    "request_line, field, status",
    [
        ("GET /v1/models HTTP/3.0", "X: y", 505),
        ("POST /v1/models HTTP/1.1", "Transfer-Encoding: gzip, chunked", 501),
        ("POST /v1/models HTTP/1.1", "Expect: tea", 417),
        ("GET /v1/models HTTP/1.1", "X : y", 400),
    ],
)
def test_what_a_client_sent_wrong_is_not_an_error_of_the_gateway(
    gateway, upstream, request_line, field, status
):
    running = gateway(deployment(upstream()))
    response = send_raw(running, f"{request_line}\r\nHost: x\r\n{field}\r\n\r\n".encode())
    assert response.status == status
    assert response.error["type"] == "invalid_request_error"
    line = running.wait_for_log(lambda entry: entry["status"] == status)
    assert line["class"] == "invalid_request"
