"""How streams end: properly, or in an error event that nobody can mistake for an end."""

from __future__ import annotations

import pytest

from behaviours import stream
from canned import (
    DONE,
    completion,
    response,
    response_event,
    response_events,
    sse,
)
from error_table import NO_RETRIES
from settings import deployment
from state import cooldown_seconds
from streams import (
    FINISH,
    FIRST_EVENTS,
    ONE,
    ROLE,
    TWO,
    assert_ends_in_an_error_event,
    pair,
    without_comments,
)


# --- after content --------------------------------------------------------------------------------
@pytest.mark.parametrize("end", ["cut", "reset", "clean"])
@pytest.mark.row("U14", "U15")
def test_a_stream_cut_after_content_ends_in_an_error_event(gateway, upstream, end):
    running = gateway(deployment(upstream(stream(ROLE, ONE, TWO, end=end))), router=NO_RETRIES)
    answer = running.chat(stream=True)
    assert answer.status == 200
    assert answer.body.startswith(ROLE + ONE + TWO)
    assert_ends_in_an_error_event(answer)


@pytest.mark.row("U17")
def test_an_error_event_after_content_benches_for_as_long_as_the_head_says(gateway, upstream):
    limited = sse({"error": {"message": "slow down", "code": "rate_limit_exceeded"}})
    headers = {"Retry-After": "77", "X-Other": "x" * 20}
    served = upstream(stream(ROLE, ONE, limited, DONE, headers=headers))
    running = pair(gateway, served, upstream())
    assert_ends_in_an_error_event(running.chat(stream=True))
    assert 60 < cooldown_seconds(running, "first") < 95


@pytest.mark.row("U14")
def test_half_an_event_is_not_relayed_when_the_stream_is_cut(gateway, upstream):
    running = gateway(deployment(upstream(stream(ROLE, ONE, TWO[:20], end="cut"))))
    answer = running.chat(stream=True)
    assert answer.body.startswith(ROLE + ONE) and TWO[:20] not in answer.body[len(ROLE + ONE) :]
    assert_ends_in_an_error_event(answer)


@pytest.mark.parametrize("event", [row[0] for row in FIRST_EVENTS.values()], ids=FIRST_EVENTS)
@pytest.mark.row("U17")
def test_an_error_event_after_content_ends_the_stream_in_the_openai_shape(gateway, upstream, event):
    served = upstream(stream(ROLE, ONE, event, DONE))
    other = upstream()
    running = pair(gateway, served, other)
    answer = running.chat(stream=True)
    assert answer.body.startswith(ROLE + ONE)
    assert_ends_in_an_error_event(answer)
    assert other.count == 0, "content was sent: nothing is tried elsewhere"


@pytest.mark.row("U38")
def test_a_stream_that_goes_silent_ends_in_an_error_event(gateway, upstream):
    served = upstream(stream(ROLE, ONE, end="stall"))
    running = gateway(deployment(served), spillway={"timeouts": {"stream_idle": "300ms"}})
    answer = running.chat(stream=True)
    assert_ends_in_an_error_event(answer)
    served.wait_for_disconnect()


def test_a_forgotten_done_is_supplied_after_a_finish_reason(gateway, upstream):
    running = gateway(deployment(upstream(stream(ROLE, ONE, FINISH))))
    answer = running.chat(stream=True)
    assert answer.complete and answer.body == ROLE + ONE + FINISH + DONE


def test_a_forgotten_done_is_supplied_for_legacy_completions(gateway, upstream):
    piece, final = sse(completion({}, "x", None)), sse(completion({}, " ", "stop"))
    running = gateway(deployment(upstream(stream(piece, final))))
    answer = running.post("/v1/completions", {"model": "m", "prompt": "x", "stream": True})
    assert answer.complete and answer.body == piece + final + DONE


def test_the_answer_ends_with_done_even_if_the_upstream_holds_on(gateway, upstream):
    served = upstream(stream(ROLE, ONE, FINISH, DONE, end="stall"))
    running = gateway(deployment(served))
    answer = running.chat(stream=True)
    assert answer.complete and answer.body.endswith(DONE)
    served.wait_for_disconnect()


@pytest.mark.parametrize(
    "bad",
    [
        b"data: {oops}\n\n",
        b"data: \n\n",
        b'data: {"x":"\xff"}\n\n',
        b"data: {\n\n",
        b'data: "a" "b"\n\n',
    ],
    ids=["not-json", "empty", "invalid-utf8", "cut", "two-values"],
)
@pytest.mark.row("U51")
def test_an_event_that_is_not_json_is_dropped_and_marked(gateway, upstream, bad):
    running = gateway(deployment(upstream(stream(ROLE, ONE, bad, TWO, FINISH, DONE))))
    answer = running.chat(stream=True)
    assert answer.complete
    assert without_comments(answer.body) == ROLE + ONE + TWO + FINISH + DONE
    assert answer.body != without_comments(answer.body), "a comment marks the place"


def test_three_streams_that_fail_midway_open_the_breaker(gateway, upstream):
    failing, healthy = upstream(default=stream(ROLE, ONE, end="cut")), upstream()
    running = pair(gateway, failing, healthy)
    for _ in range(3):
        assert not running.chat(stream=True).complete
    assert running.chat(stream=True).header("x-spillway-deployment") == "second"
    assert failing.count == 3


# --- the responses endpoint -----------------------------------------------------------------------
def ask_responses(running, **fields):
    return running.post("/v1/responses", {"model": "m", "input": "hi", "stream": True, **fields})


def test_a_responses_stream_ends_with_its_terminal_event(gateway, upstream):
    running = gateway(deployment(upstream()))
    answer = ask_responses(running)
    assert answer.complete and answer.body == b"".join(
        response_events({"model": "upstream-model", "input": "hi"})
    )
    assert b"[DONE]" not in answer.body


@pytest.mark.parametrize("kind", ["response.incomplete", "response.completed"])
def test_other_terminal_events_are_ends_as_well(gateway, upstream, kind):
    events = response_events({"input": "hi"})[:-1]
    events.append(response_event(kind, 6, response=response({"input": "hi"}, kind.split(".")[1])))
    running = gateway(deployment(upstream(stream(*events))))
    answer = ask_responses(running)
    assert answer.complete and answer.body == b"".join(events)


@pytest.mark.row("U15")
def test_a_responses_stream_that_is_cut_ends_in_an_error_event(gateway, upstream):
    events = response_events({"input": "hi"})[:5]
    running = gateway(deployment(upstream(stream(*events, end="cut"))))
    answer = ask_responses(running)
    assert answer.body.startswith(b"".join(events))
    assert_ends_in_an_error_event(answer, event_line=b"event: error")


@pytest.mark.row("U16")
def test_a_failed_response_before_content_is_tried_elsewhere(gateway, upstream):
    failed = response({"input": "hi"}, "failed")
    failed["error"] = {"code": "server_error", "message": "it broke"}
    created, *_ = response_events({"input": "hi"})
    first = upstream(stream(created, response_event("response.failed", 1, response=failed)))
    running = pair(gateway, first, upstream())
    answer = ask_responses(running)
    assert (answer.status, answer.header("x-spillway-deployment")) == (200, "second")
    assert answer.complete and b"it broke" not in answer.body
