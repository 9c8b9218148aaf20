"""Another program, or the same one anew, takes over from one that runs: nobody notices."""

from __future__ import annotations

import os
import shutil
import signal
import stat

import pytest

from behaviours import stream
from canned import DONE, chat_text_events
from concurrency import Traffic, eventually
from edge import BODY, CHAT
from loop import Gate
from reloading import config_file, hang_up, reconfigure, replace
from settings import deployment
from streams import open_stream
from successors import adopt_orphans, wait_for_exit
from wire import request_bytes

UNWATCHED = {"reload_on_change": False}


class KeptAlive:
    """A client that keeps its connection as long as it is let."""

    def __init__(self, running):
        self.running = running
        self.client = running.connect()

    def __call__(self):
        self.client.send(request_bytes("POST", CHAT, BODY))
        answer = self.client.read_response()
        assert answer.status == 200 and answer.complete, answer
        if answer.header("connection") == "close":
            self.client.close()
            self.client = self.running.connect()


@pytest.mark.row("S3")
def test_no_request_fails_while_one_process_after_another_takes_over(gateway, upstream, upgrade):
    served = upstream()
    running = gateway(deployment(served))

    def plain():
        response = running.chat()
        assert response.status == 200, response

    def streamed():
        response = running.chat(stream=True)
        assert response.status == 200 and response.body.endswith(DONE), response

    pid = running.process.pid
    kept_alive = KeptAlive(running)
    with Traffic(plain, 2) as one, Traffic(streamed, 2) as two, Traffic(kept_alive, 1) as three:
        for _ in range(3):
            pid = upgrade(running, pid)
            for traffic in (one, two, three):
                seen = len(traffic.answers)
                eventually(
                    lambda traffic=traffic, seen=seen: traffic.failures
                    or len(traffic.answers) > seen + 5
                )
        assert running.process.wait(30) == 0, "it has nothing left to do"
    for traffic in (one, two, three):
        assert traffic.answers and not traffic.failures, traffic.failures[:3]


def test_a_stream_ends_in_the_process_that_began_it(gateway, upstream, upgrade):
    gate = Gate()
    role, one, *rest = chat_text_events("one two three")
    running = gateway(deployment(upstream(stream(role, one, gate, *rest, DONE)), id="old"))
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        client.read_until(answer, one)
        reconfigure(running, deployment(upstream(), id="new"))
        upgrade(running)
        eventually(lambda: running.chat().header("x-spillway-deployment") == "new")
        running.terminate()  # as a supervisor that stops everything would
        running.wait_for_message("this process is draining already")
        gate.open()
        client.read_body(answer)
    assert answer.complete and answer.body.endswith(DONE)
    assert running.process.wait(30) == 0


def test_who_waits_to_be_accepted_is_served_by_the_successor(gateway, upstream, upgrade):
    running = gateway(deployment(upstream()), spillway={"limits": {"connections": 1}})
    with running.connect() as first, running.connect() as waiting:
        first.send(request_bytes("GET", "/health/liveliness"))
        assert first.read_response().status == 200
        waiting.send(request_bytes("POST", CHAT, BODY))
        assert waiting.silent_for(0.3), "there is room for one connection only"
        upgrade(running)
        assert waiting.read_response().status == 200


def test_the_successor_inherits_nothing_but_the_listening_socket(gateway, upstream, upgrade):
    running = gateway(deployment(upstream()))
    running.chat()  # once it serves, it has all that it needs
    before = running.open_descriptors()
    clients = [running.connect() for _ in range(20)]
    for client in clients:
        client.send(request_bytes("GET", "/health/liveliness"))
        assert client.read_response().status == 200
    pid = upgrade(running)
    eventually(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before)
    environment = open(f"/proc/{pid}/environ", "rb").read()
    assert b"LISTEN_FDS=1" in environment  # what it was started with; what it starts gets its own
    for client in clients:
        client.close()


