"""What the gateway says of its own decisions: before a request, and with its answer."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from behaviours import error
from settings import configuration, deployment
from state import deployment_state, health_state


def two(gateway, upstream):
    limited = upstream(default=error(429, headers={"retry-after": "30"}))
    return gateway(
        deployment(limited, id="limited", order=1), deployment(upstream(), id="fine", order=2)
    )


def test_an_answer_carries_the_history_of_its_attempts(gateway, upstream):
    answer = two(gateway, upstream).chat()
    history = answer.header("x-spillway-attempt-history")
    assert re.fullmatch(r"limited=rate_limit:\d+ms, fine=success:\d+ms", history)


def test_an_error_carries_it_too(gateway, upstream):
    running = gateway(deployment(upstream(default=error(400)), id="only"))
    answer = running.chat()
    assert answer.status == 400
    assert re.fullmatch(
        r"only=invalid_request:\d+ms", answer.header("x-spillway-attempt-history")
    )


def test_the_history_is_one_line_of_the_debug_log(gateway, upstream):
    running = gateway(deployment(upstream(), id="only"), arguments=("--log-level", "debug"))
    running.chat(headers={"x-request-id": "look-for-me"})
    running.wait_for_message("look-for-me m: only=success:")


def test_nothing_that_a_client_sends_reaches_the_debug_log_raw(gateway, upstream):
    running = gateway(deployment(upstream(), "m/*"), arguments=("--log-level", "debug"))
    model = "m/x\n2026 error FORGED\x1b[31m"
    assert running.chat(model=model, headers={"x-request-id": "look-for-me"}).status == 200
    running.wait_for_message('look-for-me "m/x\\n2026 error FORGED\\u001b[31m": ')
    assert not [line for line in running.stderr.lines if line.startswith("2026 error")]
    assert "\x1b" not in running.stderr.text


def test_a_rehearsal_leaves_the_rate_limits_alone(gateway, upstream):
    router = {"optional_pre_call_checks": ["enforce_model_rate_limits"], "num_retries": 0}
    served = upstream()
    running = gateway(
        deployment(served, id="only", rpm=2), router=router, spillway={"max_wait": "61s"}
    )
    assert [running.chat().status for _ in range(2)] == [200, 200]
    page = running.get("/router/explain?model=m&if=unavailable").json()
    assert page["steps"][0]["what"].startswith("waits ")
    assert deployment_state(running, "only")["load"]["requests"] == 2
    assert health_state(running, "only") == "closed"


def test_a_rehearsal_foretells_what_happens(gateway, upstream):
    limited = upstream(default=error(429))
    running = gateway(
        deployment(limited, id="one"),
        deployment(limited, "backup", id="two"),
        router={"fallbacks": [{"m": ["backup"]}]},
    )
    page = running.get("/router/explain?model=m&if=rate_limit").json()
    foretold = [step["deployment"] for step in page["steps"] if step["deployment"]]
    history = running.chat().header("x-spillway-attempt-history")
    assert foretold == [attempt.split("=")[0] for attempt in history.split(", ")]


def test_the_page_tells_who_would_be_asked_and_why(gateway, upstream):
    running = two(gateway, upstream)
    running.chat()
    page = running.get("/router/explain?model=m").json()
    (group,) = page["groups"]
    limited, fine = group["candidates"]
    assert (limited["id"], limited["callable"]) == ("limited", False)
    assert limited["why"].startswith("cooling after rate_limit for another ")
    assert fine["callable"]
    assert [step["deployment"] for step in page["steps"]] == ["fine", None]


def test_a_rehearsed_failure_calls_nobody(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served, id="only"))
    page = running.get("/router/explain?model=m&if=unavailable&stream=true").json()
    assert page["steps"][0]["what"] == "asks only"
    assert page["steps"][-1]["what"].startswith("answers 503")
    assert served.count == 0


@pytest.mark.parametrize(
    "query, status, param",
    [
        ("", 400, "model"),
        ("?model=nobody", 404, "model"),
        ("?model=m&if=bad-luck", 400, "if"),
        ("?model=m&endpoint=/v1/nothing", 400, "endpoint"),
    ],
)
def test_a_wrong_question_is_refused(scene, query, status, param):
    answer = scene.get("/router/explain" + query)
    assert (answer.status, answer.error["param"]) == (status, param)


def test_an_unknown_class_is_answered_with_those_there_are(scene):
    message = scene.get("/router/explain?model=m&if=context_length_exceeded").error["message"]
    assert "context_window_exceeded" in message and "client_closed" in message


def test_the_program_explains_a_configuration_without_serving_it(binary, tmp_path, upstream):
    config = configuration(
        deployment(upstream(), id="one"), deployment(upstream(), "backup", id="two")
    )
    config["router_settings"] = {"fallbacks": [{"m": ["backup"]}]}
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(config))
    command = [binary, "explain", "--config", file, "--model", "m", "--if", "rate_limit"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stderr
    assert "+ one: callable" in told.stdout and "asks two" in told.stdout
    unknown = subprocess.run([*command[:5], "nobody"], capture_output=True, text=True, timeout=60)
    assert unknown.returncode == 1 and "nobody" in unknown.stderr
