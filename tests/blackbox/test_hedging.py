"""When the first token is late, a second provider is asked too: the first token wins, the other call
is cancelled, and both are accounted."""

from __future__ import annotations

import pytest
from prometheus_client import parser

from behaviours import after, answer, error, healthy_upstream, stall, stream
from catalogue import text_of
from concurrency import eventually, in_background
from interposed import Interposed
from loop import Gate
from settings import deployment
from state import in_flight
from streams import open_stream
from test_stream_recovery import TEXT, cut_after, telling

SOON = {"after": "50ms", "share": "100%"}


def pair(gateway, first, second, hedge=SOON, **spillway):
    return gateway(
        deployment(first, id="slow", order=1),
        deployment(second, id="quick", order=2),
        spillway={"hedge": hedge, **spillway},
    )


def history(reply):
    """Deployment and outcome of each attempt, without its time."""
    entries = reply.header("x-spillway-attempt-history").split(", ")
    return [entry.rpartition(":")[0] for entry in entries]


def attempts_metric(running):
    text = running.get("/metrics").body.decode()
    return {
        (sample.labels["deployment"], sample.labels["class"]): sample.value
        for family in parser.text_string_to_metric_families(text)
        if family.name == "spillway_attempts"
        for sample in family.samples
        if sample.name.endswith("_total") and sample.value
    }


@pytest.mark.parametrize("streamed", [False, True])
def test_the_second_answers_when_the_first_is_silent(gateway, upstream, streamed):
    slow, quick = upstream(stall()), healthy_upstream()
    running = pair(gateway, slow, quick)
    reply = running.chat(stream=streamed)
    assert reply.status == 200 and reply.complete
    assert reply.header("x-spillway-deployment") == "quick"
    assert reply.header("x-spillway-attempts") == "2"
    assert history(reply) == ["slow=outrun", "quick=success"]
    slow.wait_for_disconnect()
    assert slow.count == quick.count == 1
    assert slow.last.json() == quick.last.json(), "the same question"
    # A stream's call ends once the client has all of it.
    assert eventually(lambda: in_flight(running, "slow") == in_flight(running, "quick") == 0)
    line = running.wait_for_log(lambda line: "completions" in line["path"])
    assert line["deployment"] == "quick" and line["attempts"] == 2
    assert attempts_metric(running) == {
        ("slow", "outrun"): 1,
        ("quick", "success"): 1,
    }


@pytest.mark.parametrize("streamed", [False, True])
def test_the_first_wins_when_it_answers_before_the_second(gateway, upstream, streamed):
    gate = Gate()
    slow = upstream(after(gate, stream() if streamed else answer()))
    quick = upstream(stall())
    running = pair(gateway, slow, quick)
    reply = in_background(lambda: running.chat(stream=streamed))
    quick.wait_for_requests(1)
    gate.open()
    reply = reply.result()
    assert reply.complete and reply.header("x-spillway-deployment") == "slow"
    assert history(reply) == ["quick=outrun", "slow=success"]
    quick.wait_for_disconnect()


def test_a_head_without_content_wins_nothing(gateway, upstream):
    slow = upstream(stream(Gate()))
    reply = pair(gateway, slow, healthy_upstream()).chat(stream=True)
    assert reply.complete and reply.header("x-spillway-deployment") == "quick"
    slow.wait_for_disconnect()


@pytest.mark.parametrize("hedge", ["off", "60s", "p95"])
def test_who_answers_in_time_is_not_hedged(gateway, upstream, hedge):
    quick = healthy_upstream()
    running = pair(gateway, healthy_upstream(), quick, hedge=hedge)
    assert running.chat().status == 200
    assert running.chat(stream=True).complete
    assert quick.count == 0


def test_waiting_for_a_hedge_tells_the_kernel_nothing(gateway, upstream, binary, tmp_path):
    interposed = Interposed(binary, tmp_path)
    running = gateway(
        deployment(upstream(), order=1),
        deployment(upstream(), order=2),
        spillway={"hedge": {"after": "60s", "share": "100%"}},
        env=interposed.environment,
    )
    # Whoever waits with a timer of Asio's tells the kernel so, each time.
    assert interposed.tellings_each(running) < 1


