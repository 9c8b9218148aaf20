"""Secrets and bodies never show, wherever one looks; secrets come in files as well."""

from __future__ import annotations

import json

import pytest

from behaviours import answer, error, status, stream
from concurrency import at_once
from edge import CHAT
from error_table import NO_RETRIES
from settings import deployment


@pytest.mark.row("X5", "C29")
def test_secrets_never_show(gateway, upstream):
    leaky = {"error": {"message": "Incorrect API key provided: sk-canary-upstream", "type": "x"}}
    refusing = upstream(default=status(401, leaky))
    second = upstream()
    running = gateway(
        deployment(
            refusing, "bad", api_key="sk-canary-upstream", extra_headers={"x-more": "canary-extra"}
        ),
        deployment(second, "good", api_key="os.environ/CANARY"),
        deployment(upstream(listening=False), "dead", api_key="sk-canary-upstream"),
        general={"master_key": "sk-canary-master"},
        spillway={"keys": [{"name": "bob", "key": "sk-canary-bob"}]},
        router=NO_RETRIES,
        env={"CANARY": "sk-canary-env"},
        arguments=("--log-level", "debug"),
    )
    shown = []
    for model in ("bad", "good", "dead", "none"):
        body = {"model": model, "messages": []}
        for key in ("sk-canary-master", "sk-canary-bob", "sk-canary-wrong"):
            response = running.post(CHAT, body, key=key)
            shown.append(response.body)
            shown.extend(value.encode() for _, value in response.headers)
    for path in (
        "/metrics",
        "/router/state",
        "/health",
        "/v1/models",
        "/nowhere",
        "/?key=sk-canary-master",
    ):
        shown.append(running.get(path, key="sk-canary-master").body)
    assert running.post(CHAT, b"{", key="sk-canary-master").status == 400
    running.stop()
    shown += [running.stdout.text.encode(), running.stderr.text.encode()]
    for text in shown:
        assert b"canary" not in text, text
    assert second.count == 2
    for request in second.requests:
        assert request.header("authorization") == "Bearer sk-canary-env"
        assert b"master" not in request.head and b"bob" not in request.head


@pytest.mark.row("X5")
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("code", [400, 401, 402, 403, 404, 409, 422, 429, 500, 503, 529])
def test_a_credential_that_a_provider_repeats_is_not_passed_on(gateway, upstream, code, streamed):
    leaky = upstream(default=error(code, "Incorrect API key provided: Bearer sk-canary-upstream"))
    running = gateway(
        deployment(leaky, api_key="sk-canary-upstream"),
        router=NO_RETRIES,
        arguments=("--log-level", "debug"),
    )
    response = running.post(CHAT, {"model": "m", "messages": [], "stream": streamed})
    assert response.status >= 400
    running.stop()
    shown = [response.body, running.stdout.text.encode(), running.stderr.text.encode()]
    for text in [*shown, *(value.encode() for _, value in response.headers)]:
        assert b"canary" not in text, text


@pytest.mark.row("X5")
@pytest.mark.parametrize("before", [0, 1], ids=["at-once", "after-content"])
def test_a_credential_in_an_event_of_error_is_not_passed_on(gateway, upstream, before):
    content = {"choices": [{"index": 0, "delta": {"content": "Once"}}]}
    leak = {"error": {"message": "bad Bearer sk-canary-upstream", "type": "server_error"}}
    events = [f"data: {json.dumps(event)}\n\n".encode() for event in [content] * before + [leak]]
    leaky = upstream(default=stream(*events))
    running = gateway(deployment(leaky, api_key="sk-canary-upstream"), router=NO_RETRIES)
    response = running.post(CHAT, {"model": "m", "messages": [], "stream": True})
    assert b"canary" not in response.body, response.body
    assert b"[redacted]" in response.body


@pytest.mark.row("X11")
def test_bodies_are_never_logged(gateway, upstream):
    running = gateway(
        deployment(upstream(answer(text="canary answer"), error(400, "bad"))),
        arguments=("--log-level", "debug"),
    )
    at_once(2, lambda: running.chat(text="canary question"))
    running.stop()
    assert "canary" not in running.stdout.text + running.stderr.text
