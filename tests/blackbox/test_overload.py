"""Floods: what they may hold is bounded, others are served meanwhile, and everything comes back."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import time
from pathlib import Path

import pytest

from behaviours import answer, plausible, stream
from canned import DONE, chat_chunk, sse
from concurrency import at_once, eventually, in_background
from edge import BODY, CHAT, post_head
from framing import chunk, head
from gateway import is_sanitized
from loop import Gate
from settings import deployment
from streams import ONE, ROLE, open_stream
from wire import Closed, request_bytes

MIB = 1024 * 1024
# What is freed is free: otherwise a sanitizer keeps it for a while.
NO_QUARANTINE = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=0"}


def cpu_seconds(running):
    fields = Path(f"/proc/{running.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def gauge(running, name):
    page = running.get("/metrics").body.decode()
    return float(re.search(rf"^{re.escape(name)} (\S+)$", page, re.M)[1])


# --- slow clients ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "begun",
    [b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Slow: ", post_head("Content-Length: 9999")],
    ids=["heads", "bodies"],
)
@pytest.mark.row("C15", "C16")
def test_clients_that_send_byte_by_byte_hold_nobody_up_and_are_sent_away(gateway, upstream, begun):
    served = upstream()
    running = gateway(
        deployment(served), spillway={"timeouts": {"head": "700ms", "body": "700ms"}}
    )
    slow = [running.connect() for _ in range(200)]
    for client in slow:
        client.send(begun)
    waiting, answers = set(slow), []
    while waiting:
        assert running.chat().status == 200
        for client in list(waiting):
            try:
                client.send(b"x")
                if not client.silent_for(0.0001):
                    waiting.discard(client)
                    answers.append(client.read_response("POST"))
                    client.close()
            except (Closed, OSError):
                waiting.discard(client)
    assert {response.status for response in answers} == {408}
    assert all(b'"x' not in request.body for request in served.requests)


# --- slow providers -------------------------------------------------------------------------------


def trickle(data, pause=0.02):
    """Sends what it has byte by byte, for as long as somebody is there."""

    async def behaviour(exchange):
        for byte in data:
            await exchange.send(bytes([byte]))
            await asyncio.sleep(pause)
        await exchange.until_left()

    return behaviour


@pytest.mark.parametrize(
    "data",
    [
        head(200, [("Content-Type", "application/json")] + [("X-Long", "x" * 5000)]),
        head(200, [("Content-Type", "application/json"), ("Content-Length", "9000")])
        + b"{" * 9000,
    ],
    ids=["head", "body"],
)
@pytest.mark.row("U39")
def test_a_provider_that_trickles_its_answer_is_left_when_its_time_is_over(
    gateway, upstream, data
):
    slow = upstream(default=trickle(data))
    running = gateway(
        deployment(slow, id="slow", order=1, timeout=0.7),
        deployment(upstream(), id="quick", order=2),
    )
    told = running.chat()
    assert told.status == 200 and told.header("x-spillway-deployment") == "quick"
    assert "slow=timeout" in told.header("x-spillway-attempt-history")
    slow.wait_for_disconnect()


@pytest.mark.row("U9")
def test_an_endless_head_of_a_provider_is_cut_off(gateway, upstream):
    async def endless(exchange):
        await exchange.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await exchange.send(b"X-More: " + b"x" * 1000 + b"\r\n")

    served = upstream(default=endless)
    running = gateway(deployment(served), router={"num_retries": 0})
    assert running.chat().status == 502
    served.wait_for_disconnect()


@pytest.mark.row("U40")
def test_an_endless_plain_answer_takes_no_more_memory_than_is_held_of_one(
    gateway, upstream, memory_is_its_own
):
    piece = chunk(b" " * 65536)

    async def endless(exchange):
        fields = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, fields) + chunk(b"{"))
        while True:
            await exchange.send(piece)

    served = upstream(default=endless)
    running = gateway(deployment(served))
    before = running.resident_bytes()
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY))
        assert client.read_head().status == 200
        received = 0
        while received < 60 * MIB:
            received += len(client.read_chunk())
        assert running.resident_bytes() - before < 40 * MIB
    served.wait_for_disconnect()


def test_large_requests_do_not_weigh_on_their_streams(gateway, upstream, memory_is_its_own):
    running = gateway(deployment(upstream(default=stream(ROLE, ONE, end="stall"))))
    before = running.resident_bytes()
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 8 * MIB}], "stream": True}
    readers = [running.connect() for _ in range(8)]
    try:
        for client in readers:
            client.read_until(open_stream(running, client, body).read_head(), ONE)
        # Nobody else can be asked: once an answer has begun its request is of no use.
        assert eventually(lambda: running.resident_bytes() - before < 24 * MIB), "of 64 MB"
    finally:
        for client in readers:
            client.close()


# --- slow readers ---------------------------------------------------------------------------------


@pytest.mark.row("C18", "S20")
def test_a_thousand_readers_that_stall_hold_little_and_nobody_up(
    gateway, upstream, memory_is_its_own
):
    event = sse(chat_chunk({"content": "x" * 16_000}))
    stalling = upstream(default=stream(ROLE, ONE, *[event] * 40, DONE), send_buffer=16384)
    running = gateway(
        deployment(stalling, "stalling"),
        deployment(upstream()),
        spillway={"stream_recovery": "off"},
    )
    running.chat()
    before = running.resident_bytes()
    body = {"model": "stalling", "messages": [], "stream": True}
    readers = [running.connect(receive_buffer=4096) for _ in range(1000)]
    try:
        for client in readers:
            open_stream(running, client, body)
        stalling.wait_for_requests(1000, timeout=60)
        for client in readers:
            client.read_until(client.read_head(), ONE)
        assert running.chat().status == 200
        assert running.resident_bytes() - before < 200 * MIB, "of 640 MB"
    finally:
        for client in readers:
            client.close()
    stalling.wait_for_disconnect(timeout=60)
    assert eventually(lambda: gauge(running, "spillway_client_connections") < 10)


# --- connections and descriptors ------------------------------------------------------------------


@pytest.mark.row("C24")
def test_a_flood_of_connections_waits_outside_and_costs_nothing(gateway, upstream):
    running = gateway(deployment(upstream()), spillway={"limits": {"connections": 20}})
    inside = [running.connect() for _ in range(20)]
    for client in inside:
        client.send(request_bytes("POST", CHAT, BODY))
        assert client.read_response("POST").status == 200
    outside = [running.connect() for _ in range(300)]
    for client in outside:
        client.send(request_bytes("POST", CHAT, BODY))
    before, begun = cpu_seconds(running), time.monotonic()
    for _ in range(5):
        for client in inside:
            client.send(request_bytes("POST", CHAT, BODY))
            assert client.read_response("POST").status == 200
    assert all(client.silent_for(0.0001) for client in outside)
    assert inside[0].silent_for(1.0)
    assert cpu_seconds(running) - before < 0.7 * (time.monotonic() - begun), "it spins"
    for client in [*inside, *outside]:
        client.close()
    assert running.chat().status == 200


@pytest.mark.row("S7")
def test_without_descriptors_accepting_pauses_and_comes_back(gateway, upstream, binary):
    if is_sanitized(binary):
        pytest.skip("a sanitizer needs descriptors itself, to look whether memory can be read")
    running = gateway(deployment(upstream()))
    assert running.chat().status == 200
    kept = running.connect()
    kept.send(request_bytes("POST", CHAT, BODY))
    assert kept.read_response("POST").status == 200
    limits = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir(f"/proc/{running.process.pid}/fd"))
    resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (used + 3, limits[1]))
    flood = [running.connect() for _ in range(50)]
    before, begun = cpu_seconds(running), time.monotonic()
    assert flood[-1].silent_for(1.0)
    assert cpu_seconds(running) - before < 0.7 * (time.monotonic() - begun), "it spins"
    kept.send(request_bytes("GET", "/health/liveliness"))
    assert kept.read_response().status == 200
    resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, limits)
    for client in flood:
        client.send(request_bytes("POST", CHAT, BODY))
    assert [client.read_response("POST").status for client in flood] == [200] * 50
    kept.send(request_bytes("POST", CHAT, BODY))
    assert kept.read_response("POST").status == 200


# --- memory ---------------------------------------------------------------------------------------


@pytest.fixture
def memory_is_its_own(binary):
    """What a sanitizer keeps beside it is not the gateway's."""
    if is_sanitized(binary):
        pytest.skip("a sanitizer's memory would be measured")


