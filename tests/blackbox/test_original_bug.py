"""The bug that the project exists to make impossible: a provider known only from a user's
providers.json answers 429, and a healthy deployment of the same model is idle beside it (DESIGN.md
section 1)."""

from __future__ import annotations

import email.utils
import threading
import time

import pytest

from behaviours import after, answer, plausible, status
from concurrency import Traffic, at_once
from loop import Gate
from settings import deployment
from state import cooldown_seconds, health_state

MESSAGE = "Rate limit exceeded. Retry in 6s."
BODY = {"error": {"message": MESSAGE, "type": "rate_limit"}}
UNHINTED = {"error": {"message": "Rate limit exceeded.", "type": "rate_limit"}}
GEMINI = [
    {
        "error": {
            "code": 429,
            "message": "Resource has been exhausted.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "RATE_LIMIT_EXCEEDED",
                },
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.25s"},
            ],
        }
    }
]
JITTER = 1.05  # a little is added to a cooldown, so that instances do not return together
SLACK = 1.5  # seconds that a busy machine may take to notice


def limited(body=UNHINTED, **headers):
    return status(429, body, {name.replace("_", "-"): value for name, value in headers.items()})


def limited_until_date(seconds):
    async def behaviour(exchange):
        date = email.utils.formatdate(time.time() + seconds, usegmt=True)
        await status(429, UNHINTED, {"Retry-After": date})(exchange)

    return behaviour


# name, what the first deployment answers, the least and the most seconds it is left alone
HINTS = [
    ("the_message_says_6s", limited(BODY), 6.0, 6.0),
    ("retry_after_in_seconds", limited(retry_after="2"), 2.0, 2.0),
    ("retry_after_as_a_date", limited_until_date(3), 2.0, 3.0),
    ("retry_after_ms", limited(retry_after_ms="2100"), 2.1, 2.1),
    (
        "retry_after_ms_wins_over_the_rest",
        limited(BODY, retry_after="9", retry_after_ms="2100"),
        2.1,
        2.1,
    ),
    (
        "x_ratelimit_reset_requests",
        limited(
            x_ratelimit_remaining_requests="0",
            x_ratelimit_reset_requests="2s200ms",
            x_ratelimit_remaining_tokens="5000",
            x_ratelimit_reset_tokens="6m0s",
        ),
        2.2,
        2.2,
    ),
    ("geminis_body", status(429, GEMINI), 2.25, 2.25),
    ("no_hint_at_all", limited(), 5.0, 5.0),
]


def start(gateway, first, second):
    """Two deployments of one group, of providers that no release of any gateway has heard of."""
    providers = {
        "homegrown": {"base_url": first.url, "api_key_env": "HOMEGROWN_API_KEY"},
        "neighbour": {"base_url": second.url + "/", "api_key_env": "NEIGHBOUR_API_KEY"},
    }
    entry = {"api_key": None}
    models = []
    for order, (name, slug) in enumerate([("first", "homegrown"), ("second", "neighbour")], 1):
        model = deployment(None, "chat", id=name, model=f"{slug}/some-model", order=order, **entry)
        del model["litellm_params"]["api_key"]
        models.append(model)
    env = {"HOMEGROWN_API_KEY": "sk-home", "NEIGHBOUR_API_KEY": "sk-near"}
    return gateway(*models, providers=providers, env=env)


class Together:
    """Holds requests until `count` of them are in flight, then gives each the same answer."""

    def __init__(self, count, behaviour):
        self.gate, self.count, self.behaviour = Gate(), count, behaviour
        self.opened_at = 0.0
        self.arrived = 0
        self.lock = threading.Lock()

    async def __call__(self, exchange):
        self.arrived += 1
        if self.arrived == self.count:
            self.opened_at = time.monotonic()
            self.gate.open()
        await exchange.gate(self.gate)
        await self.behaviour(exchange)


