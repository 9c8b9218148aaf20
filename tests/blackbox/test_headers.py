"""Headers: what an answer tells of its way, and what passes in either direction."""

from __future__ import annotations

import asyncio

import pytest

from behaviours import error, plausible
from edge import CHAT
from error_table import NO_RETRIES
from settings import deployment
from wire import request_bytes


def test_an_answer_says_who_gave_it_and_what_was_tried(gateway, upstream):
    first = upstream(default=error(500))
    second = upstream(default=plausible({"x-request-id": "theirs-1"}))
    spare = upstream()
    running = gateway(
        deployment(first, id="first", order=1),
        deployment(second, id="second", order=2),
        deployment(spare, "spare"),
    )
    response = running.chat(headers={"x-request-id": "mine-1"})
    assert response.header("x-request-id") == "mine-1"
    assert response.header("x-spillway-model-group") == "m"
    assert response.header("x-spillway-deployment") == "second"
    assert response.header("x-spillway-provider") == "openai"
    assert response.header("x-spillway-attempts") == "2"
    assert response.header("x-spillway-fallbacks") == "0"
    assert response.header("x-spillway-upstream-request-id") == "theirs-1"
    assert 0 < int(response.header("x-spillway-overhead-us")) < 5_000_000


def test_a_fallback_is_counted_and_names_its_own_group(gateway, upstream):
    running = gateway(
        deployment(upstream(default=error(500))),
        deployment(upstream(), "spare", id="the-spare"),
        router={**NO_RETRIES, "fallbacks": [{"m": ["spare"]}]},
    )
    response = running.chat()
    assert response.status == 200
    assert response.header("x-spillway-fallbacks") == "1"
    assert response.header("x-spillway-deployment") == "the-spare"


def test_waiting_for_the_upstream_is_not_overhead(gateway, upstream):
    async def slow(exchange):
        await asyncio.sleep(0.5)  # the upstream's own time, which is what is measured
        await plausible()(exchange)

    running = gateway(deployment(upstream(slow)))
    assert int(running.chat().header("x-spillway-overhead-us")) < 400_000


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.row("X3", "R29")
def test_only_the_listed_upstream_headers_pass(gateway, upstream, streaming):
    passed = {
        "x-ratelimit-remaining-requests": "41",
        "retry-after": "3",
        "openai-processing-ms": "12",
        "anthropic-ratelimit-tokens-remaining": "9",
    }
    dropped = {
        "Set-Cookie": "a=b",
        "Server": "upstream/1",
        "X-Powered-By": "y",
        "CF-Ray": "z",
        "X-Spillway-Deployment": "forged",
        "Access-Control-Allow-Origin": "*",
        "Connection": "X-Ratelimit-Secret",
        "X-Ratelimit-Secret": "hop",
    }
    running = gateway(deployment(upstream(plausible({**passed, **dropped})), id="real"))
    response = running.chat(stream=streaming)
    for name, value in passed.items():
        assert response.header(name) == value, name
    names = {name.lower() for name, _ in response.headers}
    for name in (
        "set-cookie",
        "x-powered-by",
        "cf-ray",
        "access-control-allow-origin",
        "x-ratelimit-secret",
    ):
        assert name not in names
    assert response.all("x-spillway-deployment") == ["real"]
    assert response.header("server") != "upstream/1"


@pytest.mark.row("C33", "X2", "R29")
def test_exactly_the_allowed_headers_reach_the_upstream(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served, extra_headers={"X-Mine": "configured"}))
    allowed = {
        "accept": "application/json",
        "openai-organization": "org",
        "openai-project": "project",
        "openai-beta": "beta",
        "anthropic-version": "v",
        "anthropic-beta": "b",
        "idempotency-key": "once",
        "x-stainless-lang": "python",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=b",
        "user-agent": "client/1",
    }
    forbidden = {
        "Authorization": "Bearer sk-clients-own",
        "Cookie": "session=1",
        "X-Api-Key": "sk-clients-own",
        "Api-Key": "sk-clients-own",
        "Proxy-Authorization": "Basic x",
        "X-Forwarded-For": "10.0.0.1",
        "Forwarded": "for=x",
        "X-Request-Id": "mine",
        "Accept-Encoding": "gzip",
        "TE": "trailers",
        "X-Anything": "else",
        "Origin": "https://site.example",
    }
    assert running.chat(headers={**allowed, **forbidden}).status == 200
    sent = {name.lower(): value for name, value in served.last.headers}
    for name, value in allowed.items():
        assert sent.pop(name) == value, name
    assert sent.pop("authorization") == "Bearer sk-upstream"
    assert sent.pop("x-mine") == "configured"
    assert sent.pop("content-type") == "application/json"
    assert sent.pop("content-length") == str(len(served.last.body))
    assert sent.pop("host") == f"127.0.0.1:{served.port}"
    assert sent.pop("accept-encoding", "identity") == "identity"
    sent.pop("connection", None)
    assert sent == {}
    assert b"clients-own" not in served.last.head


@pytest.mark.parametrize("key", ["extra_headers", "headers"])
@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
def test_a_configured_content_type_takes_the_place_of_the_usual_one(gateway, upstream, key, name):
    served = upstream()
    configured = "application/json; charset=utf-8"
    running = gateway(deployment(served, **{key: {name: configured}}))
    assert running.chat(headers={"Content-Type": "application/json"}).status == 200
    assert served.last.header("content-type") == configured, "once"


@pytest.mark.parametrize("key", ["extra_headers", "headers"])
@pytest.mark.row("U42")
def test_a_configured_accept_encoding_is_not_sent(gateway, upstream, key):
    """The gateway reads what providers answer, so it asks for answers that it can read."""
    served = upstream()
    running = gateway(deployment(served, **{key: {"Accept-Encoding": "gzip", "X-Mine": "yes"}}))
    assert running.chat(headers={"Accept-Encoding": "br"}).status == 200
    assert served.last.header("accept-encoding") in (None, "identity")
    assert served.last.header("x-mine") == "yes"


@pytest.mark.row("C33", "R29")
def test_fields_named_by_connection_do_not_pass(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served))
    fields = {"Connection": "keep-alive, openai-project", "openai-project": "hop"}
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, b'{"model":"m","messages":[]}', fields))
        assert client.read_response("POST").status == 200
    assert served.last.header("openai-project") is None
