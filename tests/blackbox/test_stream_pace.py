"""Size and pace of streams: large events, slow readers, many at once."""

from __future__ import annotations

import pytest

from behaviours import status, stream
from canned import (
    DONE,
    LARGE_IMAGE,
    chat_chunk,
    chat_events,
    sse,
)
from concurrency import in_background
from settings import deployment
from streams import (
    FINISH,
    ONE,
    ROLE,
    open_stream,
)


def test_an_event_larger_than_is_judged_passes_unchanged(gateway, upstream):
    large = sse(chat_chunk({"content": "x" * 200_000}))
    running = gateway(
        deployment(upstream(stream(ROLE, large[:70_000], large[70_000:], FINISH, DONE)))
    )
    answer = running.chat(stream=True)
    assert answer.complete and answer.body == ROLE + large + FINISH + DONE


def test_a_cut_within_an_event_that_is_passed_on_is_a_cut(gateway, upstream):
    large = sse(chat_chunk({"content": "x" * 200_000}))
    running = gateway(deployment(upstream(stream(ROLE, ONE, large[:100_000], end="close"))))
    answer = running.chat(stream=True)
    # An error event would be taken for more of what it is about.
    assert not answer.complete and answer.body == ROLE + ONE + large[:100_000]


@pytest.mark.row("U41")
def test_an_endless_event_is_cut_at_its_bound(gateway, upstream):
    async def endless(exchange):
        await stream(ROLE, ONE, b"data: ", *[b"x" * 1_000_000] * 40, end="stall")(exchange)

    served = upstream(endless)
    running = gateway(deployment(served))
    answer = running.chat(stream=True)
    assert not answer.complete and b"[DONE]" not in answer.body
    assert len(answer.body) <= 33 * 1024 * 1024
    served.wait_for_disconnect()


@pytest.mark.row("C18", "U40")
def test_a_client_that_does_not_read_pauses_the_upstream(gateway, upstream):
    event = sse(chat_chunk({"content": "x" * 16_000}))
    served = upstream(stream(ROLE, *[event] * 16_000, end="stall"), send_buffer=65536)  # 256 MB
    running = gateway(deployment(served))
    with running.connect(receive_buffer=32768) as client:
        answer = open_stream(running, client).read_head()
        client.read_until(answer, b"xxx")
        before = running.resident_bytes()
        paused = wait_until_paused(served)
        assert paused < 64 * 1024 * 1024, "only the kernel's buffers fill up"
        assert running.resident_bytes() - before < 24 * 1024 * 1024
        for _ in range(1000):
            assert client.read_chunk()
        served.wait_for(
            lambda: served.connections[-1].bytes_sent > paused, "reading on when the client does"
        )
    served.wait_for_disconnect(timeout=5)


GIVEN_UP = "the client did not take its answer in time"


@pytest.mark.row("C18")
def test_a_client_that_never_reads_on_is_given_up(gateway, upstream):
    event = sse(chat_chunk({"content": "x" * 16_000}))
    served = upstream(stream(ROLE, *[event] * 16_000, end="stall"), send_buffer=65536)
    running = gateway(deployment(served), spillway={"timeouts": {"stream_idle": "1s"}})
    with running.connect(receive_buffer=32768) as client:
        open_stream(running, client).read_head()
        served.wait_for_disconnect()
    line = running.wait_for_log(lambda entry: entry["stream"])
    assert (line["class"], line["detail"]) == ("client_closed", GIVEN_UP)


@pytest.mark.row("C18")
def test_a_client_that_never_reads_a_plain_answer_is_given_up(gateway, upstream):
    running = gateway(
        deployment(upstream(status(200, LARGE_IMAGE))), spillway={"timeouts": {"stream_idle": "1s"}}
    )
    with running.connect(receive_buffer=4096) as client:
        ask = {"model": "m", "prompt": "x"}
        open_stream(running, client, ask, "/v1/images/generations").read_head()
        line = running.wait_for_log(lambda entry: not entry["stream"])
    assert (line["class"], line["detail"]) == ("client_closed", GIVEN_UP)


def wait_until_paused(served):
    """Bytes sent when the upstream's writes have stopped making progress."""
    record = served.connections[-1]
    while True:
        sent = record.bytes_sent
        try:
            served.wait_for(lambda sent=sent: record.bytes_sent > sent, timeout=0.4)
        except AssertionError:
            assert record.write_blocked
            return record.bytes_sent


@pytest.mark.row("S20")
def test_many_streams_at_once_keep_their_events_apart(gateway, upstream):
    running = gateway(deployment(upstream()))
    calls = [
        in_background(lambda n=n: running.chat(stream=True, text=f"stream {n} of many"))
        for n in range(60)
    ]
    for number, call in enumerate(calls):
        answer = call.result(30)
        wanted = {
            "model": "upstream-model",
            "messages": [{"role": "user", "content": f"stream {number} of many"}],
        }
        assert answer.complete and answer.body == b"".join(chat_events(wanted))
