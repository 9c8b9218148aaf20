"""What clients do wrong or unusually, beside malformed heads and bodies."""

from __future__ import annotations

import json
import threading

import pytest

from canned import DONE
from concurrency import at_once, eventually
from edge import BODY, CHAT, assert_refused, no_upstream_call, post_head
from gateway import is_sanitized
from rows import cases
from settings import deployment
from wire import Closed, request_bytes

# --- JSON that is right, but rare -----------------------------------------------------------------

NUMBERS = b"[1e400,-0,-0.0,1e-400,12345678901234567890123,0.1000000000000000055511151231257827]"


@pytest.mark.row("C5")
def test_numbers_that_no_machine_holds_reach_the_provider_digit_by_digit(scene):
    body = b'{"model":"m","messages":[],"seed":' + NUMBERS + b"}"
    assert scene.post(CHAT, body).status == 200
    assert b'"seed":' + NUMBERS + b"}" in scene.upstream.last.body


@no_upstream_call
@pytest.mark.row("C5")
@pytest.mark.parametrize("value", ["1e400", "-1", "12345678901234567890123"])
def test_such_numbers_are_refused_where_the_gateway_itself_reads_them(scene, value):
    body = b'{"model":"m","messages":[],"num_retries":%s}' % value.encode()
    assert_refused(scene, scene.post(CHAT, body), 400, param="num_retries")


ODD_TEXT = {
    "a lone surrogate": (b'"\\ud800"', {200, 400}),
    "a surrogate the wrong way round": (b'"\\udc00\\ud800"', {200, 400}),
    "a surrogate in bytes": (b'"\xed\xa0\x80"', {400}),
    "an overlong character": (b'"\xc0\xaf"', {400}),
    "beyond Unicode": (b'"\xf4\x90\x80\x80"', {400}),
}


@pytest.mark.row("C6")
@pytest.mark.parametrize("text, allowed", ODD_TEXT.values(), ids=ODD_TEXT)
def test_text_that_is_no_text_is_refused_or_passed_on_as_it_is(scene, text, allowed):
    response = scene.post(CHAT, b'{"model":"m","messages":[],"x":' + text + b"}")
    assert response.status in allowed
    if response.status == 200:
        assert text in scene.upstream.last.body


@pytest.mark.row("C6")
def test_a_bom_before_the_body_is_no_servers_error(scene):
    assert scene.post(CHAT, b"\xef\xbb\xbf" + BODY).status in (200, 400)


@pytest.mark.row("C9")
def test_escaped_control_characters_reach_the_provider(scene):
    text = b'"\\u0000\\u0007\\u001b\\u007f\\u2028"'
    assert scene.post(CHAT, b'{"model":"m","messages":[],"x":' + text + b"}").status == 200
    assert text in scene.upstream.last.body


@pytest.mark.row("C34")
def test_a_stream_comes_to_who_accepts_json_only(scene):
    response = scene.chat(stream=True, headers={"Accept": "application/json"})
    assert response.header("content-type").startswith("text/event-stream")
    assert response.body.endswith(DONE)


@pytest.mark.row("C39")
def test_an_idempotency_key_is_the_providers_to_honour(scene):
    before = scene.upstream.count
    for text in ("first", "second"):
        response = scene.chat(text=text, headers={"Idempotency-Key": "the-same"})
        assert response.json()["choices"][0]["message"]["content"] == f"echo: {text}"
    keys = [request.header("idempotency-key") for request in scene.upstream.requests[before:]]
    assert keys == ["the-same", "the-same"]


# --- slow and many --------------------------------------------------------------------------------

DRIPPING = {
    "head": (b"", request_bytes("GET", "/health", headers={"X-Long": "a" * 4000})),
    "body": (post_head("Content-Length: 4000"), b"{" + b" " * 3998 + b"}"),
    "chunks": (post_head("Transfer-Encoding: chunked"), b"1\r\n \r\n" * 700),
}


@no_upstream_call
@pytest.mark.parametrize(
    "at_once, slowly",
    cases(DRIPPING, {"head": "C15", "body": "C16", "chunks": "C16"}),
)
def test_bytes_that_keep_coming_do_not_put_a_deadline_off(strict, at_once, slowly):
    """Each byte comes well within the deadline, all of them together do not."""
    with strict.connect() as client:
        client.send(at_once)
        done = threading.Event()

        def drip():
            try:
                for byte in slowly:
                    if done.wait(0.02):
                        return
                    client.send(bytes([byte]))
            except OSError:
                pass

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert client.read_response().status == 408
        finally:
            done.set()
            dripping.join()


