"""Every fault of a network, between every two parties, for plain and for streamed answers.

Whatever happens, it ends in one of the allowed ways: a whole answer, an error with a status, or a
cut that looks cut; and in exactly one line of the access log that agrees with what the client saw.
"""

from __future__ import annotations

import json

import pytest

from canned import DONE
from concurrency import eventually
from error_table import NO_RETRIES
from fault_proxy import Fault, FaultProxy
from observed import told
from redis_server import RedisServer, url_of
from settings import deployment
from state import connected
from wire import Client, Closed, request_bytes

TEXT = "the quick brown fox " * 60  # answers of some kilobytes
DEADLINES = {"head": "2s", "body": "2s", "stream_idle": "1s", "keepalive": "20s"}

SLOW = {
    "latency": Fault(latency=0.05),
    "jitter": Fault(jitter=0.02, slice=400),
    "little bandwidth": Fault(rate=20_000, slice=500),
    "slices": Fault(slice=7),
    "single bytes": Fault(slice=1),
}
ENDS = ("reset", "close", "half-close", "stall")
# How many bytes pass first: nothing, half a head, a head and the beginning of a body.
BROKEN = {
    f"{end} after {at} bytes": Fault(after=at, then=end) for end in ENDS for at in (0, 60, 900)
}
ASKING = {
    f"{name}, asking": (fault, Fault()) for name, fault in BROKEN.items() if "900" not in name
}
ANSWERING = {f"{name}, answering": (Fault(), fault) for name, fault in BROKEN.items()}
BOTH_WAYS = {name: (fault, fault) for name, fault in SLOW.items()}
NETWORKS = {**BOTH_WAYS, **ASKING, **ANSWERING}

each_network = pytest.mark.parametrize("network", NETWORKS)
each_mode = pytest.mark.parametrize("mode", ["plain", "streamed"])


def body_of(model, mode):
    messages = [{"role": "user", "content": TEXT}]
    return json.dumps({"model": model, "messages": messages, "stream": mode == "streamed"}).encode()


class Watch:
    """One request by its id: what its client saw, and what the gateway wrote of it."""

    def __init__(self, running, port, model, mode, network):
        self.running, self.id = running, f"{network}-{mode}".replace(" ", "_").replace(",", "")
        before = self.counted()
        self.answer = self.ask(port, model, mode)
        self.whole = self.answer is not None and self.answer.complete
        if self.answer is not None:  # an id that came behind the cut was not read
            self.id = self.answer.header("x-request-id")
        # What a client that left did not wait for may take the gateway a little longer.
        arrived = self.arrives(network) or self.answer is not None
        eventually(lambda: bool(self.written()) >= arrived)
        self.fence()
        self.lines = self.written()
        eventually(lambda: self.counted() - before == len(self.lines))

    @staticmethod
    def arrives(network):
        """Whether the request comes to the gateway as a whole."""
        return network not in ASKING

    def request(self, model, mode):
        fields = {"x-request-id": self.id, "Connection": "close"}
        return request_bytes("POST", "/v1/chat/completions", body_of(model, mode), fields)

    def ask(self, port, model, mode):
        """The answer, however far it came; None without a status."""
        try:
            with Client(port, tls=self.running.tls) as client:
                client.send(self.request(model, mode))
                return client.read_response("POST")
        except (Closed, OSError):
            return None

    def written(self):
        return [line for line in self.running.access_log() if line["request_id"] == self.id]

    def fence(self):
        """The line of a later request comes after those of this one: the log keeps its order."""
        last = f"behind-{self.id}"
        self.running.get("/health/liveliness", headers={"x-request-id": last})
        self.running.wait_for_log(lambda line: line["request_id"] == last)

    def counted(self):
        """Requests that ended, as the metrics count them."""
        page = self.running.get("/metrics").body.decode()
        names = ("spillway_requests_total{", "spillway_rejected_requests_total{")
        lines = [line for line in page.splitlines() if line.startswith(names)]
        return sum(int(line.rsplit(" ", 1)[1]) for line in lines)

    def assert_agreed(self):
        """A client that got a whole answer and the log tell the same story."""
        assert len(self.lines) <= 1, self.lines
        if self.whole:
            (line,) = self.lines
            assert line["status"] == self.answer.status
            assert (line["class"] == "success") == (self.answer.status == 200)

    def assert_honest(self, mode):
        """What looks like success is one."""
        if not self.whole or self.answer.status != 200:
            return
        if "stream" in mode:
            assert self.answer.body.endswith(DONE)
        else:
            content = self.answer.json()["choices"][0]["message"]["content"]
            assert content == f"echo: {TEXT}"

    def assert_from_afar(self, network, mode):
        """What may become of a request whose client is behind the network."""
        self.assert_agreed()
        self.assert_honest(mode)
        if network in BOTH_WAYS:
            assert self.whole and self.answer.status == 200
        elif network in ANSWERING:
            assert not self.whole
            (line,) = self.lines
            assert (line["status"], line["class"]) in [(200, "success"), (499, "client_closed")]
        else:  # the request did not arrive whole
            assert self.answer is None or self.answer.status in (400, 408)

    def assert_brought_from_afar(self, network, mode):
        """What may become of a request whose provider is behind the network."""
        assert len(self.lines) == 1, "one outcome"
        self.assert_agreed()
        self.assert_honest(mode)
        if network in BOTH_WAYS:
            assert self.whole and self.answer.status == 200
        elif self.answer.status == 200:  # content was on its way already
            assert mode != "plain" and not self.whole
            if mode == "streamed":
                assert b'"error"' in self.answer.body.split(b"\n\n")[-2]
            assert self.lines[0]["class"] != "success"
        else:
            assert self.whole and self.answer.status in (502, 504)
            assert self.answer.error

    def told(self):
        return told(self.answer) if self.answer is not None else "nothing, and an end"


