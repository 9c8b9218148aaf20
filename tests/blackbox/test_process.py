"""What the machine's other users and programs can learn from the process itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from behaviours import error
from concurrency import at_once
from edge import CHAT
from error_table import NO_RETRIES
from gateway import Gateway, clean_environment, is_sanitized
from reloading import reload
from settings import configuration, deployment

CANARY = "canary"


@pytest.fixture
def start(binary, tmp_path):
    started = []

    def run(*arguments, config=None, env=None):
        file = tmp_path / "config.yaml"
        file.write_text(json.dumps(config))
        command = ["serve", "--config", str(file), "--listen", "127.0.0.1:0", *arguments]
        started.append(Gateway(binary, command, clean_environment(env), tmp_path))
        return started[-1]

    yield run
    for each in started:
        each.stop()


def of_process(running, name):
    return Path(f"/proc/{running.process.pid}/{name}").read_text()


def core_limit(running):
    return re.search(r"Max core file size\s+(\S+)", of_process(running, "limits"))[1]


NOBODY = 65534


@pytest.fixture
def unprivileged(binary):
    """Gateways of a user who is not root, to whom the kernel's answers would all be the same."""
    started = []

    def run(*arguments):
        command = ["serve", "--demo", "--listen", "127.0.0.1:0", *arguments]
        if os.geteuid() == 0:
            script = (
                'ulimit -c unlimited; exec setpriv --reuid "$0" --regid "$0" --clear-groups "$@"'
            )
            command = ["sh", "-c", script, str(NOBODY), binary, *command]
            refused = subprocess.run([*command[:5], "--version"], capture_output=True)
            if refused.returncode != 0:
                pytest.skip("nobody may not run the program here")
        else:
            command = ["sh", "-c", 'ulimit -c unlimited; exec "$0" "$@"', binary, *command]
        started.append(Gateway(command[0], command[1:], clean_environment(), Path("/")))
        return started[-1]

    yield run
    for each in started:
        each.stop()


def is_dumpable(running):
    """The kernel gives what is in /proc of a process that is not to root."""
    return os.stat(f"/proc/{running.process.pid}/environ").st_uid == (os.geteuid() or NOBODY)


@pytest.mark.row("X7")
def test_no_core_is_dumped(unprivileged):
    running = unprivileged()
    assert core_limit(running) == "0"
    assert not is_dumpable(running)
    assert running.chat("demo").status == 200


@pytest.mark.row("X7")
def test_a_core_is_dumped_where_it_is_asked_for(unprivileged, binary):
    if is_sanitized(binary):
        pytest.skip("sanitizers forbid it themselves")
    running = unprivileged("--core-dumps")
    assert is_dumpable(running)
    if os.geteuid() == 0:  # others may have been forbidden it for good
        assert core_limit(running) == "unlimited"


@pytest.mark.row("X5")
def test_no_secret_is_an_argument_of_the_process(start, upstream):
    config = configuration(
        deployment(upstream(), api_key="sk-canary"), general={"master_key": "sk-canary-master"}
    )
    running = start(config=config)
    assert CANARY not in of_process(running, "cmdline")
    assert CANARY not in of_process(running, "comm")


def test_no_option_takes_a_secret(binary):
    told = subprocess.run([binary, "serve", "--help"], capture_output=True, text=True).stdout
    options = set(re.findall(r"--([a-z-]+)", told))
    assert not [name for name in options - {"generate-key"} if re.search("key|secret|token", name)]


# --- secrets in files -----------------------------------------------------------------------------


def secret_file(tmp_path, name, text, mode=0o400):
    file = tmp_path / name
    file.write_text(text)
    file.chmod(mode)
    return file


@pytest.mark.row("X6")
def test_keys_are_read_from_the_files_that_variables_name(start, upstream, tmp_path):
    served = upstream()
    running = start(
        config=configuration(deployment(served, api_key="os.environ/CANARY_PROVIDER")),
        env={
            "CANARY_PROVIDER_FILE": str(secret_file(tmp_path, "provider", "sk-canary-file\n")),
            "SPILLWAY_MASTER_KEY_FILE": str(secret_file(tmp_path, "master", "sk-canary-door\n")),
        },
    )
    assert running.chat().status == 401
    body = {"model": "m", "messages": []}
    assert running.post(CHAT, body, key="sk-canary-door").status == 200
    assert served.last.header("authorization") == "Bearer sk-canary-file"
    assert "sk-canary" not in running.stderr.text + running.stdout.text


