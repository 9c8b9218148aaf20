"""What an endpoint's answer may be: comments only in event streams, streams only where one is
asked for, and no error page in place of a sound."""

from __future__ import annotations

import json
import signal

import pytest

from behaviours import after, plausible, raw, stall, status, stream
from canned import AUDIO, DONE, JSON_ANSWERS, LARGE_IMAGE
from concurrency import eventually
from edge import BODY, CHAT
from error_table import NO_RETRIES
from framing import LAST_CHUNK, chunk, head
from loop import Gate
from settings import deployment
from streams import FAST_COMMENTS, ONE, ROLE, open_stream, pair
from wire import Closed

SPEECH = "/v1/audio/speech"
MIB = 1024 * 1024
ASK_SPEECH = {"model": "m", "input": "x", "voice": "alloy"}


# --- "stream" where nothing streams ---------------------------------------------------------------
PLAIN_ONLY = {
    "/images/generations": {"prompt": "x"},
    "/embeddings": {"input": "x"},
    "/moderations": {"input": "x"},
    "/rerank": {"query": "x", "documents": ["y"]},
}


@pytest.mark.parametrize("endpoint", PLAIN_ONLY)
def test_stream_true_where_nothing_streams_is_a_plain_answer(gateway, upstream, endpoint):
    gate = Gate()
    served = upstream(after(gate, plausible()))
    running = gateway(deployment(served), spillway=FAST_COMMENTS)
    body = {"model": "m", "stream": True, **PLAIN_ONLY[endpoint]}
    with running.connect() as client:
        open_stream(running, client, body, "/v1" + endpoint)
        served.wait_for_requests(1)
        assert client.silent_for(0.3), "a comment would make an event stream of it"
        gate.open()
        answer = client.read_response("POST")
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert answer.complete and answer.json() == JSON_ANSWERS[endpoint](served.last.json())


def test_a_slow_reader_of_a_large_plain_answer_gets_no_comments(gateway, upstream):
    running = gateway(
        deployment(upstream(status(200, LARGE_IMAGE))),
        deployment(upstream(stall()), "clock"),
        spillway={**FAST_COMMENTS, "timeouts": {"drain": "200ms"}},
        threads=1,
    )
    body = {"model": "m", "prompt": "x", "stream": True}
    with running.connect(receive_buffer=4096) as client, running.connect() as clock:
        open_stream(running, client, body, "/v1/images/generations")
        answer = client.read_head()
        ticking = {"model": "clock", "messages": [], "stream": True}
        open_stream(running, clock, ticking).read_head()
        for _ in range(3):  # three times, a comment would have been due
            assert clock.read_chunk().startswith(b":")
        client.read_body(answer, "POST")
    assert answer.complete and answer.body == LARGE_IMAGE


