"""Request bodies: framing, limits, and what JSON has to look like."""

from __future__ import annotations

import gzip

import pytest

from edge import BODY, CHAT, assert_refused, no_upstream_call, post_head, send_raw
from framing import chunk
from rows import cases
from wire import request_bytes


# --- bodies ---------------------------------------------------------------------------------------
@no_upstream_call
@pytest.mark.row("C10", "R15", "R20")
def test_a_body_above_the_limit_is_413_before_it_is_read(strict):
    head = post_head("Content-Length: 70000")
    response = send_raw(strict, head)
    assert_refused(strict, response, 413)
    assert response.closes


@no_upstream_call
@pytest.mark.row("C11", "R20")
def test_a_chunked_body_is_413_when_it_crosses_the_limit(strict):
    head = post_head("Transfer-Encoding: chunked")
    response = send_raw(strict, head, *[chunk(b"a" * 8192) for _ in range(9)])
    assert_refused(strict, response, 413)


def test_a_body_of_exactly_the_limit_is_read(strict):
    filler = 65536 - len(BODY) - len(b',"x":""')
    body = BODY[:-1] + b',"x":"' + b"a" * filler + b'"}'
    assert len(body) == 65536
    assert strict.post(CHAT, body).status == 200


@pytest.mark.parametrize("size", [13, 15, 16, 17, 29, 31, 47, 100, 40_000, 1_100_000, 5_000_000])
def test_a_body_that_comes_behind_its_head_is_read_to_the_byte(scene, size):
    body = b'{"model":"m"' + b" " * (size - 13) + b"}"
    with scene.connect() as client:
        client.send(post_head("Expect: 100-continue", f"Content-Length: {size}"))
        assert client.line() == b"HTTP/1.1 100 Continue" and client.line() == b""
        client.send(body)
        assert client.read_response("POST").status == 200
    assert scene.upstream.last.body == body.replace(b'"m"', b'"upstream-model"')


