"""What upstreams do wrong on the wire (facts about HTTP, not about models): each fault is seen, and
tried elsewhere."""

from __future__ import annotations

import gzip
import json

import pytest

from behaviours import (
    answer,
    close,
    early,
    error,
    only_on_reused,
    plausible,
    raw,
    reset,
    stall,
    status,
)
from canned import chat_completion
from error_table import NO_RETRIES
from framing import LAST_CHUNK, chunk, head
from rows import cases
from settings import deployment

GOOD = json.dumps(chat_completion({"model": "m"}, "fine")).encode()
JSON_TYPE = ("Content-Type", "application/json")
LENGTH = ("Content-Length", str(len(GOOD)))
CHUNKED = ("Transfer-Encoding", "chunked")


def wire(*pieces, end="close"):
    return raw(*pieces, end=end)


# name -> what the first deployment does
FAULTS = {
    "closes before any byte": close(),
    "resets before any byte": reset(),
    "junk instead of a status line": wire(b"220 mail.example ESMTP\r\n"),
    "junk without a line end": wire(b"\x16\x03\x01" * 50),
    "a status of two digits": wire(b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    "closes mid-head": wire(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "a folded field": wire(b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n", head(200, [LENGTH])[17:], GOOD),
    "a length that is no number": wire(head(200, [JSON_TYPE, ("Content-Length", "12x")]), GOOD),
    "two different lengths": wire(head(200, [LENGTH, ("Content-Length", "5")]), GOOD),
    "length and chunked": wire(head(200, [LENGTH, CHUNKED]), chunk(GOOD), LAST_CHUNK),
    "cut before its length": wire(head(200, [JSON_TYPE, LENGTH]), GOOD[:-5]),
    "reset before its length": wire(head(200, [JSON_TYPE, LENGTH]), GOOD[:-5], end="reset"),
    "chunks without an end": wire(head(200, [JSON_TYPE, CHUNKED]), chunk(GOOD)),
    "a bad chunk size": wire(head(200, [JSON_TYPE, CHUNKED]), b"xyz\r\n", GOOD),
    "a huge chunk size": wire(head(200, [JSON_TYPE, CHUNKED]), b"fffffffffffffffffff\r\n", GOOD),
    "not complete JSON": status(200, GOOD[:-1]),
    "not JSON": status(200, b"Hello"),
    "an HTML page": status(200, b"<!doctype html><p>hi", content_type="text/html"),
    "an empty 200": status(200, b""),
    "an array": status(200, b"[1,2]"),
    "gzip though identity was asked for": status(
        200, gzip.compress(GOOD), {"Content-Encoding": "gzip"}
    ),
    "an unasked 101": wire(head(101, [("Upgrade", "x"), ("Connection", "Upgrade")]), b"\x00\x01"),
    "a 204": wire(head(204, []), end="keep"),
    "a 205": status(205, b""),
    "a 304": wire(head(304, []), end="keep"),
    "a redirect": status(302, b"", {"Location": "http://127.0.0.1:9/"}),
    "a head without end": wire(b"HTTP/1.1 200 OK\r\n" + b"X-Pad: " + b"a" * 80_000, end="stall"),
    "a head too large": wire(head(200, [("X-Pad", "a" * 80_000), LENGTH]), GOOD),
    "endless 1xx": wire(*[head(103, [])] * 30, head(200, [JSON_TYPE, LENGTH]), GOOD),
    "a 502 page": status(502, b"<html>bad</html>", content_type="text/html"),
    "an error inside a 200": status(200, {"error": {"message": "broken", "code": 500}}),
}

# The rows of the fault catalogue
FAULT_ROWS = {
    "closes before any byte": "U6",
    "resets before any byte": "U6",
    "junk instead of a status line": "U8",
    "junk without a line end": "U8",
    "a status of two digits": "U8",
    "closes mid-head": "U10",
    "a folded field": "U8",
    "a length that is no number": "U8 U50",
    "two different lengths": "U50",
    "length and chunked": "U50",
    "cut before its length": "U11",
    "reset before its length": "U11",
    "chunks without an end": "U12",
    "a bad chunk size": "U12",
    "a huge chunk size": "U12",
    "not complete JSON": "U11",
    "not JSON": "U19",
    "an HTML page": "U19",
    "an empty 200": "U19",
    "an array": "U19",
    "gzip though identity was asked for": "U42",
    "an unasked 101": "U44",
    "a 204": "U46",
    "a 205": "U46",
    "a 304": "U46",
    "a redirect": "U45",
    "a head without end": "U9",
    "a head too large": "U9",
    "endless 1xx": "U43",
    "a 502 page": "U20",
    "an error inside a 200": "U18",
}


@pytest.mark.parametrize("fault", cases(FAULTS, FAULT_ROWS))
def test_a_fault_before_content_is_tried_elsewhere(gateway, upstream, fault):
    first, second = upstream(fault), upstream()
    running = gateway(
        deployment(first, id="first", order=1), deployment(second, id="second", order=2)
    )
    response = running.chat()
    assert (response.status, response.header("x-spillway-deployment")) == (200, "second")
    assert response.header("x-spillway-attempts") == "2"
    assert first.count == 1
    assert running.chat().status == 200


@pytest.mark.parametrize("fault", cases(FAULTS, FAULT_ROWS))
def test_a_lone_deployments_fault_is_a_gateway_error_in_the_usual_shape(gateway, upstream, fault):
    running = gateway(deployment(upstream(default=fault)), router=NO_RETRIES)
    response = running.chat()
    assert 500 <= response.status <= 502 and response.complete
    assert response.error
    assert b"<" not in response.body.split(b'"message"')[0]


@pytest.mark.row("U50")
def test_a_failed_connection_is_closed_and_never_used_again(gateway, upstream):
    first = upstream(
        wire(head(200, [JSON_TYPE, LENGTH, CHUNKED]), chunk(GOOD), LAST_CHUNK, end="keep")
    )
    running = gateway(deployment(first, order=1), deployment(upstream(), order=2), threads=1)
    assert running.chat().status == 200
    first.wait_for_disconnect()
    running.chat()
    assert first.last.connection == 1


# --- what is unusual but right --------------------------------------------------------------------

RIGHT = {
    "early hints first": wire(
        head(103, [("Link", "</x>")]), head(200, [JSON_TYPE, LENGTH]), GOOD, end="keep"
    ),
    "several 1xx first": wire(
        head(100, []), head(102, []), head(200, [JSON_TYPE, LENGTH]), GOOD, end="keep"
    ),
    "HTTP/1.0 until the close": wire(
        b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n", GOOD
    ),
    "HTTP/1.1 until the close": wire(head(200, [JSON_TYPE]), GOOD),
    "no reason phrase": wire(
        b"HTTP/1.1 200 \r\nContent-Length: %d\r\n\r\n" % len(GOOD), GOOD, end="keep"
    ),
    "chunk extensions and trailers": wire(
        head(200, [JSON_TYPE, CHUNKED]),
        b"%x;a=b\r\n%s\r\n" % (len(GOOD), GOOD),
        b"0\r\nX-T: 1\r\n\r\n",
        end="keep",
    ),
    "one byte at a time": wire(
        *[bytes([b]) for b in head(200, [JSON_TYPE, LENGTH]) + GOOD], end="keep"
    ),
    "a charset": wire(
        head(200, [("Content-Type", "application/json; charset=utf-8"), LENGTH]), GOOD, end="keep"
    ),
}


RIGHT_ROWS = {
    "early hints first": "U43",
    "several 1xx first": "U43",
    "HTTP/1.0 until the close": "U47",
    "HTTP/1.1 until the close": "U47",
}


@pytest.mark.parametrize("behaviour", cases(RIGHT, RIGHT_ROWS))
def test_an_unusual_answer_is_delivered(gateway, upstream, behaviour):
    running = gateway(deployment(upstream(behaviour)), router=NO_RETRIES)
    response = running.chat()
    assert (response.status, response.body) == (200, GOOD)
    assert response.interim == []


@pytest.mark.row("U48")
def test_extra_bytes_end_the_connection_but_not_the_answer(gateway, upstream):
    served = upstream(
        wire(head(200, [JSON_TYPE, LENGTH]), GOOD + b"HTTP/1.1 200 OK\r\n\r\n", end="keep")
    )
    running = gateway(deployment(served), threads=1)
    assert running.chat().body == GOOD
    assert running.chat().json()["choices"][0]["message"]["content"] == "echo: hello"
    assert [request.connection for request in served.requests] == [0, 1]


@pytest.mark.row("U49")
def test_an_answer_that_comes_before_the_whole_body_was_sent_is_delivered(gateway, upstream):
    served = upstream(early(error(400, "too long for me")))
    running = gateway(deployment(served))
    response = running.chat(text="x" * 20_000_000)
    assert response.status == 400
    assert "too long for me" in response.error["message"]


@pytest.mark.row("U45", "X4")
def test_a_redirect_is_not_followed(gateway, upstream):
    target = upstream()
    first = upstream(default=status(307, b"", {"Location": target.url + "/chat/completions"}))
    running = gateway(deployment(first), router=NO_RETRIES)
    assert running.chat().status == 502
    assert not target.connections


# --- connections are kept, and races on them are nobody's fault -----------------------------------


def test_connections_to_an_upstream_are_used_again(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served), threads=1)
    for streaming in (False, True) * 5:
        assert running.chat(stream=streaming).status == 200
    assert len(served.connections) == 1


def test_connection_close_of_the_upstream_is_obeyed(gateway, upstream):
    served = upstream(answer(headers={"Connection": "close"}))
    running = gateway(deployment(served), threads=1)
    assert [running.chat().status for _ in range(2)] == [200, 200]
    assert [request.connection for request in served.requests] == [0, 1]


@pytest.mark.parametrize("fault", [close(), reset()], ids=["closed", "reset"])
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.row("U7")
def test_a_race_on_a_kept_connection_is_hidden_and_counts_against_nobody(
    gateway, upstream, fault, streaming
):
    served, second = upstream(default=only_on_reused(fault, plausible())), upstream()
    running = gateway(
        deployment(served, id="first", order=1), deployment(second, order=2), threads=1
    )
    for _ in range(6):
        response = running.chat(stream=streaming)
        assert (response.status, response.header("x-spillway-deployment")) == (200, "first")
    assert second.count == 0


@pytest.mark.row("U54")
def test_a_kept_connection_that_the_upstream_closed_is_noticed_before_use(gateway, upstream):
    async def answer_then_close(exchange):
        await plausible()(exchange)
        exchange.close()

    served = upstream(default=answer_then_close)
    running = gateway(deployment(served), threads=1)
    for _ in range(5):
        assert running.chat().status == 200
        served.wait_for_disconnect()
    assert served.count == 5


@pytest.mark.row("U37")
def test_a_call_that_timed_out_leaves_no_connection_behind(gateway, upstream):
    served = upstream(stall())
    running = gateway(deployment(served, timeout=0.3), router=NO_RETRIES, threads=1)
    assert running.chat().status == 504
    served.wait_for_disconnect()
    assert running.chat().status == 200
    assert served.last.connection == 1
