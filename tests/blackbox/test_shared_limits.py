"""rpm, tpm and affinities of several gateways that share them through Redis."""

from __future__ import annotations

import signal
import time

import pytest

from behaviours import answer
from canned import chat_completion
from concurrency import at_once, eventually
from redis_server import SlowRedis, url_of
from settings import deployment
from state import connected, deployment_state, metric, wait_until_connected
from upstream_connection import Behaviour, Exchange

ENFORCED = {"optional_pre_call_checks": ["enforce_model_rate_limits"]}
SLACK = 4.0  # what a busy machine may add


def using(tokens: int | None) -> Behaviour:
    """An answer that says it used so many tokens; None: it does not say."""

    async def behaviour(exchange: Exchange) -> None:
        payload = chat_completion(exchange.request.json(), None)
        del payload["usage"]
        if tokens is not None:
            payload["usage"] = {"prompt_tokens": 1, "completion_tokens": tokens - 1}
        await answer(payload)(exchange)

    return behaviour


def shared(running):
    return deployment_state(running, "one")["load"]["limits_shared"]


def all_connected(*gateways):
    wait_until_connected(*gateways)
    for running in gateways:
        eventually(lambda running=running: shared(running))


def replace_by_list(server, key):
    """False if a gateway was quicker to put its own there again."""
    server.command("DEL", key)
    try:
        server.command("RPUSH", key, "a list")
    except RuntimeError:
        return False
    return True


class Fleet:
    """Gateways with one and the same limited deployment."""

    def __init__(self, gateway, served, url, count, **limits):
        self.served = served
        self.start = lambda: gateway(
            deployment(served, id="one", **limits), router={"redis_url": url, **ENFORCED}
        )
        self.gateways = [self.start() for _ in range(count)]

    def storm(self, each):
        """So many concurrent calls at each gateway: how many were answered."""
        calls = [running.chat for running in self.gateways for _ in range(each)]
        pending = iter(calls)
        answers = at_once(len(calls), lambda: next(pending)())
        statuses = [response.status for response in answers]
        assert set(statuses) <= {200, 429}, statuses
        return statuses.count(200)


@pytest.fixture
def fleet(gateway, upstream, redis):
    def make(count=3, tokens=30, **limits):
        server = redis()
        made = Fleet(gateway, upstream(default=using(tokens)), url_of(server), count, **limits)
        made.redis = server
        return made

    return make


