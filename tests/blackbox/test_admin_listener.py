"""The pages for operators on a listener of their own: what it answers, and that nothing which
happens to callers keeps it from answering."""

from __future__ import annotations

import os
import re
import socket
import subprocess

import pytest

from behaviours import stream
from canned import DONE, chat_text_events
from concurrency import eventually
from edge import BODY, CHAT
from gateway import clean_environment
from loop import Gate
from reloading import hang_up, reconfigure
from settings import configuration, deployment
from streams import open_stream
from tls import TlsGatewayFactory, client_context
from wire import Client, request_bytes

ADMIN = {"admin": {"listen": "127.0.0.1:0"}}
PAGES = ("/metrics", "/health", "/router/state", "/router/explain?model=m")
PROBES = ("/health/liveliness", "/health/liveness", "/health/readiness")
CONNECTIONS = 64  # that the admin listener serves at once


def admin_port(running):
    (port,) = re.findall(r", admin on https?://\S+:(\d+)", running.stderr.text)
    return int(port)


def ask(port, target, tls=None, **fields):
    with Client(port, tls=tls) as client:
        client.send(request_bytes("GET", target, headers={"Connection": "close", **fields}))
        return client.read_response()


def ask_admin(running, target, **fields):
    return ask(admin_port(running), target, running.tls, **fields)


@pytest.fixture(scope="module")
def apart(module_gateway, module_upstream):
    """A gateway with an admin listener."""
    return module_gateway(deployment(module_upstream()), spillway=ADMIN)


# --- what is where --------------------------------------------------------------------------------


@pytest.mark.parametrize("target", PAGES)
def test_pages_for_operators_are_on_the_admin_listener_only(apart, target):
    assert ask_admin(apart, target).status == 200
    assert apart.get(target).status == 404
    assert apart.get("/v1" + target).status == 404


@pytest.mark.parametrize("target", PROBES)
def test_probes_are_answered_on_both(apart, target):
    assert ask_admin(apart, target).status == 200
    assert apart.get(target).status == 200


def test_models_are_served_on_the_main_listener_only(apart):
    assert apart.chat().status == 200
    assert apart.get("/v1/models").status == 200
    for target in ("/v1/models", "/models", "/v1/health/readiness", "/v1/metrics"):
        answer = ask_admin(apart, target)
        assert answer.status == 404 and answer.error["code"] is None
    with Client(admin_port(apart)) as client:
        client.send(request_bytes("POST", CHAT, BODY))
        assert client.read_response("POST").status == 404


def test_the_admin_pages_tell_of_the_callers(apart):
    def answered():
        lines = ask_admin(apart, "/metrics").body.decode().splitlines()
        counts = [line for line in lines if line.startswith("spillway_requests_total{")]
        return sum(int(line.rsplit(" ", 1)[1]) for line in counts)

    before = answered()
    assert apart.chat().status == 200
    eventually(lambda: answered() == before + 1)  # another thread serves the pages


def test_without_an_admin_listener_everything_is_on_one(scene):
    for target in (*PAGES, *PROBES, "/v1/models"):
        assert scene.get(target).status == 200
    assert "admin on" not in scene.stderr.text


def test_the_pages_want_the_keys_that_they_wanted_before(gateway, upstream):
    keys = [{"name": "one", "key": "sk-one"}]
    running = gateway(deployment(upstream()), spillway={**ADMIN, "keys": keys})
    for target in PAGES:
        assert ask_admin(running, target).status == 401
        assert ask_admin(running, target, Authorization="Bearer sk-one").status == 200
        assert running.get(target, key="sk-one").status == 404
    for target in PROBES:
        assert ask_admin(running, target).status == 200


@pytest.mark.row("X9")
def test_an_admin_listener_that_others_reach_wants_a_key(binary, gateway, upstream, tmp_path):
    own = {"admin": {"listen": "0.0.0.0:0"}}
    file = gateway.write(tmp_path, configuration(deployment(upstream()), spillway=own))
    ran = subprocess.run(
        [binary, "serve", "--config", str(file)],
        capture_output=True, text=True, env=clean_environment(), timeout=30,
    )  # fmt: skip
    assert ran.returncode == 1
    assert "spillway.admin.listen: listening on 0.0.0.0 without a key" in ran.stderr


def test_both_listeners_speak_tls(binary, tmp_path, certificates, upstream):
    factory = TlsGatewayFactory(binary, tmp_path, certificates)
    running = factory(deployment(upstream()), spillway=ADMIN)
    trusting = client_context(certificates)
    assert ask(admin_port(running), "/metrics", trusting).status == 200
    assert ask(admin_port(running), "/metrics").status == 400, "plain text"
    factory.stop()


