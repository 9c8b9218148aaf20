"""Providers and model names: a user's own, wildcards, aliases, and what a deployment adds to a
body."""

from __future__ import annotations

import json

from settings import deployment


def test_without_a_config_a_provider_with_a_key_is_reachable_by_name(gateway, upstream, tmp_path):
    served = upstream()
    providers = {"homegrown": {"base_url": served.url, "api_key_env": "HOMEGROWN_API_KEY"}}
    (tmp_path / "mine.json").write_text(json.dumps(providers))
    running = gateway.start(
        ["serve", "--providers", "mine.json", "--listen", "127.0.0.1:0"],
        {"HOMEGROWN_API_KEY": "sk-home"},
        tmp_path,
    )
    response = running.chat("homegrown/deep/model-7")
    assert response.status == 200 and response.header("x-spillway-provider") == "homegrown"
    assert served.last.json()["model"] == "deep/model-7"
    assert served.last.header("authorization") == "Bearer sk-home"
    assert running.chat("groq/some-model").status == 404, "its key is not in the environment"


def test_providers_json_maps_parameters_headers_and_limits(gateway, upstream):
    served = upstream()
    providers = {
        "odd": {
            "base_url": served.url + "/",
            "api_key_env": "ODD_KEY",
            "param_mappings": {"max_completion_tokens": "max_tokens"},
            "constraints": {"temperature_max": 1.0},
            "special_handling": {"convert_content_list_to_string": True},
            "headers": {"api-subscription-key": "{api_key}"},
        }
    }
    entry = {"model_name": "m", "litellm_params": {"model": "odd/x"}}
    running = gateway(entry, providers=providers, env={"ODD_KEY": "sk-odd"})
    content = [{"type": "text", "text": "two "}, {"type": "text", "text": "parts"}]
    body = {
        "model": "m",
        "max_completion_tokens": 5,
        "temperature": 1.7,
        "messages": [{"role": "user", "content": content}],
    }
    assert running.post("/v1/chat/completions", body).status == 200
    sent = served.last
    assert sent.target == "/v1/chat/completions", "no double slash"
    assert sent.header("api-subscription-key") == "sk-odd"
    assert sent.json()["max_tokens"] == 5 and "max_completion_tokens" not in sent.json()
    assert sent.json()["temperature"] == 1.0
    assert sent.json()["messages"][0]["content"] == "two parts"


def test_an_api_base_variable_overrides_the_providers_base(gateway, upstream):
    served, other = upstream(), upstream()
    providers = {
        "odd": {"base_url": other.url, "api_key_env": "ODD_KEY", "api_base_env": "ODD_BASE"}
    }
    entry = {"model_name": "m", "litellm_params": {"model": "odd/x"}}
    running = gateway(entry, providers=providers, env={"ODD_KEY": "k", "ODD_BASE": served.url})
    assert running.chat().status == 200
    assert (served.count, other.count) == (1, 0)


def test_wildcards_capture_and_the_most_specific_wins(gateway, upstream):
    general, special, exact = upstream(), upstream(), upstream()
    running = gateway(
        deployment(general, "*", model="openai/*"),
        deployment(special, "team/*", model="openai/prefix-*"),
        deployment(exact, "team/exact"),
    )
    for asked, served, sent in [
        ("anything", general, "anything"),
        ("a/b/c", general, "a/b/c"),
        ("team/x-1", special, "prefix-x-1"),
        ("team/exact", exact, "upstream-model"),
    ]:
        assert running.chat(asked).status == 200
        assert served.last.json()["model"] == sent
    assert (general.count, special.count, exact.count) == (2, 1, 1)


def test_aliases_lead_to_their_group(gateway, upstream):
    served = upstream()
    aliases = {"nickname": "m", "secret": {"model": "m", "hidden": True}}
    running = gateway(deployment(served), router={"model_group_alias": aliases})
    assert running.chat("nickname").status == running.chat("secret").status == 200
    listed = {model["id"] for model in running.get("/v1/models").json()["data"]}
    assert listed == {"m", "nickname"}


def test_parameters_of_the_deployment_are_defaults_of_the_body(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served, temperature=0.1, max_tokens=20, custom_field={"a": [1]}))
    running.chat(temperature=0.9)
    sent = served.last.json()
    assert (sent["temperature"], sent["max_tokens"], sent["custom_field"]) == (0.9, 20, {"a": [1]})
    assert "custom_field" in running.stderr.text, "an unknown parameter is sent, with a warning"


def test_azure_takes_the_deployments_url_and_its_own_key_header(gateway, upstream):
    served = upstream()
    running = gateway(
        deployment(
            None,
            model="azure/my-dep",
            api_base=served.origin,
            api_version="2024-10-21",
            api_key="az-key",
        )
    )
    assert running.chat().status == 200
    assert (
        served.last.target == "/openai/deployments/my-dep/chat/completions?api-version=2024-10-21"
    )
    assert served.last.header("api-key") == "az-key"
    assert served.last.header("authorization") is None


def test_an_upstream_that_only_speaks_the_chat_endpoint_is_not_asked_for_others(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served))
    assert (
        running.post("/v1/rerank", {"model": "m", "query": "x", "documents": ["a", "b"]}).status
        == 200
    )
    assert served.last.target == "/v1/rerank"