# --- a plain answer where a stream was asked for --------------------------------------------------
LARGE = b'{"id":"a","object":"chat.completion","choices":[{"x":"' + b"A" * 9_000_000 + b'"}]}'
CHUNKED_JSON = head(200, [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")])
TOO_LARGE_TO_HOLD = {
    "with a length": status(200, LARGE),
    "in chunks": raw(CHUNKED_JSON, chunk(LARGE), LAST_CHUNK, end="stall"),
}


@pytest.mark.parametrize("behaviour", TOO_LARGE_TO_HOLD.values(), ids=TOO_LARGE_TO_HOLD)
def test_a_huge_plain_answer_to_a_streamed_request_is_not_relayed(gateway, upstream, behaviour):
    running = gateway(deployment(upstream(behaviour)), router=NO_RETRIES)
    answer = running.chat(stream=True)
    assert answer.status == 502
    assert answer.error["type"] == "bad_gateway_error"


def test_a_huge_plain_answer_to_a_streamed_request_is_tried_elsewhere(gateway, upstream):
    running = pair(gateway, upstream(status(200, LARGE)), upstream())
    answer = running.chat(stream=True)
    assert (answer.status, answer.header("x-spillway-deployment")) == (200, "second")
    assert answer.complete and answer.body.endswith(DONE)


def test_a_huge_plain_answer_to_a_plain_request_is_relayed_still(gateway, upstream):
    running = gateway(deployment(upstream(status(200, LARGE))), router=NO_RETRIES)
    answer = running.post(CHAT, BODY)
    assert (answer.status, answer.body) == (200, LARGE)


# --- speech ---------------------------------------------------------------------------------------
def error_json(**members):
    return json.dumps({"error": {"message": "not today", **members}}).encode()


NOT_SPEECH = {
    "html": (status(200, b"<html>Bad gateway</html>", content_type="text/html"), 502),
    "html-charset": (
        status(200, b"<!doctype html><p>x", content_type="text/html; charset=utf-8"),
        502,
    ),
    "json-as-bytes": (
        status(200, error_json(code=500), content_type="application/octet-stream"),
        500,
    ),
    "limit-as-bytes": (
        status(200, error_json(code=429), content_type="application/octet-stream"),
        429,
    ),
    "json-in-pieces": (
        raw(
            head(200, [("Content-Type", "application/octet-stream"), ("Content-Length", "44")]),
            b'{"error":',
            b'{"message":"not today","code":503}}',
            end="keep",
        ),
        503,
    ),
}


@pytest.mark.parametrize("behaviour, code", NOT_SPEECH.values(), ids=NOT_SPEECH)
def test_what_is_no_speech_is_an_error(gateway, upstream, behaviour, code):
    running = gateway(deployment(upstream(behaviour)), router=NO_RETRIES)
    answer = running.post(SPEECH, ASK_SPEECH)
    assert answer.status == code
    assert answer.error["message"]


@pytest.mark.parametrize("behaviour", [row[0] for row in NOT_SPEECH.values()], ids=NOT_SPEECH)
def test_what_is_no_speech_is_tried_elsewhere(gateway, upstream, behaviour):
    running = pair(gateway, upstream(behaviour), upstream())
    answer = running.post(SPEECH, ASK_SPEECH)
    assert (answer.status, answer.header("x-spillway-deployment")) == (200, "second")
    assert answer.body == AUDIO


@pytest.mark.parametrize(
    "sound, content_type",
    [
        (b"ID3\x04\x00" + AUDIO, "audio/mpeg"),
        (b"\xff\xfb\x90d" + AUDIO, "audio/mpeg"),
        (b"\xff\xfb\x90d" + AUDIO, "application/octet-stream"),
        (b"{\x00\x01" + AUDIO, "audio/pcm"),
        (b"<\x00\x01" + AUDIO, "application/octet-stream"),
        (b"\xff", "audio/mpeg"),
        (AUDIO * 600, "audio/wav"),
    ],
    ids=["id3", "mpeg", "bytes", "brace", "angle", "one-byte", "large"],
)
def test_every_kind_of_sound_is_relayed(gateway, upstream, sound, content_type):
    served = upstream(status(200, sound, content_type=content_type))
    answer = gateway(deployment(served), router=NO_RETRIES).post(SPEECH, ASK_SPEECH)
    assert (answer.status, answer.body) == (200, sound)
    assert answer.header("content-type") == content_type


def test_sound_is_relayed_as_it_arrives(gateway, upstream):
    gate = Gate()
    fields = [("Content-Type", "audio/mpeg"), ("Transfer-Encoding", "chunked")]
    served = upstream(
        raw(head(200, fields), chunk(AUDIO), gate, chunk(b"the end"), LAST_CHUNK, end="keep")
    )
    running = gateway(deployment(served))
    with running.connect() as client:
        answer = open_stream(running, client, ASK_SPEECH, SPEECH).read_head()
        client.read_until(answer, AUDIO[-9:])
        gate.open()
        client.read_body(answer)
    assert answer.complete and answer.body == AUDIO + b"the end"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("kind", ["sound", "large"])
def test_what_is_passed_on_as_it_comes_keeps_its_length(gateway, upstream, version, kind):
    path, ask, content, body = {
        "sound": (SPEECH, json.dumps(ASK_SPEECH).encode(), "audio/mpeg", AUDIO),
        "large": (CHAT, BODY, "application/json", LARGE),
    }[kind]
    fields = [("Content-Type", content), ("Content-Length", str(len(body)))]
    whole = raw(head(200, fields), body, end="keep")
    running = gateway(deployment(upstream(whole, whole)))
    with running.connect() as client:
        for _ in range(2 if version == "1.1" else 1):  # where it ends is where the next one begins
            fields = f"Host: x\r\nContent-Length: {len(ask)}\r\n\r\n"
            client.send(f"POST {path} HTTP/{version}\r\n{fields}".encode() + ask)
            answer = client.read_response("POST")
            assert answer.header("content-length") == str(len(body))
            assert answer.header("transfer-encoding") is None
            assert answer.complete and answer.body == body


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_sound_that_is_cut_looks_cut_to_every_client(gateway, upstream, version, end):
    """A client of HTTP/1.0 knows the end by the close, and others do not all count: only a reset
    tells them that more was to come."""
    fields = [("Content-Type", "audio/mpeg"), ("Content-Length", "100000")]
    running = gateway(deployment(upstream(raw(head(200, fields), b"\xff\xfb" + AUDIO, end=end))))
    body = json.dumps(ASK_SPEECH).encode()
    ask = f"POST {SPEECH} HTTP/{version}\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with running.connect() as client:
        client.send(ask.encode() + body)
        assert client.read_head().status == 200
        with pytest.raises(Closed, match="reset|cut"):  # without TLS, and with
            client.take(100_000)


@pytest.mark.parametrize("why", ["stalled", "stopped", "stopped twice"])
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "sound"])
def test_whatever_cuts_an_answer_a_client_of_http_1_0_sees_it(gateway, upstream, why, streamed):
    """It does not read. Where its last words had room on the way, those say it; else the
    connection does."""
    if streamed:
        served = upstream(stream(*([ROLE] + [ONE] * 100_000), DONE))
    else:
        fields = [("Content-Type", "audio/mpeg"), ("Content-Length", str(30 * MIB))]
        served = upstream(raw(head(200, fields), b"\xff\xfb" + bytes(30 * MIB - 2)))
    idle = {"stream_idle": "1s"} if why == "stalled" else {"drain": "1s"}
    running = gateway(deployment(served), spillway={"timeouts": idle})
    body = json.dumps(ASK_SPEECH).encode() if not streamed else BODY[:-1] + b',"stream":true}'
    ask = f"POST {CHAT if streamed else SPEECH} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    with running.connect(receive_buffer=32768) as client:
        client.send(ask.encode() + body)
        client.read_head()
        if why == "stalled":
            eventually(lambda: running.access_log())
        else:
            running.terminate()
            running.wait_for_message("draining")
            if why == "stopped twice":
                running.process.send_signal(signal.SIGTERM)
            running.process.wait(20)
        with pytest.raises(Closed) as seen:
            while True:
                client.more()
        told = streamed and why != "stalled" and b'"error"' in client.buffer[-1000:]
        assert told or str(seen.value) in ("reset", "cut")  # without TLS, and with


def test_a_stream_that_is_cut_tells_a_client_of_http_1_0_in_an_event(gateway, upstream):
    running = gateway(deployment(upstream(stream(ROLE, ONE, end="cut"))), router=NO_RETRIES)
    body = BODY[:-1] + b',"stream":true}'
    with running.connect() as client:
        client.send(f"POST {CHAT} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = client.read_response("POST")
    assert answer.complete, "an orderly close: the error event must arrive"
    assert b'"error"' in answer.body and b"[DONE]" not in answer.body