# --- floods ---------------------------------------------------------------------------------------


@pytest.mark.row("C24")
def test_a_flood_of_callers_does_not_keep_the_admin_listener_from_answering(gateway, upstream):
    own = {**ADMIN, "limits": {"connections": 4}}
    running = gateway(deployment(upstream()), spillway=own)
    clients = [running.connect() for _ in range(50)]
    for client in clients:
        client.send(request_bytes("GET", "/health/liveliness"))
    for client in clients[:4]:
        assert client.read_response().status == 200
    assert clients[-1].silent_for(0.3), "there is no room for it"
    assert ask_admin(running, "/metrics").status == 200
    assert ask_admin(running, "/health/readiness").status == 200
    for client in clients:
        client.close()


@pytest.mark.row("C24")
def test_a_flood_of_the_admin_listener_is_bounded_and_reaches_no_caller(gateway, upstream):
    running = gateway(deployment(upstream()), spillway=ADMIN)
    port = admin_port(running)
    before = running.open_descriptors()
    flood = [Client(port) for _ in range(CONNECTIONS + 10)]
    for client in flood:
        client.send(request_bytes("GET", "/health/liveliness"))
    for client in flood:
        assert client.read_response().status == 200
        assert running.open_descriptors() <= before + CONNECTIONS
    assert running.chat().status == 200
    for client in flood:
        client.close()


SILENCE = {
    "nothing": b"",
    "half a head": b"GET /metrics HTT",
    "half a body": b"GET /health/liveliness HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
    "one request": request_bytes("GET", "/health/liveliness"),
}


@pytest.mark.row("C24")
@pytest.mark.parametrize("sent", SILENCE.values(), ids=SILENCE)
def test_who_holds_all_admin_connections_makes_room_for_operators(gateway, upstream, sent):
    keys = [{"name": "one", "key": "sk-one"}]
    own = {**ADMIN, "keys": keys, "timeouts": {"head": "60s"}}
    running = gateway(deployment(upstream()), spillway=own)
    before = running.open_descriptors()
    holders = [Client(admin_port(running)) for _ in range(CONNECTIONS)]
    for client in holders:
        client.send(sent)
    eventually(lambda: running.open_descriptors() == before + CONNECTIONS)
    assert ask_admin(running, "/metrics", Authorization="Bearer sk-one").status == 200
    assert ask_admin(running, "/health/readiness").status == 200
    for client in holders:
        client.close()


@pytest.mark.row("C24")
def test_who_has_asked_last_keeps_an_admin_connection(gateway, upstream):
    running = gateway(deployment(upstream()), spillway=ADMIN)
    holders = [Client(admin_port(running)) for _ in range(CONNECTIONS)]
    for client in [*holders, holders[0]]:
        client.send(request_bytes("GET", "/health/liveliness"))
        assert client.read_response().status == 200
    assert ask_admin(running, "/metrics").status == 200
    assert holders[1].closed_by_gateway()
    holders[0].send(request_bytes("GET", "/metrics"))
    assert holders[0].read_response().status == 200
    for client in holders:
        client.close()


# --- life -----------------------------------------------------------------------------------------


@pytest.mark.row("S1")
def test_while_callers_are_drained_the_admin_listener_answers(gateway, upstream):
    gate = Gate()
    role, one, *rest = chat_text_events("one two three")
    running = gateway(
        deployment(upstream(stream(role, one, gate, *rest, DONE))),
        spillway={**ADMIN, "timeouts": {"drain": "20s"}},
    )
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        client.read_until(answer, one)
        running.terminate()
        running.wait_for_message("draining: no new connections")
        assert ask_admin(running, "/health/readiness").status == 503
        assert ask_admin(running, "/health/liveliness").status == 200
        metrics = ask_admin(running, "/metrics")
        assert metrics.status == 200 and metrics.header("connection") == "close"
        with pytest.raises(ConnectionRefusedError):
            running.connect()
        gate.open()
        client.read_body(answer)
        assert answer.complete and answer.body.endswith(DONE)
    assert running.process.wait(30) == 0


def test_an_idle_admin_connection_does_not_hold_up_the_end(gateway, upstream):
    running = gateway(deployment(upstream()), spillway=ADMIN)
    with Client(admin_port(running)) as silent, Client(admin_port(running)) as kept:
        kept.send(request_bytes("GET", "/metrics"))
        assert kept.read_response().status == 200
        running.stop()
        assert silent.closed_by_gateway() and kept.closed_by_gateway()


