"""How streams begin: the head waits for content, and until then a failure is an ordinary error."""

from __future__ import annotations

import pytest

from behaviours import after, error, plausible, stall, status, stream
from canned import (
    DONE,
    chat_events,
)
from error_table import NO_RETRIES
from loop import Gate
from settings import deployment
from streams import (
    FAST_COMMENTS,
    FINISH,
    FIRST_EVENTS,
    ONE,
    ROLE,
    TWO,
    assert_ends_in_an_error_event,
    open_stream,
    pair,
    without_comments,
)


# --- the head is held -----------------------------------------------------------------------------
def test_the_head_waits_for_the_first_content(gateway, upstream):
    gate = Gate()
    served = upstream(stream(ROLE, gate, ONE, FINISH, DONE))
    running = gateway(deployment(served, id="only"))
    with running.connect() as client:
        open_stream(running, client)
        served.wait_for_requests(1)
        served.wait_for(lambda: served.connections[-1].bytes_sent > len(ROLE), "the role chunk")
        assert client.silent_for(0.3), "a role-only chunk is held with the head"
        gate.open()
        answer = client.read_response("POST")
    assert answer.header("content-type").startswith("text/event-stream")
    assert answer.header("x-spillway-deployment") == "only"
    assert answer.body == ROLE + ONE + FINISH + DONE and answer.complete


def test_events_are_relayed_as_they_arrive(gateway, upstream):
    first_gate, second_gate = Gate(), Gate()
    served = upstream(stream(ROLE, ONE, first_gate, TWO, second_gate, FINISH, DONE))
    running = gateway(deployment(served))
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        assert client.read_until(answer, ONE) == ROLE + ONE
        first_gate.open()
        assert client.read_until(answer, TWO) == ROLE + ONE + TWO
        second_gate.open()
        client.read_body(answer)
    assert answer.complete and answer.body.endswith(DONE)


@pytest.mark.parametrize(
    "before", [b"", ROLE, b": comment\n\n"], ids=["first", "after-role", "after-comment"]
)
@pytest.mark.parametrize("event, code", FIRST_EVENTS.values(), ids=FIRST_EVENTS)
@pytest.mark.row("U16")
def test_an_error_before_content_has_its_real_status(gateway, upstream, before, event, code):
    served = upstream(default=stream(*([before] if before else []), event))
    running = gateway(deployment(served), router=NO_RETRIES)
    answer = running.chat(stream=True)
    assert answer.status == code
    assert answer.error["message"]


@pytest.mark.parametrize(
    "fault",
    [
        stream(FIRST_EVENTS["overloaded"][0]),
        stream(ROLE, FIRST_EVENTS["anthropic"][0]),
        stream(ROLE, end="cut"),
        stream(ROLE, end="reset"),
        stream(ROLE),
        stream(b": nothing but a comment\n\n"),
        status(200, {"error": {"message": "busy", "code": 503}}),
        status(200, b"<html></html>", content_type="text/html"),
        status(200, b"", content_type="text/event-stream"),
    ],
    ids=[
        "error",
        "error-after-role",
        "cut",
        "reset",
        "ends",
        "comment-only",
        "json-error",
        "html",
        "empty",
    ],
)
@pytest.mark.row("U13", "U16")
def test_what_fails_before_content_is_tried_elsewhere(gateway, upstream, fault):
    first, second = upstream(fault), upstream()
    running = pair(gateway, first, second)
    answer = running.chat(stream=True, text="hello there")
    assert (answer.status, answer.header("x-spillway-deployment")) == (200, "second")
    assert answer.header("x-spillway-attempts") == "2"
    assert answer.body == b"".join(chat_events({"model": "upstream-model", "messages": [
        {"role": "user", "content": "hello there"}
    ]}))  # fmt: skip


@pytest.mark.row("U37")
def test_no_token_in_time_moves_on(gateway, upstream):
    first, second = upstream(stream(ROLE, end="stall")), upstream()
    running = gateway(
        deployment(first, order=1, stream_timeout=0.3), deployment(second, id="second", order=2)
    )
    answer = running.chat(stream=True)
    assert (answer.status, answer.header("x-spillway-deployment")) == (200, "second")
    first.wait_for_disconnect()


