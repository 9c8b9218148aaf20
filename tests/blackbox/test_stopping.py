"""SIGTERM: what runs may finish, nothing new begins."""

from __future__ import annotations

import signal

import pytest

from behaviours import stream
from canned import chat_text_events
from concurrency import in_background
from loop import Gate
from settings import deployment


def test_sigterm_lets_a_running_stream_finish(gateway, upstream):
    gate = Gate()
    events = chat_text_events("one two three")
    served = upstream(stream(*events[:3], gate, *events[3:], b"data: [DONE]\n\n"))
    running = gateway(deployment(served))
    call = in_background(lambda: running.chat(stream=True))
    served.wait_for_requests(1)
    running.process.send_signal(signal.SIGTERM)
    served.wait_for(lambda: served.connections[0].bytes_sent > 0)
    gate.open()
    assert call.result(20).body.endswith(b"data: [DONE]\n\n")
    running.stop()


def test_sigterm_closes_idle_connections_and_refuses_new_ones(gateway, upstream):
    running = gateway(deployment(upstream()))
    with running.connect() as idle:
        running.stop()
        assert idle.closed_by_gateway()
    with pytest.raises(ConnectionRefusedError):
        running.connect()
