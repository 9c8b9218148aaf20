"""routing_strategy and the limits of a deployment, as the upstreams and the clients see them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from behaviours import after, answer, error, plausible
from canned import chat_completion
from concurrency import at_once, eventually, in_background
from loop import Gate
from settings import deployment
from state import deployment_state
from upstream_connection import Behaviour, Exchange
from wire import request_bytes

ENFORCED = {"optional_pre_call_checks": ["enforce_model_rate_limits"]}


def using(tokens: int) -> Behaviour:
    """An answer that says it used so many tokens."""

    async def behaviour(exchange: Exchange) -> None:
        payload = chat_completion(exchange.request.json(), None)
        counts = {"prompt_tokens": 1, "completion_tokens": tokens - 1, "total_tokens": tokens}
        await answer({**payload, "usage": counts})(exchange)

    return behaviour


@dataclass
class Counter:
    """Counts how many requests are held at once, on the upstreams' one loop."""

    held: int = 0
    most: int = 0

    def behaviour(self) -> Behaviour:
        async def serve(exchange: Exchange) -> None:
            self.held += 1
            self.most = max(self.most, self.held)
            for _ in range(50):  # others come in between, if they are let
                await asyncio.sleep(0)
            self.held -= 1
            await plausible()(exchange)

        return serve


def load(running: Any, deployment_id: str) -> dict:
    return deployment_state(running, deployment_id)["load"]


# --- strategies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["least-busy", "adaptive"])
def test_a_busy_deployment_is_avoided(gateway, upstream, strategy):
    gate = Gate()
    both = [upstream(default=after(gate, plausible())) for _ in range(2)]
    running = gateway(*map(deployment, both), router={"routing_strategy": strategy})
    first = in_background(running.chat)
    eventually(lambda: sum(each.count for each in both) == 1)
    busy, idle = sorted(both, key=lambda each: -each.count)
    idle.always(plausible())
    for _ in range(5):
        assert running.chat().status == 200
    assert (busy.count, idle.count) == (1, 5)
    gate.open()
    assert first.result(20).status == 200


@pytest.mark.parametrize("strategy", ["usage-based-routing", "usage-based-routing-v2"])
def test_usage_based_routing_follows_the_tokens_that_were_used(gateway, upstream, strategy):
    costly, modest = upstream(default=using(1000)), upstream(default=using(10))
    running = gateway(
        deployment(costly), deployment(modest), router={"routing_strategy": strategy}
    )
    for _ in range(20):
        assert running.chat().status == 200
    assert costly.count <= 1
    assert modest.count >= 19


def test_cost_based_routing_takes_the_cheapest_that_works(gateway, upstream):
    dear, cheap = upstream(), upstream(error(429, headers={"Retry-After": "30"}))
    running = gateway(
        deployment(dear, id="dear", input_cost_per_token=0.002, output_cost_per_token=0.002),
        deployment(cheap, id="cheap", input_cost_per_token=0.001, output_cost_per_token=0.002),
        router={"routing_strategy": "cost-based-routing"},
    )
    first = running.chat()
    assert (first.status, first.header("x-spillway-deployment")) == (200, "dear")
    assert (first.header("x-spillway-attempts"), cheap.count, dear.count) == ("2", 1, 1)


def test_prices_are_not_sent_to_the_provider(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served, input_cost_per_token=0.002))
    assert running.chat().status == 200
    assert "input_cost_per_token" not in served.last.json()


def test_times_of_streams_and_of_plain_answers_are_measured_apart(gateway, upstream):
    running = gateway(deployment(upstream(), id="one"))
    assert load(running, "one")["first_token_ms"] is None
    assert running.chat(stream=True).status == 200
    measured = load(running, "one")
    assert measured["first_token_ms"] is not None
    assert measured["whole_answer_ms"] is None
    assert running.chat().status == 200
    assert load(running, "one")["whole_answer_ms"] is not None


