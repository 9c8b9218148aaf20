"""How long a deployment rests after what its provider said, wherever it said it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from behaviours import error, status
from rows import cases
from settings import deployment
from state import cooldown_seconds

SLACK = 4.0  # seconds between the provider's answer and the question for the state
JITTER = 0.11
DEFAULT, CAP, QUOTA, CREDENTIAL = 5.0, 300.0, 600.0, 60.0


def from_now(seconds, clock_behind=0.0, zone="GMT"):
    """A Date field and a Retry-After that many seconds later, by a clock that may be wrong."""
    now = datetime.now(timezone.utc) - timedelta(seconds=clock_behind)
    then = format_datetime(now + timedelta(seconds=seconds), usegmt=True).replace("GMT", zone)
    return {"Date": format_datetime(now, usegmt=True), "Retry-After": then}


def limited(headers=None, code=429, **fields):
    return lambda: error(code, headers=headers() if callable(headers) else headers or {}, **fields)


def exhausted(**resets):
    fields = {}
    for kind, (remaining, reset) in resets.items():
        fields[f"x-ratelimit-remaining-{kind}"] = str(remaining)
        fields[f"x-ratelimit-reset-{kind}"] = reset
    return limited(fields)


def anthropic():
    then = (datetime.now(timezone.utc) + timedelta(seconds=40)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": then,
    }


def gemini(*details):
    body = {
        "error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "x", "details": details}
    }
    return lambda: status(429, body)


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.837906927s"}
QUOTA_DELAY = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "metadata": {"quotaResetDelay": "41.5s"},
}

# name -> what the provider does (made when it is needed: dates), seconds that it rests
HINTS = {
    "a 503 with seconds": (limited({"Retry-After": "40"}, code=503), 40),
    "seconds": (limited({"Retry-After": "47"}), 47),
    "a date": (limited(lambda: from_now(40)), 40),
    "a date by a clock an hour slow": (limited(lambda: from_now(40, clock_behind=3600)), 40),
    "a date by a clock an hour fast": (limited(lambda: from_now(40, clock_behind=-3600)), 40),
    "a date that is past": (limited(lambda: from_now(-40)), DEFAULT),
    "a date of another zone": (limited(lambda: from_now(40, zone="CEST")), DEFAULT),
    "a garbled date": (limited({"Retry-After": "Thirdsday, 99 Foo 2026"}), DEFAULT),
    "milliseconds beside seconds": (
        limited({"retry-after-ms": "40350", "Retry-After": "90"}),
        40.35,
    ),
    "the exhausted kind": (exhausted(requests=(0, "40s"), tokens=(9, "4m0s")), 40),
    "minutes and seconds": (exhausted(tokens=(0, "1m2.5s")), 62.5),
    "Anthropic's instants": (limited(anthropic), 40),
    "words": (limited(message="Slow down. Please retry in 46.3s."), 46.3),
    "other words": (limited(message="Please try again in 1m2.5s."), 62.5),
    "Gemini's RetryInfo": (gemini(RETRY_INFO), 45.8),
    "Gemini's quota delay": (gemini(QUOTA_DELAY), 41.5),
    "no hint": (limited(), DEFAULT),
    "a used up quota": (limited(code=429, type="insufficient_quota"), QUOTA),
    "nothing paid": (limited(code=402), QUOTA),
    "an absurd time": (limited({"Retry-After": "999999"}), CAP),
    "a number beyond numbers": (limited({"Retry-After": "1" + "0" * 400}), CAP),
    "a negative time": (limited({"Retry-After": "-40"}), DEFAULT),
    "not a number": (limited({"Retry-After": "NaN"}), DEFAULT),
    "a refused credential": (limited(code=401), CREDENTIAL),
}
ROWS = {
    "a 503 with seconds": "U23",
    "seconds": "U24",
    "a date": "U25",
    "a date by a clock an hour slow": "U25",
    "a date by a clock an hour fast": "U25",
    "a date that is past": "U25",
    "a date of another zone": "U25",
    "a garbled date": "U25",
    "milliseconds beside seconds": "U26",
    "the exhausted kind": "U27",
    "minutes and seconds": "U27",
    "Anthropic's instants": "U28",
    "words": "U29",
    "other words": "U29",
    "Gemini's RetryInfo": "U29",
    "Gemini's quota delay": "U29",
    "no hint": "U30",
    "a used up quota": "U31",
    "nothing paid": "U31",
    "an absurd time": "U32",
    "a number beyond numbers": "U32",
    "a negative time": "U32",
    "not a number": "U32",
    "a refused credential": "U33",
}


@pytest.mark.parametrize("failure, seconds", cases(HINTS, ROWS))
def test_a_deployment_rests_as_long_as_its_provider_said(gateway, upstream, failure, seconds):
    first = upstream(default=failure())
    running = gateway(deployment(first, id="first", order=1), deployment(upstream(), order=2))
    assert running.chat().status == 200
    rests = cooldown_seconds(running, "first")
    assert seconds - SLACK <= rests <= seconds * (1 + JITTER), rests
    assert running.chat().status == 200
    assert first.count == 1, "it is left alone meanwhile"


@pytest.mark.row("U58")
def test_deployments_limited_at_once_do_not_come_back_at_once(gateway, upstream):
    served = upstream(default=error(429, headers={"retry-after": "200"}))
    names = [f"d{number}" for number in range(8)]
    running = gateway(*[deployment(served, id=name) for name in names])
    assert running.chat().status == 429
    rests = sorted(cooldown_seconds(running, name) for name in names)
    assert rests[-1] - rests[0] > 1.0, "they were benched within moments of each other"
    assert all(200 - 20 <= rest <= 200 * (1 + JITTER) for rest in rests)
