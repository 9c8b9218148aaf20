"""The access log: one line a request, with everything in it but bodies and secrets."""

from __future__ import annotations

import json

import pytest

from behaviours import error, reset, stream
from canned import chat_chunk, chat_text_events, sse, usage
from edge import CHAT, send_raw
from error_table import NO_RETRIES
from loop import Gate
from settings import deployment
from streams import open_stream


def test_one_line_a_request_with_everything_in_it(gateway, upstream):
    first, second = upstream(default=error(429)), upstream()
    running = gateway(
        deployment(first, id="first", order=1),
        deployment(second, id="second", order=2),
        spillway={"keys": [{"name": "alice", "key": "sk-alice"}]},
    )
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    response = running.post(CHAT, body, key="sk-alice", headers={"x-request-id": "line-1"})
    line = running.wait_for_log(lambda entry: entry["request_id"] == "line-1")
    assert line["key"] == "alice"
    assert (line["method"], line["path"], line["status"]) == ("POST", CHAT, 200)
    assert (line["group"], line["deployment"], line["provider"]) == ("m", "second", "openai")
    assert (line["class"], line["attempts"], line["cooldowns"], line["fallbacks"]) == (
        "success",
        2,
        1,
        0,
    )
    assert (line["prompt_tokens"], line["completion_tokens"]) == (7, 5)
    assert line["request_bytes"] == len(json.dumps(body)) and line["response_bytes"] >= len(
        response.body
    )
    assert line["duration_ms"] > 0 and line["stream"] is False and line["time"].endswith("Z")


def test_a_streams_line_has_tokens_and_the_time_to_the_first(gateway, upstream):
    running = gateway(deployment(upstream()))
    running.chat(
        stream=True, stream_options={"include_usage": True}, headers={"x-request-id": "line-2"}
    )
    line = running.wait_for_log(lambda entry: entry["request_id"] == "line-2")
    assert line["stream"] is True and 0 < line["first_token_ms"] <= line["duration_ms"]
    assert (line["prompt_tokens"], line["completion_tokens"]) == (7, 5)


@pytest.mark.row("U53")
def test_missing_usage_stays_missing(gateway, upstream):
    running = gateway(deployment(upstream()))
    running.chat(stream=True, headers={"x-request-id": "line-3"})
    line = running.wait_for_log(lambda entry: entry["request_id"] == "line-3")
    assert line["prompt_tokens"] is None and line["completion_tokens"] is None


@pytest.mark.parametrize(
    "behaviour, status_code, error_class",
    [
        (error(400), 400, "invalid_request"),
        (error(529), 503, "unavailable"),
        (reset(), 502, "connection"),
    ],
)
def test_failures_are_logged_by_class(gateway, upstream, behaviour, status_code, error_class):
    running = gateway(deployment(upstream(default=behaviour)), router=NO_RETRIES)
    running.chat()
    line = running.wait_for_log(lambda entry: entry["path"] == CHAT)
    assert (line["status"], line["class"]) == (status_code, error_class)


def test_a_cut_stream_is_logged_as_the_failure_it_is(gateway, upstream):
    running = gateway(deployment(upstream(stream(*chat_text_events("a b c")[:3], end="cut"))))
    running.chat(stream=True)
    line = running.wait_for_log(lambda entry: entry["path"] == CHAT)
    assert line["status"] == 200, "what the client saw"
    assert line["class"] == "protocol", "what became of it"


def test_a_stream_that_ends_in_an_error_is_logged_with_its_status_and_its_class(gateway, upstream):
    broken = sse({"error": {"message": "Overloaded", "type": "overloaded_error"}})
    running = gateway(
        deployment(upstream(stream(*chat_text_events("a b c")[:3], broken))), router=NO_RETRIES
    )
    running.chat(stream=True)
    line = running.wait_for_log(lambda entry: entry["path"] == CHAT)
    assert (line["status"], line["class"]) == (200, "unavailable")


@pytest.mark.parametrize("end", ["cut", "reset", "stall"])
def test_what_a_cut_stream_told_before_its_cut_is_counted(gateway, upstream, end):
    used = sse({**chat_chunk({}), "choices": [], "usage": usage()})
    role, one, last, *_ = chat_text_events("a b")
    seen = Gate()  # what was not read yet when a connection is reset is lost
    events = [role, one, b"data: {oops}\n\n", used, last, seen]
    running = gateway(
        deployment(upstream(stream(*events, end=end))),
        router=NO_RETRIES,
        spillway={"timeouts": {"stream_idle": "300ms"}},
    )
    with running.connect() as client:
        cut = open_stream(running, client).read_head()
        client.read_until(cut, last)
        seen.open()
        client.read_body(cut)
    assert not cut.complete
    line = running.wait_for_log(lambda entry: entry["path"] == CHAT)
    assert (line["prompt_tokens"], line["completion_tokens"]) == (7, 5)
    assert b"spillway_dropped_events_total 1\n" in running.get("/metrics").body


def test_the_clients_mistakes_are_logged_too(gateway, upstream):
    running = gateway(deployment(upstream()))
    running.post(CHAT, b"{")
    running.chat("none")
    running.get("/nowhere")
    for code in (400, 404):
        assert running.wait_for_log(lambda entry, code=code: entry["status"] == code)


OWN_PAGES = [
    ("GET", "/v1/models", 200),
    ("GET", "/v1/models/m", 200),
    ("GET", "/health", 200),
    ("GET", "/metrics", 200),
    ("GET", "/router/state", 200),
    ("GET", "/health/liveliness", 200),
    ("GET", "/health/readiness", 200),
    ("HEAD", "/v1/models", 200),
    ("OPTIONS", CHAT, 204),
]


@pytest.mark.parametrize("method, path, code", OWN_PAGES)
def test_the_gateways_own_pages_have_one_line_each(scene, method, path, code):
    name = f"own-{method}-{path}"
    assert scene.request(method, path, headers={"x-request-id": name}).status == code
    assert scene.chat(headers={"x-request-id": f"after-{name}"}).status == 200
    scene.wait_for_log(lambda entry: entry["request_id"] == f"after-{name}")
    (line,) = [entry for entry in scene.access_log() if entry["request_id"] == name]
    assert (line["method"], line["path"], line["status"]) == (method, path, code)
    assert (line["class"], line["client"]) == ("success", "127.0.0.1")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /v1/models HTTP/1.1\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost : x\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["no-host", "space-before-colon", "tls", "long-target"],
)
def test_a_bad_head_is_answered_and_logged_with_one_request_id(scene, sent):
    response = send_raw(scene, sent)
    name = response.header("x-request-id")
    assert name
    line = scene.wait_for_log(lambda entry: entry["request_id"] == name)
    assert line["status"] == response.status and line["client"] == "127.0.0.1"


def test_logfmt_and_off(gateway, upstream):
    served = upstream()
    logfmt = gateway(deployment(served), spillway={"access_log": {"format": "logfmt"}})
    off = gateway(deployment(served), spillway={"access_log": {"format": "off"}})
    assert logfmt.chat().status == off.chat().status == 200
    logfmt.stop()
    off.stop()
    assert "status=200" in logfmt.stdout.text and "group=m" in logfmt.stdout.text
    assert off.stdout.text == ""
