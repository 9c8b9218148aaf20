"""The access log: one line a request, with everything in it but bodies and secrets."""

from __future__ import annotations

import json

import pytest

from behaviours import error, reset, stream
from canned import chat_text_events
from edge import CHAT
from error_table import NO_RETRIES
from settings import deployment


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
    assert line["class"] not in ("success", None)


def test_the_clients_mistakes_are_logged_too(gateway, upstream):
    running = gateway(deployment(upstream()))
    running.post(CHAT, b"{")
    running.chat("none")
    running.get("/nowhere")
    for code in (400, 404):
        assert running.wait_for_log(lambda entry, code=code: entry["status"] == code)


def test_logfmt_and_off(gateway, upstream):
    served = upstream()
    logfmt = gateway(deployment(served), spillway={"access_log": {"format": "logfmt"}})
    off = gateway(deployment(served), spillway={"access_log": {"format": "off"}})
    assert logfmt.chat().status == off.chat().status == 200
    logfmt.stop()
    off.stop()
    assert "status=200" in logfmt.stdout.text and "group=m" in logfmt.stdout.text
    assert off.stdout.text == ""
