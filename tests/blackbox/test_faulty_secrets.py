"""A configuration with a mistake beside a secret: the mistake is told, the secret is not."""

from __future__ import annotations

import subprocess

import pytest

from gateway import clean_environment

pytestmark = pytest.mark.row("X5")

GOOD = """
model_list:
  - model_name: m
    litellm_params: {model: openai/x, api_key: sk-fine}
"""

FAULTY = {
    "a key in an open list": "model_list:\n  - litellm_params: {api_key: [sk-canary\n",
    "a key in an open quote": 'general_settings:\n  master_key: "sk-canary\n',
    "a tab before a key": "general_settings:\n\tmaster_key: sk-canary\n",
    "a key as a map": GOOD + "general_settings: {master_key: {value: sk-canary}}\n",
    "a key as a list": GOOD + "general_settings: {master_key: [sk-canary]}\n",
    "a key with a space": GOOD + "general_settings: {master_key: 'sk-canary two'}\n",
    "keys that are no list": GOOD + "spillway: {keys: sk-canary}\n",
    "a list of bare keys": GOOD + "spillway: {keys: [sk-canary]}\n",
    "a key twice": GOOD
    + "spillway: {keys: [{name: a, key: sk-canary}, {name: b, key: sk-canary}]}\n",
    "a misspelt key": GOOD + "general_settings: {master_kye: sk-canary}\n",
    "a misspelt key of a deployment": "model_list:\n  - model_name: m\n    litellm_params: "
    "{model: openai/x, api_kye: sk-canary}\n",
    "a key beside its place": GOOD + "api_key: sk-canary\n",
    "a deployment's key as a map": "model_list:\n  - model_name: m\n    litellm_params: "
    "{model: openai/x, api_key: {a: sk-canary}}\n",
    "a deployment's key with a line end": "model_list:\n  - model_name: m\n    litellm_params: "
    '{model: openai/x, api_key: "sk-canary\\nX"}\n',
    "a header that cannot be sent": "model_list:\n  - model_name: m\n    litellm_params: "
    '{model: openai/x, api_key: k, extra_headers: {X-Key: "sk-canary\\nX"}}\n',
    "an address with a password": "model_list:\n  - model_name: m\n    litellm_params: "
    "{model: openai/x, api_key: k, api_base: 'http://u:sk-canary@h:x/v1'}\n",
    "a good address with a password": "model_list:\n  - model_name: m\n    litellm_params: "
    "{model: openai/x, api_key: k, api_base: 'http://u:sk-canary@127.0.0.1:1/v1'}\n",
    "a Redis address with a password": GOOD
    + "router_settings: {redis_url: 'redis://:sk-canary@host:port/0'}\n",
    "a Redis of another kind": GOOD
    + "router_settings: {redis_url: 'unix://:sk-canary@/run/redis'}\n",
    "a Redis password as a map": GOOD
    + "router_settings: {redis_host: h, redis_password: {a: sk-canary}}\n",
    "a variable that holds a key": GOOD + "spillway: {threads: os.environ/CANARY}\n",
    "a variable in the environment section": GOOD
    + "environment_variables: {MY_KEY: {a: sk-canary}}\n",
}


def run(binary, tmp_path, *arguments, text=GOOD, env=None):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return subprocess.run(
        [binary, *arguments, "--config", str(file)],
        env=clean_environment({"CANARY": "sk-canary", **(env or {})}),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("text", FAULTY.values(), ids=FAULTY)
def test_a_fault_does_not_show_the_secret_beside_it(binary, tmp_path, text):
    told = run(binary, tmp_path, "check", text=text)
    assert "canary" not in told.stdout + told.stderr


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy"])
def test_a_proxys_password_is_not_shown(binary, tmp_path, name):
    for value in ("ftp://u:sk-canary@h", "http://u:sk-canary@h:1"):
        told = run(binary, tmp_path, "check", env={name: value})
        assert "canary" not in told.stdout + told.stderr


def test_rehearsals_show_no_secret(binary, tmp_path):
    text = GOOD.replace("sk-fine", "sk-canary")
    for more in ((), ("--if", "authentication"), ("--if", "rate_limit")):
        told = run(binary, tmp_path, "explain", "--model", "m", *more, text=text)
        assert told.returncode == 0 and "canary" not in told.stdout + told.stderr
