"""What the tests of streams share: the events of a short answer, errors inside streams, and how a
failure ends."""

from __future__ import annotations

import json

from canned import chat_text_events, sse
from settings import deployment
from wire import request_bytes

ROLE, ONE, TWO, THREE, FINISH = chat_text_events("one two three")
BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
FAST_COMMENTS = {"stream_keepalive": "100ms", "stream_recovery": "off"}


def open_stream(running, client, body=BODY, target="/v1/chat/completions"):
    client.send(request_bytes("POST", target, json.dumps(body).encode()))
    return client


def without_comments(body):
    """The events of a body, without the comment lines that the gateway put between them."""
    return b"".join(
        event + b"\n\n" for event in body.split(b"\n\n") if event and not event.startswith(b":")
    )


def pair(gateway, first, second, **spillway):
    """Two deployments; the first is asked first."""
    return gateway(
        deployment(first, id="first", order=1),
        deployment(second, id="second", order=2),
        spillway={"stream_recovery": "off", **spillway},
    )


FIRST_EVENTS = {
    "overloaded": (sse({"error": {"message": "Overloaded", "type": "overloaded_error"}}), 503),
    "anthropic": (
        sse(
            {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}},
            "error",
        ),
        429,
    ),
    "vllm": (
        sse({"object": "error", "message": "too long", "type": "BadRequestError", "code": 400}),
        400,
    ),
    "a numeric code": (sse({"error": {"message": "busy", "code": 503}}), 503),
    "a numeric code as text": (sse({"error": {"message": "busy", "code": "503"}}), 503),
    "a string code": (sse({"error": {"message": "busy", "code": "rate_limit_exceeded"}}), 429),
    "no code at all": (sse({"error": {"message": "something"}}), 502),
    "a bare string": (sse({"error": "something"}), 502),
}


def assert_ends_in_an_error_event(answer, words="", event_line=b""):
    """The last event is an error in the OpenAI shape; nothing pretends that the stream was
    complete."""
    assert not answer.complete, "the last chunk must not be sent"
    assert b"[DONE]" not in answer.body
    last = answer.body.rstrip(b"\n").split(b"\n\n")[-1]
    if event_line:
        assert last.startswith(event_line + b"\n")
        last = last[len(event_line) + 1 :]
    assert last.startswith(b"data: ") and answer.body.endswith(b"\n\n")
    found = json.loads(last[6:])
    error_object = found.get("error", found)
    assert {"message", "type", "param", "code"} <= set(error_object)
    assert words in error_object["message"]
    return error_object