def test_another_admin_address_takes_a_start(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served), spillway={**ADMIN, "reload_on_change": False})
    port = admin_port(running)
    for other in ({"listen": "127.0.0.1:1"}, None):
        own = {"reload_on_change": False, **({"admin": other} if other else {})}
        reconfigure(running, deployment(served, id="reloaded"), spillway=own)
        hang_up(running)
        eventually(lambda: b'"reloaded"' in ask(port, "/router/state").body)
        running.wait_for_message(
            "spillway.admin.listen has changed and takes effect with the next start only"
        )
    assert running.get("/metrics").status == 404
    assert ask(port, "/metrics").status == 200


def test_a_reload_reaches_both_listeners(gateway, upstream):
    served = upstream()
    own = {**ADMIN, "reload_on_change": False}
    running = gateway(deployment(served), spillway=own)
    reconfigure(running, deployment(served, "other", id="new"), spillway=own)
    hang_up(running)
    eventually(lambda: b'"new"' in ask_admin(running, "/router/state").body)
    eventually(lambda: running.chat("other").header("x-spillway-deployment") == "new")


def test_a_successor_takes_both_listeners_over(gateway, upstream, upgrade):
    gate = Gate()
    role, one, *rest = chat_text_events("one two three")
    running = gateway(
        deployment(upstream(stream(role, one, gate, *rest, DONE))),
        spillway={**ADMIN, "timeouts": {"drain": "20s"}},
    )
    port = admin_port(running)
    with running.connect() as client, Client(port) as kept:
        kept.send(request_bytes("GET", "/metrics"))
        assert kept.read_response().status == 200
        answer = open_stream(running, client).read_head()
        client.read_until(answer, one)
        pid = upgrade(running)
        page = ask(port, "/metrics")
        assert page.status == 200
        assert b"spillway_requests_total{" not in page.body, "the new process has served nobody yet"
        assert running.chat().status == 200
        running.wait_for_message("draining: no new connections")
        assert kept.closed_by_gateway()
        gate.open()
        client.read_body(answer)
        assert answer.complete and answer.body.endswith(DONE)
    assert running.process.wait(30) == 0
    assert upgrade(running, pid) != pid, "and so does the next"
    assert ask(port, "/metrics").status == 200 and running.chat().status == 200


# --- sockets that are handed over -----------------------------------------------------------------


@pytest.fixture
def activate(binary, upstream, tmp_path, gateway, monkeypatch):
    """Starts a gateway with listening sockets, as systemd does."""
    start_process = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **k: start_process(*a, **{"close_fds": False, **k})
    )

    def start(names, *sockets, **own):
        config = configuration(deployment(upstream()), spillway=own)
        file = gateway.write(tmp_path, config)
        numbers = [made.fileno() for made in sockets]
        for number in numbers:
            os.set_inheritable(number, True)
        moves = " ".join(f"{3 + i}<&{number} {number}<&-" for i, number in enumerate(numbers))
        count = f"export LISTEN_FDS={len(numbers)} LISTEN_PID=$$ LISTEN_FDNAMES={names}"
        command = ["-c", f'{count}; exec "$@" {moves}', "bash", binary, "serve"]
        gateway.binary = "/bin/bash"
        return gateway.start([*command, "--config", str(file)], folder=tmp_path)

    return start


def listening():
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen(16)
    return made


@pytest.mark.parametrize("names", ["http:admin", "admin:spillway.socket", "admin"])
def test_names_tell_which_socket_is_the_admin_listeners(activate, names):
    with listening() as first, listening() as second:
        admin, main = (first, second) if names.startswith("admin") else (second, first)
        running = activate(names, first, second, **ADMIN)
        assert admin_port(running) == admin.getsockname()[1]
        assert running.port == main.getsockname()[1]
    assert ask_admin(running, "/metrics").status == 200
    assert running.chat().status == 200


def test_an_admin_listener_of_its_own_beside_a_socket_that_was_handed_over(activate):
    with listening() as given:
        running = activate("spillway.socket", given, **ADMIN)
        assert running.port == given.getsockname()[1]
    assert ask_admin(running, "/metrics").status == 200


def test_an_admin_socket_without_an_admin_listener_is_not_used(activate):
    with listening() as first, listening() as second:
        running = activate("http:admin", first, second)
        running.wait_for_message("a listening socket for spillway.admin is not used")
        assert running.port == first.getsockname()[1]
        port = second.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        Client(port)
    assert running.get("/metrics").status == 200
