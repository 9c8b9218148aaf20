"""The scripted upstream is believable: the real SDK is satisfied with it, without a gateway in
between."""

from __future__ import annotations

import pytest

from behaviours import error, reset, status, stream
from canned import AUDIO
from loop import Gate
from wire import Client, request_bytes

openai = pytest.importorskip("openai")


def client(upstream):
    return openai.OpenAI(base_url=upstream.url, api_key="sk-direct", max_retries=0)


def test_the_sdk_understands_its_plain_and_streamed_chat(upstream):
    served = upstream()
    messages = [{"role": "user", "content": "two words"}]
    plain = client(served).chat.completions.create(model="m", messages=messages)
    streamed = client(served).chat.completions.create(model="m", messages=messages, stream=True)
    text = "".join(c.choices[0].delta.content or "" for c in streamed)
    assert plain.choices[0].message.content == text == "echo: two words"
    assert served.last.header("authorization") == "Bearer sk-direct"


def test_the_sdk_understands_every_other_endpoint(upstream):
    served = upstream()
    sdk = client(served)
    assert (
        sdk.embeddings.create(model="m", input=["a", "b"], encoding_format="float")
        .data[1]
        .embedding[2]
        == 1
    )
    assert sdk.responses.create(model="m", input="hi").output_text == "echo: hi"
    events = list(sdk.responses.create(model="m", input="hi", stream=True))
    assert events[-1].response.output_text == "echo: hi"
    assert not sdk.moderations.create(model="m", input="x").results[0].flagged
    assert sdk.images.generate(model="m", prompt="x").data[0].b64_json
    assert sdk.audio.speech.create(model="m", input="x", voice="alloy").content == AUDIO
    assert sdk.completions.create(model="m", prompt="p").choices[0].text == "echo: p"


def test_scripted_errors_and_resets_reach_the_sdk(upstream):
    served = upstream(error(429), reset())
    with pytest.raises(openai.RateLimitError):
        client(served).models.with_raw_response.list()
    with pytest.raises(openai.APIConnectionError):
        client(served).models.list()


def test_an_upstream_that_does_not_listen_refuses_until_it_does(upstream):
    served = upstream(listening=False)
    with pytest.raises(ConnectionRefusedError):
        Client(served.port)
    served.listen()
    with Client(served.port) as wire:
        wire.send(request_bytes("POST", "/v1/embeddings", b'{"input":"x"}'))
        assert wire.read_response().status == 200


def test_gates_hold_a_stream_and_departures_are_seen(upstream):
    gate = Gate()
    served = upstream(stream(b"data: 1\n\n", gate, b"data: 2\n\n", end="stall"))
    with Client(served.port) as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", b"{}"))
        response = wire.read_head()
        wire.read_until(response, b"data: 1")
        gate.open()
        wire.read_until(response, b"data: 2")
        assert not served.connections[0].closed
    served.wait_for_disconnect()
    assert served.connections[0].peer_left


def test_requests_are_recorded_byte_for_byte_on_kept_connections(upstream):
    served = upstream(status(200, "{}"), status(200, "{}"))
    body = b'{"a":1e400,  "z":"\xc3\xa9"}'
    with Client(served.port) as wire:
        for _ in range(2):
            wire.send(request_bytes("POST", "/v1/x", body, {"X-Odd": "yes"}))
            assert wire.read_response().status == 200
    assert [r.body for r in served.requests] == [body, body]
    assert [r.connection for r in served.requests] == [0, 0]
    assert served.last.header("x-odd") == "yes"