@pytest.fixture
def tight(gateway, upstream, memory_is_its_own):
    """A gateway that may take so many MiB more than it takes when it has nothing to do, and a
    provider, `holding`, that reads no bodies before its gate opens."""
    gate = Gate()

    async def hold(exchange):
        exchange.pause_reading()
        await exchange.gate(gate)
        exchange.resume_reading()
        exchange.request.body = await exchange.read_body()
        await answer()(exchange)

    hold.reads_body = False

    def start(megabytes):
        idle = gateway(deployment(upstream()), env=NO_QUARANTINE)
        assert idle.chat().status == 200
        limit = idle.resident_bytes() + megabytes * MIB
        holding = upstream(default=hold)
        running = gateway(
            deployment(holding, "holding"),
            deployment(upstream()),
            spillway={"limits": {"memory": limit}},
            env=NO_QUARANTINE,
        )
        running.holding, running.gate, running.memory = holding, gate, limit
        return running

    yield start
    gate.open()


def large(megabytes):
    text = "x" * (megabytes * MIB)
    body = b'{"model":"holding","messages":[{"role":"user","content":"%s"}]}' % text.encode()
    return request_bytes("POST", CHAT, body)


@pytest.mark.row("S8")
def test_memory_that_runs_short_costs_idle_connections_first_and_new_requests_then(tight):
    running = tight(240)
    idle = running.connect()
    idle.send(request_bytes("POST", CHAT, BODY))
    assert idle.read_response("POST").header("connection") != "close"
    fresh = running.connect()
    held, request = [], large(2)

    def sheds():
        while running.resident_bytes() < 0.925 * running.memory:  # what is shed counts no more
            held.append(running.connect())
            held[-1].send(request)
            running.holding.wait_for_requests(len(held))
            assert len(held) < 300
        with running.connect() as client:
            client.send(request_bytes("GET", "/health/liveliness"))
            told = client.read_response()
            return told.status == 200 and told.header("connection") == "close"

    eventually(sheds)
    assert idle.closed_by_gateway()
    fresh.send(request_bytes("GET", "/health/liveliness"))
    assert fresh.read_response().status == 200, "one that has not asked yet is no idle one"

    refused = None
    while refused is None:
        client = running.connect()
        held.append(client)
        count = running.holding.count
        client.send(request)
        eventually(lambda: running.holding.count > count or not client.silent_for(0.01))
        if running.holding.count == count:
            refused = client.read_response("POST")
        assert len(held) < 300
    assert (refused.status, refused.error["code"]) == (503, "over_capacity")
    assert refused.header("retry-after") == "1"
    line = running.wait_for_log(lambda line: line["status"] == 503)
    assert line["detail"] == "out of memory"
    assert running.resident_bytes() < running.memory

    running.gate.open()
    for client in held[:-1]:
        assert client.read_response("POST").status == 200
        client.close()

    def recovered():
        with running.connect() as again:
            again.send(request_bytes("POST", CHAT, BODY))
            told = again.read_response("POST")
            return told.status == 200 and told.header("connection") != "close"

    eventually(recovered)


