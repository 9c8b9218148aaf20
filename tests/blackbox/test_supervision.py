"""What systemd hands to the gateway and hears from it: sockets, and how it is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess

import pytest

from behaviours import stream
from canned import chat_text_events
from concurrency import eventually
from gateway import Gateway, clean_environment
from interposed import Interposed
from reloading import config_file, hang_up, reconfigure, replace
from settings import configuration, deployment
from streams import open_stream
from successors import Upgrades, adopt_orphans
from wire import Client

UNWATCHED = {"reload_on_change": False}
SECONDS = 10.0


class Supervisor:
    """Listens where NOTIFY_SOCKET says."""

    def __init__(self, name: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(SECONDS)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.environment = {"NOTIFY_SOCKET": name}

    def hears(self) -> str:
        return self.socket.recv(4096).decode()


@pytest.fixture(params=["a path", "an abstract name"])
def supervisor(request, tmp_path):
    abstract = f"@spillway-{os.getpid()}-{tmp_path.name}"
    made = Supervisor(str(tmp_path / "notify") if request.param == "a path" else abstract)
    yield made
    made.socket.close()


# --- what it says ---------------------------------------------------------------------------------


def test_it_says_when_it_is_ready_reloads_and_stops(gateway, upstream, supervisor):
    served = upstream()
    running = gateway(deployment(served), spillway=UNWATCHED, env=supervisor.environment)
    assert supervisor.hears() == "READY=1"
    assert running.chat().status == 200
    hang_up(running)
    reloading, when = supervisor.hears().split("\n")
    assert reloading == "RELOADING=1"
    assert 0 < int(when.removeprefix("MONOTONIC_USEC="))
    assert supervisor.hears() == "READY=1"
    replace(config_file(running), "model_list: [\n")
    hang_up(running)
    assert supervisor.hears().startswith("RELOADING=1")
    assert supervisor.hears() == "READY=1", "the old configuration is in use"
    running.stop()
    assert supervisor.hears() == "STOPPING=1"


def test_it_says_which_process_took_over(gateway, upstream, tmp_path):
    supervisor = Supervisor(str(tmp_path / "notify"))
    running = gateway(deployment(upstream()), env=supervisor.environment)
    assert supervisor.hears() == "READY=1"
    adopt_orphans()
    upgrade = Upgrades()
    pid = upgrade(running)
    assert supervisor.hears() == f"MAINPID={pid}\nREADY=1"
    upgrade.stop()
    assert supervisor.hears() == "STOPPING=1", "the successor says it, the one that it replaced not"
    supervisor.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        supervisor.hears()


@pytest.mark.row("S21")
def test_it_gives_signs_of_life_while_all_of_its_workers_do(binary, gateway, upstream, tmp_path):
    supervisor = Supervisor(str(tmp_path / "notify"))
    interposed = Interposed(binary, tmp_path)
    watched = {**supervisor.environment, **interposed.environment, "WATCHDOG_USEC": "30000000"}
    running = gateway(deployment(upstream()), env=watched)
    assert supervisor.hears() == "READY=1"
    assert supervisor.hears() == "WATCHDOG=1"
    assert supervisor.hears() == "WATCHDOG=1"
    interposed.hang()
    running.wait_for_message("do not come back to their event loops")
    supervisor.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        while supervisor.hears() == "WATCHDOG=1":
            pass
    supervisor.socket.settimeout(2.5)
    with pytest.raises(TimeoutError):
        supervisor.hears()
    interposed.resume()
    supervisor.socket.settimeout(SECONDS)
    assert supervisor.hears() == "WATCHDOG=1"


# --- sockets that are handed over -----------------------------------------------------------------


class Activated(Gateway):
    """A gateway that is started with listening sockets, as from a socket unit."""

    def __init__(self, binary, arguments, folder, *sockets, environment=None):
        numbers = [made.fileno() for made in sockets]
        moves = " ".join(f"{3 + i}<&{number} {number}<&-" for i, number in enumerate(numbers))
        script = f'export LISTEN_FDS={len(numbers)} LISTEN_PID=$$; exec "$@" {moves}'
        for number in numbers:
            os.set_inheritable(number, True)
        super().__init__(
            "/bin/bash",
            ["-c", script, "bash", binary, *arguments],
            clean_environment(environment),
            folder,
        )


@pytest.fixture(autouse=True)
def hand_over(monkeypatch):
    """subprocess closes what it is not told to keep; the sockets are told by being inheritable."""
    start = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **k: start(*a, **{"close_fds": False, **k})
    )


def listening(address="127.0.0.1", family=socket.AF_INET):
    made = socket.socket(family, socket.SOCK_STREAM)
    made.bind((address, 0))
    made.listen(16)
    return made


@pytest.fixture
def activate(binary, upstream, tmp_path, gateway):
    def start(*sockets, **sections):
        config = configuration(deployment(upstream()), **sections)
        file = gateway.write(tmp_path, config)
        made = Activated(binary, ["serve", "--config", str(file)], tmp_path, *sockets)
        gateway.started.append(made)
        return made

    return start


def test_it_serves_on_the_socket_that_it_was_given(activate):
    with listening() as given:
        port = given.getsockname()[1]
        with Client(port) as early:
            running = activate(given)
            given.close()
            assert running.port == port, "whatever spillway.listen says"
            early.send(b"GET /health/liveliness HTTP/1.1\r\nHost: x\r\n\r\n")
            assert early.read_response().status == 200, "it waited in the queue"
        assert running.chat().status == 200


def test_a_socket_that_others_reach_wants_a_key(activate):
    with listening("0.0.0.0") as given:
        with pytest.raises(AssertionError, match="without a key would let anyone spend yours"):
            activate(given)
        keyed = activate(given, spillway={"keys": [{"name": "one", "key": "sk-one"}]})
        assert keyed.get("/v1/models", key="sk-one").status == 200


def test_what_does_not_listen_is_refused(activate):
    with socket.socket() as idle, pytest.raises(AssertionError, match="does not listen for TCP"):
        activate(idle)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(AssertionError, match="does not listen for TCP"):
            activate(datagrams)


def test_one_socket_is_used_and_the_others_are_named(activate):
    with listening() as first, listening() as second:
        running = activate(first, second)
        running.wait_for_message("of several listening sockets only the first is used")
        assert running.port == first.getsockname()[1]
        other = second.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        Client(other)


def test_sockets_for_another_process_are_left_alone(gateway, upstream):
    running = gateway(
        deployment(upstream()), env={"LISTEN_FDS": "1", "LISTEN_PID": "1", "SPILLWAY_READY_FD": "0"}
    )
    assert running.chat().status == 200


# --- without a goodbye ----------------------------------------------------------------------------


@pytest.mark.row("S13")
def test_after_a_crash_its_port_and_its_files_can_be_had_at_once(gateway, upstream, tmp_path):
    role, one, *_ = chat_text_events("one two")
    served = upstream(stream(role, one, end="stall"))
    log = {"access_log": {"file": str(tmp_path / "access.log")}}
    first = gateway(deployment(served), spillway=log)
    with first.connect() as client:
        client.read_until(open_stream(first, client).read_head(), one)
        first.kill()
        again = gateway(deployment(served), spillway=log, listen=f"127.0.0.1:{first.port}")
        assert again.port == first.port
        assert again.chat().status == 200
        eventually(lambda: (tmp_path / "access.log").read_text())


def test_a_signal_during_the_start_of_traffic_is_no_crash(gateway, upstream):
    running = gateway(deployment(upstream()))
    for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP):
        running.process.send_signal(number)
    assert running.chat().status == 200


def test_reconfiguring_does_not_end_what_a_supervisor_started(activate, upstream):
    with listening() as given:
        running = activate(given)
    served = upstream()
    reconfigure(running, deployment(served, "new"))
    eventually(lambda: running.chat("new").status == 200)
