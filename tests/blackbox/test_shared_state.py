"""Several gateways that share their benches through Redis; and a Redis that is of no use."""

from __future__ import annotations

import signal
import time

import pytest

from behaviours import after, error, plausible, status
from concurrency import Traffic, eventually, in_background
from loop import Gate
from redis_server import FakeRedis, url_of
from settings import deployment
from state import (
    connected,
    cooldown_seconds,
    deployment_state,
    health_state,
    metric,
    wait_until_connected,
)

# Seconds until every instance knows of a bench, and what a busy machine may add to it. Nothing but
# the message itself can bring the news: the keys are read after connecting only.
PROMISED = 0.1
SLACK = 4.0
MEMORY = 30_000  # milliseconds that a bench's key outlives it
RATE_LIMITED = {"error": {"message": "slow down", "type": "requests", "code": None}}


@pytest.fixture
def fake_redis():
    made = []

    def make(says=b""):
        made.append(FakeRedis(says))
        return made[-1]

    yield make
    for fake in made:
        fake.close()


def limited(seconds, code=429):
    return status(code, RATE_LIMITED, {"retry-after-ms": str(int(seconds * 1000))})


class Pair:
    """Two gateways with the same two deployments, the first of which is preferred."""

    def __init__(self, gateway, upstream, url, count=2, **router):
        self.first, self.second = upstream(), upstream()
        self.start = lambda: gateway(
            deployment(self.first, id="first", order=1),
            deployment(self.second, id="second", order=2),
            router={"redis_url": url, **router},
            arguments=("--log-level", "debug"),
        )
        self.gateways = [self.start() for _ in range(count)]
        self.a, self.b = self.gateways[0], self.gateways[-1]


@pytest.fixture
def pair(gateway, upstream, redis):
    server = redis()
    made = Pair(gateway, upstream, url_of(server))
    made.redis = server
    wait_until_connected(*made.gateways)
    return made


def who_answers(running):
    response = running.chat()
    assert response.status == 200, response
    return response.header("x-spillway-deployment")


# --- what instances tell each other ---------------------------------------------------------------


def test_a_429_at_one_instance_moves_the_traffic_of_all(gateway, upstream, redis):
    trio = Pair(gateway, upstream, url_of(redis()), count=3)
    wait_until_connected(*trio.gateways)
    assert [who_answers(each) for each in trio.gateways] == ["first"] * 3
    trio.first.script(limited(30))
    assert who_answers(trio.a) == "second"
    for other in trio.gateways[1:]:
        eventually(lambda other=other: health_state(other, "first") == "cooling", PROMISED + SLACK)
    called = trio.first.count
    assert [who_answers(each) for each in trio.gateways] == ["second"] * 3
    assert trio.first.count == called
    for other in trio.gateways[1:]:
        assert 25 < cooldown_seconds(other, "first") <= 30 * 1.05 * 1.05
        seen = deployment_state(other, "first")
        assert seen["cause"] == "rate_limit" and seen["named_by_upstream"]


def test_an_open_breaker_opens_everywhere(pair):
    pair.first.script(*[error(500)] * 3)
    for _ in range(3):
        assert who_answers(pair.a) == "second"
    eventually(lambda: health_state(pair.b, "first") == "breaker_open", PROMISED + SLACK)


def test_one_instance_probes_and_its_success_is_everybodys(pair):
    pair.first.script(limited(1))
    assert who_answers(pair.a) == "second"
    eventually(lambda: health_state(pair.b, "first") == "cooling", PROMISED + SLACK)
    probe = Gate()
    pair.first.always(after(probe, plausible()))
    asked = pair.first.count
    with Traffic(pair.a.chat, threads=2) as at_a:
        pair.first.wait_for_requests(asked + 1)
        eventually(lambda: deployment_state(pair.b, "first")["probing"], PROMISED + SLACK)
        assert [who_answers(pair.b) for _ in range(5)] == ["second"] * 5
        assert pair.first.count == asked + 1, "one probe among all"
        probe.open()
        eventually(lambda: health_state(pair.b, "first") == "closed", PROMISED + SLACK)
    assert not at_a.failures
    assert who_answers(pair.b) == "first"


