"""--demo: no key, no network, one request, and the failover is there to be seen in the headers."""

from __future__ import annotations

import json


def demo(gateway):
    return gateway.start(["serve", "--demo", "--listen", "127.0.0.1:0"])


def test_one_request_shows_an_answer_and_the_failover(gateway):
    response = demo(gateway).chat("demo", "Hello")
    assert response.status == 200
    assert response.json()["choices"][0]["message"]["content"]
    assert response.header("x-spillway-attempts") == "2"
    assert response.header("x-spillway-deployment") == "demo-healthy"


def test_the_next_request_does_not_ask_the_limited_one_again(gateway):
    running = demo(gateway)
    running.chat("demo")
    assert running.chat("demo").header("x-spillway-attempts") == "1"
    state = json.dumps(running.get("/router/state").json())
    assert "cooling" in state


def test_it_streams_too(gateway):
    response = demo(gateway).chat("demo", stream=True)
    assert response.complete and response.body.endswith(b"data: [DONE]\n\n")
    assert response.body.count(b"data: ") > 3
