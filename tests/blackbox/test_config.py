"""Configurations: `spillway check`, what is left out and how loudly, providers of the user's own,
wildcards."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from gateway import clean_environment
from settings import deployment

FAULT = re.compile(
    r"^(?P<file>[^:\n]+):(?P<line>\d+):(?P<column>\d+): (?P<path>[^:]+): .+", re.MULTILINE
)


@pytest.fixture
def check(binary, tmp_path):
    """Runs `spillway check` on a text; gives the finished process."""

    def run(text, env=None, name="config.yaml", arguments=()):
        (tmp_path / name).write_text(text)
        return subprocess.run(
            [binary, "check", "--config", name, *arguments],
            cwd=tmp_path,
            env=clean_environment(env),
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run


GOOD = """
model_list:
  - model_name: fast
    litellm_params:
      model: groq/llama-3.3-70b
      api_key: os.environ/MY_GROQ_KEY
  - model_name: fast
    litellm_params:
      model: openai/some-model
      api_base: http://127.0.0.1:9/v1
      api_key: sk-canary-in-file
    model_info: {id: the-second}
"""


def test_check_shows_groups_and_deployments_but_no_secrets(check):
    done = check(GOOD, {"MY_GROQ_KEY": "gsk-canary-in-env"})
    assert done.returncode == 0, done.stderr
    for expected in ("fast", "groq", "llama-3.3-70b", "the-second"):
        assert expected in done.stdout
    assert "canary" not in done.stdout + done.stderr


def test_check_of_a_json_config(check):
    models = [{"model_name": "m", "litellm_params": {"model": "openai/x", "api_key": "k"}}]
    assert check(json.dumps({"model_list": models}), name="config.json").returncode == 0


def test_check_names_every_fault_with_its_place(check):
    done = check("""
model_list:
  - model_name: a
    litellm_params:
      modle: openai/x
  - model_nam: b
    litellm_params: {model: openai/y, api_key: k}
spillway:
  timeouts: {conect: 5s}
  stream_keepalive: soon
