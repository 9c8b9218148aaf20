"""What the machine does to the gateway: clocks, logs, crashes, many connections, large files."""

from __future__ import annotations

import json
import os
import resource
import socket
import threading
from email.utils import parsedate_to_datetime

import pytest

from behaviours import answer, error
from concurrency import eventually, in_background
from crowd import everybody_is_answered
from edge import BODY, CHAT
from gateway import Gateway, clean_environment, is_sanitized
from interposed import Interposed
from reloading import FAILURES, answered_by, hang_up, reconfigure
from settings import configuration, deployment
from state import cooldown_seconds, in_flight, metric
from wire import request_bytes

HOUR = 3600
MIB = 1024 * 1024


@pytest.fixture
def interposed(binary, tmp_path):
    return Interposed(binary, tmp_path)


@pytest.mark.row("U4")
def test_the_next_address_of_a_name_is_tried(gateway, upstream, interposed):
    served = upstream()
    base = f"http://many.test:{served.port}/v1"  # nobody listens on the first of its addresses
    running = gateway(deployment(None, api_base=base), env=interposed.environment)
    for _ in range(3):
        answer = running.chat()
        assert (answer.status, answer.header("x-spillway-attempts")) == (200, "1")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "closed"])
def test_sockets_with_little_room_get_everything_in_the_end(
    gateway, upstream, interposed, stream, kept
):
    running = gateway(
        deployment(upstream()), spillway={"threads": 1}, env=interposed.environment
    )
    whole = running.chat(text="x", stream=stream).body
    interposed.cramp()
    answers = everybody_is_answered(running, stream, kept)
    assert {(answer.status, answer.body) for answer in answers} == {(200, whole)}


@pytest.mark.row("S10")
@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "backward"])
def test_a_clock_that_jumps_moves_the_date_and_nothing_else(gateway, upstream, interposed, jump):
    limited = upstream(default=error(429, headers={"retry-after": "200"}))
    running = gateway(
        deployment(limited, id="limited", order=1),
        deployment(upstream(), order=2),
        spillway={"timeouts": {"keepalive": "20s", "head": "20s"}},
        env=interposed.environment,
    )
    with running.connect() as kept:
        kept.send(request_bytes("POST", CHAT, BODY))
        before = parsedate_to_datetime(kept.read_response("POST").header("date"))
        interposed.jump(jump)
        kept.send(request_bytes("POST", CHAT, BODY))
        answer = kept.read_response("POST")
    assert answer.status == 200
    moved = (parsedate_to_datetime(answer.header("date")) - before).total_seconds()
    assert abs(moved - jump) < 30
    assert 180 < cooldown_seconds(running, "limited") <= 220 and limited.count == 1


@pytest.mark.row("S21")
def test_a_worker_that_hangs_is_told_and_gets_no_new_clients(gateway, upstream, interposed):
    running = gateway(deployment(upstream()), env=interposed.environment)
    interposed.hang()
    running.wait_for_message("1 of 2 workers do not come back to their event loops")
    for _ in range(20):
        assert running.chat().status == 200
    assert metric(running, "spillway_stuck_workers") == 1
    interposed.resume()
    running.wait_for_message("a worker is back, 0 of 2 are not")
    assert metric(running, "spillway_stuck_workers") == 0


