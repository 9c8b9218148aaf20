"""Logs in files of their own, and what logrotate does to them."""

from __future__ import annotations

import json
import signal
import socket
import subprocess

import pytest

from concurrency import Traffic, eventually
from gateway import clean_environment
from reloading import answered_by, reconfigure, reload
from settings import configuration, deployment

UNWATCHED = {"reload_on_change": False}


def logging_to(file):
    return {"access_log": {"file": str(file)}, **UNWATCHED}


def ids_in(*files):
    return [json.loads(line)["request_id"] for file in files for line in file.open()]


def reopen(running):
    running.process.send_signal(signal.SIGUSR1)


@pytest.fixture
def access(tmp_path):
    return tmp_path / "access.log"


def test_the_access_log_goes_to_its_file(gateway, upstream, access):
    access.write_text('{"request_id": "before"}\n')
    running = gateway(deployment(upstream()), spillway=logging_to(access))
    running.chat(headers=[("x-request-id", "one")])
    running.stop()
    assert ids_in(access) == ["before", "one"], "it is appended to"
    assert running.stdout.text == ""


def test_the_programs_own_log_goes_to_its_file(gateway, upstream, tmp_path):
    log = tmp_path / "own.log"
    running = gateway(deployment(upstream()), arguments=("--log-file", str(log)))
    running.stop()
    assert "draining" in log.read_text()
    assert "draining" not in running.stderr.text
    assert "listening on" in running.stderr.text, "whoever starts it sees how it starts"


def test_no_line_is_lost_when_the_files_are_rotated(gateway, upstream, access, tmp_path):
    log = tmp_path / "own.log"
    running = gateway(
        deployment(upstream()), spillway=logging_to(access), arguments=("--log-file", str(log))
    )
    rotated = []
    with Traffic(lambda: running.chat().header("x-request-id"), 3) as traffic:
        for turn in range(5):
            rotated.append(access.with_name(f"access.log.{turn}"))
            access.rename(rotated[-1])
            log.rename(log.with_name(f"own.log.{turn}"))
            reopen(running)
            eventually(lambda: access.exists() and access.stat().st_size > 0)
            eventually(lambda: "opened again" in log.read_text() if log.exists() else False)
    running.stop()
    assert not traffic.failures
    assert sorted(ids_in(*rotated, access)) == sorted(traffic.answers)
    assert ids_in(access), "the last ones are in the new file"


@pytest.fixture
def run(binary, upstream, tmp_path):
    """Runs the program with an access log at `file` until it ends."""

    def run(*arguments, file=""):
        config = configuration(deployment(upstream()), spillway=logging_to(file))
        (tmp_path / "config.yaml").write_text(json.dumps(config))
        return subprocess.run(
            [binary, *map(str, arguments), "--config", tmp_path / "config.yaml"],
            env=clean_environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    return run


def test_a_file_that_cannot_be_opened_stops_the_start(run, tmp_path):
    nowhere = tmp_path / "no" / "such" / "folder.log"
    told = run("--listen", "127.0.0.1:0", "--log-file", nowhere, file=nowhere)
    assert told.returncode == 1
    for setting in ("spillway.access_log.file", "--log-file"):
        assert f"{setting}: {nowhere}: No such file or directory" in told.stderr


def test_check_says_which_log_file_could_not_be_opened_and_where_it_is_named(run, tmp_path):
    for file, wrong in (
        (tmp_path / "no" / "access.log", "No such file or directory"),
        (tmp_path / "config.yaml" / "access.log", "Not a directory"),
        (tmp_path, "Is a directory"),
    ):
        told = run("check", file=file)
        assert told.returncode == 1
        place = f"{tmp_path}/config.yaml:1:"
        assert told.stderr.startswith(place), told.stderr
        assert told.stderr.endswith(f": spillway.access_log.file: {file}: {wrong}\n")


def test_check_leaves_log_files_as_they_are(run, access):
    assert run("check", file=access).returncode == 0
    assert not access.exists(), "it would be made by a start only"
    access.write_text("a line\n")
    assert run("check", file=access).returncode == 0
    assert access.read_text() == "a line\n"


def test_what_keeps_the_program_from_starting_is_in_its_log_as_well(run, tmp_path):
    log = tmp_path / "own.log"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        told = run("--log-file", log, "--listen", address)
    assert told.returncode == 1 and "in use" in told.stderr
    assert told.stderr.splitlines()[-1] in log.read_text()
    told = run("--log-file", log, "--listen", "nowhere", file=tmp_path / "no" / "access.log")
    assert "--listen: must be HOST:PORT" in told.stderr
    assert " error --listen: must be HOST:PORT" in log.read_text()
    told = run("--log-file", log, file=tmp_path / "no" / "access.log")
    assert "access.log: No such file or directory" in log.read_text()


@pytest.mark.row("S11")
def test_a_file_that_cannot_be_opened_again_goes_on_as_it_was(gateway, upstream, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    running = gateway(deployment(upstream()), spillway=logging_to(folder / "access.log"))
    folder.rename(tmp_path / "moved")
    reopen(running)
    running.wait_for_message("SIGUSR1: the log goes on as it was")
    running.chat(headers=[("x-request-id", "one")])
    eventually(lambda: ids_in(tmp_path / "moved" / "access.log") == ["one"])
    folder.mkdir()
    reopen(running)
    running.wait_for_message("log files were opened again")
    assert running.stderr.text.count("SIGUSR1") == 2, "it succeeds or fails, not both"


def test_a_reload_may_name_another_file(gateway, upstream, access):
    served = upstream()
    running = gateway(deployment(served), spillway=logging_to(access))
    other = access.with_name("other.log")
    reload(running, deployment(served, "new"), spillway=logging_to(other))
    running.chat("new", headers=[("x-request-id", "two")])
    eventually(lambda: "two" in ids_in(other))
    reload(running, deployment(served, "newer"), spillway=UNWATCHED)
    running.chat("newer", headers=[("x-request-id", "three")])
    running.wait_for_log(lambda line: line["request_id"] == "three")


def test_a_reload_that_names_a_file_that_cannot_be_opened_changes_nothing(
    gateway, upstream, access
):
    served = upstream()
    running = gateway(deployment(served, id="old"), spillway=logging_to(access))
    nowhere = access / "not-a-folder.log"
    reconfigure(running, deployment(served, id="new"), spillway=logging_to(nowhere))
    running.process.send_signal(signal.SIGHUP)
    running.wait_for_message(f"spillway.access_log.file: {nowhere}: Not a directory")
    assert answered_by(running) == "old"
    eventually(lambda: ids_in(access))
