"""Byte faithfulness: outside the spliced model the client's bytes reach the provider unchanged, and
the provider's bytes reach the client unchanged, however either was cut into pieces on the wire.
Seeds are in the test's name."""

from __future__ import annotations

import json
import random

import pytest

from behaviours import raw, status, stream
from canned import DONE, chat_chunk, chat_completion, chat_events, chat_text_events, sse
from edge import post_head
from framing import LAST_CHUNK, chunk, head
from random_json import RandomJson, random_pieces
from settings import deployment
from wire import request_bytes

SEEDS = range(12)
BODIES_PER_SEED = 25


@pytest.fixture(scope="module")
def scene(module_gateway, module_upstream):
    served = module_upstream()
    running = module_gateway(deployment(served, "m"), deployment(served, 'emoji 🌊/"x"'))
    running.upstream = served
    return running


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.row("C5", "C9")
def test_random_bodies_arrive_identical_outside_the_model(scene, seed):
    source = RandomJson(seed)
    with scene.connect() as client:
        for _ in range(BODIES_PER_SEED):
            literal = source.random.choice(['"m"', '"\\u006d"', '"\\u006D"'])
            body, expected = source.chat_body(literal, '"upstream-model"')
            client.send(request_bytes("POST", "/v1/chat/completions", body.encode()))
            response = client.read_response("POST")
            assert response.status == 200, (body, response.body)
            assert scene.upstream.last.body == expected.encode(), body


@pytest.mark.parametrize("seed", SEEDS)
def test_random_bodies_sent_in_random_chunks_arrive_identical(scene, seed):
    source = RandomJson(1000 + seed)
    with scene.connect() as client:
        for _ in range(5):
            body, expected = source.chat_body('"m"', '"upstream-model"')
            client.send(post_head("Transfer-Encoding: chunked"))
            for piece in random_pieces(source.random, body.encode(), 12):
                client.send(chunk(piece))
            client.send(LAST_CHUNK)
            response = client.read_response("POST")
            assert response.status == 200, (body, response.body)
            assert scene.upstream.last.body == expected.encode()


def test_an_escaped_key_is_the_model_as_well(scene):
    body = b'{ "mod\\u0065l" : "m" , "messages":[] }'
    assert scene.post("/v1/chat/completions", body).status == 200
    assert scene.upstream.last.body == body.replace(b'"m"', b'"upstream-model"')


def test_a_model_name_with_quotes_and_emoji_is_understood(scene):
    body = json.dumps({"model": 'emoji 🌊/"x"', "messages": []}).encode()
    assert scene.post("/v1/chat/completions", body).status == 200
    assert json.loads(scene.upstream.last.body)["model"] == "upstream-model"


@pytest.mark.row("X4")
def test_nested_members_called_model_are_left_alone(scene):
    body = b'{"metadata":{"model":"m","model":"x"},"model":"m","messages":[],"x":["model"]}'
    assert scene.post("/v1/chat/completions", body).status == 200
    assert scene.upstream.last.body == body.replace(
        b'"model":"m","messages"', b'"model":"upstream-model","messages"'
    )


# --- answers --------------------------------------------------------------------------------------


def odd_answer(source: RandomJson) -> bytes:
    """A complete chat answer with unknown members and odd spellings."""
    extra = ",".join(source.member(f'"x{number}"', 0) for number in range(6))
    known = json.dumps(
        chat_completion({"model": "upstream-model"}, text="späße 🌊"), ensure_ascii=False
    )
    return (source.space() + "{" + extra + "," + known[1:] + source.space()).encode()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("framing", ["length", "chunked", "until-close"])
def test_plain_answers_arrive_identical_however_they_were_cut(scene, seed, framing):
    source = RandomJson(2000 + seed)
    for _ in range(4):
        body = odd_answer(source)
        pieces = random_pieces(source.random, body, 20)
        fields = [("Content-Type", "application/json")]
        if framing == "chunked":
            sent = [
                head(200, [*fields, ("Transfer-Encoding", "chunked")]),
                *map(chunk, pieces),
                LAST_CHUNK,
            ]
            scene.upstream.script(raw(*sent, end="keep"))
        elif framing == "length":
            start = head(200, [*fields, ("Content-Length", str(len(body)))])
            scene.upstream.script(raw(*random_pieces(source.random, start, 5), *pieces, end="keep"))
        else:
            scene.upstream.script(raw(head(200, fields), *pieces, end="close"))
        response = scene.chat()
        assert response.status == 200 and response.complete
        assert response.body == body


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.row("U51")
def test_streams_arrive_identical_however_they_were_cut(scene, seed):
    source = random.Random(3000 + seed)
    for _ in range(5):
        text = "".join(
            source.choice(["späße ", "🌊👩‍💻 ", "plain ", "\u2028", "漢字"]) for _ in range(30)
        )
        body = b": a comment first\n\n" + b"".join(chat_text_events(text)) + DONE
        pieces = random_pieces(source, body, 60)
        scene.upstream.script(stream(*pieces))
        response = scene.chat(stream=True)
        assert response.status == 200 and response.complete
        assert response.body == body


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.row("U52")
def test_any_line_end_and_a_bom_arrive_identical(scene, line_end, bom, seed):
    events = chat_events({"model": "m", "messages": [{"role": "user", "content": "a b c d e"}]})
    body = bom + b"".join(events).replace(b"\n", line_end)
    scene.upstream.script(stream(*random_pieces(random.Random(seed), body, 40)))
    response = scene.chat(stream=True)
    assert (response.status, response.complete) == (200, True)
    assert response.body == body


@pytest.mark.row("U52")
def test_multi_line_data_ids_and_unknown_fields_arrive_identical(scene):
    event = sse(chat_chunk({"content": "x"})).decode()
    start, rest = event[6:-2].split(",", 1)
    multi = (
        f"id: 7\nretry: 10\nnonsense: y\ndata:{start},\ndata: {rest}\n: comment inside\n\n".encode()
    )
    body = multi + sse(chat_chunk({}, "stop")) + DONE
    scene.upstream.script(stream(body))
    response = scene.chat(stream=True)
    assert response.body == body and response.complete


@pytest.mark.row("U51")
def test_one_byte_at_a_time_arrives_identical(scene):
    body = b"".join(chat_events({"messages": [{"role": "user", "content": "🌊 ü"}]}))
    scene.upstream.script(stream(*[body[i : i + 1] for i in range(len(body))]))
    response = scene.chat(stream=True)
    assert response.body == body and response.complete


def test_a_large_plain_answer_arrives_identical(scene):
    text = "0123456789abcdef" * (3 * 1024 * 1024 // 16)
    body = json.dumps(chat_completion({"model": "m"}, text=text)).encode()
    scene.upstream.script(status(200, body))
    assert scene.chat().body == body


def test_an_answer_too_large_to_hold_is_streamed_whole(scene):
    text = "0123456789abcdef" * (12 * 1024 * 1024 // 16)
    body = json.dumps(chat_completion({"model": "m"}, text=text)).encode()
    scene.upstream.script(status(200, body))
    response = scene.chat()
    assert response.complete and response.body == body


def test_a_large_request_body_arrives_identical(scene):
    text = "späße🌊" * (8 * 1024 * 1024 // 10)
    body = json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": text}]}, ensure_ascii=False
    )
    assert scene.post("/v1/chat/completions", body.encode()).status == 200
    assert (
        scene.upstream.last.body
        == body.replace('"model": "m"', '"model": "upstream-model"').encode()
    )