def test_a_group_of_one_is_hedged_by_its_fallback(gateway, upstream):
    slow = upstream(stall())
    running = gateway(
        deployment(slow, id="slow"),
        deployment(healthy_upstream(), "other", id="quick"),
        router={"fallbacks": [{"m": ["other"]}]},
        spillway={"hedge": SOON},
    )
    reply = running.chat(stream=True)
    assert reply.complete and reply.header("x-spillway-deployment") == "quick"
    assert reply.header("x-spillway-fallbacks") == "1"
    slow.wait_for_disconnect()


def test_a_hedge_that_fails_leaves_the_first_to_answer(gateway, upstream):
    gate = Gate()
    slow, broken = upstream(after(gate, answer())), upstream(error(500))
    running = pair(gateway, slow, broken)
    reply = in_background(running.chat)
    broken.wait_for_requests(1)
    gate.open()
    reply = reply.result()
    assert reply.status == 200 and reply.header("x-spillway-deployment") == "slow"
    assert broken.count == 1
    line = running.wait_for_log(lambda line: "completions" in line["path"])
    assert line["deployment"] == "slow" and line["attempts"] == 2


def test_a_first_that_fails_leaves_the_hedge_to_answer(gateway, upstream):
    first, second = Gate(), Gate()
    broken, quick = upstream(after(first, error(500))), upstream(after(second, answer()))
    running = pair(gateway, broken, quick)
    reply = in_background(running.chat)
    quick.wait_for_requests(1)
    first.open()
    second.open()
    reply = reply.result()
    assert reply.status == 200 and reply.header("x-spillway-deployment") == "quick"
    assert broken.count == quick.count == 1


def test_when_both_fail_the_client_is_told_of_the_first(gateway, upstream):
    gate = Gate()
    first, second = upstream(after(gate, error(400, "no such thing"))), upstream(error(503))
    running = pair(gateway, first, second)
    reply = in_background(running.chat)
    second.wait_for_requests(1)
    gate.open()
    reply = reply.result()
    assert reply.status == 400 and "no such thing" in reply.error["message"]
    assert sorted(history(reply)) == ["quick=unavailable", "slow=invalid_request"]


def test_a_client_that_leaves_takes_both_calls_with_it(gateway, upstream):
    slow, quick = upstream(stall()), upstream(stall())
    running = pair(gateway, slow, quick)
    with running.connect() as client:
        open_stream(running, client)
        quick.wait_for_requests(1)
    slow.wait_for_disconnect()
    quick.wait_for_disconnect()
    running.wait_for_log(lambda line: line["status"] == 499)
    eventually(lambda: in_flight(running, "slow") + in_flight(running, "quick") == 0)


def test_a_stream_that_the_hedge_began_is_finished_by_a_third(gateway, upstream):
    events = telling("b", TEXT)
    running = gateway(
        deployment(upstream(stall()), id="slow", order=1),
        deployment(upstream(cut_after(events, len(events) // 2)), id="quick", order=2),
        deployment(upstream(stream(*telling("c", TEXT))), id="third", order=3),
        spillway={"hedge": SOON},
    )
    reply = running.chat(stream=True)
    assert reply.complete and text_of(reply.body) == (TEXT, {"b"})


def test_a_large_request_is_sent_whole_to_both(gateway, upstream):
    slow, quick = upstream(stall()), healthy_upstream()
    text = "x" * 3_000_000
    reply = pair(gateway, slow, quick).chat(text=text, stream=True)
    assert reply.complete and reply.header("x-spillway-deployment") == "quick"
    assert quick.last.json()["messages"][0]["content"] == text


def test_at_most_the_configured_share_of_requests_is_hedged(gateway, upstream):
    slow, quick = upstream(), healthy_upstream()
    running = pair(gateway, slow, quick, hedge={"after": "1ms", "share": "10%"})
    for _ in range(30):
        gate = Gate()
        slow.script(after(gate, answer()))
        asked = slow.count
        reply = in_background(running.chat)
        slow.wait_for_requests(asked + 1)
        gate.open()
        assert reply.result().status == 200
    assert quick.count <= 3


def test_a_deployment_s_own_p95_says_when_it_is_late(gateway, upstream):
    slow, quick = healthy_upstream(), healthy_upstream()
    running = pair(gateway, slow, quick, hedge={"after": "p95", "share": "100%"})
    for _ in range(20):  # fewer tell no p95
        assert running.chat().status == 200
    quick_before = quick.count
    slow.always(stall())
    reply = running.chat()
    assert reply.status == 200 and reply.header("x-spillway-deployment") == "quick"
    assert quick.count > quick_before
