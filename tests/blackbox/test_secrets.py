"""Secrets and bodies never show, wherever one looks; secrets come in files as well."""

from __future__ import annotations

import pytest

from behaviours import answer, error, status
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


@pytest.mark.row("X11")
def test_bodies_are_never_logged(gateway, upstream):
    running = gateway(
        deployment(upstream(answer(text="canary answer"), error(400, "bad"))),
        arguments=("--log-level", "debug"),
    )
    at_once(2, lambda: running.chat(text="canary question"))
    running.stop()
    assert "canary" not in running.stdout.text + running.stderr.text
