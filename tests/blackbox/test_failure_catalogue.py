"""Row by row: what a provider does, what its client gets, and who is asked when."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from behaviours import answer, error, reset, stall, status, stream
from canned import DONE, chat_chunk, chat_completion, sse
from catalogue import Catalogue, Scene, text_of
from settings import deployment

TEXT = "It was a bright cold day in April, and the clocks were striking thirteen."
DOWN_SECONDS = float(os.environ.get("SPILLWAY_DOWN_SECONDS", "3"))
PROBING_SECONDS = 15 * 1.05  # the longest a breaker stays open, with its jitter
SLACK = 2.0


@pytest.fixture(scope="module")
def catalogue():
    noted = Catalogue()
    yield noted
    noted.write()


@pytest.fixture
def alone(gateway, upstream):
    """A group of one."""

    def start(*script, default=None, stream=False, **options):
        provider = upstream(*script, **({"default": default} if default else {}))
        running = gateway(deployment(provider, id="primary"), **options)
        scene = Scene({"primary": provider})
        return running.chat(stream=stream), scene

    return start


@pytest.fixture
def beside(gateway, upstream):
    """Two deployments; the first is asked first."""

    def start(*script, other=None, default=None, stream=False, info=None, **options):
        first = upstream(*script, **({"default": default} if default else {}))
        second = upstream(*(other or [answer(text=TEXT)]))
        running = gateway(
            deployment(first, id="primary", order=1),
            deployment(second, id="other", order=2, info=info),
            **options,
        )
        scene = Scene({"primary": first, "other": second})
        return running.chat(stream=stream), scene

    return start


def events(stream_id="a", text=TEXT):
    words = text.split(" ")
    pieces = [word if at == 0 else f" {word}" for at, word in enumerate(words)]
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces)]
    chunks = [dict(chat_chunk(delta), id=stream_id) for delta in deltas]
    return [*map(sse, chunks), sse(dict(chat_chunk({}, "stop"), id=stream_id)), DONE]


def assert_whole(answer):
    assert answer.status == 200 and answer.complete and answer.body.endswith(DONE)
    text, ids = text_of(answer.body)
    assert text == TEXT and len(ids) == 1


def test_429_once_with_a_hint_is_waited_for(catalogue, alone):
    got, scene = alone(error(429, headers={"retry-after": "2"}))
    assert got.status == 200
    (first, _), (second, _) = scene.calls()
    assert second - first >= 2.0
    catalogue.note("429 once, `retry-after: 2`", "nobody", got, scene)


def test_429_once_with_a_hint_moves_on(catalogue, beside):
    got, scene = beside(error(429, headers={"retry-after": "2"}))
    assert got.status == 200 and scene.asked() == ["primary", "other"]
    catalogue.note("429 once, `retry-after: 2`", "another deployment", got, scene)


@pytest.mark.parametrize("retries", [2, 10])
@pytest.mark.row("U56")
def test_429_for_ever_is_not_hammered(catalogue, alone, retries):
    got, scene = alone(default=error(429), router={"num_retries": retries})
    assert got.status == 429 and got.error["type"] == "rate_limit_error"
    calls = [at for at, _ in scene.calls()]
    assert len(calls) == min(retries + 1, 6)
    assert all(sum(1 for at in calls if begin <= at < begin + 3) <= 4 for begin in calls)
    catalogue.note(f"429 for ever, without a hint, `num_retries` {retries}", "nobody", got, scene)


@pytest.mark.row("U21")
def test_500_once_is_asked_again(catalogue, alone):
    got, scene = alone(error(500))
    assert got.status == 200 and scene.asked() == ["primary", "primary"]
    catalogue.note("500 once", "nobody", got, scene)


@pytest.mark.row("U22")
def test_503_for_ever_is_told(catalogue, alone):
    got, scene = alone(default=error(503))
    assert got.status == 503 and got.header("x-should-retry") == "false"
    assert scene.asked() == ["primary", "primary"]
    catalogue.note("503 for ever", "nobody", got, scene)


def test_503_for_ever_is_somebody_elses_turn(catalogue, beside):
    got, scene = beside(default=error(503))
    assert got.status == 200 and scene.asked() == ["primary", "other"]
    catalogue.note("503 for ever", "another deployment", got, scene)


@pytest.mark.row("U6")
def test_a_reset_before_the_headers_is_asked_again(catalogue, alone):
    got, scene = alone(reset())
    assert got.status == 200 and scene.asked() == ["primary", "primary"]
    catalogue.note("reset before the headers", "nobody", got, scene)


@pytest.mark.parametrize("streamed", [False, True])
def test_no_answer_at_all_is_hedged(catalogue, beside, streamed):
    hedge = {"after": "300ms", "share": "100%"}
    other = [stream(*events())] if streamed else None
    got, scene = beside(default=stall(), other=other, stream=streamed, spillway={"hedge": hedge})
    assert got.status == 200 and scene.asked() == ["primary", "other"]
    (first, _), (second, _) = scene.calls()
    assert second - first > 0.25, "the first was seen a little after it was asked"
    scene.upstreams["primary"].wait_for_disconnect()
    kind = "stream" if streamed else "answer"
    catalogue.note(f"no {kind} at all, `hedge` after 0.3 s", "another deployment", got, scene)


@pytest.mark.row("U37")
def test_no_answer_at_all_is_left_at_its_deadline(catalogue, beside):
    got, scene = beside(default=stall(), router={"timeout": 0.5})
    assert got.status == 200 and scene.asked() == ["primary", "other"]
    scene.upstreams["primary"].wait_for_disconnect()
    catalogue.note("no answer at all (`timeout` 0.5 s)", "another deployment", got, scene)


@pytest.mark.row("U37")
def test_no_answer_at_all_is_told_where_nobody_else_is(catalogue, alone):
    got, scene = alone(default=stall(), router={"timeout": 0.5})
    assert got.status == 504 and scene.asked() == ["primary"], "silence is not asked again"
    catalogue.note("no answer at all (`timeout` 0.5 s)", "nobody", got, scene)


@pytest.mark.row("U37")
def test_headers_without_a_first_token_are_left(catalogue, beside):
    silent = stream(events()[0], end="stall")
    got, scene = beside(
        default=silent, other=[stream(*events())], stream=True, router={"stream_timeout": 0.5}
    )
    assert_whole(got)
    assert scene.asked() == ["primary", "other"]
    catalogue.note(
        "headers at once, no first token (`stream_timeout` 0.5 s)", "another deployment", got, scene
    )


def test_a_stream_cut_after_two_thirds_is_finished(catalogue, beside):
    whole = events()
    cut = stream(*whole[: len(whole) * 2 // 3], end="cut")
    got, scene = beside(cut, other=[stream(*events("b"))], stream=True)
    assert_whole(got)
    catalogue.note("stream cut after two thirds", "another deployment", got, scene)


@pytest.mark.row("U38")
def test_a_stream_that_falls_silent_is_finished(catalogue, beside):
    silent = stream(*events()[:6], end="stall")
    got, scene = beside(
        silent,
        other=[stream(*events("b"))],
        stream=True,
        spillway={"timeouts": {"stream_idle": "500ms"}},
    )
    assert_whole(got)
    catalogue.note(
        "stream falls silent midway (`stream_idle` 0.5 s)", "another deployment", got, scene
    )


@pytest.mark.row("U14")
def test_a_cut_stream_of_one_ends_in_the_truth(catalogue, alone):
    got, scene = alone(stream(*events()[:6], end="cut"), stream=True)
    assert not got.complete and b"[DONE]" not in got.body and b'"error"' in got.body
    catalogue.note("stream cut midway", "nobody", got, scene)


@pytest.mark.row("U51")
def test_a_malformed_event_is_dropped(catalogue, alone):
    whole = events()
    got, scene = alone(stream(*whole[:3], b"data: {not json\n\n", *whole[3:]), stream=True)
    assert_whole(got)
    assert b"not json" not in got.body
    catalogue.note("one malformed event", "nobody", got, scene)


def test_a_missing_done_is_supplied(catalogue, alone):
    got, scene = alone(stream(*events()[:-1]), stream=True)
    assert_whole(got)
    catalogue.note("no `[DONE]`", "nobody", got, scene)


def with_fallbacks(gateway, upstream, first, lists):
    primary, named = upstream(default=first), {}
    entries = [deployment(primary, id="primary")]
    for name in ("larger", "lenient", "general"):
        named[name] = upstream(answer(text=f"I am {name}."))
        entries.append(deployment(named[name], name, id=name))
    running = gateway(*entries, router=lists)
    scene = Scene({"primary": primary, **named})
    return running.chat(), scene


LISTS = {
    "context_window_fallbacks": [{"m": ["larger"]}],
    "content_policy_fallbacks": [{"m": ["lenient"]}],
    "fallbacks": [{"m": ["general"]}],
}


def test_a_prompt_that_is_too_long_goes_to_a_larger_window(catalogue, gateway, upstream):
    too_long = error(400, "too long", code="context_length_exceeded")
    got, scene = with_fallbacks(gateway, upstream, too_long, LISTS)
    assert got.status == 200 and scene.asked() == ["primary", "larger"]
    catalogue.note("context too long", "all three kinds of fallback", got, scene)


def test_filtered_content_goes_only_where_the_operator_said(catalogue, gateway, upstream):
    filtered = error(400, "filtered", code="content_filter")
    got, scene = with_fallbacks(gateway, upstream, filtered, LISTS)
    assert got.status == 200 and scene.asked() == ["primary", "lenient"]
    catalogue.note("content filter", "all three kinds of fallback", got, scene)


def test_filtered_content_goes_nowhere_else(catalogue, gateway, upstream):
    filtered = error(400, "filtered", code="content_filter")
    general = {"fallbacks": LISTS["fallbacks"]}
    got, scene = with_fallbacks(gateway, upstream, filtered, general)
    assert got.status == 400 and scene.asked() == ["primary"]
    assert got.error["code"] == "content_policy_violation"
    catalogue.note("content filter", "general fallbacks only", got, scene)


def test_a_rejected_prefix_is_not_the_answer(catalogue, beside):
    rejection = error(400, "the last message must be the user's")
    got, scene = beside(
        stream(*events()[:6], end="cut"),
        other=[rejection, stream(*events("b"))],
        stream=True,
        info={"assistant_prefill": True},
    )
    assert_whole(got)
    assert scene.asked() == ["primary", "other", "other"]
    catalogue.note("stream cut; the other rejects a prefix", "another deployment", got, scene)


def test_a_fallback_is_accounted_for_as_itself(catalogue, gateway, upstream):
    primary = upstream(default=error(503))
    body = chat_completion({"model": "bigger", "messages": []}, "I am the fallback.")
    body["usage"] = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    backup = upstream(status(200, body))
    running = gateway(
        deployment(primary, id="primary"),
        deployment(backup, "backup", id="backup", model="openai/bigger"),
        router={"fallbacks": [{"m": ["backup"]}]},
    )
    scene = Scene({"primary": primary, "backup": backup})
    got = running.chat(headers={"x-request-id": "accounted"})
    assert got.json()["model"] == "bigger" and got.json()["usage"]["total_tokens"] == 12
    assert got.header("x-spillway-deployment") == "backup"
    assert got.header("x-spillway-fallbacks") == "1"
    line = running.wait_for_log(lambda entry: entry["request_id"] == "accounted")
    assert (line["deployment"], line["group"]) == ("backup", "backup")
    assert (line["prompt_tokens"], line["completion_tokens"]) == (7, 5)
    catalogue.note("503 for ever", "a fallback group", got, scene)


def taking(seconds, behaviour):
    """A provider's latency, which also paces the traffic."""

    async def slow(exchange):
        await asyncio.sleep(seconds)
        await behaviour(exchange)

    return slow