@pytest.mark.row("S9")
@pytest.mark.parametrize("expecting", [False, True], ids=["at once", "with 100-continue"])
def test_memory_that_cannot_be_had_is_a_503_for_one_request(
    gateway, upstream, interposed, expecting
):
    served = upstream()
    running = gateway(deployment(served), env=interposed.environment)
    interposed.starve(2 * MIB)
    content = "x" * 24 * MIB
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()
    fields = {"Expect": "100-continue"} if expecting else {}
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, body, fields).removesuffix(body))
        if expecting:
            assert client.line() == b"HTTP/1.1 100 Continue" and client.line() == b""
        client.send(body[: 3 * MIB // 2])  # the first MiB is taken before room is made for the rest
        refused = client.read_response("POST")
        assert (refused.status, refused.error["code"]) == (503, "over_capacity")
        assert refused.header("retry-after") == "1"
        assert running.chat().status == 200, "there is enough for others"
    running.wait_for_log(lambda entry: entry["status"] == 503)
    (line,) = [line for line in running.access_log() if line["status"] == 503]
    assert (line["path"], line["detail"]) == (CHAT, "out of memory")
    interposed.starve(0)
    assert running.post(CHAT, body).status == 200, "and again for it"
    assert served.count == 2


@pytest.mark.row("S9")
def test_memory_that_cannot_be_had_for_an_answer_is_a_503(gateway, upstream, interposed):
    served = upstream(answer(text="x" * 7 * MIB))
    running = gateway(deployment(served, id="one"), env=interposed.environment)
    interposed.starve(2 * MIB)
    assert running.chat().status == 503
    assert in_flight(running, "one") == 0
    assert running.chat().status == 200


@pytest.mark.row("S14")
def test_a_database_that_is_not_there_is_named_and_not_waited_for(gateway, upstream):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # a port at which nobody listens
        url = f"postgresql://user:pass-word@127.0.0.1:{nobody.getsockname()[1]}/litellm"
        general = {"database_url": url, "master_key": "sk-master"}
        running = gateway(deployment(upstream()), general=general)
        assert "general_settings.database_url: is not supported yet" in running.stderr.text
        assert "pass-word" not in running.stderr.text
        assert running.get("/v1/models", key="sk-master").status == 200
        assert running.get("/v1/models", key="sk-of-the-database").status == 401


@pytest.mark.row("S26")
def test_a_malformed_price_keeps_the_prices_before(gateway, upstream):
    cheap, dear = upstream(), upstream()

    def priced(price):
        return (
            deployment(cheap, id="cheap", input_cost_per_token=price),
            deployment(dear, id="dear", input_cost_per_token=0.002),
            deployment(upstream(), id="unknown"),
        )

    sections = {
        "router": {"routing_strategy": "cost-based-routing"},
        "spillway": {"reload_on_change": False},
    }
    running = gateway(*priced(0.001), **sections)
    assert answered_by(running) == "cheap", "an unknown price is no low one"
    for malformed in ("a little", -1, "1e400"):
        reconfigure(running, *priced(malformed), **sections)
        before = metric(running, FAILURES)
        hang_up(running)
        eventually(lambda before=before: metric(running, FAILURES) > before)
        assert answered_by(running) == "cheap"
    assert "model_list[0].litellm_params.input_cost_per_token: " in running.stderr.text


@pytest.mark.row("S13")
def test_after_a_kill_the_next_start_serves_at_once(gateway, upstream):
    served = upstream()
    first = gateway(deployment(served))
    calls = [in_background(first.chat) for _ in range(10)]
    served.wait_for_requests(1)
    first.kill()
    for call in calls:
        call.exception(20)  # whatever became of them
    second = gateway(deployment(served), listen=f"127.0.0.1:{first.port}")
    assert second.chat().status == 200


@pytest.mark.row("S19")
def test_idle_connections_cost_little_and_disturb_nobody(binary, gateway, upstream):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 1000
    wanted = 4 * count
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip("too few descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    idle = []
    try:
        running = gateway(deployment(upstream()), spillway={"limits": {"connections": 2 * count}})
        for _ in range(20):
            assert running.chat().status == 200
        before = running.resident_bytes()
        for _ in range(count):
            idle.append(running.connect())
            idle[-1].send(request_bytes("GET", "/health/liveliness"))
            assert idle[-1].read_response().status == 200
        assert running.chat().status == 200
        grown = (running.resident_bytes() - before) / count
        assert grown < (128 if is_sanitized(binary) else 16) * 1024
    finally:
        for client in idle:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def started_with_output(binary, tmp_path, upstream, output):
    """A gateway whose access log goes to a file of ours."""
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(configuration(deployment(upstream()))))
    script = f'exec "$0" "$@" >{output}'
    command = [binary, "serve", "--config", str(config), "--listen", "127.0.0.1:0"]
    return Gateway("sh", ["-c", script, *command], clean_environment(), tmp_path)


@pytest.mark.row("S11")
def test_a_full_disk_costs_log_lines_and_no_request(binary, tmp_path, upstream):
    running = started_with_output(binary, tmp_path, upstream, "/dev/full")
    try:
        assert {running.chat().status for _ in range(50)} == {200}
    finally:
        running.stop()


@pytest.mark.row("S22")
def test_a_log_that_nobody_reads_costs_its_lines_and_no_request(binary, tmp_path, upstream):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)  # a reader, who does not read
    running = started_with_output(binary, tmp_path, upstream, pipe)
    try:
        count = 6000  # more than the pipe and the queue before it hold
        with running.connect() as client:
            sending = threading.Thread(
                target=client.send, args=(request_bytes("GET", "/nowhere") * count,)
            )
            sending.start()
            for _ in range(count):
                assert client.read_response().status == 404
            sending.join()
        assert running.chat().status == 200
        assert metric(running, "spillway_dropped_log_lines_total") > 0
    finally:
        running.stop()
        os.close(held)


@pytest.mark.row("S23")
def test_ten_thousand_models_are_served(binary, gateway, upstream):
    served = upstream()
    count = 2_000 if is_sanitized(binary) else 10_000
    running = gateway(*[deployment(served, f"model-{n}", id=f"d-{n}") for n in range(count)])
    for number in (0, count // 2, count - 1):
        answer = running.chat(f"model-{number}")
        assert (answer.status, answer.header("x-spillway-deployment")) == (200, f"d-{number}")
    assert running.chat(f"model-{count}").status == 404
    assert len(running.get("/v1/models").json()["data"]) == count
