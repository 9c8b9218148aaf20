"""The front end on the wire: heads, bodies, limits, keep-alive, and what a client is told about its own mistakes."""

from __future__ import annotations

import gzip
import json

import pytest

from behaviours import after, plausible
from settings import deployment
from upstream import LAST_CHUNK, Gate, chunk
from wire import request_bytes

CHAT = "/v1/chat/completions"
BODY = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
SMALL = {"limits": {"body": "64KiB", "head": "8KiB", "headers": 20}, "timeouts": {"head": "400ms", "body": "400ms"}}


@pytest.fixture(scope="module")
def scene(module_gateway, module_upstream):
    served = module_upstream()
    running = module_gateway(deployment(served))
    running.upstream = served
    return running


@pytest.fixture(scope="module")
def strict(module_gateway, module_upstream):
    """Small limits and short deadlines."""
    served = module_upstream()
    running = module_gateway(deployment(served), spillway=SMALL)
    running.upstream = served
    return running


def send_raw(running, *pieces, method="POST"):
    with running.connect() as client:
        for piece in pieces:
            client.send(piece)
        response = client.read_response(method)
        response.closes = client.closed_by_gateway(timeout=5)
        return response


def assert_refused(running, response, status, **error):
    """The error shape, with these members, and nothing reached an upstream."""
    assert response.status == status, (response.status, response.body)
    found = response.error
    for name, value in error.items():
        assert found[name] == value, found
    assert found["type"] != "server_error"


@pytest.fixture(autouse=True)
def nothing_but_what_was_wanted(request):
    """Tests marked `no_upstream_call` fail if anything reached the upstream."""
    running = next((request.getfixturevalue(n) for n in ("scene", "strict") if n in request.fixturenames), None)
    before = running.upstream.count if running else 0
    yield
    if running and request.node.get_closest_marker("no_upstream_call"):
        assert running.upstream.count == before


no_upstream_call = pytest.mark.no_upstream_call


# --- heads -----------------------------------------------------------------------------------------------

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


@no_upstream_call
@pytest.mark.parametrize("sent", BAD_HEADS.values(), ids=BAD_HEADS)
def test_a_bad_head_is_refused_and_the_connection_closed(scene, sent):
    response = send_raw(scene, sent)
    assert response.status in (400, 413, 501, 505)
    assert response.version == "HTTP/1.1"
    assert response.error and response.closes


@no_upstream_call
def test_a_bad_line_is_answered_without_waiting_for_the_rest_of_the_head(scene):
    assert send_raw(scene, b"GET /health HTTP/1.1\r\nBad Name: x\r\n").status == 400


@no_upstream_call
def test_a_bad_heads_body_is_never_taken_for_a_request(scene):
    smuggled = b"POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\nGET /health HTTP/1.1\r\n\r\n"
    with scene.connect() as client:
        client.send(smuggled)
        assert client.read_response().status in (400, 501)
        assert client.closed_by_gateway()


@no_upstream_call
def test_a_head_too_large_is_431(strict):
    response = send_raw(strict, request_bytes("GET", "/health", headers={"X-Big": "a" * 9000}))
    assert_refused(strict, response, 431)
    assert response.closes


@no_upstream_call
def test_too_many_fields_are_431(strict):
    fields = [(f"x-{number}", "y") for number in range(30)]
    assert_refused(strict, send_raw(strict, request_bytes("GET", "/health", headers=fields)), 431)


@no_upstream_call
def test_a_target_too_long_is_414(scene):
    assert_refused(scene, send_raw(scene, request_bytes("GET", "/" + "a" * 9000)), 414)


@no_upstream_call
def test_an_endless_line_is_answered_before_its_end(strict):
    assert send_raw(strict, b"GET /health HTTP/1.1\r\nHost: x\r\nX-Endless: " + b"a" * 20000).status == 431