@pytest.mark.row("U57")
def test_a_primary_that_comes_back_is_used_again_within_one_interval(catalogue, gateway, upstream):
    primary = upstream(default=taking(0.02, answer()))
    fallback = upstream(default=taking(0.02, answer()))
    running = gateway(
        deployment(primary, id="primary"),
        deployment(fallback, "backup", id="backup"),
        router={"fallbacks": [{"m": ["backup"]}], "num_retries": 0},
    )
    begun = time.monotonic()
    client, served_by = [], []

    def ask():
        got = running.chat()
        client.append((time.monotonic() - begun, got.status == 200))
        served_by.append(got.header("x-spillway-deployment"))

    def ask_until(condition, patience):
        end = time.monotonic() + patience
        while not condition() and time.monotonic() < end:
            ask()

    ask_until(lambda: len(served_by) >= 10, 10)
    assert set(served_by) == {"primary"}
    primary.always(taking(0.02, error(503)))
    down_from = time.monotonic() - begun
    ask_until(lambda: False, DOWN_SECONDS)
    primary.always(taking(0.02, answer()))
    down_until = time.monotonic() - begun
    healthy_again = len(served_by)
    ask_until(lambda: "primary" in served_by[healthy_again:], PROBING_SECONDS + SLACK)
    back = time.monotonic() - begun
    assert "primary" in served_by[healthy_again:], "it never came back"
    assert back - down_until <= PROBING_SECONDS + SLACK
    recovered = len(served_by)
    ask_until(lambda: len(served_by) >= recovered + 10, 10)
    assert set(served_by[-10:]) == {"primary"}
    assert all(good for _, good in client), "every request was answered"

    calls = [request.at - begun for request in primary.requests]
    while_down = [at for at in calls if down_from <= at < down_until]
    probes = while_down[3:]  # the first three open the breaker
    assert all(later - earlier >= 4.9 for earlier, later in zip(while_down[2:], while_down[3:]))
    catalogue.flapping = {
        "client": client,
        "primary": [(at, not down_from <= at < down_until) for at in calls],
        "fallback": [(request.at - begun, True) for request in fallback.requests],
        "down_from": down_from,
        "down_until": down_until,
        "down": DOWN_SECONDS,
        "requests": len(client),
        "failed": sum(not good for _, good in client),
        "probes": len(probes),
        "back": back - down_until,
    }
