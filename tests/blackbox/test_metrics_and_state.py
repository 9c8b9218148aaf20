"""Metrics, router state, health and the list of models."""

from __future__ import annotations

import pytest

from behaviours import error, stall
from concurrency import eventually, in_background
from settings import deployment
from state import cooldown_seconds, deployment_state, health_state, in_flight


def test_metrics_parse_and_count(gateway, upstream):
    parser = pytest.importorskip("prometheus_client.parser")
    first, second = upstream(error(429, headers={"retry-after": "30"})), upstream()
    running = gateway(
        deployment(first, id="first", order=1), deployment(second, id="second", order=2)
    )
    for _ in range(3):
        running.chat()
    running.chat(stream=True)
    running.chat("no-such-model")
    document = eventually(lambda: counted(running, parser, requests=4))

    def value(name, **labels):
        return document[(name, tuple(sorted(labels.items())))]

    first, second = {"group": "m", "deployment": "first"}, {"group": "m", "deployment": "second"}
    assert value("spillway_attempts_total", **first, **{"class": "rate_limit"}) == 1
    assert value("spillway_attempts_total", **second, **{"class": "success"}) == 4
    assert value("spillway_cooldowns_total", **first, **{"class": "rate_limit"}) == 1
    assert value("spillway_retry_hints_total", source="retry_after_seconds") == 1
    assert value("spillway_deployment_state", **first) == 3
    assert value("spillway_in_flight", **second) == 0
    assert value("spillway_rejected_requests_total", status="404") == 1
    assert value("spillway_time_to_first_token_seconds_count", group="m") == 1
    assert value("spillway_request_duration_seconds_count", group="m") == 4
    assert value("spillway_overhead_seconds_count") >= 4


def counted(running, parser, requests):
    """All samples, once so many requests to the group were counted as answered; else None."""
    response = running.get("/metrics")
    assert response.header("content-type").startswith("text/plain")
    samples = {}
    for family in parser.text_string_to_metric_families(response.body.decode()):
        assert family.documentation and family.name.startswith("spillway_")
        for sample in family.samples:
            samples[(sample.name, tuple(sorted(sample.labels.items())))] = sample.value
    answered = ("spillway_requests_total", (("group", "m"), ("status", "200")))
    return samples if samples.get(answered) == requests else None


@pytest.mark.row("X12")
def test_metric_labels_are_bounded_by_the_configuration(gateway, upstream):
    running = gateway(deployment(upstream(), "team/*", model="openai/*"))
    for number in range(5):
        assert running.chat(f"team/made-up-{number}").status == 200
        running.chat(f"unknown-{number}", headers={"x-request-id": f"made-up-id-{number}"})
        running.get(f"/made-up-path-{number}")
    text = running.get("/metrics").body.decode()
    assert 'group="team/*"' in text
    assert "made-up" not in text and "unknown-" not in text


def test_the_state_shows_cooldown_and_calls_in_flight(gateway, upstream):
    limited = upstream(default=error(429, headers={"retry-after": "30"}))
    busy = upstream(stall())
    running = gateway(
        deployment(limited, id="limited", order=1),
        deployment(busy, id="busy", order=2),
        spillway={"timeouts": {"drain": "200ms"}},
    )
    call = in_background(lambda: running.chat())
    busy.wait_for_requests(1)
    assert health_state(running, "limited") == "cooling"
    assert 25 < cooldown_seconds(running, "limited") <= 31.5
    assert deployment_state(running, "limited")["cause"] == "rate_limit"
    assert in_flight(running, "busy") == 1
    running.stop()
    assert call.result(10).status == 503, "the grace period was over before it was answered"


def test_health_tells_of_every_deployment_and_asks_none(gateway, upstream):
    limited, fine = upstream(error(429)), upstream()
    running = gateway(
        deployment(limited, id="limited", order=1), deployment(fine, id="fine", order=2)
    )
    running.chat()
    document = running.get("/health").json()
    assert (document["healthy_count"], document["unhealthy_count"]) == (1, 1)
    assert document["unhealthy_endpoints"][0]["model_id"] == "limited"
    assert (limited.count, fine.count) == (1, 1)


def test_liveness_and_readiness_answer(gateway, upstream):
    running = gateway(deployment(upstream()))
    for path in ("/health/liveliness", "/health/liveness", "/health/readiness"):
        assert running.get(path).status == 200


def test_models_are_listed_in_openais_shape(gateway, upstream):
    served = upstream()
    running = gateway(
        deployment(served, "a"),
        deployment(served, "a"),
        deployment(served, "b/*", model="openai/*"),
    )
    document = running.get("/v1/models").json()
    assert document["object"] == "list"
    assert [model["id"] for model in document["data"]] == ["a", "b/*"]
    assert all(model["object"] == "model" and model["created"] for model in document["data"])
    assert running.get("/v1/models/a").json()["id"] == "a"
    assert running.get("/v1/models/b/anything").json()["id"] == "b/anything"
    assert running.get("/v1/models/none").error["code"] == "model_not_found"