# --- exact ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rpm", [1, 3, 10, 100])
@pytest.mark.row("S28")
def test_rpm_is_exact_over_all_instances(fleet, rpm):
    made = fleet(rpm=rpm)
    all_connected(*made.gateways)
    assert made.storm(each=rpm // 2 + 10) == rpm
    assert made.served.count == rpm


@pytest.mark.parametrize("rpm", [1, 10])
def test_one_instance_may_use_all_that_the_idle_ones_do_not(fleet, rpm):
    made = fleet(rpm=rpm)
    all_connected(*made.gateways)
    busy = made.gateways[0]
    assert [busy.chat().status for _ in range(rpm)] == [200] * rpm
    refused = [running.chat() for running in made.gateways]
    assert [each.status for each in refused] == [429] * 3
    assert all(40 <= int(each.header("retry-after")) <= 60 for each in refused)


def test_an_instance_that_starts_later_is_told_what_was_used(fleet):
    made = fleet(count=1, rpm=3)
    all_connected(*made.gateways)
    assert [made.gateways[0].chat().status for _ in range(2)] == [200] * 2
    late = made.start()
    all_connected(late)
    assert [late.chat().status for _ in range(2)] == [200, 429]


def test_an_instance_that_was_killed_keeps_nobody_from_the_rest(fleet):
    made = fleet(count=2, rpm=20)
    all_connected(*made.gateways)
    dead, alive = made.gateways
    assert dead.chat().status == 200
    dead.kill()
    answered = sum(alive.chat().status == 200 for _ in range(25))
    assert 16 <= answered <= 19, "what it held ahead of need is lost for a minute"


def test_an_instance_that_ends_gives_back_what_it_held(fleet):
    made = fleet(count=2, rpm=20)
    all_connected(*made.gateways)
    leaving, staying = made.gateways
    assert leaving.chat().status == 200
    leaving.stop()
    assert [staying.chat().status for _ in range(20)] == [200] * 19 + [429]


# --- tokens ---------------------------------------------------------------------------------------


@pytest.mark.row("S28")
def test_tpm_is_what_all_instances_used_together(fleet):
    made = fleet(count=2, tokens=400, tpm=1000)
    all_connected(*made.gateways)
    first, second = made.gateways
    assert [each.chat().status for each in (first, second, first)] == [200] * 3
    for running in made.gateways:
        eventually(lambda running=running: not deployment_state(running, "one")["callable"])
        assert running.chat().status == 429
    assert made.served.count == 3


def test_tokens_set_aside_are_exact_over_all_instances(fleet):
    content = "x" * 4000
    made = fleet(tokens=None, tpm=10_500)  # ten such calls, and one that begins with what is left
    all_connected(*made.gateways)
    calls = [running for running in made.gateways for _ in range(8)]
    pending = iter(calls)
    messages = [{"role": "user", "content": content}]
    answers = at_once(len(calls), lambda: next(pending).chat(messages=messages))
    assert made.served.count == sum(each.status == 200 for each in answers)
    assert 10 <= made.served.count <= 11


# --- a Redis that is of no use --------------------------------------------------------------------


@pytest.mark.row("S16")
def test_limits_are_each_instances_own_while_redis_is_away(fleet):
    made = fleet(count=2, rpm=3)
    all_connected(*made.gateways)
    assert made.storm(each=5) == 3
    made.redis.kill()
    for running in made.gateways:
        eventually(lambda running=running: not shared(running))
    assert made.storm(each=5) == 3, "what each used itself is not forgotten"
    made.redis.start()
    all_connected(*made.gateways)
    assert made.storm(each=2) == 0
    assert made.served.count == 6


def test_a_flushed_redis_is_told_again_what_was_used(fleet):
    made = fleet(count=2, rpm=10)
    all_connected(*made.gateways)
    for running in made.gateways:
        assert [running.chat().status for _ in range(3)] == [200] * 3
    made.redis.command("FLUSHALL")
    key = "spillway:limits:one"
    eventually(lambda: made.redis.command("HLEN", key) == 2)
    assert made.storm(each=6) == 4
    assert made.served.count == 10


def test_another_type_under_the_key_leaves_each_instance_its_own_limit(fleet):
    made = fleet(count=2, rpm=2)
    all_connected(*made.gateways)
    eventually(lambda: replace_by_list(made.redis, "spillway:limits:one"))
    name = 'spillway_deployment_limits_shared{deployment="one",group="m"}'
    for running in made.gateways:
        eventually(lambda running=running: metric(running, name) == 0)
        assert connected(running)
        assert metric(running, "spillway_shared_state_errors_total") >= 1
    assert made.storm(each=5) == 4
    made.redis.command("DEL", "spillway:limits:one")
    for running in made.gateways:
        eventually(lambda running=running: metric(running, name) == 1)
    assert made.storm(each=2) == 0


@pytest.mark.row("S18")
def test_junk_in_the_hash_is_thrown_out(fleet):
    made = fleet(count=1, rpm=3)
    all_connected(*made.gateways)
    key = "spillway:limits:one"
    for field, junk in (("a", "junk"), ("b", "1 9999999999999999 3 0"), ("c", "2 1 1 1")):
        made.redis.command("HSET", key, field, junk)
    eventually(lambda: made.redis.command("HLEN", key) == 1)
    assert made.storm(each=5) == 3


def test_a_redis_that_hangs_delays_nobody(fleet):
    made = fleet(count=2, rpm=40)
    all_connected(*made.gateways)
    made.redis.process.send_signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        for running in made.gateways:
            assert [running.chat().status for _ in range(20)] == [200] * 20
        assert time.monotonic() - begun < 2.0 + SLACK
        for running in made.gateways:
            eventually(lambda running=running: not shared(running))
    finally:
        made.redis.process.send_signal(signal.SIGCONT)
    for running in made.gateways:
        eventually(lambda running=running: shared(running), 20)
    eventually(lambda: [each.chat().status for each in made.gateways] == [429] * 2)


@pytest.fixture
def slow_redis(redis):
    made = SlowRedis(redis())
    yield made
    made.close()


@pytest.mark.row("S17")
def test_a_redis_that_takes_half_a_minute_delays_nobody(gateway, upstream, slow_redis):
    slow_redis.delay = 30
    made = Fleet(gateway, upstream(default=using(30)), url_of(slow_redis), 2, rpm=10)
    begun = time.monotonic()
    assert made.storm(each=12) == 20
    assert time.monotonic() - begun < SLACK
    assert not any(shared(running) for running in made.gateways)


@pytest.mark.row("S17")
def test_a_slow_redis_is_not_waited_for(gateway, upstream, slow_redis):
    made = Fleet(gateway, upstream(default=using(30)), url_of(slow_redis), 2, rpm=10)
    wait_until_connected(*made.gateways)
    slow_redis.delay = 0.5
    for running in made.gateways:
        running.wait_for_message("is slow: limits are this instance's own")
        eventually(lambda running=running: not shared(running))
    begun = time.monotonic()
    assert made.storm(each=12) == 20
    assert time.monotonic() - begun < SLACK, "nobody waited for an answer"
    slow_redis.delay = 0
    for running in made.gateways:
        eventually(lambda running=running: shared(running), 20)
        assert running.stderr.text.count("is slow") == 1
    eventually(lambda: made.storm(each=2) == 0)


def test_junk_on_the_channel_is_counted_and_ignored(fleet):
    made = fleet(count=1, rpm=3)
    running = made.gateways[0]
    all_connected(running)
    before = metric(running, "spillway_shared_state_errors_total")
    for channel in ("limits", "affinities"):
        for junk in ("", "hello", "12345", "zz one", "1 x one"):
            made.redis.command("PUBLISH", f"spillway:{channel}:0", junk)
    eventually(lambda: metric(running, "spillway_shared_state_errors_total") >= before + 9)
    assert shared(running) and made.storm(each=5) == 3


# --- affinity -------------------------------------------------------------------------------------


def test_a_session_stays_with_its_deployment_over_all_instances(gateway, upstream, redis):
    url = url_of(redis())
    members = [deployment(upstream(), id=f"d{i}") for i in range(4)]
    affine = {"optional_pre_call_checks": ["session_affinity", "prompt_caching"]}
    first, second = (gateway(*members, router={"redis_url": url, **affine}) for _ in range(2))
    wait_until_connected(first, second)
    received = 'spillway_shared_state_messages_total{direction="received"}'
    for session in ("a", "b", "c", "d"):
        before = metric(second, received)
        home = first.chat(litellm_session_id=session).header("x-spillway-deployment")
        eventually(lambda before=before: metric(second, received) > before)
        for running in (second, first):
            answered = running.chat(litellm_session_id=session)
            assert answered.header("x-spillway-deployment") == home


def test_affinities_are_told_as_hashes_and_kept_nowhere(gateway, upstream, redis):
    server = redis()
    members = [deployment(upstream(), id=name) for name in ("here", "there")]
    checks = ["session_affinity", "prompt_caching", "deployment_affinity"]
    router = {"redis_url": url_of(server), "optional_pre_call_checks": checks}
    running = gateway(*members, router=router)
    wait_until_connected(running)
    with server.listening("spillway:affinities:0") as messages:
        secret = "canary" * 1000
        running.chat(litellm_session_id="canary-session")
        running.chat(messages=[{"role": "user", "content": secret}])
        heard: list[str] = []
        while len(heard) < 2:  # one message may hold several lines
            heard += next(messages).split("\n")
    for text in heard:
        key, ttl, name = text.split(" ")
        assert (len(key), ttl) == (16, "3600000") and name in ("here", "there")
    assert server.keys() == []
