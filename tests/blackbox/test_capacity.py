"""limits.concurrent_requests: what is above it is refused at once and told when to come back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from behaviours import after, plausible
from loop import Gate
from settings import deployment


def test_more_requests_than_allowed_at_once_are_503_until_one_ends(gateway, upstream):
    gate = Gate()
    served = upstream(after(gate, plausible()))
    running = gateway(deployment(served), spillway={"limits": {"concurrent_requests": 1}})
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(running.chat)
        served.wait_for(lambda: served.requests, "the first request")
        refused = running.chat()
        assert (refused.status, refused.error["code"]) == (503, "over_capacity")
        assert refused.header("retry-after") == "1"
        line = running.wait_for_log(lambda line: line["status"] == 503)
        assert line["detail"] == "at the limit of requests at once"
        gate.open()
        assert first.result(20).status == 200
    assert running.chat().status == 200
    assert len(served.requests) == 2, "the refused one reached nobody"