@pytest.mark.row("X6", "S6")
def test_a_secret_that_was_replaced_counts_from_the_next_reload_on(gateway, upstream, tmp_path):
    served = upstream()
    provider = deployment(served, api_key="os.environ/ROTATED")
    file = secret_file(tmp_path, "rotated", "sk-before")
    running = gateway(provider, env={"ROTATED_FILE": str(file)})
    assert running.chat().status == 200
    file.unlink()
    secret_file(tmp_path, "rotated", "sk-after")
    reload(running, provider)
    assert running.chat().status == 200
    keys = [request.header("authorization") for request in served.requests]
    assert keys == ["Bearer sk-before", "Bearer sk-after"]


@pytest.mark.row("X6")
def test_a_made_key_does_not_take_the_place_of_one_in_a_file(start, upstream, tmp_path):
    file = secret_file(tmp_path, "master", "sk-canary-door")
    running = start(
        "--generate-key",
        config=configuration(deployment(upstream())),
        env={"SPILLWAY_MASTER_KEY_FILE": str(file)},
    )
    assert "made one" not in running.stderr.text
    assert running.get("/v1/models", key="sk-canary-door").status == 200


def check(binary, tmp_path, env):
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(configuration(deployment(None, api_key="os.environ/KEY"))))
    return subprocess.run(
        [binary, "check", "--config", str(file)],
        env=clean_environment(env), capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.row("X6")
def test_a_file_that_is_not_there_is_a_fault_that_names_it(binary, tmp_path):
    told = check(binary, tmp_path, {"KEY_FILE": str(tmp_path / "nowhere")})
    assert told.returncode == 1
    assert f"KEY_FILE: {tmp_path}/nowhere does not exist" in told.stderr


@pytest.mark.row("X6")
def test_a_pipe_that_nobody_writes_to_is_refused_instead_of_waited_for(binary, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    told = check(binary, tmp_path, {"KEY_FILE": str(pipe)})
    assert told.returncode == 1
    assert f"KEY_FILE: {pipe} is not a regular file" in told.stderr


@pytest.mark.row("X6")
def test_a_key_given_twice_is_a_fault_that_shows_neither(binary, tmp_path):
    file = secret_file(tmp_path, "key", "sk-canary-file")
    told = check(binary, tmp_path, {"KEY": "sk-canary-plain", "KEY_FILE": str(file)})
    assert told.returncode == 1 and "KEY_FILE: is set and so is KEY" in told.stderr
    assert CANARY not in told.stdout + told.stderr.replace(str(tmp_path), "")


@pytest.mark.row("X6")
def test_a_file_that_everybody_may_read_is_warned_of(binary, tmp_path):
    file = secret_file(tmp_path, "key", "sk-canary-file", 0o444)
    told = check(binary, tmp_path, {"KEY_FILE": str(file)})
    assert told.returncode == 0
    assert f"warning: KEY_FILE: {file} can be read by every user" in told.stderr


@pytest.mark.row("X6")
def test_a_key_that_no_header_can_carry_is_not_shown(binary, tmp_path):
    file = secret_file(tmp_path, "key", "sk-canary\nX-Evil: 1")
    told = check(binary, tmp_path, {"KEY_FILE": str(file)})
    assert told.returncode == 1
    assert CANARY not in told.stdout + told.stderr and "X-Evil" not in told.stdout + told.stderr


# --- every place at once --------------------------------------------------------------------------

WELL_KNOWN = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "x-litellm-api-key"]


@pytest.mark.row("X2", "X5")
@pytest.mark.parametrize("name", [*WELL_KNOWN, "cookie", "proxy-authorization"])
def test_a_clients_credential_reaches_nobody_and_no_log(start, upstream, name):
    served = upstream(error(429, "no"), error(500, "no"))
    running = start(
        "--log-level",
        "debug",
        config=configuration(deployment(served, id="d"), router=NO_RETRIES),
    )
    value = f"Bearer sk-{CANARY}" if "auth" in name else f"sk-{CANARY}"
    answers = [running.chat(stream=streamed, headers={name: value}) for streamed in (False, True)]
    answers += at_once(2, lambda: running.chat(headers={name: value}))
    answers += [running.chat("none", headers={name: value})]
    answers += [running.get(f"/router/explain?model=m&{name}={value}", headers={name: value})]
    answers += [running.get(page) for page in ("/metrics", "/router/state", "/health")]
    assert all(CANARY.encode() not in request.head for request in served.requests)
    for answer in answers:
        assert CANARY not in str(answer.headers) and CANARY.encode() not in answer.body
    running.stop()
    assert CANARY not in running.stdout.text + running.stderr.text