@pytest.mark.row("C35")
def test_a_body_that_was_asked_for_and_does_not_come_is_408(strict):
    with strict.connect() as client:
        client.send(post_head("Expect: 100-continue", "Content-Length: 40"))
        response = client.read_response("POST")
        assert (response.interim, response.status) == ([100], 408)
        assert client.closed_by_gateway()


@pytest.mark.row("C12")
def test_a_hundred_bodies_of_full_size_are_bounded_by_their_own_size(binary, gateway, upstream):
    size = 1024 * 1024
    running = gateway(deployment(upstream()), spillway={"limits": {"body": size}})
    body = BODY[:-1] + b',"x":"' + b"a" * (size - len(BODY) - 8) + b'"}'
    assert running.post(CHAT, body).status == 200
    before, most = running.resident_bytes(), [0]
    over = threading.Event()

    def watch():
        while not over.wait(0.01):
            most[0] = max(most[0], running.resident_bytes())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        statuses = {response.status for response in at_once(100, lambda: running.post(CHAT, body))}
    finally:
        over.set()
        watching.join()
    assert statuses <= {200, 503} and 200 in statuses
    assert most[0] - before < (12 if is_sanitized(binary) else 6) * 100 * size


@pytest.mark.row("C24")
def test_half_open_and_silent_connections_do_not_keep_others_out(gateway, upstream):
    running = gateway(
        deployment(upstream()),
        spillway={"limits": {"connections": 8}, "timeouts": {"head": "300ms"}},
    )
    silent = [running.connect() for _ in range(8)]
    try:
        assert running.chat().status == 200, "they are sent away in time"
    finally:
        for client in silent:
            client.close()


# --- paths ----------------------------------------------------------------------------------------

DRESSED_UP = [
    "/V1/models",
    "/v1/models/",
    "//v1/models",
    "/v1//models",
    "/./v1/models",
    "/v1/./models",
    "/x/../v1/models",
    "/v1/%6dodels",
    "/v1%2fmodels",
    "/v1/models;x=1",
    "/v1/models%00",
    "/v1/%2e%2e/metrics",
    "/health/liveliness/../../metrics",
    "/health/liveliness/%2e%2e/%2e%2e/metrics",
    "/health/liveliness;/../../metrics",
    "/health/liveliness%2f..%2f..%2fmetrics",
    "/health/liveliness?/../../metrics",
    "http://x/health/liveliness/../../metrics",
    "/METRICS",
]


@pytest.fixture(scope="module")
def locked(module_gateway, module_upstream):
    running = module_gateway(
        deployment(module_upstream()), general={"master_key": "sk-locked-master-key"}
    )
    return running


@pytest.mark.row("C31")
@pytest.mark.parametrize("target", DRESSED_UP)
def test_no_spelling_of_a_path_opens_what_its_plain_spelling_does_not(locked, target):
    answer = locked.get(target)
    if answer.status == 200:  # an open page, and really that page
        assert target.startswith("/health/liveliness?")
        assert answer.body == locked.get("/health/liveliness").body
    else:
        assert answer.status in (400, 401, 404)


PAGES = ["/v1/models", "/health", "/metrics", "/router/state", "/router/explain?model=m"]


@pytest.mark.row("S27", "R24")
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("page", PAGES)
def test_the_gateways_own_pages_only_tell(locked, page, method):
    answer = locked.request(method, page, b"{}", key="sk-locked-master-key")
    assert answer.status == 405 and "GET" in answer.header("allow")


@pytest.mark.row("C37", "R23")
@pytest.mark.parametrize("page", ["/health/liveliness", "/health/readiness", *PAGES])
def test_head_has_the_fields_of_get_and_no_body(locked, page):
    with locked.connect() as client:
        fields = {"Authorization": "Bearer sk-locked-master-key"}
        for _ in range(2):  # a body would be taken for the next answer
            client.send(request_bytes("HEAD", page, headers=fields))
            head = client.read_response("HEAD")
        client.send(request_bytes("GET", page, headers=fields))
        got = client.read_response("GET")
    assert (head.status, head.body) == (got.status, b"") and got.body
    assert [name for name, _ in head.headers] == [name for name, _ in got.headers]


@pytest.mark.row("S27")
@pytest.mark.parametrize(
    "target",
    ["/config", "/key/generate", "/admin", "/debug/pprof", "/router/reload", "/quitquitquit"],
)
def test_there_are_no_pages_that_change_anything(locked, target):
    for method in ("GET", "POST"):
        assert locked.request(method, target, b"{}", key="sk-locked-master-key").status == 404


