"""What a request may ask of the router for itself, in its body and in x-litellm-* headers."""

from __future__ import annotations

import pytest

from behaviours import error, stall
from settings import deployment
from state import deployment_state

OWN = {
    "fallbacks": ["spare"],
    "context_window_fallbacks": [],
    "content_policy_fallbacks": [],
    "num_retries": 1,
    "timeout": 30,
    "request_timeout": 30,
    "stream_timeout": 30,
    "disable_fallbacks": False,
    "tags": ["a"],
    "litellm_session_id": "s",
    "litellm_trace_id": "t",
}

# Of LiteLLM's proxy, without meaning here.
FOREIGN = {
    "cache": {"no-cache": True},
    "caching": True,
    "guardrails": ["pii"],
    "litellm_call_id": "c",
    "litellm_request_debug": True,
    "mock_response": "hello",
    "mock_testing_fallbacks": True,
    "mock_timeout": False,
}


def test_the_gateways_own_settings_never_reach_a_provider(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served), deployment(served, "spare"))
    headers = {
        "x-litellm-timeout": "30",
        "x-litellm-stream-timeout": "30",
        "x-litellm-num-retries": "1",
        "x-litellm-tags": "a,b",
        "x-litellm-session-id": "s",
        "x-litellm-call-id": "c",
    }
    response = running.chat(headers=headers, metadata={"tags": ["x"], "k": "v"}, seed=1, **OWN, **FOREIGN)
    assert response.status == 200
    sent = served.last.json()
    assert set(sent) == {"model", "messages", "metadata", "seed"}
    assert sent["metadata"] == {"tags": ["x"], "k": "v"}
    assert not [name for name, _ in served.last.headers if name.lower().startswith("x-litellm")]


@pytest.mark.parametrize("param", ["user_config", "router_settings_override"])
@pytest.mark.row("C32", "X4")
def test_a_configuration_in_a_request_is_refused(gateway, upstream, param):
    served = upstream()
    answer = gateway(deployment(served)).chat(**{param: {"model_list": [{"api_key": "secret"}]}})
    assert (answer.status, answer.error["param"]) == (400, param)
    assert "secret" not in answer.error["message"]
    assert served.count == 0


def test_fallbacks_of_the_request_are_used(gateway, upstream):
    running = gateway(
        deployment(upstream(default=error(500)), num_retries=0),
        deployment(upstream(), "spare", id="the-spare"),
    )
    assert running.chat().status == 500
    response = running.chat(fallbacks=["spare"])
    assert response.status == 200
    assert response.header("x-spillway-deployment") == "the-spare"
    response = running.chat(fallbacks=[{"m": ["the-spare"]}])
    assert response.header("x-spillway-deployment") == "the-spare"


def test_disable_fallbacks_gives_the_first_models_own_error(gateway, upstream):
    running = gateway(
        deployment(upstream(default=error(500)), num_retries=0),
        deployment(upstream(), "spare"),
        router={"fallbacks": [{"m": ["spare"]}]},
    )
    assert running.chat().status == 200
    assert running.chat(disable_fallbacks=True).status == 500


@pytest.mark.parametrize("by_header", [False, True], ids=["body", "header"])
def test_num_retries_of_the_request_counts(gateway, upstream, by_header):
    served = upstream(default=error(503))
    running = gateway(deployment(served), router={"num_retries": 2})
    if by_header:
        running.chat(headers={"x-litellm-num-retries": "0"})
    else:
        running.chat(num_retries=0)
    assert served.count == 1


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "stream"])
def test_a_deadline_the_client_shortened_counts_against_nobody(gateway, upstream, streaming):
    silent = upstream(default=stall())
    running = gateway(deployment(silent, id="silent"), deployment(upstream(), "spare"))
    for _ in range(4):
        response = running.chat(stream=streaming, timeout=0.1)
        assert response.status == 504
        assert response.json()["error"]["type"] == "timeout_error"
    assert silent.count == 4
    state = deployment_state(running, "silent")
    assert state["state"] == "closed"
    assert state["window"]["failures"] == 0


def test_a_mistake_is_told_before_any_call(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served))
    for fields, headers, param in [
        ({"num_retries": "two"}, {}, "num_retries"),
        ({"timeout": -1}, {}, "timeout"),
        ({"fallbacks": ["nobody"]}, {}, "fallbacks"),
        ({"tags": 1}, {}, "tags"),
        ({}, {"x-litellm-timeout": "soon"}, "x-litellm-timeout"),
    ]:
        response = running.chat(headers=headers, **fields)
        assert response.status == 400
        assert response.json()["error"]["param"] == param
    assert served.count == 0


def test_a_deployments_id_is_a_model_name(gateway, upstream):
    first, second = upstream(), upstream()
    running = gateway(deployment(first, id="one"), deployment(second, id="two"))
    for _ in range(5):
        assert running.chat("two").header("x-spillway-deployment") == "two"
    assert (first.count, second.count) == (0, 5)
    assert second.last.json()["model"] == "upstream-model"


def test_an_unknown_model_goes_to_the_default_fallbacks(gateway, upstream):
    running = gateway(
        deployment(upstream(), id="one"), router={"default_fallbacks": ["m"]}
    )
    assert running.chat("nobody").header("x-spillway-deployment") == "one"