def test_a_probe_that_fails_at_one_instance_keeps_all_away(pair):
    pair.first.script(limited(0.5), status(429, {"error": {"message": "no"}}))
    assert who_answers(pair.a) == "second"
    with Traffic(pair.a.chat, threads=1):
        pair.first.wait_for_requests(2)
        eventually(lambda: cooldown_seconds(pair.b, "first") > 5, PROMISED + SLACK)
    assert cooldown_seconds(pair.b, "first") > 5, "doubled, as at the instance that probed"


def test_an_instance_that_starts_later_knows_what_the_others_know(pair):
    pair.first.script(limited(30))
    assert who_answers(pair.a) == "second"
    eventually(pair.redis.keys)
    late = pair.start()
    wait_until_connected(late)
    assert 20 < cooldown_seconds(late, "first") <= 30 * 1.05 * 1.05
    assert who_answers(late) == "second"


def test_a_later_end_wins_over_an_earlier_one(pair):
    busy = Gate()
    pair.first.script(after(busy, limited(40)), limited(10))
    slow = in_background(pair.b.chat)
    pair.first.wait_for_requests(1)
    assert who_answers(pair.a) == "second"
    eventually(lambda: health_state(pair.b, "first") == "cooling", PROMISED + SLACK)
    busy.open()
    assert slow.result(10).status == 200
    eventually(lambda: cooldown_seconds(pair.a, "first") > 30, PROMISED + SLACK)
    assert int(pair.redis.command("PTTL", "spillway:bench:first")) > 30_000 + MEMORY


def test_a_key_outlives_its_bench_for_a_while(pair):
    pair.first.script(limited(30))
    assert who_answers(pair.a) == "second"
    eventually(lambda: pair.redis.keys() == ["spillway:bench:first"])
    left = int(pair.redis.command("PTTL", "spillway:bench:first"))
    assert 20_000 + MEMORY < left <= 31_500 + MEMORY


def test_an_instance_that_starts_later_knows_what_is_half_open(pair):
    pair.first.script(limited(0.2))
    assert who_answers(pair.a) == "second"
    eventually(lambda: health_state(pair.a, "first") == "half_open")
    late = pair.start()
    wait_until_connected(late)
    eventually(lambda: health_state(late, "first") == "half_open")
    assert who_answers(late) == "first"
    for each in (*pair.gateways, late):
        eventually(lambda each=each: health_state(each, "first") == "closed", PROMISED + SLACK)
    assert pair.redis.keys() == []


def test_an_instance_that_starts_during_a_probe_leaves_it_alone(pair):
    pair.first.script(limited(0.2))
    assert who_answers(pair.a) == "second"
    eventually(lambda: health_state(pair.a, "first") == "half_open")
    probe = Gate()
    pair.first.always(after(probe, plausible()))
    slow = in_background(pair.a.chat)
    pair.first.wait_for_requests(2)
    eventually(lambda: "spillway:probe:first" in pair.redis.keys())
    late = pair.start()
    wait_until_connected(late)
    eventually(lambda: deployment_state(late, "first")["probing"])
    assert who_answers(late) == "second"
    probe.open()
    assert slow.result(10).status == 200
    eventually(lambda: health_state(late, "first") == "closed", PROMISED + SLACK)


def test_other_databases_are_other_fleets(gateway, upstream, redis):
    server = redis()
    here = Pair(gateway, upstream, url_of(server), count=1)
    there = Pair(gateway, upstream, url_of(server)[:-1] + "1", count=1)
    neighbour = here.start()
    wait_until_connected(here.a, there.a, neighbour)
    here.first.script(limited(30))
    assert who_answers(here.a) == "second"
    eventually(lambda: health_state(neighbour, "first") == "cooling", PROMISED + SLACK)
    assert health_state(there.a, "first") == "closed"


