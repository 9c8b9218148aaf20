"""The OpenAI Python SDK against the gateway, as users run it: only base_url differs."""

from __future__ import annotations

import asyncio
import time

import pytest

from behaviours import after, plausible, raw, stall, stream
from canned import AUDIO, DONE, chat_text_events
from concurrency import in_background
from loop import Gate
from settings import deployment

openai = pytest.importorskip("openai")

MESSAGES = [{"role": "user", "content": "two words"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
LEAVES_WITHIN = 1.0  # seconds from the client's leaving to the end of the upstream call


@pytest.fixture(scope="module")
def healthy(module_gateway, module_upstream):
    """One group `m`; the upstream is kept as an attribute."""
    served = module_upstream()
    running = module_gateway(deployment(served, id="only"))
    running.upstream = served
    return running


@pytest.fixture
def sdk(healthy):
    with openai.OpenAI(base_url=healthy.base_url, api_key="sk-client", max_retries=0) as client:
        yield client


def client_of(running, **options):
    return openai.OpenAI(base_url=running.base_url, api_key="sk-client", max_retries=0, **options)


# --- chat -----------------------------------------------------------------------------------------


def test_a_plain_chat_completion(sdk, healthy):
    answer = sdk.chat.completions.create(model="m", messages=MESSAGES, seed=12345678901234567890)
    assert answer.choices[0].message.content == "echo: two words"
    assert answer.usage.total_tokens == 12
    sent = healthy.upstream.last
    assert sent.target == "/v1/chat/completions"
    assert sent.json() == {
        "model": "upstream-model",
        "messages": MESSAGES,
        "seed": 12345678901234567890,
    }
    assert sent.header("authorization") == "Bearer sk-upstream"


def test_a_streamed_chat_completion(sdk):
    chunks = list(sdk.chat.completions.create(model="m", messages=MESSAGES, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "echo: two words"
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_stream_options_bring_the_usage_at_the_end(sdk):
    options = {"include_usage": True}
    chunks = list(
        sdk.chat.completions.create(
            model="m", messages=MESSAGES, stream=True, stream_options=options
        )
    )
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 12


def test_tools_plain(sdk):
    answer = sdk.chat.completions.create(
        model="m", messages=MESSAGES, tools=[WEATHER], tool_choice="auto"
    )
    call = answer.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Zürich"}')
    assert answer.choices[0].finish_reason == "tool_calls"


def test_tools_streamed(sdk):
    chunks = list(
        sdk.chat.completions.create(model="m", messages=MESSAGES, tools=[WEATHER], stream=True)
    )
    calls = [call for c in chunks for call in c.choices[0].delta.tool_calls or []]
    assert calls[0].function.name == "weather"
    assert "".join(call.function.arguments for call in calls) == '{"city": "Zürich"}'


def test_the_sdks_stream_helper_collects_a_completion(sdk):
    with sdk.chat.completions.stream(model="m", messages=MESSAGES) as events:
        completion = events.get_final_completion()
    assert completion.choices[0].message.content == "echo: two words"


def test_with_raw_response_shows_the_gateways_headers(sdk):
    raw_answer = sdk.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
    assert raw_answer.headers["x-spillway-deployment"] == "only"
    assert raw_answer.headers["x-spillway-model-group"] == "m"
    assert raw_answer.request_id == raw_answer.headers["x-request-id"]
    assert raw_answer.parse().choices[0].message.content == "echo: two words"


def test_with_streaming_response_shows_them_before_the_body(sdk):
    create = sdk.chat.completions.with_streaming_response.create
    with create(model="m", messages=MESSAGES, stream=True) as response:
        assert response.headers["x-spillway-attempts"] == "1"
        assert response.headers["content-type"].startswith("text/event-stream")
        assert b"".join(response.iter_bytes()).endswith(DONE)


def test_a_hundred_concurrent_async_calls_each_get_their_own_answer(healthy):
    async def one(client, number, streaming):
        messages = [{"role": "user", "content": f"number {number}"}]
        answer = await client.chat.completions.create(
            model="m", messages=messages, stream=streaming
        )
        if not streaming:
            return answer.choices[0].message.content
        return "".join([c.choices[0].delta.content or "" async for c in answer])

    async def all_of_them():
        async with openai.AsyncOpenAI(
            base_url=healthy.base_url, api_key="k", max_retries=0
        ) as client:
            return await asyncio.gather(*[one(client, n, n % 2 == 0) for n in range(100)])

    assert asyncio.run(all_of_them()) == [f"echo: number {n}" for n in range(100)]


# --- the other endpoints --------------------------------------------------------------------------


def test_embeddings(sdk, healthy):
    answer = sdk.embeddings.create(model="m", input=["a", "b", "c"], encoding_format="float")
    assert [item.embedding for item in answer.data] == [[0.25, -0.5, float(i)] for i in range(3)]
    assert healthy.upstream.last.target == "/v1/embeddings"


def test_responses_plain_and_streamed(sdk, healthy):
    assert sdk.responses.create(model="m", input="hi there").output_text == "echo: hi there"
    events = list(sdk.responses.create(model="m", input="hi there", stream=True))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == "echo: hi there"
    assert events[-1].type == "response.completed"
    assert healthy.upstream.last.target == "/v1/responses"


def test_legacy_completions_plain_and_streamed(sdk):
    assert sdk.completions.create(model="m", prompt="once").choices[0].text == "echo: once"
    chunks = list(sdk.completions.create(model="m", prompt="once", stream=True))
    assert "".join(c.choices[0].text for c in chunks).strip() == "echo: once"


def test_moderations(sdk):
    assert sdk.moderations.create(model="m", input="kind words").results[0].flagged is False


def test_images(sdk):
    assert sdk.images.generate(model="m", prompt="a spillway").data[0].b64_json == "aW1hZ2U="


def test_speech_is_binary_and_arrives_whole(sdk):
    speech = sdk.audio.speech.create(model="m", input="hello", voice="alloy")
    assert speech.content == AUDIO
    assert speech.response.headers["content-type"] == "audio/mpeg"


def test_models_are_listed_and_looked_up(sdk):
    assert [model.id for model in sdk.models.list()] == ["m"]
    assert sdk.models.retrieve("m").id == "m"
    with pytest.raises(openai.NotFoundError) as caught:
        sdk.models.retrieve("unheard-of")
    assert caught.value.code == "model_not_found"


# --- time, and clients that leave -----------------------------------------------------------------


def assert_left_soon(served, since):
    served.wait_for_disconnect()
    closed_at = max(record.closed_at for record in served.connections if record.requests)
    assert closed_at - since < LEAVES_WITHIN


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
def test_the_sdks_own_timeout_ends_the_upstream_call(gateway, upstream, streaming):
    served = upstream(default=stall())
    running = gateway(deployment(served))
    with pytest.raises(openai.APITimeoutError):
        client_of(running, timeout=0.5).chat.completions.create(
            model="m", messages=MESSAGES, stream=streaming
        )
    assert_left_soon(served, time.monotonic())
    assert served.count == 1, "nobody is left to retry for"


@pytest.mark.row("C19")
def test_a_client_that_leaves_before_the_first_byte_ends_the_upstream_call(gateway, upstream):
    served = upstream(default=stall())
    running = gateway(deployment(served))

    async def call_and_cancel():
        async with openai.AsyncOpenAI(
            base_url=running.base_url, api_key="k", max_retries=0
        ) as client:
            call = asyncio.ensure_future(
                client.chat.completions.create(model="m", messages=MESSAGES)
            )
            await asyncio.to_thread(served.wait_for_requests, 1)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            return time.monotonic()

    assert_left_soon(served, asyncio.run(call_and_cancel()))
    assert running.wait_for_log(lambda line: line["status"] == 499)


@pytest.mark.row("C20")
def test_a_client_that_leaves_mid_stream_ends_the_upstream_call(gateway, upstream):
    served = upstream(default=stream(*chat_text_events("one two three")[:3], end="stall"))
    running = gateway(deployment(served))
    with client_of(running) as client:
        chunks = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        assert next(iter(chunks)).choices[0].delta.role == "assistant"
        chunks.response.close()
        left = time.monotonic()
    assert_left_soon(served, left)
    assert running.wait_for_log(
        lambda line: line["status"] == 499 or line["class"] == "client_closed"
    )


def test_a_client_that_left_counts_against_nobody(gateway, upstream):
    served, second = upstream(stall(), stall(), stall(), stall()), upstream()
    running = gateway(deployment(served, id="a", order=1), deployment(second, order=2))
    for _ in range(4):
        with pytest.raises(openai.APITimeoutError):
            client_of(running, timeout=0.3).chat.completions.create(model="m", messages=MESSAGES)
    served.wait_for_disconnect()
    assert running.chat().header("x-spillway-deployment") == "a"
    assert second.count == 0


def test_a_timeout_of_the_deployment_moves_on_to_the_next(gateway, upstream):
    slow, quick = upstream(default=stall()), upstream()
    running = gateway(
        deployment(slow, order=1, timeout=0.3, stream_timeout=0.3),
        deployment(quick, id="quick", order=2),
    )
    with client_of(running) as client:
        answer = client.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
        assert answer.headers["x-spillway-deployment"] == "quick"
        chunks = list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))
        assert chunks[-1].choices[0].finish_reason == "stop"
    slow.wait_for_disconnect()


def test_a_slow_answer_is_waited_for(gateway, upstream):
    gate = Gate()
    served = upstream(default=after(gate, plausible()))
    running = gateway(deployment(served))
    with client_of(running) as client:
        call = in_background(lambda: client.chat.completions.create(model="m", messages=MESSAGES))
        served.wait_for_requests(1)
        assert not call.done()
        gate.open()
        assert call.result(10).choices[0].message.content == "echo: two words"


@pytest.mark.row("U14")
def test_a_cut_stream_raises_in_the_sdk_and_never_looks_complete(gateway, upstream):
    served = upstream(default=stream(*chat_text_events("one two three")[:3], end="cut"))
    running = gateway(deployment(served))
    seen = []
    with client_of(running) as client:
        with pytest.raises(openai.APIError):
            for chunk in client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
                seen.append(chunk)
    assert len(seen) == 3


def test_the_sdk_recovers_by_itself_where_the_gateway_could_not(gateway, upstream):
    served = upstream(
        raw(
            b"HTTP/1.1 429 Slow Down\r\nretry-after-ms: 50\r\nContent-Length: 2\r\n\r\n{}",
            end="keep",
        )
    )
    running = gateway(deployment(served), router={"num_retries": 0})
    with openai.OpenAI(base_url=running.base_url, api_key="k", max_retries=1) as client:
        answer = client.chat.completions.create(model="m", messages=MESSAGES)
    assert answer.choices[0].message.content == "echo: two words"
    assert served.count == 2