@pytest.mark.parametrize(
    "limit, least, most", [row[1:] for row in HINTS], ids=[row[0] for row in HINTS]
)
@pytest.mark.row("U24", "U57")
def test_fifty_calls_move_on_at_once_and_one_probe_follows_the_hint(
    gateway, upstream, limit, least, most
):
    together = Together(50, limit)
    first, second = upstream(default=together), upstream()
    running = start(gateway, first, second)

    burst = at_once(50, lambda: running.chat("chat"))
    assert [r.status for r in burst] == [200] * 50
    assert {r.header("x-spillway-deployment") for r in burst} == {"second"}
    assert {r.header("x-spillway-attempts") for r in burst} == {"2"}
    assert first.count == 50 and second.count == 50

    for _ in range(20):
        response = running.chat("chat")
        assert (response.status, response.header("x-spillway-deployment")) == (200, "second")
        assert response.header("x-spillway-attempts") == "1"
        if time.monotonic() > together.opened_at + least * 0.6:
            break
    assert first.count == 50, "no call while it is limited"

    probe = Gate()
    first.always(after(probe, plausible()))
    with Traffic(lambda: running.chat("chat")) as traffic:
        first.wait_for(
            lambda: traffic.failures or first.count > 50, "the probe", timeout=most * JITTER + 20
        )
        traffic.wait_for_answers(20, second)
        assert first.count == 51, "exactly one probe, however much traffic there is"
        probe.open()
        first.wait_for(lambda: traffic.failures or first.count > 60, "traffic coming back")
    assert not traffic.failures, traffic.failures
    assert {r.status for r in traffic.answers} == {200}

    rested = first.requests[50].at - together.opened_at
    assert least * 0.99 <= rested <= most * JITTER + SLACK


def test_without_an_order_every_call_is_answered_and_the_limited_one_is_asked_once(
    gateway, upstream
):
    first = upstream(default=status(429, BODY))
    second = upstream()
    running = gateway(deployment(first, id="first"), deployment(second, id="second"))
    for _ in range(40):
        response = running.chat()
        assert (response.status, response.header("x-spillway-deployment")) == (200, "second")
    assert first.count == 1


def test_a_streamed_call_moves_on_just_the_same(gateway, upstream):
    first, second = upstream(default=status(429, BODY)), upstream()
    running = start(gateway, first, second)
    for expected_attempts in ("2", "1"):
        response = running.chat("chat", stream=True)
        assert response.status == 200 and response.body.endswith(b"data: [DONE]\n\n")
        assert response.header("x-spillway-deployment") == "second"
        assert response.header("x-spillway-attempts") == expected_attempts
    assert first.count == 1


@pytest.mark.row("U30")
def test_a_failed_probe_doubles_the_time_without_a_hint(gateway, upstream):
    first, second = upstream(status(429, UNHINTED, {"retry-after-ms": "500"})), upstream()
    first.always(status(429, UNHINTED))  # the probe is refused without a hint: 5 s, doubled
    running = gateway(
        deployment(first, id="first", order=1), deployment(second, id="second", order=2)
    )
    with Traffic(running.chat, threads=1) as traffic:
        first.wait_for_requests(2)
        traffic.wait_for_answers(1, second)
    assert 8.0 < cooldown_seconds(running, "first") <= 10.0 * JITTER


@pytest.mark.row("U1")
def test_a_refused_connection_does_not_cool_down_by_itself(gateway, upstream):
    dead, second = upstream(listening=False), upstream()
    running = gateway(
        deployment(dead, id="dead", order=1), deployment(second, id="second", order=2)
    )
    attempts = [running.chat().header("x-spillway-attempts") for _ in range(2)]
    assert attempts == ["2", "2"], "one refusal does not bench: the next call tries it again"
    assert health_state(running, "dead") == "closed"


@pytest.mark.row("U1")
def test_three_refused_connections_in_a_row_open_the_breaker(gateway, upstream):
    dead, second = upstream(listening=False), upstream()
    running = gateway(
        deployment(dead, id="dead", order=1), deployment(second, id="second", order=2)
    )
    attempts = [running.chat().header("x-spillway-attempts") for _ in range(6)]
    assert attempts == ["2", "2", "2", "1", "1", "1"]
    assert health_state(running, "dead") == "breaker_open"
    dead.listen()
    with Traffic(running.chat, threads=2) as traffic:
        dead.wait_for(
            lambda: traffic.failures or dead.count > 5, "its return when the breaker lets it", 20
        )
    assert not traffic.failures and {r.status for r in traffic.answers} == {200}


def test_a_success_between_refusals_keeps_the_breaker_closed(gateway, upstream):
    flaky, second = upstream(), upstream()
    running = gateway(
        deployment(flaky, id="flaky", order=1), deployment(second, id="second", order=2)
    )
    fault = status(500, {"error": {"message": "boom"}})
    for behaviour, attempts in [
        (fault, "2"),
        (fault, "2"),
        (answer(), "1"),
        (fault, "2"),
        (fault, "2"),
        (answer(), "1"),
    ]:
        flaky.script(behaviour)
        response = running.chat()
        assert (response.status, response.header("x-spillway-attempts")) == (200, attempts)