def test_a_deployment_with_nowhere_else_to_go_is_not_benched_by_others(gateway, upstream, redis):
    url = url_of(redis())
    alone, second = upstream(), upstream()
    only = deployment(alone, id="first", order=1)
    lonely = gateway(only, router={"redis_url": url})
    two = [only, deployment(second, id="second", order=2)]
    crowded, witness = (gateway(*two, router={"redis_url": url}) for _ in range(2))
    wait_until_connected(lonely, crowded, witness)
    alone.script(limited(30))
    assert who_answers(crowded) == "second"
    eventually(lambda: health_state(witness, "first") == "cooling", PROMISED + SLACK)
    assert health_state(lonely, "first") == "closed" and who_answers(lonely) == "first"


# --- a Redis that is of no use --------------------------------------------------------------------


@pytest.mark.row("S16")
def test_redis_killed_and_restarted(pair):
    pair.first.script(limited(60))
    assert who_answers(pair.a) == "second"
    eventually(lambda: health_state(pair.b, "first") == "cooling", PROMISED + SLACK)
    pair.redis.kill()
    for each in pair.gateways:
        eventually(lambda each=each: not connected(each))
        assert who_answers(each) == "second", "what was known stays known"
        assert metric(each, "spillway_shared_state_errors_total") >= 1
    pair.redis.start()
    wait_until_connected(*pair.gateways)
    eventually(lambda: pair.redis.keys() == ["spillway:bench:first"], 20)
    late = pair.start()
    wait_until_connected(late)
    assert health_state(late, "first") == "cooling"


@pytest.mark.row("S16")
def test_what_happens_during_an_outage_is_told_after_it(pair):
    pair.redis.kill()
    eventually(lambda: not connected(pair.a))
    pair.first.script(limited(60))
    assert who_answers(pair.a) == "second"
    assert health_state(pair.b, "first") == "closed"
    pair.redis.start()
    eventually(lambda: health_state(pair.b, "first") == "cooling", 20)


def test_an_outage_is_told_once(pair):
    pair.redis.kill()
    pair.a.wait_for_message("until it is back")
    errors = metric(pair.a, "spillway_shared_state_errors_total")
    eventually(lambda: metric(pair.a, "spillway_shared_state_errors_total") >= errors + 2, 20)
    assert pair.a.stderr.text.count("until it is back") == 1


@pytest.mark.row("S17")
def test_a_redis_that_hangs_delays_nobody(pair):
    pair.redis.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    pair.first.script(limited(60))
    assert [who_answers(pair.a) for _ in range(20)] == ["second"] * 20
    assert time.monotonic() - begun < 2.0 + SLACK
    eventually(lambda: not connected(pair.a), 20)
    assert who_answers(pair.b) == "first", "it could not be told"
    pair.redis.process.send_signal(signal.SIGCONT)
    eventually(lambda: health_state(pair.b, "first") == "cooling", 20)


@pytest.mark.row("S18")
def test_a_flushed_redis_is_filled_again(pair):
    pair.first.script(limited(60))
    assert who_answers(pair.a) == "second"
    eventually(lambda: health_state(pair.b, "first") == "cooling", PROMISED + SLACK)
    pair.redis.command("FLUSHALL")
    assert who_answers(pair.b) == "second"
    eventually(lambda: pair.redis.keys() == ["spillway:bench:first"], 20)


@pytest.mark.row("S18")
def test_wrong_types_and_junk_under_the_keys_are_replaced(gateway, upstream, redis):
    server = redis()
    server.command("RPUSH", "spillway:bench:first", "a list")
    server.command("SET", "spillway:bench:second", "junk" * 100_000)
    pair = Pair(gateway, upstream, url_of(server))
    wait_until_connected(*pair.gateways)
    assert [health_state(pair.a, name) for name in ("first", "second")] == ["closed"] * 2
    pair.first.script(limited(30))
    assert who_answers(pair.a) == "second"
    eventually(lambda: health_state(pair.b, "first") == "cooling", PROMISED + SLACK)
    assert server.command("TYPE", "spillway:bench:first") == "string"


def test_records_that_only_look_like_ours_are_ignored(gateway, upstream, redis):
    server = redis()
    server.command("SET", "spillway:bench:first", "1 1-1 exploded rate_limit 1 0", "PX", "60000")
    pair = Pair(gateway, upstream, url_of(server))
    wait_until_connected(*pair.gateways)
    assert health_state(pair.a, "first") == "closed"
    assert metric(pair.a, "spillway_shared_state_errors_total") >= 1