def test_a_generated_key_is_the_successors_as_well(gateway, upstream, upgrade):
    running = gateway(deployment(upstream()), arguments=("--generate-key",))
    (line,) = [line for line in running.stderr.lines if "made one for this run" in line]
    upgrade(running)
    assert running.get("/v1/models", key=line.split()[-1]).status == 200
    assert running.get("/v1/models").status == 401
    assert running.process.wait(30) == 0
    assert running.get("/v1/models", key=line.split()[-1]).status == 200


def test_a_generated_key_that_a_reload_retired_stays_retired(gateway, upstream, upgrade):
    served = upstream()
    running = gateway(deployment(served), arguments=("--generate-key",), spillway=UNWATCHED)
    (line,) = [line for line in running.stderr.lines if "made one for this run" in line]
    keys = [{"name": "own", "key": "sk-own-key-1"}]
    reconfigure(running, deployment(served), spillway={**UNWATCHED, "keys": keys})
    hang_up(running)
    eventually(lambda: running.get("/v1/models", key="sk-own-key-1").status == 200)
    upgrade(running)
    assert running.get("/v1/models", key="sk-own-key-1").status == 200
    assert running.get("/v1/models", key=line.split()[-1]).status == 401


# --- a successor that is of no use ----------------------------------------------------------------


@pytest.fixture
def installed(binary, tmp_path, gateway, upstream):
    """A gateway whose program is a file that can be replaced."""
    program = tmp_path / "bin" / "spillway"
    program.parent.mkdir()
    shutil.copy(binary, program)
    gateway.binary = str(program)
    running = gateway(deployment(upstream()), spillway=UNWATCHED)
    running.program = program
    return running


def assert_goes_on(running, why):
    """Asks for a successor, of which nothing comes, and nobody notices."""
    running.process.send_signal(signal.SIGUSR2)
    running.wait_for_message(f"this process goes on, the new one does not serve: {why}")
    assert running.chat().status == 200


def install(running, script):
    beside = running.program.with_name("new")
    beside.write_text(script)
    beside.chmod(beside.stat().st_mode | stat.S_IXUSR)
    os.replace(beside, running.program)


def test_a_broken_configuration_keeps_the_old_process(installed):
    replace(config_file(installed), "model_lst: []\n")
    assert_goes_on(installed, "it ended with exit code 1")
    assert "did you mean" in installed.stderr.text, "the new one says what is wrong"


def test_a_program_that_has_gone_keeps_the_old_process(installed):
    installed.program.unlink()
    assert_goes_on(installed, "the program cannot be started")


def test_a_program_that_crashes_keeps_the_old_process_and_a_better_one_can_follow(
    installed, binary, upgrade
):
    install(installed, "#!/bin/sh\nkill -9 $$\n")
    assert_goes_on(installed, "it was ended by signal 9")
    os.replace(shutil.copy(binary, installed.program.with_name("new")), installed.program)
    upgrade(installed)
    assert installed.process.wait(30) == 0
    assert installed.chat().status == 200


def test_a_signal_to_stop_ends_a_successor_that_is_not_ready(installed):
    pid_file = installed.program.with_name("pid")
    install(installed, f"#!/bin/sh\necho $$ > {pid_file}\nexec sleep 600\n")
    adopt_orphans()
    installed.process.send_signal(signal.SIGUSR2)
    pid = int(eventually(lambda: pid_file.exists() and pid_file.read_text()))
    installed.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_second_request_to_replace_changes_nothing(installed):
    install(installed, "#!/bin/sh\nexec sleep 600\n")
    installed.process.send_signal(signal.SIGUSR2)
    installed.wait_for_message("starting the program anew")
    installed.process.send_signal(signal.SIGUSR2)
    installed.wait_for_message("is being started already")
    assert installed.chat().status == 200


def test_a_process_that_took_over_ends_well(gateway, upstream, upgrade):
    running = gateway(deployment(upstream()))
    pid = upgrade(running)
    assert running.process.wait(30) == 0
    os.kill(pid, signal.SIGTERM)
    assert wait_for_exit(pid) == 0
    upgrade.successors.clear()
    with pytest.raises(ConnectionRefusedError):
        running.connect()