def test_what_an_upstream_says_is_left_of_its_limits_is_its_headroom(gateway, upstream):
    told = {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "0"}
    scarce, plenty = upstream(default=answer(headers=told)), upstream()
    running = gateway(
        deployment(scarce, id="scarce"),
        deployment(plenty, id="plenty"),
        router={"routing_strategy": "adaptive"},
    )
    eventually(lambda: running.chat().header("x-spillway-deployment") == "scarce")
    assert load(running, "scarce")["headroom"] < 0.5
    assert load(running, "plenty")["headroom"] == 1.0


# --- rpm and tpm ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "router", [ENFORCED, {"routing_strategy": "usage-based-routing-v2"}], ids=["enforced", "usage"]
)
def test_rpm_is_exact_over_all_workers(gateway, upstream, router):
    both = [upstream(), upstream()]
    running = gateway(
        *[deployment(each, rpm=limit) for each, limit in zip(both, (7, 4))],
        router=router,
        threads=4,
    )
    answers = at_once(40, running.chat)
    assert sorted(each.status for each in answers) == [200] * 11 + [429] * 29
    assert [each.count for each in both] == [7, 4]


def test_a_request_over_every_limit_is_told_the_true_seconds(gateway, upstream):
    running = gateway(deployment(upstream(), rpm=1), router=ENFORCED)
    assert running.chat().status == 200
    refused = running.chat()
    assert (refused.status, refused.error["type"]) == (429, "rate_limit_error")
    seconds = int(refused.header("retry-after"))
    assert 50 <= seconds <= 60
    assert f"retry in {seconds} seconds" in refused.error["message"]
    assert refused.header("x-spillway-attempts") == "0"


def test_rpm_is_only_a_weight_in_simple_shuffle(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served, rpm=1))
    assert [running.chat().status for _ in range(3)] == [200] * 3


def test_tpm_counts_what_the_answers_say_they_used(gateway, upstream):
    served = upstream(default=using(400))
    running = gateway(deployment(served, id="one", tpm=1000), router=ENFORCED)
    assert [running.chat().status for _ in range(4)] == [200, 200, 200, 429]
    assert load(running, "one")["tokens"] == 1200


def test_a_limit_sends_the_rest_to_the_fallback(gateway, upstream):
    limited, other = upstream(), upstream()
    running = gateway(
        deployment(limited, rpm=1),
        deployment(other, "backup"),
        router={**ENFORCED, "fallbacks": [{"m": ["backup"]}]},
    )
    assert [running.chat().status for _ in range(3)] == [200] * 3
    assert (limited.count, other.count) == (1, 2)


# --- max_parallel_requests ------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["deployment", "default"])
def test_parallel_requests_are_never_exceeded_over_all_workers(gateway, upstream, place):
    counter = Counter()
    served = upstream(default=counter.behaviour())
    own = {"max_parallel_requests": 2} if place == "deployment" else {}
    router = {} if place == "deployment" else {"default_max_parallel_requests": 2}
    running = gateway(deployment(served, **own), router=router, threads=4)
    answers = at_once(20, running.chat)
    assert [each.status for each in answers] == [200] * 20
    assert served.count == 20
    assert counter.most <= 2


def test_the_wait_for_a_full_deployment_is_bounded(gateway, upstream):
    gate = Gate()
    served = upstream(after(gate, plausible()))
    running = gateway(
        deployment(served, max_parallel_requests=1), spillway={"max_wait": "100ms"}
    )
    first = in_background(running.chat)
    served.wait_for_requests(1)
    refused = running.chat()
    assert (refused.status, refused.error["type"]) == (429, "rate_limit_error")
    assert served.count == 1
    gate.open()
    assert first.result(20).status == 200


def test_a_client_that_leaves_gives_its_place_back(gateway, upstream):
    gate = Gate()
    served = upstream(after(gate, plausible()))
    running = gateway(deployment(served, max_parallel_requests=1))
    body = b'{"model": "m", "messages": []}'
    with running.connect() as client:
        client.send(request_bytes("POST", "/v1/chat/completions", body))
        served.wait_for_requests(1)
    assert running.chat().status == 200
    gate.open()
