"""A stream that breaks after its first words is finished by somebody else, exactly, or ended by the
truth: no character twice, none missing."""

from __future__ import annotations

import pytest

from behaviours import error, stream
from canned import DONE, sse
from catalogue import text_of
from loop import Gate
from settings import deployment
from state import deployment_state
from streams import assert_ends_in_an_error_event, open_stream, without_comments

TEXT = "It was a bright cold day in April, and the clocks were striking thirteen: “déjà vu” 🦊."


def chunk_event(stream_id, delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse(
        {
            "id": stream_id,
            "object": "chat.completion.chunk",
            "created": 1,
            "model": f"model-of-{stream_id}",
            "choices": [choice],
            **more,
        }
    )


def telling(stream_id, text, size=7):
    """The events of a whole answer, `size` characters at a time."""
    words = [text[at : at + size] for at in range(0, len(text), size)]
    return [
        chunk_event(stream_id, {"role": "assistant", "content": ""}),
        *(chunk_event(stream_id, {"content": word}) for word in words),
        chunk_event(stream_id, {}, "stop"),
        DONE,
    ]


def cut_after(events, count):
    return stream(*events[:count], end="cut")


def pair(gateway, first, second, **options):
    spillway = options.pop("spillway", {})
    info = {"assistant_prefill": True} if options.pop("prefill", False) else None
    limits = options.pop("limits", {})
    return gateway(
        deployment(first, id="first", order=1, **limits),
        deployment(second, id="second", order=2, info=info, **limits),
        spillway=spillway,
        **options,
    )


@pytest.mark.parametrize("size", [1, 7, 50])
@pytest.mark.parametrize("end", ["cut", "reset", "clean"])
@pytest.mark.row("U14")
def test_the_other_deployment_finishes_the_text(gateway, upstream, end, size):
    events = telling("a", TEXT)
    first = upstream(stream(*events[: len(events) * 2 // 3], end=end))
    second = upstream(stream(*telling("b", TEXT, size)))
    answer = pair(gateway, first, second).chat(stream=True)
    assert answer.status == 200 and answer.complete
    assert text_of(answer.body) == (TEXT, {"a"})
    assert answer.body.count(DONE) == 1 and answer.body.endswith(DONE)
    assert answer.body.count(b'"role"') == 1 and answer.body.count(b'"stop"') == 1
    assert second.last.json() == first.last.json(), "the same question"


def test_a_stream_that_goes_silent_is_finished_too(gateway, upstream):
    first = upstream(stream(*telling("a", TEXT)[:5], end="stall"))
    second = upstream(stream(*telling("b", TEXT)))
    running = pair(gateway, first, second, spillway={"timeouts": {"stream_idle": "300ms"}})
    answer = running.chat(stream=True)
    assert answer.complete and text_of(answer.body) == (TEXT, {"a"})
    first.wait_for_disconnect()


def test_a_stream_that_reports_an_error_is_finished_too(gateway, upstream):
    trouble = sse({"error": {"message": "Overloaded", "type": "overloaded_error"}})
    first = upstream(stream(*telling("a", TEXT)[:5], trouble))
    second = upstream(stream(*telling("b", TEXT)))
    answer = pair(gateway, first, second).chat(stream=True)
    assert answer.complete and text_of(answer.body) == (TEXT, {"a"})
    assert b"Overloaded" not in answer.body


def test_the_openai_sdk_sees_one_answer(gateway, upstream):
    openai = pytest.importorskip("openai")
    first = upstream(cut_after(telling("a", TEXT), 6))
    second = upstream(stream(*telling("b", TEXT, 3)))
    running = pair(gateway, first, second)
    client = openai.OpenAI(base_url=running.url + "/v1", api_key="none", max_retries=0)
    messages = [{"role": "user", "content": "x"}]
    chunks = list(client.chat.completions.create(model="m", messages=messages, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert {chunk.id for chunk in chunks} == {"a"}
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_sdks_stream_helper_sees_one_role(gateway, upstream):
    openai = pytest.importorskip("openai")
    first = upstream(cut_after(telling("a", TEXT), 6))
    words = [TEXT[at : at + 4] for at in range(0, len(TEXT), 4)]
    spoken = [chunk_event("b", {"role": "assistant", "content": word}) for word in words]
    last = chunk_event("b", {"role": "assistant"}, "stop")
    second = upstream(stream(*spoken, last, DONE))
    running = pair(gateway, first, second)
    client = openai.OpenAI(base_url=running.url + "/v1", api_key="none", max_retries=0)
    messages = [{"role": "user", "content": "x"}]
    with client.chat.completions.stream(model="m", messages=messages) as events:
        message = events.get_final_completion().choices[0].message
    assert (message.role, message.content) == ("assistant", TEXT)


def test_an_answer_that_says_something_else_is_not_mixed_in(gateway, upstream):
    first = upstream(cut_after(telling("a", TEXT), 6))
    second = upstream(stream(*telling("b", TEXT.replace("bright", "BRIGHT")), end="stall"))
    answer = pair(gateway, first, second).chat(stream=True)
    sent = b"".join(telling("a", TEXT)[:6])
    assert without_comments(answer.body).startswith(sent)
    assert b"BRIGHT" not in answer.body
    assert_ends_in_an_error_event(answer)
    second.wait_for_disconnect()


@pytest.mark.parametrize(
    "oddity",
    [
        {"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": "f"}}]},
        {"reasoning_content": "because"},
    ],
    ids=["a tool call", "reasoning"],
)
def test_what_is_more_than_text_is_not_continued(gateway, upstream, oddity):
    events = telling("a", TEXT)[:3] + [chunk_event("a", oddity)]
    first, second = upstream(stream(*events, end="cut")), upstream(stream(*telling("b", TEXT)))
    answer = pair(gateway, first, second).chat(stream=True)
    assert_ends_in_an_error_event(answer)
    assert second.count == 0


def test_several_choices_are_not_continued(gateway, upstream):
    first = upstream(cut_after(telling("a", TEXT), 4))
    second = upstream(stream(*telling("b", TEXT)))
    answer = pair(gateway, first, second).chat(stream=True, n=2)
    assert_ends_in_an_error_event(answer)
    assert second.count == 0


def test_recovery_can_be_switched_off(gateway, upstream):
    first = upstream(cut_after(telling("a", TEXT), 4))
    second = upstream(stream(*telling("b", TEXT)))
    running = pair(gateway, first, second, spillway={"stream_recovery": "off"})
    assert_ends_in_an_error_event(running.chat(stream=True))
    assert second.count == 0


def test_a_provider_that_continues_a_prefix_is_given_what_was_sent(gateway, upstream):
    events = telling("a", TEXT)
    first = upstream(cut_after(events, 6))
    sent = text_of(b"".join(events[:6]))[0]
    second = upstream(stream(*telling("b", TEXT[len(sent) :])))
    answer = pair(gateway, first, second, prefill=True).chat(stream=True)
    assert answer.complete and text_of(answer.body) == (TEXT, {"a"})
    asked = second.last.json()
    assert asked["messages"] == [
        *first.last.json()["messages"],
        {"role": "assistant", "content": sent},
    ]


def test_a_rejected_prefix_means_asking_afresh(gateway, upstream):
    first = upstream(cut_after(telling("a", TEXT), 6))
    second = upstream(error(400, "last message must be from the user"), stream(*telling("b", TEXT)))
    answer = pair(gateway, first, second, prefill=True).chat(stream=True)
    assert answer.complete and text_of(answer.body) == (TEXT, {"a"})
    assert second.last.json() == first.last.json()
    assert second.count == 2


def test_the_rejection_of_a_prefix_is_never_the_answer(gateway, upstream):
    first = upstream(cut_after(telling("a", TEXT), 6))
    second = upstream(default=error(400, "last message must be from the user"))
    answer = pair(gateway, first, second, prefill=True).chat(stream=True)
    told = assert_ends_in_an_error_event(answer)
    assert "last message" not in told["message"]


@pytest.mark.parametrize("size", [1, 7, 50])
def test_a_prefix_that_is_not_heeded_means_asking_afresh(gateway, upstream, size):
    first = upstream(cut_after(telling("a", TEXT), 6))
    second = upstream(default=stream(*telling("b", TEXT, size)))
    running = pair(gateway, first, second, prefill=True)
    answer = running.chat(stream=True)
    assert answer.complete and text_of(answer.body) == (TEXT, {"a"})
    assert [len(asked.json()["messages"]) for asked in second.requests] == [2, 1]
    assert deployment_state(running, "second")["window"]["failures"] == 0


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_a_limit_of_tokens_bounds_the_whole_text(gateway, upstream, limit):
    first = upstream(cut_after(telling("a", TEXT), 6))
    second = upstream(stream(*telling("b", TEXT)))
    answer = pair(gateway, first, second, prefill=True).chat(stream=True, **{limit: 40})
    assert answer.complete and text_of(answer.body) == (TEXT, {"a"})
    assert second.last.json() == first.last.json(), "asked for the whole text"


def test_a_prefix_of_the_clients_own_is_not_joined_by_another(gateway, upstream):
    first = upstream(cut_after(telling("a", TEXT), 6))
    second = upstream(stream(*telling("b", TEXT)))
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "Well: "}]
    answer = pair(gateway, first, second, prefill=True).chat(stream=True, messages=messages)
    assert answer.complete and text_of(answer.body) == (TEXT, {"a"})
    assert second.last.json()["messages"] == messages


def test_a_fallback_of_the_request_goes_on_where_the_group_has_nobody_else(gateway, upstream):
    first = upstream(cut_after(telling("a", TEXT), 6))
    second = upstream(stream(*telling("b", TEXT)))
    running = gateway(deployment(first), deployment(second, "other"))
    answer = running.chat(stream=True, fallbacks=["other"])
    assert answer.complete and text_of(answer.body) == (TEXT, {"a"})


def test_a_fallback_goes_on_where_the_group_has_nobody_else(gateway, upstream):
    first = upstream(cut_after(telling("a", TEXT), 6))
    second = upstream(stream(*telling("b", TEXT)))
    running = gateway(
        deployment(first), deployment(second, "other"), router={"fallbacks": [{"m": ["other"]}]}
    )
    answer = running.chat(stream=True)
    assert answer.complete and text_of(answer.body) == (TEXT, {"a"})


def test_a_stream_may_break_more_than_once(gateway, upstream):
    legs = [upstream(cut_after(telling(name, TEXT), count)) for name, count in [("a", 4), ("b", 7)]]
    last = upstream(stream(*telling("c", TEXT)))
    running = gateway(*(deployment(leg, order=at) for at, leg in enumerate([*legs, last])))
    answer = running.chat(stream=True)
    assert answer.complete and text_of(answer.body) == (TEXT, {"a"})


def test_a_recovered_stream_is_counted_with_the_tokens_of_both(gateway, upstream):
    usage = {"usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}
    cut = [*telling("a", TEXT)[:5], chunk_event("a", {"content": TEXT[28:35]}, **usage)]
    whole = telling("b", TEXT)
    whole[-2] = chunk_event("b", {}, "stop", **usage)
    first, second = upstream(stream(*cut, end="cut")), upstream(stream(*whole))
    running = pair(gateway, first, second)
    assert running.chat(stream=True, headers={"x-request-id": "both"}).complete
    line = running.wait_for_log(lambda entry: entry["request_id"] == "both")
    assert (line["status"], line["class"], line["deployment"]) == (200, "success", "second")
    assert (line["prompt_tokens"], line["completion_tokens"]) == (10, 4)
    assert "spillway_recovered_streams_total 1" in running.get("/metrics").body.decode()


def test_what_was_said_in_vain_is_counted_too(gateway, upstream):
    usage = {"usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}
    first = upstream(cut_after(telling("a", TEXT), 6))
    other = [
        chunk_event("b", {"content": TEXT[:4]}, **usage),
        chunk_event("b", {"content": "something else"}),
    ]
    second = upstream(stream(*other, end="stall"))
    running = pair(
        gateway,
        first,
        second,
        router={"optional_pre_call_checks": ["enforce_model_rate_limits"]},
        limits={"tpm": 100000},
    )
    answer = running.chat(stream=True, headers={"x-request-id": "in-vain"})
    assert_ends_in_an_error_event(answer)
    line = running.wait_for_log(lambda entry: entry["request_id"] == "in-vain")
    assert (line["prompt_tokens"], line["completion_tokens"]) == (5, 2)
    assert deployment_state(running, "second")["load"]["tokens"] == 7


def test_a_leg_that_stalls_while_it_repeats_is_given_the_idle_gap_only(gateway, upstream):
    first = upstream(cut_after(telling("a", TEXT), 6))
    second = upstream(stream(*telling("b", TEXT)[:3], end="stall"))
    third = upstream(stream(*telling("c", TEXT)))
    legs = (deployment(leg, id=str(at), order=at) for at, leg in enumerate([first, second, third]))
    running = gateway(*legs, spillway={"timeouts": {"stream_idle": "300ms"}})
    answer = running.chat(stream=True)
    assert answer.complete and text_of(answer.body) == (TEXT, {"a"})
    second.wait_for_disconnect()


def test_repeating_what_was_sent_may_take_longer_than_a_first_token(gateway, upstream):
    events, go_on = telling("b", TEXT), Gate()
    first = upstream(cut_after(telling("a", TEXT), 6))
    second = upstream(stream(*events[:3], go_on, *events[3:]))
    running = gateway(
        deployment(first, id="first", order=1),
        deployment(second, id="second", order=2, stream_timeout=0.3),
        spillway={"stream_keepalive": "100ms"},
    )
    client = open_stream(running, running.connect())
    answer = client.read_head()
    while answer.body.count(b": keep-alive") < 5:  # half a second without a word
        answer.body += client.read_chunk()
    go_on.open()
    client.read_body(answer, "POST")
    assert text_of(answer.body) == (TEXT, {"a"})
    assert deployment_state(running, "second")["window"]["failures"] == 0


def test_comments_keep_the_client_while_the_text_is_repeated(gateway, upstream):
    first = upstream(cut_after(telling("a", TEXT), 6))
    events, go_on = telling("b", TEXT), Gate()
    second = upstream(stream(*events[:3], go_on, *events[3:]))
    running = pair(gateway, first, second, spillway={"stream_keepalive": "50ms"})
    client = open_stream(running, running.connect())
    answer = client.read_head()
    client.read_until(answer, b": keep-alive")
    go_on.open()
    client.read_body(answer, "POST")
    assert text_of(answer.body) == (TEXT, {"a"})


@pytest.mark.parametrize("noise", [b": thinking\n\n" * 6000, b"data: {bad\n\n" * 7000])
def test_much_noise_while_the_other_repeats_changes_nothing(gateway, upstream, noise):
    events = telling("b", TEXT)
    first = upstream(cut_after(telling("a", TEXT), 6))
    second = upstream(stream(*events[:3], noise, *events[3:]))
    answer = pair(gateway, first, second).chat(stream=True)
    assert answer.complete and text_of(answer.body) == (TEXT, {"a"})