@no_upstream_call
@pytest.mark.parametrize(
    "bad", [b"zz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"3\r\nabcd\r\n0\r\n\r\n"]
)
@pytest.mark.row("R12")
def test_a_bad_chunk_is_400(scene, bad):
    head = post_head("Transfer-Encoding: chunked")
    response = send_raw(scene, head, bad)
    assert response.status in (400, 413) and response.closes


@pytest.mark.row("R13", "R14")
def test_chunk_extensions_and_trailers_are_dropped(scene):
    head = post_head("Connection: close", "Transfer-Encoding: chunked")
    sized = b"%x;name=value\r\n%s\r\n" % (len(BODY), BODY)
    response = send_raw(scene, head, sized, b"0\r\nX-Request-Id: trailer\r\n\r\n")
    assert response.status == 200
    assert response.header("x-request-id") != "trailer"


@no_upstream_call
@pytest.mark.row("R13")
def test_long_chunk_extensions_are_400(scene):
    head = post_head("Transfer-Encoding: chunked")
    assert send_raw(scene, head, b"5;" + b"a" * 70000 + b"\r\nhello\r\n").status == 400


@pytest.mark.row("R21")
def test_100_continue_is_sent_once_before_the_body(scene):
    with scene.connect() as client:
        wire = request_bytes("POST", CHAT, BODY, {"Expect": "100-continue"})
        client.send(wire[: -len(BODY)])
        assert client.line() == b"HTTP/1.1 100 Continue" and client.line() == b""
        client.send(BODY)
        response = client.read_response("POST")
        assert (response.status, response.interim) == (200, [])


@no_upstream_call
@pytest.mark.row("R21", "C10")
def test_100_continue_is_not_sent_for_a_body_that_will_be_refused(strict):
    head = post_head("Expect: 100-continue", "Content-Length: 70000")
    response = send_raw(strict, head)
    assert (response.status, response.interim) == (413, [])


@no_upstream_call
@pytest.mark.row("R21")
def test_an_unknown_expectation_is_417(scene):
    assert_refused(
        scene, send_raw(scene, request_bytes("POST", CHAT, BODY, {"Expect": "a miracle"})), 417
    )


@no_upstream_call
@pytest.mark.row("C13")
def test_a_compressed_request_is_415(scene):
    response = scene.post(CHAT, gzip.compress(BODY), headers={"Content-Encoding": "gzip"})
    assert_refused(scene, response, 415)


# --- JSON -----------------------------------------------------------------------------------------
BAD_BODIES = {
    "empty": (b"", None),
    "null": (b"null", None),
    "an array": (b"[]", None),
    "cut": (BODY[:-1], None),
    "something behind it": (BODY + b"x", None),
    "a trailing comma": (b'{"model":"m",}', None),
    "invalid UTF-8": (b'{"model":"m","x":"\xff"}', None),
    "UTF-16": (BODY.decode().encode("utf-16"), None),
    "deep": (b'{"model":"m","x":' + b"[" * 100000, None),
    "deep and complete": (b'{"model":"m","x":' + b"[" * 500 + b"]" * 500 + b"}", None),
    "no model": (b'{"messages":[]}', "model"),
    "an empty model": (b'{"model":""}', "model"),
    "a number as model": (b'{"model":7}', "model"),
    "a null model": (b'{"model":null}', "model"),
    "the model twice": (b'{"model":"m","model":"m"}', "model"),
    "the model twice, escaped": (b'{"model":"m","mod\\u0065l":"m"}', "model"),
    "the model twice, in another case": (b'{"model":"m","MODEL":"m"}', "model"),
    "stream twice": (b'{"model":"m","stream":false,"stream":true}', "stream"),
    "stream not a boolean": (b'{"model":"m","stream":"yes"}', "stream"),
    "messages not an array": (b'{"model":"m","messages":"x"}', "messages"),
    "n not an integer": (b'{"model":"m","n":1.5}', "n"),
    "a base of the client's own": (b'{"model":"m","api_base":"http://127.0.0.1:1/"}', "api_base"),
    "a key of the client's own": (b'{"model":"m","api_key":"sk-x"}', "api_key"),
}


BAD_BODY_ROWS = {
    "empty": "C2",
    "null": "C2",
    "an array": "C2",
    "cut": "C1",
    "something behind it": "C1",
    "a trailing comma": "C1",
    "invalid UTF-8": "C6",
    "UTF-16": "C6",
    "deep": "C4",
    "deep and complete": "C4",
    "no model": "C8",
    "an empty model": "C8",
    "a number as model": "C7",
    "a null model": "C7",
    "the model twice": "C3",
    "the model twice, escaped": "C3",
    "the model twice, in another case": "C3",
    "stream twice": "C3",
    "stream not a boolean": "C7",
    "messages not an array": "C7",
    "n not an integer": "C7",
    "a base of the client's own": "C32 X4",
    "a key of the client's own": "C32",
}


@no_upstream_call
@pytest.mark.parametrize("body, param", cases(BAD_BODIES, BAD_BODY_ROWS))
def test_a_bad_body_is_400_and_names_the_field(scene, body, param):
    response = scene.post(CHAT, body)
    assert_refused(scene, response, 400, type="invalid_request_error")
    if param:
        assert response.error["param"] == param


@no_upstream_call
@pytest.mark.row("C8")
def test_an_unknown_model_is_404(scene):
    response = scene.chat("no-such-model")
    assert_refused(
        scene, response, 404, code="model_not_found", param="model", type="not_found_error"
    )
    assert "no-such-model" in response.error["message"]


@pytest.mark.row("C3")
def test_duplicates_that_nobody_reads_are_the_clients_business(scene):
    body = b'{"model":"m","messages":[],"x":1,"x":2}'
    assert scene.post(CHAT, body).status == 200


@pytest.mark.row("C14")
def test_any_content_type_is_read_as_json(scene):
    assert scene.post(CHAT, BODY, headers={"Content-Type": "text/plain"}).status == 200
