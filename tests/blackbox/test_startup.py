"""How the program starts, or says why it does not, when its surroundings are not as they should be."""

from __future__ import annotations

import json
import socket
import subprocess

import pytest

from behaviours import after, plausible
from concurrency import in_background
from gateway import Gateway, clean_environment
from loop import Gate
from reloading import config_file as config_of
from reloading import replace
from settings import configuration, deployment
from state import deployment_state


def run(binary, *arguments, env=None, **options):
    return subprocess.run(
        [binary, *map(str, arguments)],
        env=clean_environment(env),
        text=True,
        timeout=60,
        **({"capture_output": True} | options),
    )


@pytest.fixture
def config_file(tmp_path):
    def write(*deployments, **sections):
        file = tmp_path / "config.yaml"
        file.write_text(json.dumps(configuration(*deployments, **sections)))
        return file

    return write


def test_a_standard_error_that_cannot_be_written_does_not_stop_check(binary, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("model_lst: []\n")
    for target in ("/dev/full", "/dev/null"):
        with open(target, "w") as stderr:
            told = run(
                binary, "check", "--config", bad, capture_output=False,
                stdout=subprocess.PIPE, stderr=stderr,
            )  # fmt: skip
        assert told.returncode == 1


@pytest.mark.row("S11")
def test_closed_standard_streams_do_not_stop_the_gateway(binary, config_file, upstream):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    file = config_file(deployment(upstream()))
    script = f'exec "{binary}" serve --config "{file}" --listen {address} 2>&- >&- <&-'
    process = subprocess.Popen(["bash", "-c", script], env=clean_environment())
    try:
        asked = (run(binary, "--health-check", "--listen", address) for _ in range(500))
        assert any(told.returncode == 0 for told in asked)
    finally:
        process.terminate()
    assert process.wait(60) == 0


def test_check_refuses_what_serve_refuses(binary, tmp_path):
    empty = tmp_path / "empty.yaml"
    empty.write_text("model_list: []\n")
    checked = run(binary, "check", "--config", empty)
    served = run(binary, "serve", "--config", empty)
    for told in (checked, served):
        assert told.returncode == 1
        assert "no deployment is usable" in told.stderr


def test_an_empty_file_is_refused_at_start_as_a_reload_refuses_it(
    binary, config_file, gateway, upstream
):
    running = gateway(deployment(upstream()))
    replace(reloaded := config_of(running), "")
    running.wait_for_message(f"{reloaded}: is empty")
    empty = config_file(deployment(upstream()))
    empty.write_text("")
    for command in ("check", "serve"):
        told = run(binary, command, "--config", empty, env={"OPENAI_API_KEY": "sk-x"})
        assert told.returncode == 1
        assert told.stderr == f"{empty}: is empty\n"


def test_check_whose_report_cannot_be_written_fails(binary, config_file, upstream):
    file = config_file(deployment(upstream()))
    with open("/dev/full", "w") as stdout:
        told = run(
            binary, "check", "--config", file, capture_output=False,
            stdout=stdout, stderr=subprocess.PIPE,
        )  # fmt: skip
    assert told.returncode == 1


def test_the_health_check_asks_where_the_configuration_says(binary, gateway, config_file, upstream):
    running = gateway(deployment(upstream()))
    there = config_file(deployment(upstream()), spillway={"listen": f"127.0.0.1:{running.port}"})
    assert run(binary, "--health-check", "--config", there).returncode == 0


def test_a_failed_health_check_says_why(binary, upstream):
    silent = upstream(listening=False)
    told = run(binary, "--health-check", "--listen", f"127.0.0.1:{silent.port}")
    assert told.returncode == 1 and "refused" in told.stderr
    told = run(binary, "--health-check", "--listen", "nonsense")
    assert told.returncode == 1 and "HOST:PORT" in told.stderr


def test_a_ca_file_without_certificates_is_named_at_start(binary, config_file, tmp_path, upstream):
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate\n")
    file = config_file(deployment(upstream(), ssl_verify=str(junk)))
    for command in ("check", "serve"):
        told = run(binary, command, "--config", file)
        assert told.returncode == 1
        assert ": model_list[0].litellm_params.ssl_verify: " in told.stderr
        assert f'"{junk}" holds no PEM certificate' in told.stderr


def test_an_empty_master_key_is_none(gateway, upstream):
    running = gateway(
        deployment(upstream()),
        env={"SPILLWAY_MASTER_KEY": ""},
        arguments=("--generate-key",),
    )
    running.wait_for_message("made one for this run: sk-")
    assert running.chat().status == 401


def test_the_line_end_of_a_secret_file_is_not_part_of_the_key(gateway, upstream):
    running = gateway(deployment(upstream()), env={"SPILLWAY_MASTER_KEY": "sk-from-a-file\n"})
    assert running.chat(headers={"Authorization": "Bearer sk-from-a-file"}).status == 200


@pytest.mark.parametrize(
    "arguments",
    [("--threads", "99999"), ("--demo", "--config", "some.yaml")],
    ids=["too many threads", "demo and config"],
)
def test_arguments_that_make_no_sense_are_refused(binary, arguments):
    told = run(binary, "serve", *arguments)
    assert told.returncode == 2 and arguments[0] in told.stderr


def test_names_that_are_not_utf8_do_not_spoil_the_metrics(binary, gateway, upstream, tmp_path):
    file = tmp_path / "config.yaml"
    config = json.dumps(configuration(deployment(upstream(), id="odd-NAME", group="m-NAME")))
    file.write_bytes(config.encode().replace(b"NAME", b"\xff\xfe"))
    running = gateway.start(["serve", "--config", str(file), "--listen", "127.0.0.1:0"])
    page = running.get("/metrics").body
    assert "m-\ufffd\ufffd" in page.decode("utf-8")


@pytest.mark.row("S7")
def test_running_out_of_descriptors_counts_against_nobody(binary, config_file, upstream):
    gate = Gate()
    served = upstream(default=after(gate, plausible()))
    file = config_file(deployment(served, id="healthy"), deployment(served, id="other"))
    command = ["--nofile=48", binary, "serve", "--config", str(file), "--listen", "127.0.0.1:0"]
    running = Gateway("prlimit", command, clean_environment(), file.parent)
    try:
        calls = [in_background(running.chat) for _ in range(60)]
        served.wait_for_requests(4)
        gate.open()
        answers = [call.result(60) for call in calls]
        assert {answer.status for answer in answers} <= {200, 503}
        for name in ("healthy", "other"):
            assert deployment_state(running, name)["state"] == "closed"
    finally:
        running.stop()