@pytest.mark.row("S8", "C12")
def test_a_flood_of_large_bodies_is_refused_before_the_memory_is_full(tight):
    running = tight(200)
    request = large(16)

    def send():
        with running.connect(timeout=5) as client:
            try:
                client.send(request)
            except OSError:
                pass  # refused while it was sending; the answer is there
            try:
                return client.read_response("POST").status
            except TimeoutError:
                return None  # held by the provider
            except (Closed, OSError):
                return 503  # it went on sending when its answer was there already

    highest = 0
    flood = [in_background(send) for _ in range(40)]
    while not all(call.done() for call in flood):
        highest = max(highest, running.resident_bytes())
    outcomes = [call.result() for call in flood]
    assert None in outcomes and 503 in outcomes and set(outcomes) == {None, 503}
    assert highest < 1.1 * running.memory
    eventually(lambda: running.chat().status == 200)


@pytest.mark.row("S8")
def test_large_answers_are_passed_on_instead_of_held_when_memory_is_short(gateway, upstream):
    gate = Gate()
    piece = b" " * 65536
    whole = b'{"object":"chat.completion","choices":[]' + piece * 64 + b"}"

    async def slow(exchange):
        fields = [("Content-Type", "application/json"), ("Content-Length", str(len(whole)))]
        await exchange.send(head(200, fields) + whole[: -1 - 64 * len(piece)])
        for _ in range(64):  # not all at once, between two looks at the memory
            await exchange.send(piece)
        exchange.mark("nearly")
        await exchange.gate(gate)
        await exchange.send(whole[-1:])

    idle = gateway(deployment(upstream()), env=NO_QUARANTINE)
    assert idle.chat().status == 200
    limit = idle.resident_bytes() + 100 * MIB
    served = upstream(default=slow, send_buffer=65536)
    running = gateway(
        deployment(served), spillway={"limits": {"memory": limit}}, env=NO_QUARANTINE
    )
    clients = [running.connect() for _ in range(60)]
    highest = 0
    for client in clients:
        client.send(request_bytes("POST", CHAT, BODY))
    readers = [in_background(lambda c=client: c.read_response("POST")) for client in clients]
    while served.marks["nearly"] < len(clients) and not all(call.done() for call in readers):
        highest = max(highest, running.resident_bytes())
    gate.open()
    answers = [call.result(30) for call in readers]
    statuses = {response.status for response in answers}
    assert 200 in statuses and statuses <= {200, 503}
    assert all(response.body == whole for response in answers if response.status == 200)
    # Between two looks at the memory more arrives; held, all would take more than twice the limit.
    assert highest < 1.8 * limit


# --- everything at once ---------------------------------------------------------------------------


def test_requests_are_answered_one_way_or_the_other_however_many_come(gateway, upstream):
    served = upstream(default=plausible())
    running = gateway(
        deployment(served),
        spillway={"limits": {"concurrent_requests": 4, "queue": 8, "queue_timeout": "200ms"}},
    )
    answers = at_once(120, running.chat)
    statuses = {response.status for response in answers}
    assert 200 in statuses and statuses <= {200, 503}
    assert served.count == sum(response.status == 200 for response in answers)
    page = running.get("/metrics").body.decode()
    assert 'spillway_requests{state="running"} 0' in page
    assert 'spillway_requests{state="waiting"} 0' in page
