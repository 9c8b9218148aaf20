"""Another configuration in a gateway that runs: nothing fails, nothing is forgotten, and what is
wrong changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from behaviours import stream
from canned import DONE, chat_text_events
from concurrency import Traffic, eventually
from loop import Gate
from redis_server import url_of
from reloading import (
    FAILURES,
    SUCCESSES,
    answered_by,
    config_file,
    hang_up,
    reconfigure,
    reload,
    replace,
)
from settings import configuration, deployment
from state import cooldown_seconds, health_state, metric, wait_until_connected
from streams import open_stream
from test_shared_state import limited

UNWATCHED = {"reload_on_change": False}
BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


def text_of(*deployments, **sections):
    return json.dumps(configuration(*deployments, **sections), indent=2)


# --- what a reload does ---------------------------------------------------------------------------


@pytest.mark.row("S5")
def test_sighup_brings_in_what_is_new_and_takes_out_what_has_gone(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served, "old"), spillway=UNWATCHED)
    assert running.chat("old").status == 200
    reload(running, deployment(served, "new"), spillway=UNWATCHED)
    assert running.chat("new").status == 200
    gone = running.chat("old")
    assert (gone.status, gone.error["code"]) == (404, "model_not_found")


@pytest.mark.row("S5")
def test_a_key_that_was_removed_opens_nothing_any_more(gateway, upstream):
    served = upstream()
    keys = [{"name": name, "key": f"sk-{name}"} for name in ("one", "two")]
    running = gateway(deployment(served), spillway={"keys": keys, **UNWATCHED})
    reconfigure(running, deployment(served), spillway={"keys": keys[:1], **UNWATCHED})
    hang_up(running)
    eventually(lambda: running.get("/v1/models", key="sk-two").status == 401)
    assert running.get("/v1/models", key="sk-one").status == 200


@pytest.mark.row("S3", "S5")
def test_a_stream_ends_on_the_configuration_it_began_with(gateway, upstream):
    gate = Gate()
    role, one, *rest = chat_text_events("one two three")
    first, second = upstream(stream(role, one, gate, *rest, DONE)), upstream()
    running = gateway(deployment(first, id="first"), spillway=UNWATCHED)
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        client.read_until(answer, one)
        reload(running, deployment(second, id="second"), spillway=UNWATCHED)
        assert answered_by(running) == "second"
        gate.open()
        client.read_body(answer)
    assert answer.complete and answer.body.endswith(DONE)
    line = running.wait_for_log(lambda entry: entry["stream"])
    assert (line["deployment"], line["class"]) == ("first", "success")
    assert first.count == 1


def test_a_deployment_that_cools_stays_cool(gateway, upstream):
    busy, idle = upstream(limited(60)), upstream()
    both = deployment(busy, id="busy", order=1), deployment(idle, id="idle", order=2)
    running = gateway(*both, spillway=UNWATCHED)
    assert answered_by(running) == "idle"
    before = cooldown_seconds(running, "busy")
    reload(running, deployment(idle, "other"), *both, spillway=UNWATCHED)
    assert health_state(running, "busy") == "cooling"
    assert 0 < cooldown_seconds(running, "busy") <= before
    assert answered_by(running) == "idle" and busy.count == 1


def test_limits_are_those_of_the_new_configuration(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served), spillway=UNWATCHED)
    assert running.chat(text="x" * 2000).status == 200
    limits = {"body": 1024, "memory": "2GiB"}
    reload(running, deployment(served), spillway={"limits": limits, **UNWATCHED})
    assert running.chat(text="x" * 2000).status == 413
    assert metric(running, "spillway_memory_limit_bytes") == 2 * 1024**3


def test_counters_never_go_back(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served, id="d"), spillway=UNWATCHED)
    attempts = 'spillway_attempts_total{group="m",deployment="d",class="success"}'
    for _ in range(3):
        running.chat()
    eventually(lambda: metric(running, attempts) == 3)
    reload(running, deployment(served, id="e"), deployment(served, id="d"), spillway=UNWATCHED)
    assert metric(running, attempts) == 3
    assert metric(running, 'spillway_requests_total{group="m",status="200"}') == 3


@pytest.mark.row("S3")
def test_no_request_fails_while_the_configuration_changes_again_and_again(gateway, upstream):
    first, second, moving = upstream(), upstream(), upstream()
    stable = deployment(first, id="first"), deployment(second, id="second")
    running = gateway(*stable, spillway=UNWATCHED)

    def plain():
        response = running.chat()
        assert response.status == 200, response

    def streamed():
        response = running.chat(stream=True)
        assert response.status == 200 and response.body.endswith(DONE), response

    def kept_alive():
        with running.connect() as client:
            for _ in range(5):
                answer = open_stream(running, client, BODY).read_response()
                assert answer.status == 200 and answer.complete, answer

    with Traffic(plain, 3) as one, Traffic(streamed, 2) as two, Traffic(kept_alive, 2) as three:
        for turn in range(20):
            extra = [deployment(moving, id=f"moving-{turn}")] if turn % 2 else []
            reload(running, *extra, stable[turn % 2], spillway=UNWATCHED)
            answers = len(one.answers)
            eventually(lambda answers=answers: one.failures or len(one.answers) > answers)
    for traffic in (one, two, three):
        assert traffic.answers and not traffic.failures, traffic.failures[:3]
    assert metric(running, SUCCESSES) == 20 and metric(running, FAILURES) == 0


@pytest.mark.row("S24")
def test_reloads_leave_no_descriptor_behind(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served))
    reload(running, deployment(served))
    before = running.open_descriptors()
    for _ in range(10):
        reload(running, deployment(served))
    eventually(lambda: running.open_descriptors() <= before)


# --- files that change ----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["renamed over", "written in place"])
def test_a_changed_file_is_noticed(gateway, upstream, way):
    served = upstream()
    running = gateway(deployment(served, "old"))
    text = text_of(deployment(served, "new"))
    if way == "renamed over":
        replace(config_file(running), text)
    else:
        config_file(running).write_text(text)
    eventually(lambda: running.chat("new").status == 200)
    assert metric(running, SUCCESSES) == 1


def test_a_mounted_volume_is_swapped_as_kubernetes_does(gateway, upstream, tmp_path):
    served = upstream()
    volume = tmp_path / "volume"
    for name in ("one", "two"):
        (volume / f"..{name}").mkdir(parents=True)
        (volume / f"..{name}" / "config.yaml").write_text(text_of(deployment(served, name)))
    (volume / "..data").symlink_to("..one")
    (volume / "config.yaml").symlink_to("..data/config.yaml")
    running = gateway.start(
        ["serve", "--config", str(volume / "config.yaml"), "--listen", "127.0.0.1:0"]
    )
    assert running.chat("one").status == 200
    (volume / "..next").symlink_to("..two")
    os.replace(volume / "..next", volume / "..data")
    eventually(lambda: running.chat("two").status == 200)


def test_included_files_and_providers_are_watched_as_well(gateway, upstream, tmp_path):
    served = upstream()
    more = tmp_path / "elsewhere" / "more.yaml"
    more.parent.mkdir()
    more.write_text(text_of(deployment(served, "old")))
    running = gateway(config={"include": [str(more)]})
    assert running.chat("old").status == 200
    replace(more, text_of(deployment(served, "new"), deployment(None, "ours", model="ours/x")))
    eventually(lambda: running.chat("new").status == 200)
    assert running.chat("ours").status != 200, "nobody knows this provider yet"
    providers = config_file(running).with_name("providers.json")
    replace(providers, json.dumps({"ours": {"base_url": served.url, "api_key_env": ""}}))
    eventually(lambda: running.chat("ours").status == 200)


def test_watching_can_be_turned_off(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served, "old"), spillway=UNWATCHED)
    reconfigure(running, deployment(served, "new"))
    with running.connect() as client:
        assert client.silent_for(1.0), "time for a change to be noticed"
    assert metric(running, SUCCESSES) == 0
    hang_up(running)
    eventually(lambda: running.chat("new").status == 200)


# --- what is wrong --------------------------------------------------------------------------------


@pytest.mark.row("S4")
def test_a_broken_file_changes_nothing_and_says_where_it_is_broken(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served))
    loaded = metric(running, "spillway_config_last_reload_success_timestamp_seconds")
    file = config_file(running)
    replace(file, "model_list: []\nrouter_settings:\n  num_retrys: 3\n")
    running.wait_for_message(f"{file}:3:3: router_settings.num_retrys: unknown key")
    running.wait_for_message("the configuration stays as it was")
    assert running.chat().status == 200
    assert metric(running, FAILURES) == 1 and metric(running, SUCCESSES) == 0
    assert metric(running, "spillway_config_last_reload_successful") == 0
    assert metric(running, "spillway_config_last_reload_success_timestamp_seconds") == loaded
    replace(file, text_of(deployment(served, "repaired")))
    eventually(lambda: running.chat("repaired").status == 200)
    assert metric(running, "spillway_config_last_reload_successful") == 1
    assert metric(running, "spillway_config_last_reload_success_timestamp_seconds") > loaded


@pytest.mark.parametrize("text", ["", "model_list: []\n", "model_list: [\n"])
def test_what_serves_nobody_is_not_taken_over(gateway, upstream, text):
    running = gateway(deployment(upstream()))
    replace(config_file(running), text)
    running.wait_for_message("the configuration stays as it was")
    assert running.chat().status == 200


@pytest.mark.row("S4")
def test_a_file_that_has_gone_changes_nothing(gateway, upstream):
    running = gateway(deployment(upstream()))
    config_file(running).unlink()
    running.wait_for_message("the configuration stays as it was")
    assert running.chat().status == 200


def test_what_cannot_change_is_named_and_stays(gateway, upstream):
    served = upstream()
    config = configuration(deployment(served), spillway={"threads": 2, "listen": "127.0.0.1:0"})
    file = gateway.write(gateway_folder(gateway), config)
    running = gateway.start(["serve", "--config", str(file)])
    reload(
        running,
        deployment(served, "new"),
        spillway={"threads": 3, "listen": "127.0.0.1:1"},
        router={"redis_url": "redis://127.0.0.1:1"},
    )
    for name in ("spillway.listen", "spillway.threads", "router_settings.redis"):
        running.wait_for_message(f"{name} has changed and takes effect with the next start only")
    assert running.chat("new").status == 200


def gateway_folder(factory):
    folder = factory.folder / "alone"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.row("X9")
def test_a_gateway_that_others_reach_never_loses_its_last_key(gateway, upstream):
    served = upstream()
    keyed = {"listen": "0.0.0.0:0", "keys": [{"name": "one", "key": "sk-one"}]}
    config = configuration(deployment(served), spillway=keyed)
    file = gateway.write(gateway_folder(gateway), config)
    running = gateway.start(["serve", "--config", str(file)])
    replace(file, text_of(deployment(served), spillway={"listen": "127.0.0.1:0"}))
    running.wait_for_message("listening beyond this machine without a key")
    assert running.get("/v1/models").status == 401
    assert running.get("/v1/models", key="sk-one").status == 200


def test_strict_refuses_a_reload_as_it_refuses_to_start(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served), arguments=("--strict",))
    left_out = deployment(None, "left-out", model="groq/x", api_key="os.environ/NOBODY_SET_THIS")
    reconfigure(running, deployment(served), left_out)
    running.wait_for_message("--strict: a deployment is left out")
    running.wait_for_message("the configuration stays as it was")
    assert running.chat("left-out").status == 404


# --- without a file of one's own ------------------------------------------------------------------


def test_the_demonstration_has_nothing_to_read_again(gateway):
    running = gateway.start(["--demo", "--listen", "127.0.0.1:0"])
    hang_up(running)
    running.wait_for_message("there is no configuration file to read again")
    assert running.chat("demo").status == 200


def test_a_generated_key_stays_valid(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served), spillway=UNWATCHED, arguments=("--generate-key",))
    (line,) = [text for text in running.stderr.lines if "made one for this run" in text]
    key = line.split()[-1]
    reconfigure(running, deployment(served, "new"), spillway=UNWATCHED)
    hang_up(running)
    running.wait_for_message("the configuration was loaded")
    assert running.get("/v1/models").status == 401
    assert running.get("/v1/models", key=key).status == 200
    assert sum("made one for this run" in line for line in running.stderr.lines) == 1


def test_a_second_signal_to_stop_is_not_taken_for_a_reload(gateway, upstream):
    running = gateway(deployment(upstream()))
    hang_up(running)
    running.process.send_signal(signal.SIGTERM)
    running.terminated = True
    running.stop()


# --- together with other instances ----------------------------------------------------------------


def test_benches_are_shared_after_a_reload_as_before(gateway, upstream, redis):
    router = {"redis_url": url_of(redis())}
    busy, idle = upstream(limited(60)), upstream()
    one = deployment(busy, id="busy", order=1), deployment(idle, id="idle", order=2)
    a = gateway(*one, router=router, spillway=UNWATCHED)
    b = gateway(deployment(idle, id="idle"), router=router, spillway=UNWATCHED)
    wait_until_connected(a, b)
    reload(a, *one, deployment(idle, "other"), router=router, spillway=UNWATCHED)
    assert answered_by(a) == "idle"
    assert health_state(a, "busy") == "cooling"
    reload(b, *one, router=router, spillway=UNWATCHED)
    eventually(lambda: health_state(b, "busy") == "cooling")


def test_a_terminal_that_is_closed_ends_what_runs_in_it(gateway, upstream, monkeypatch):
    ours, its = os.openpty()
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: start(*a, **{**k, "stdin": its}))
    running = gateway(deployment(upstream()))
    os.close(its)
    hang_up(running)
    running.wait_for_message("SIGHUP: reading the configuration again")
    os.close(ours)
    hang_up(running)
    assert running.process.wait(10) == 0
