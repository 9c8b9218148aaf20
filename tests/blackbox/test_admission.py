"""limits.queue: requests above limits.concurrent_requests wait for their turn, fairly between keys,
and not for long."""

from __future__ import annotations

import re

import pytest

from behaviours import after, plausible, stall
from concurrency import eventually, in_background
from edge import BODY, CHAT
from loop import Gate
from settings import deployment
from wire import request_bytes

KEYS = [{"name": name, "key": f"sk-{name}"} for name in ("flood", "other")]


def gauges(running):
    page = running.get("/metrics", key="sk-other").body.decode()
    return tuple(
        int(float(re.search(rf'spillway_requests{{state="{state}"}} (\S+)', page)[1]))
        for state in ("running", "waiting")
    )


def wait_for(running, running_now, waiting_now):
    eventually(lambda: gauges(running) == (running_now, waiting_now))


def ask(running, key="flood", text="hello"):
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return in_background(lambda: running.post(CHAT, body, key=f"sk-{key}"))


@pytest.fixture
def busy(gateway, upstream):
    """One place, taken; whatever is asked next waits. `gate` ends the one that runs."""
    gate = Gate()
    served = upstream(after(gate, plausible()))

    def start(**limits):
        limits = {"concurrent_requests": 1, "queue": 4, "queue_timeout": "20s", **limits}
        running = gateway(deployment(served), spillway={"limits": limits, "keys": KEYS})
        running.first = ask(running)
        served.wait_for_requests(1)
        running.upstream, running.gate = served, gate
        return running

    yield start
    gate.open()


def said(upstream):
    """What was asked, in the order in which it reached the provider."""
    return [request.json()["messages"][0]["content"] for request in upstream.requests]


def why_refused(running):
    """What the log says of the one request that was refused, and the client is not told."""
    return running.wait_for_log(lambda line: line["status"] == 503)["detail"]


def test_a_request_above_the_limit_waits_for_its_turn(busy):
    running = busy()
    second = ask(running, text="second")
    wait_for(running, 1, 1)
    assert running.upstream.count == 1
    running.gate.open()
    assert second.result(20).status == 200
    assert running.first.result(20).status == 200
    wait_for(running, 0, 0)


def test_requests_above_the_queue_are_refused_at_once(busy):
    running = busy(queue=1)
    waiting = ask(running)
    wait_for(running, 1, 1)
    refused = ask(running).result(20)
    assert (refused.status, refused.error["code"]) == (503, "over_capacity")
    assert refused.header("retry-after") == "1"
    assert why_refused(running) == "the queue is full"
    running.gate.open()
    assert waiting.result(20).status == 200


@pytest.mark.row("C25")
def test_a_turn_that_does_not_come_in_time_is_503(busy):
    running = busy(queue_timeout="100ms")
    late = ask(running).result(20)
    assert (late.status, late.error["code"]) == (503, "over_capacity")
    assert late.header("retry-after") == "1"
    assert why_refused(running) == "no place came free in time"
    wait_for(running, 1, 0)
    assert running.upstream.count == 1


def test_a_client_that_leaves_gives_its_turn_up(busy):
    running = busy(queue=1)
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY, {"Authorization": "Bearer sk-other"}))
        wait_for(running, 1, 1)
    wait_for(running, 1, 0)
    assert running.wait_for_log(lambda line: line["path"] == CHAT)["status"] == 499
    waiting = ask(running)
    wait_for(running, 1, 1)
    running.gate.open()
    assert waiting.result(20).status == 200
    assert running.upstream.count == 2, "the one that left reached nobody"


@pytest.mark.row("C25")
def test_keys_take_turns(busy):
    running = busy(queue=8)
    asked = []
    for number in range(4):
        asked.append(ask(running, "flood", f"flood {number}"))
        wait_for(running, 1, number + 1)
    for number in range(2):
        asked.append(ask(running, "other", f"other {number}"))
        wait_for(running, 1, 5 + number)
    running.gate.open()
    assert [answer.result(20).status for answer in asked] == [200] * 6
    order = said(running.upstream)[1:]
    assert order[:4] in (
        ["flood 0", "other 0", "flood 1", "other 1"],
        ["other 0", "flood 0", "other 1", "flood 1"],
    )
    assert order[4:] == ["flood 2", "flood 3"]


@pytest.mark.row("C25")
def test_a_flood_makes_room_in_the_queue_for_another_key(busy):
    running = busy(queue=2)
    flood = []
    for number in range(2):
        flood.append(ask(running, "flood", f"flood {number}"))
        wait_for(running, 1, number + 1)
    other = ask(running, "other", "other")
    displaced = flood[1].result(20)
    assert (displaced.status, displaced.error["code"]) == (503, "over_capacity")
    assert why_refused(running) == "gave up its place in the full queue to another key"
    running.gate.open()
    assert other.result(20).status == 200
    assert flood[0].result(20).status == 200


def test_a_body_that_is_refused_takes_no_turn(busy):
    running = busy()
    refused = running.post(CHAT, b"{", key="sk-other")
    assert refused.status == 400
    assert running.post(CHAT, {"model": "none", "messages": []}, key="sk-other").status == 404


def test_requests_that_wait_are_served_while_the_gateway_stops(busy):
    running = busy()
    waiting = ask(running)
    wait_for(running, 1, 1)
    running.terminate()
    running.wait_for_message("draining")
    running.gate.open()
    assert waiting.result(20).status == 200
    assert running.first.result(20).status == 200


def test_requests_that_still_wait_when_the_grace_period_is_over_are_told_so(gateway, upstream):
    served = upstream(default=stall())
    limits = {"concurrent_requests": 1, "queue": 1, "queue_timeout": "20s"}
    running = gateway(
        deployment(served),
        spillway={"limits": limits, "keys": KEYS, "timeouts": {"drain": "300ms"}},
    )
    first = ask(running)
    served.wait_for_requests(1)
    waiting = ask(running)
    wait_for(running, 1, 1)
    running.stop()
    assert (waiting.result(20).status, waiting.result(20).error["code"]) == (503, "over_capacity")
    assert first.result(20).status == 503