@pytest.fixture
def matrix(request):
    """Notes one cell for docs/reliability.md."""

    def note(network, pair, mode, outcome):
        request.node.user_properties.append(("matrix", [network, pair, mode, outcome]))

    return note


# --- between a client and the gateway -------------------------------------------------------------


@pytest.fixture(scope="module")
def proxies():
    made = []

    def make(port, network):
        made.append(FaultProxy(port, *NETWORKS[network]))
        return made[-1].port

    yield make
    for proxy in made:
        proxy.close()


@pytest.fixture(scope="module")
def near(module_gateway, module_upstream):
    """A gateway whose clients are far away."""
    running = module_gateway(
        deployment(module_upstream()), router=NO_RETRIES, spillway={"timeouts": DEADLINES}
    )
    yield running
    assert running.chat().status == 200


@each_mode
@each_network
def test_between_client_and_gateway(near, proxies, matrix, network, mode):
    watch = Watch(near, proxies(near.port, network), "m", mode, network)
    matrix(network, "client and gateway", mode, watch.told())
    watch.assert_from_afar(network, mode)


# --- between the gateway and a provider -----------------------------------------------------------


def distant(network, base):
    """A deployment behind the network, called by its name."""
    patience = 1.0 if "stall" in network else 20
    return deployment(None, network, api_base=base, timeout=patience, stream_timeout=patience)


@pytest.fixture(scope="module")
def far(module_gateway, module_upstream, proxies):
    """A gateway whose providers are far away, each behind a network of its own."""
    served, entries = {}, []
    for network in NETWORKS:
        served[network] = module_upstream()
        port = proxies(served[network].port, network)
        entries.append(distant(network, f"http://127.0.0.1:{port}/v1"))
    running = module_gateway(*entries, router=NO_RETRIES, spillway={"timeouts": DEADLINES})
    running.served = served
    yield running
    assert running.alive


@each_mode
@each_network
def test_between_gateway_and_provider(far, matrix, network, mode):
    asked = far.served[network].count
    watch = Watch(far, far.port, network, mode, network)
    matrix(network, "gateway and provider", mode, watch.told())
    watch.assert_brought_from_afar(network, mode)
    assert far.served[network].count - asked <= 1, "an exchange that may have been billed"


# --- between the gateway and Redis ----------------------------------------------------------------


@pytest.fixture(scope="module")
def real_redis(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis") / "server")
    yield server
    server.kill()


@each_network
def test_between_gateway_and_redis(gateway, upstream, real_redis, proxies, matrix, network):
    class Behind:
        port = proxies(real_redis.port, network)

    running = gateway(deployment(upstream(), rpm=1000), router={"redis_url": url_of(Behind)})
    for mode in ("plain", "streamed"):
        watch = Watch(running, running.port, "m", mode, network)
        matrix(network, "gateway and Redis", mode, watch.told())
        assert watch.whole and watch.answer.status == 200
        assert [line["class"] for line in watch.lines] == ["success"]
        watch.assert_honest(mode)
    if network in ("latency", "slices"):
        eventually(lambda: connected(running), 20)
