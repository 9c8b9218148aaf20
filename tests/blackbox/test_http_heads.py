"""Request heads on the wire: what is refused, how soon, and that it is refused for good."""

from __future__ import annotations

import pytest

from edge import BODY, CHAT, assert_refused, no_upstream_call, send_raw
from rows import cases
from wire import request_bytes

BAD_HEADS = {
    "a bare LF": b"GET /health HTTP/1.1\nHost: x\n\n",
    "a bare CR": b"GET /health HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
    "an odd host": b"GET /health HTTP/1.1\r\nHost: localhost:4000/#@x\r\n\r\n",
    "a space before the colon": b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n",
    "a folded line": b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "a space before the first field": b"GET /health HTTP/1.1\r\n Host: x\r\n\r\n",
    "a NUL in a value": b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
    "a non-ASCII target": b"GET /h\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a fragment": b"GET /health#x HTTP/1.1\r\nHost: x\r\n\r\n",
    "an asterisk without OPTIONS": b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "length and chunked": b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
    "a list of lengths": b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\n",
    "a signed length": b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\n",
    "a huge length": b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "two transfer encodings": b"POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "an unknown transfer encoding": b"POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /v1/x HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "no version": b"GET /health\r\nHost: x\r\n\r\n",
    "a strange version": b"GET /health HTTP/3.7\r\nHost: x\r\n\r\n",
    "no method": b" /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS on the plain port": bytes.fromhex("16030100a5010000a10303") + bytes(30) + b"\n",
}


BAD_HEAD_ROWS = {
    "a bare LF": "R1",
    "a bare CR": "R1",
    "no host": "R5",
    "two hosts": "R5",
    "an odd host": "C30 R5",
    "a space before the colon": "R3",
    "a folded line": "R3",
    "a space before the first field": "R3",
    "a NUL in a value": "R18",
    "a non-ASCII target": "R7",
    "a fragment": "R7",
    "an asterisk without OPTIONS": "R7",
    "length and chunked": "R9",
    "two lengths": "R11",
    "a list of lengths": "R11",
    "a signed length": "R11",
    "a huge length": "R11",
    "two transfer encodings": "R10",
    "an unknown transfer encoding": "R8 R10",
    "chunked in HTTP/1.0": "R8",
    "no version": "R7",
}


@no_upstream_call
@pytest.mark.parametrize("sent", cases(BAD_HEADS, BAD_HEAD_ROWS))
def test_a_bad_head_is_refused_and_the_connection_closed(scene, sent):
    response = send_raw(scene, sent)
    assert response.status in (400, 413, 501, 505)
    assert response.version == "HTTP/1.1"
    assert response.error and response.closes


@no_upstream_call
def test_a_bad_line_is_answered_without_waiting_for_the_rest_of_the_head(scene):
    assert send_raw(scene, b"GET /health HTTP/1.1\r\nBad Name: x\r\n").status == 400


@no_upstream_call
@pytest.mark.row("R8", "R15")
def test_a_bad_heads_body_is_never_taken_for_a_request(scene):
    smuggled = b"POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\nGET /health HTTP/1.1\r\n\r\n"
    with scene.connect() as client:
        client.send(smuggled)
        assert client.read_response().status in (400, 501)
        assert client.closed_by_gateway()


@no_upstream_call
@pytest.mark.row("C26", "R19")
def test_a_head_too_large_is_431(strict):
    response = send_raw(strict, request_bytes("GET", "/health", headers={"X-Big": "a" * 9000}))
    assert_refused(strict, response, 431)
    assert response.closes


@no_upstream_call
@pytest.mark.row("C26", "R19")
def test_too_many_fields_are_431(strict):
    fields = [(f"x-{number}", "y") for number in range(30)]
    assert_refused(strict, send_raw(strict, request_bytes("GET", "/health", headers=fields)), 431)


@no_upstream_call
@pytest.mark.row("C27", "R4")
def test_a_target_too_long_is_414(scene):
    assert_refused(scene, send_raw(scene, request_bytes("GET", "/" + "a" * 9000)), 414)


@no_upstream_call
@pytest.mark.row("C26", "R19")
def test_an_endless_line_is_answered_before_its_end(strict):
    assert (
        send_raw(strict, b"GET /health HTTP/1.1\r\nHost: x\r\nX-Endless: " + b"a" * 20000).status
        == 431
    )


@no_upstream_call
@pytest.mark.parametrize(
    "sent", [b"POST /v1/chat", b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"]
)
@pytest.mark.row("C15")
def test_a_slow_head_is_408(strict, sent):
    response = send_raw(strict, sent)
    assert_refused(strict, response, 408)
    assert response.closes


@no_upstream_call
@pytest.mark.row("C16")
def test_a_slow_body_is_408(strict):
    response = send_raw(strict, request_bytes("POST", CHAT, BODY)[:-10])
    assert_refused(strict, response, 408)
    assert response.closes


@pytest.mark.row("R2", "R6")
def test_an_absolute_target_and_one_empty_line_before_it_are_fine(scene):
    response = send_raw(
        scene,
        b"\r\nGET http://x/health/liveliness HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    assert response.status == 200