@no_upstream_call
@pytest.mark.parametrize("sent", [b"POST /v1/chat", b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"])
def test_a_slow_head_is_408(strict, sent):
    response = send_raw(strict, sent)
    assert_refused(strict, response, 408)
    assert response.closes


@no_upstream_call
def test_a_slow_body_is_408(strict):
    response = send_raw(strict, request_bytes("POST", CHAT, BODY)[:-10])
    assert_refused(strict, response, 408)
    assert response.closes


def test_an_absolute_target_and_one_empty_line_before_it_are_fine(scene):
    response = send_raw(scene, b"\r\nGET http://x/health/liveliness HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert response.status == 200


# --- bodies ----------------------------------------------------------------------------------------------


@no_upstream_call
def test_a_body_above_the_limit_is_413_before_it_is_read(strict):
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n".encode()
    response = send_raw(strict, head)
    assert_refused(strict, response, 413)
    assert response.closes


@no_upstream_call
def test_a_chunked_body_is_413_when_it_crosses_the_limit(strict):
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    response = send_raw(strict, head, *[chunk(b"a" * 8192) for _ in range(9)])
    assert_refused(strict, response, 413)


def test_a_body_of_exactly_the_limit_is_read(strict):
    filler = 65536 - len(BODY) - len(b',"x":""')
    body = BODY[:-1] + b',"x":"' + b"a" * filler + b'"}'
    assert len(body) == 65536
    assert strict.post(CHAT, body).status == 200


@no_upstream_call
@pytest.mark.parametrize("bad", [b"zz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"3\r\nabcd\r\n"])
def test_a_bad_chunk_is_400(scene, bad):
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    response = send_raw(scene, head, bad)
    assert response.status in (400, 413) and response.closes


def test_chunk_extensions_and_trailers_are_dropped(scene):
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    sized = b"%x;name=value\r\n%s\r\n" % (len(BODY), BODY)
    response = send_raw(scene, head, sized, b"0\r\nX-Request-Id: trailer\r\n\r\n")
    assert response.status == 200
    assert response.header("x-request-id") != "trailer"


@no_upstream_call
def test_long_chunk_extensions_are_400(scene):
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert send_raw(scene, head, b"5;" + b"a" * 70000 + b"\r\nhello\r\n").status == 400


def test_100_continue_is_sent_once_before_the_body(scene):
    with scene.connect() as client:
        wire = request_bytes("POST", CHAT, BODY, {"Expect": "100-continue"})
        client.send(wire[: -len(BODY)])
        assert client.line() == b"HTTP/1.1 100 Continue" and client.line() == b""
        client.send(BODY)
        response = client.read_response("POST")
        assert (response.status, response.interim) == (200, [])


@no_upstream_call
def test_100_continue_is_not_sent_for_a_body_that_will_be_refused(strict):
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 70000\r\n\r\n".encode()
    response = send_raw(strict, head)
    assert (response.status, response.interim) == (413, [])


@no_upstream_call
def test_an_unknown_expectation_is_417(scene):
    assert_refused(scene, send_raw(scene, request_bytes("POST", CHAT, BODY, {"Expect": "a miracle"})), 417)


@no_upstream_call
def test_a_compressed_request_is_415(scene):
    response = scene.post(CHAT, gzip.compress(BODY), headers={"Content-Encoding": "gzip"})
    assert_refused(scene, response, 415)


# --- JSON ------------------------------------------------------------------------------------------------

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


@no_upstream_call
@pytest.mark.parametrize("body, param", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_bad_body_is_400_and_names_the_field(scene, body, param):
    response = scene.post(CHAT, body)
    assert_refused(scene, response, 400, type="invalid_request_error")
    if param:
        assert response.error["param"] == param


@no_upstream_call
def test_an_unknown_model_is_404(scene):
    response = scene.chat("no-such-model")
    assert_refused(scene, response, 404, code="model_not_found", param="model", type="not_found_error")
    assert "no-such-model" in response.error["message"]


def test_duplicates_that_nobody_reads_are_the_clients_business(scene):
    body = b'{"model":"m","messages":[],"x":1,"x":2}'
    assert scene.post(CHAT, body).status == 200


def test_any_content_type_is_read_as_json(scene):
    assert scene.post(CHAT, BODY, headers={"Content-Type": "text/plain"}).status == 200


# --- paths and methods -------------------------------------------------------------------------------------


def test_every_path_works_without_v1(scene):
    assert scene.post("/chat/completions", BODY).status == 200
    assert scene.get("/models").json()["data"][0]["id"] == "m"
    assert scene.post("/embeddings", {"model": "m", "input": "x"}).status == 200


@no_upstream_call
@pytest.mark.parametrize("target", ["/", "/v1", "/v2/chat/completions", "/v1/chat", "//v1/models", "/v1/%2e%2e/metrics"])
def test_an_unknown_path_is_404(scene, target):
    assert_refused(scene, scene.get(target), 404, type="not_found_error")


@no_upstream_call
@pytest.mark.parametrize(
    "method, target, allowed",
    [("GET", CHAT, "POST"), ("PUT", CHAT, "POST"), ("DELETE", "/v1/models", "GET"), ("POST", "/metrics", "GET")],
)
def test_a_wrong_method_is_405_with_allow(scene, method, target, allowed):
    response = scene.request(method, target)
    assert_refused(scene, response, 405)
    assert allowed in response.header("allow")


@no_upstream_call
@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_connect_and_trace_are_405(scene, method):
    target = "x:443" if method == "CONNECT" else "/health"
    assert send_raw(scene, f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).status == 405


def test_head_is_get_without_the_body(scene):
    got = scene.get("/health/liveliness")
    head = scene.request("HEAD", "/health/liveliness")
    assert (head.status, head.body) == (200, b"")
    assert head.header("content-length") == str(len(got.body))
    assert head.header("content-type") == got.header("content-type")


@no_upstream_call
def test_options_without_cors_allows_no_origin(scene):
    response = scene.request("OPTIONS", CHAT, headers={"Origin": "https://site.example"})
    assert response.status in (204, 405)
    assert response.header("access-control-allow-origin") is None


def test_cors_allows_exactly_the_origins_that_were_named(gateway, upstream):
    running = gateway(deployment(upstream()), spillway={"cors_origins": ["https://site.example"]})
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    allowed = running.request("OPTIONS", CHAT, headers={"Origin": "https://site.example", **preflight})
    assert allowed.status == 204
    assert allowed.header("access-control-allow-origin") == "https://site.example"
    assert "POST" in allowed.header("access-control-allow-methods")
    assert "origin" in allowed.header("vary").lower()
    other = running.request("OPTIONS", CHAT, headers={"Origin": "https://site.example.evil", **preflight})
    assert other.header("access-control-allow-origin") is None
    real = running.post(CHAT, BODY, headers={"Origin": "https://site.example"})
    assert real.header("access-control-allow-origin") == "https://site.example"


# --- connections -------------------------------------------------------------------------------------------


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


def test_pipelined_requests_are_answered_in_order(gateway, upstream):
    gate = Gate()
    served = upstream(after(gate, plausible()))  # the first is slow, the others are not
    running = gateway(deployment(served))
    with running.connect() as client:
        wire = b"".join(request_bytes("POST", CHAT, BODY.replace(b"hello", b"%d" % n)) for n in range(5))
        client.send(wire)
        served.wait_for_requests(1)
        gate.open()
        for number in range(5):
            answer = client.read_response("POST").json()
            assert answer["choices"][0]["message"]["content"] == f"echo: {number}"


def test_connection_close_is_obeyed(scene):
    with scene.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY, {"Connection": "close"}) + request_bytes("POST", CHAT, BODY))
        response = client.read_response("POST")
        assert response.status == 200 and response.header("connection") == "close"
        assert client.closed_by_gateway()


def test_an_idle_connection_is_closed_without_a_byte(gateway, upstream):
    running = gateway(deployment(upstream()), spillway={"timeouts": {"keepalive": "300ms"}})
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY))
        assert client.read_response("POST").status == 200
        assert client.closed_by_gateway(timeout=5)
        assert not client.buffer


def test_http_1_0_gets_a_plain_answer_and_a_close(scene):
    head = f"POST {CHAT} HTTP/1.0\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    response = send_raw(scene, head + BODY)
    assert response.status == 200 and response.closes
    assert response.header("transfer-encoding") is None


def test_http_1_0_gets_a_stream_until_the_close(scene):
    body = BODY[:-1] + b',"stream":true}'
    with scene.connect() as client:
        client.send(f"POST {CHAT} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        response = client.read_response("POST")
    assert response.header("transfer-encoding") is None
    assert response.body.endswith(b"data: [DONE]\n\n")


def test_a_client_that_closes_its_sending_side_has_left(gateway, upstream):
    import socket

    served = upstream(default=after(Gate(), plausible()))
    running = gateway(deployment(served))
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY))
        served.wait_for_requests(1)
        client.socket.shutdown(socket.SHUT_WR)
        served.wait_for_disconnect(timeout=1)


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


# --- keys and ids --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(module_gateway, module_upstream):
    served = module_upstream()
    running = module_gateway(
        deployment(served),
        general={"master_key": "sk-master"},
        spillway={"keys": [{"name": "alice", "key": "sk-alice-key"}]},
    )
    running.upstream = served
    return running


BAD_KEYS = {
    "none": [],
    "wrong": [("Authorization", "Bearer sk-wrong")],
    "a prefix": [("Authorization", "Bearer sk-maste")],
    "longer": [("Authorization", "Bearer sk-master1")],
    "no scheme": [("Authorization", "sk-master")],
    "empty": [("Authorization", "")],
    "basic": [("Authorization", "Basic c2stbWFzdGVy")],
    "quotes": [("Authorization", "Bearer ' OR 1=1 --")],
    "long": [("Authorization", "Bearer " + "a" * 8000)],
    "two": [("Authorization", "Bearer sk-wrong"), ("Authorization", "Bearer sk-master")],
}


@pytest.mark.parametrize("fields", BAD_KEYS.values(), ids=BAD_KEYS)
def test_no_or_a_wrong_key_is_401_with_a_challenge(guarded, fields):
    before = guarded.upstream.count
    response = guarded.post(CHAT, BODY, headers=fields)
    assert response.status == 401
    assert response.error["code"] == "invalid_api_key" and response.error["type"] == "authentication_error"
    assert response.header("www-authenticate").startswith("Bearer")
    assert guarded.upstream.count == before


def test_a_key_in_the_query_is_no_key(guarded):
    assert guarded.get("/v1/models?key=sk-master&api_key=sk-master").status == 401


@pytest.mark.parametrize("key", ["sk-master", "sk-alice-key"])
def test_each_configured_key_opens_the_door(guarded, key):
    assert guarded.post(CHAT, BODY, key=key).status == 200


def test_a_wrong_key_is_refused_before_the_body_is_sent(guarded):
    with guarded.connect() as client:
        client.send(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n".encode())
        response = client.read_response("POST")
        assert (response.status, response.interim) == (401, [])


@pytest.mark.parametrize("target", ["/v1/models", "/metrics", "/router/state", "/health", "/v1/models/m", "/no/such"])
def test_everything_else_wants_a_key(guarded, target):
    assert guarded.get(target).status == 401


@pytest.mark.parametrize("target", ["/health/liveliness", "/health/liveness", "/health/readiness"])
def test_liveness_and_readiness_are_open(guarded, target):
    assert guarded.get(target).status == 200


def test_a_sane_request_id_of_the_clients_is_kept(scene):
    assert scene.chat(headers={"x-request-id": "abc-123_4.5"}).header("x-request-id") == "abc-123_4.5"


@pytest.mark.parametrize("given", ["a" * 129, "with space", "quo\"te", "<b>", "é"])
def test_an_odd_request_id_is_replaced(scene, given):
    made = scene.chat(headers={"x-request-id": given}).header("x-request-id")
    assert made and made != given


def test_made_request_ids_differ_and_come_with_refusals_too(scene):
    responses = [scene.chat(), scene.chat("none"), scene.post(CHAT, b"{"), scene.get("/nowhere")]
    ids = [response.header("x-request-id") for response in responses]
    assert all(ids) and len(set(ids)) == 4


def test_every_answer_has_a_date(scene):
    assert scene.get("/health/liveliness").header("date")
    assert scene.chat().header("date")


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
def test_it_refuses_to_listen_beyond_loopback_without_a_key(gateway, upstream, listen):
    with pytest.raises(AssertionError, match="does not listen") as caught:
        gateway(deployment(upstream()), listen=listen)
    assert "key" in str(caught.value)


def test_a_body_that_is_reset_halfway_reaches_no_upstream(scene):
    import socket
    import struct

    before = scene.upstream.count
    with scene.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY)[:-10])
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert scene.chat().status == 200
    assert scene.upstream.count == before + 1
    assert json.loads(scene.upstream.last.body)["messages"]