def test_a_plain_json_answer_to_a_streamed_request_is_not_a_stream(gateway, upstream):
    """A 200 that is not what was asked for is never shown as if it were."""
    first, second = upstream(status(200, b'{"unexpected":true}')), upstream()
    running = pair(gateway, first, second)
    assert running.chat(stream=True).body.endswith(DONE)


# --- comments while waiting -----------------------------------------------------------------------
def test_comments_keep_a_waiting_client_and_the_answer_follows(gateway, upstream):
    gate = Gate()
    served = upstream(after(gate, plausible()))
    running = gateway(deployment(served), spillway=FAST_COMMENTS)
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        assert answer.status == 200
        for _ in range(3):
            assert client.read_chunk().startswith(b":")
        gate.open()
        client.read_body(answer)
    assert answer.header("x-spillway-deployment") is None, "who will answer was not known yet"
    assert answer.header("x-request-id")
    assert answer.complete and without_comments(answer.body).endswith(DONE)


def test_the_head_that_comments_send_tells_only_what_is_known(gateway, upstream):
    """Who was tried in vain, but nothing of the one that has not answered yet."""
    gate = Gate()
    first, silent = upstream(error(503)), upstream(after(gate, error(500)))
    last = upstream()
    legs = (deployment(leg, id=f"d{at}", order=at) for at, leg in enumerate([first, silent, last]))
    running = gateway(*legs, spillway=FAST_COMMENTS)
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        gate.open()
        client.read_body(answer)
    history = answer.header("x-spillway-attempt-history")
    assert history.startswith("d0=unavailable:") and "," not in history
    assert answer.complete and last.count == 1


def test_the_head_that_comments_send_at_first_has_no_history(gateway, upstream):
    gate = Gate()
    running = gateway(deployment(upstream(after(gate, plausible()))), spillway=FAST_COMMENTS)
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        gate.open()
        client.read_body(answer)
    assert answer.header("x-spillway-attempt-history") is None


def test_failover_is_possible_after_comments_were_sent(gateway, upstream):
    gate = Gate()
    first, second = upstream(after(gate, error(503))), upstream()
    running = pair(gateway, first, second, **FAST_COMMENTS)
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        assert client.read_chunk().startswith(b":")
        gate.open()
        client.read_body(answer)
    assert answer.complete and without_comments(answer.body).endswith(DONE)
    assert second.count == 1


def test_a_failure_after_comments_is_an_error_event_and_no_end(gateway, upstream):
    gate = Gate()
    served = upstream(after(gate, error(400, "not like this")))
    running = gateway(deployment(served), spillway=FAST_COMMENTS)
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        assert client.read_chunk().startswith(b":")
        gate.open()
        client.read_body(answer)
    assert_ends_in_an_error_event(answer, "not like this")


@pytest.mark.row("U38")
def test_comments_fill_gaps_between_events_only(gateway, upstream):
    gate, half_gate = Gate(), Gate()
    served = upstream(stream(ROLE, ONE, gate, TWO[:9], half_gate, TWO[9:], FINISH, DONE))
    running = gateway(deployment(served), spillway=FAST_COMMENTS)
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        client.read_until(answer, ONE)
        client.read_until(answer, b"\n\n:")
        gate.open()
        served.wait_for(lambda: served.connections[-1].bytes_sent > 0, "half an event")
        client.read_until(answer, b"\n\n:")
        half_gate.open()
        client.read_body(answer)
    assert answer.complete and without_comments(answer.body) == ROLE + ONE + TWO + FINISH + DONE


def test_a_client_that_leaves_while_comments_flow_ends_the_call(gateway, upstream):
    served = upstream(stall())
    running = gateway(deployment(served), spillway=FAST_COMMENTS)
    with running.connect() as client:
        open_stream(running, client).read_head()
        client.read_chunk()
    served.wait_for_disconnect(timeout=1)
