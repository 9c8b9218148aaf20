"""1xx answers: those that lead nowhere end their connection, and those nobody asked for disturb
nothing."""

from __future__ import annotations

import pytest

from behaviours import answer, only_on_reused, plausible, raw
from concurrency import in_background
from error_table import NO_RETRIES
from framing import head
from loop import Gate
from settings import deployment

LEADING_NOWHERE = {
    "too many 1xx": head(102, []) * 9,
    "an unasked 101": head(101, []),
    "an unasked 101 after a 1xx": head(102, []) + head(101, []),
    "a bad head after a 1xx": head(102, []) + b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "a folded field after a 1xx": head(103, []) + b"HTTP/1.1 200 OK\r\nA: b\r\n c: d\r\n\r\n",
}


@pytest.mark.parametrize("sent", LEADING_NOWHERE.values(), ids=LEADING_NOWHERE)
@pytest.mark.row("U43", "U44")
def test_a_connection_whose_final_answer_is_still_to_come_serves_nobody_else(
    gateway, upstream, sent
):
    """What comes late on it is the answer to the first request, never to the second."""
    late = answer(text="for somebody else")
    served = upstream(raw(sent, end="keep"), default=only_on_reused(late, plausible()))
    running = gateway(deployment(served), router=NO_RETRIES, threads=1)
    assert running.chat(text="first").status == 502
    response = running.chat(text="second")
    assert response.json()["choices"][0]["message"]["content"] == "echo: second"
    assert [request.connection for request in served.requests] == [0, 1]


@pytest.mark.row("U43")
def test_an_unasked_100_continue_does_not_stop_the_upload(gateway, upstream):
    gate = Gate()

    async def behaviour(exchange):
        exchange.pause_reading()
        await exchange.send(head(100, [], "Continue"))
        exchange.mark("continued")
        await exchange.gate(gate)
        exchange.resume_reading()
        exchange.request.body = await exchange.read_body()
        await plausible()(exchange)

    behaviour.reads_body = False
    served = upstream(behaviour)
    running = gateway(deployment(served), router=NO_RETRIES, threads=1)
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 8_000_000}]}
    call = in_background(lambda: running.post("/v1/chat/completions", body))
    served.wait_for(lambda: served.marks["continued"], "the 100")
    running.get("/health/liveliness")  # the one thread has seen the 100 by then
    gate.open()
    response = call.result(20)
    assert (response.status, response.interim) == (200, [])
    assert served.count == 1 and len(served.last.json()["messages"][0]["content"]) == 8_000_000