@pytest.mark.row("C29")
def test_a_query_is_not_logged(locked):
    locked.get("/v1/models?api_key=sk-locked-master-key", headers={"x-request-id": "asked-so"})
    line = locked.wait_for_log(lambda entry: entry["request_id"] == "asked-so")
    assert line["path"] == "/v1/models" and line["status"] == 401


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.row("R26", "R28")
def test_an_answer_without_a_body_says_nothing_of_its_length(gateway, upstream):
    running = gateway(deployment(upstream()), spillway={"cors_origins": ["https://site.example"]})
    fields = {"Origin": "https://site.example", "Access-Control-Request-Method": "POST"}
    with running.connect() as client:
        for _ in range(2):  # the connection is as good as before
            client.send(request_bytes("OPTIONS", CHAT, headers=fields))
            answer = client.read_response("OPTIONS")
            assert answer.status == 204 and answer.body == b""
            assert answer.header("content-length") is None
            assert answer.header("transfer-encoding") is None


@pytest.mark.row("R2")
def test_a_second_empty_line_before_a_request_is_refused(scene):
    with scene.connect() as client:
        client.send(b"\r\n\r\nGET /health/liveliness HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.read_response().status == 400


@pytest.mark.row("R4")
def test_a_request_line_of_eight_thousand_bytes_is_read(scene):
    assert scene.get("/health/liveliness?" + "a" * 7950).status == 200


@pytest.mark.row("R6")
def test_the_host_of_a_target_counts_and_the_field_beside_it_does_not(scene):
    body = BODY.replace(b"hello", b"absolute")
    head = post_head(f"Content-Length: {len(body)}").replace(b"POST /", b"POST http://other.test/")
    with scene.connect() as client:
        client.send(head + body)
        assert client.read_response("POST").status == 200
    assert scene.upstream.last.header("host") == f"127.0.0.1:{scene.upstream.port}"
    assert scene.upstream.last.target == "/v1/chat/completions"


@pytest.mark.row("R7")
def test_an_asterisk_is_for_options(scene):
    with scene.connect() as client:
        client.send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.read_response("OPTIONS").status in (200, 204, 404, 405)


@no_upstream_call
@pytest.mark.row("R15")
def test_what_is_left_of_a_refused_body_is_never_a_request(scene):
    inner = request_bytes("POST", CHAT, BODY)
    head = post_head(f"Content-Length: {len(inner)}", "Content-Encoding: gzip")
    with scene.connect() as client:
        client.send(head + inner)
        assert client.read_response("POST").status == 415
        with pytest.raises((Closed, ConnectionError)):
            client.read_head()


@pytest.mark.row("R22")
def test_http_1_0_is_never_sent_an_interim_answer(scene):
    head = f"POST {CHAT} HTTP/1.0\r\nContent-Length: {len(BODY)}\r\nExpect: 100-continue\r\n\r\n"
    with scene.connect() as client:
        client.send(head.encode() + BODY)
        answer = client.read_response("POST")
        assert (answer.status, answer.interim) == (200, [])


@pytest.mark.row("R29")
@pytest.mark.parametrize(
    "name", ["Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade", "Via"]
)
def test_fields_of_one_hop_do_not_come_out_on_the_other_side(scene, name):
    value = "close" if name == "Connection" else "canary"
    assert scene.chat(headers={name: value}).status == 200
    assert b"canary" not in scene.upstream.last.head
    assert scene.upstream.last.header(name) in (None, "keep-alive")


@pytest.mark.row("S24")
def test_places_and_descriptors_come_back_after_every_kind_of_trouble(gateway, upstream):
    running = gateway(deployment(upstream()), threads=1)
    running.chat()
    before = running.open_descriptors()
    for _ in range(20):
        with running.connect() as client:
            client.send(request_bytes("POST", CHAT, BODY)[:-5])
        with running.connect() as client:
            client.send(b"junk\r\n\r\n")
        with running.connect() as client:
            client.send(request_bytes("POST", CHAT, BODY[:-1] + b',"stream":true}'))
        running.post(CHAT, b"{")
    eventually(lambda: running.open_descriptors() <= before + 1)

    def nothing_under_way():
        state = json.loads(running.get("/router/state").body)
        return '"in_flight": 0' in json.dumps(state)

    eventually(nothing_under_way)