def test_junk_on_the_channel_is_counted_and_ignored(pair):
    before = metric(pair.b, "spillway_shared_state_errors_total")
    for junk in ("", "hello", "1 benched 9e9", "x" * 1000):
        pair.redis.command("PUBLISH", "spillway:benches:0", junk)
    eventually(lambda: metric(pair.b, "spillway_shared_state_errors_total") >= before + 4)
    assert connected(pair.b) and who_answers(pair.b) == "first"


@pytest.mark.parametrize(
    "says",
    [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"*1000000000\r\n", b"$2147483647\r\n", b"+OK\r\n",
     b"-ERR hush\r\n", b"*3\r\n" * 7, b"\x00" * 64, b"$100000\r\n" + b"x" * 100_000],
    ids=["silent", "http", "huge_array", "huge_text", "always_ok", "error", "nested", "zeros",
         "long"],
)  # fmt: skip
@pytest.mark.row("S18")
def test_a_peer_that_is_no_redis_never_delays_a_request(gateway, upstream, fake_redis, says):
    fake = fake_redis(says)
    pair = Pair(gateway, upstream, f"redis://:hush@127.0.0.1:{fake.port}", count=1)
    fake.wait_until_asked()
    pair.first.script(limited(30))
    begun = time.monotonic()
    assert [who_answers(pair.a) for _ in range(20)] == ["second"] * 20
    assert time.monotonic() - begun < 2.0 + SLACK, "no request waited for it"
    pair.a.wait_for_message("until it is back")
    assert not connected(pair.a)
    assert "hush" not in pair.a.stderr.text


@pytest.mark.row("S17")
def test_a_silent_redis_does_not_hold_up_the_start_or_the_end(gateway, upstream, fake_redis):
    fake = fake_redis()
    running = Pair(gateway, upstream, f"redis://127.0.0.1:{fake.port}", count=1).a
    fake.wait_until_asked()
    running.stop()


@pytest.mark.row("X5")
def test_a_wrong_password_is_told_without_it(gateway, upstream, redis):
    server = redis(password="canary-right")
    pair = Pair(gateway, upstream, url_of(server, "canary-wrong"))
    pair.a.wait_for_message("WRONGPASS")
    assert who_answers(pair.a) == "first"
    pair.a.stop()
    assert "canary" not in pair.a.stderr.text + pair.a.stdout.text


def test_the_right_password_in_its_own_key(gateway, upstream, redis):
    server = redis(password="canary-right")
    running = gateway(
        deployment(upstream(), id="first"),
        router={
            "redis_host": "127.0.0.1",
            "redis_port": server.port,
            "redis_password": "os.environ/REDIS_PASSWORD",
        },
        env={"REDIS_PASSWORD": "canary-right"},
        arguments=("--log-level", "debug"),
    )
    wait_until_connected(running)
    running.stop()
    assert "canary" not in running.stderr.text


# --- TLS ------------------------------------------------------------------------------------------


def test_over_tls(gateway, upstream, redis, certificates):
    server = redis(tls=certificates.folder / "good")
    url = f"rediss://localhost:{server.tls_port}/0?ssl_ca_certs={certificates.ca_file}"
    pair = Pair(gateway, upstream, url)
    wait_until_connected(*pair.gateways)
    pair.first.script(limited(30))
    assert who_answers(pair.a) == "second"
    eventually(lambda: health_state(pair.b, "first") == "cooling", PROMISED + SLACK)


@pytest.mark.parametrize("kind", ["self-signed", "wrong-host", "expired"])
@pytest.mark.row("X8")
def test_a_certificate_that_does_not_verify_is_refused(
    gateway, upstream, redis, certificates, kind
):
    server = redis(tls=certificates.folder / kind)
    url = f"rediss://localhost:{server.tls_port}/0?ssl_ca_certs={certificates.ca_file}"
    running = Pair(gateway, upstream, url, count=1).a
    running.wait_for_message("certificate was refused")
    assert not connected(running) and who_answers(running) == "first"