""")
    assert done.returncode == 1
    faults = [match.groupdict() for match in FAULT.finditer(done.stdout + done.stderr)]
    lines = {int(fault["line"]) for fault in faults if fault["file"] == "config.yaml"}
    assert {6, 9, 10} <= lines, done.stderr
    assert "connect" in done.stderr and "model_name" in done.stderr, (
        "the nearest known key is named"
    )


@pytest.mark.parametrize(
    "text",
    ["model_list: [", "- just\n- a list\n", "model_list: 7\n", "\tx: y\n", "model_list:\n  - 5\n"],
    ids=["cut", "a-list", "a-number", "a-tab", "a-number-in-the-list"],
)
def test_check_of_what_is_no_config_at_all(check, text):
    done = check(text)
    assert done.returncode == 1
    assert re.search(r"config\.yaml:\d+:\d+: ", done.stderr + done.stdout)


def test_check_of_a_file_that_is_not_there(binary, tmp_path):
    done = subprocess.run(
        [binary, "check", "--config", "nowhere.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1 and "nowhere.yaml" in done.stderr


def test_a_missing_variable_leaves_the_deployment_out_and_check_says_so(check):
    done = check(GOOD)
    assert done.returncode == 1
    assert "MY_GROQ_KEY" in done.stdout + done.stderr


def test_a_setting_that_is_not_supported_is_a_warning_with_its_line(check):
    done = check(
        GOOD + "litellm_settings:\n  set_verbose: true\n  callbacks: [langfuse]\n",
        {"MY_GROQ_KEY": "x"},
    )
    assert done.returncode == 0
    assert re.search(r"config\.yaml:15:\d+: .*callbacks", done.stderr + done.stdout)


def test_a_bad_providers_file_names_its_line(check, tmp_path):
    (tmp_path / "mine.json").write_text('{\n  "home": {"base_url": "http://127.0.0.1:9",}\n}')
    done = check(GOOD, {"MY_GROQ_KEY": "x"}, arguments=("--providers", "mine.json"))
    assert done.returncode == 1
    assert re.search(r"mine\.json:2:\d+", done.stderr + done.stdout)


EXAMPLES = [
    "aliases_config.yaml",
    "azure_config_with_tpm.yaml",
    "load_balancer.yaml",
    "oai_misc_config.yaml",
]
EXAMPLE_KEYS = {
    "OPENAI_API_KEY": "k",
    "ANTHROPIC_API_KEY": "k",
    "GROQ_API_KEY": "k",
    "OPENROUTER_API_KEY": "k",
    "AWS_ACCESS_KEY_ID": "k",
    "AWS_SECRET_ACCESS_KEY": "k",
    "LANGFUSE_PROJECT1_PUBLIC": "k",
    "LANGFUSE_PROJECT1_SECRET": "k",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_real_litellm_config_has_no_fault(check, shared, name):
    done = check((shared / "litellm-configs" / name).read_text(), EXAMPLE_KEYS)
    faults = [
        line
        for line in done.stderr.splitlines()
        if FAULT.match(line) and not line.startswith("warning")
    ]
    assert not faults, done.stderr
    if done.returncode:  # something was left out: that is said, with a reason
        assert re.search(r"left out|unusable|cannot|bedrock|mistralai", done.stdout + done.stderr)


def test_serve_refuses_a_bad_config(gateway):
    with pytest.raises(AssertionError, match=r"config\.yaml:\d+:\d+"):
        gateway(config={"model_list": [{"model_name": "m", "litellm_params": {"modle": "x"}}]})
    assert gateway.started == []


def test_serve_refuses_when_no_deployment_is_usable(gateway, upstream):
    with pytest.raises(AssertionError, match="ABSENT_KEY"):
        gateway(deployment(upstream(), api_key="os.environ/ABSENT_KEY"))


def test_strict_refuses_when_one_deployment_is_left_out(gateway, upstream):
    served = upstream()
    entries = [deployment(served), deployment(served, "other", api_key="os.environ/ABSENT_KEY")]
    with pytest.raises(AssertionError, match="ABSENT_KEY"):
        gateway(*entries, arguments=("--strict",))


def test_a_group_with_nothing_usable_answers_503_with_the_reason(gateway, upstream):
    served = upstream()
    running = gateway(
        deployment(served), deployment(served, "other", id="odd", api_key="os.environ/ABSENT_KEY")
    )
    response = running.chat("other")
    assert response.status == 503 and "ABSENT_KEY" in response.error["message"]
    assert "ABSENT_KEY" in running.stderr.text
    assert "ABSENT_KEY" in running.get("/health").body.decode()
    assert b"spillway_deployments_left_out 1" in running.get("/metrics").body
    assert running.chat().status == 200


def test_the_environment_is_read_both_ways(gateway, upstream):
    served = upstream()
    running = gateway(
        deployment(served, "a", api_key="os.environ/KEY_ONE"),
        deployment(served, "b", api_key="${KEY_TWO}"),
        env={"KEY_ONE": "sk-one", "KEY_TWO": "sk-two"},
    )
    for group, key in [("a", "sk-one"), ("b", "sk-two")]:
        assert running.chat(group).status == 200
        assert served.last.header("authorization") == f"Bearer {key}"


def test_the_config_can_be_yaml(binary, gateway, upstream, tmp_path):
    served = upstream()
    (tmp_path / "config.yaml").write_text(f"""
# a comment
model_list:
  - model_name: "gruppe-ü"
    litellm_params: &base
      model: openai/x   # another
      api_base: {served.url}
      api_key: >-
        sk-folded
""")
    running = gateway.start(["--config", "config.yaml", "--listen", "127.0.0.1:0"], folder=tmp_path)
    assert running.chat("gruppe-ü").status == 200
    assert served.last.header("authorization") == "Bearer sk-folded"


def test_version_names_the_program(binary):
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and re.match(r"spillway \d+\.\d+\.\d+", done.stdout)


def test_an_unknown_option_is_refused(binary):
    done = subprocess.run(
        [binary, "serve", "--no-such-option"], capture_output=True, text=True, timeout=30
    )
    assert done.returncode not in (0, None) and "no-such-option" in done.stderr + done.stdout
