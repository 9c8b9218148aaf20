"""The faults of test_fault_matrix.py where TLS lies between the two parties: within the handshake,
and within what it carries.

TLS tells an end from a cut, which TCP does not. So there is a third kind of answer here, which ends
with its connection (HTTP/1.0): if that ends without a close_notify, it is not whole.
"""

from __future__ import annotations

import dataclasses
import json
import socket
import ssl

import pytest

from behaviours import plausible, raw
from canned import AUDIO
from error_table import NO_RETRIES
from fault_proxy import Fault, FaultProxy
from framing import head
from settings import deployment
from test_fault_matrix import (
    ASKING,
    DEADLINES,
    ENDS,
    NETWORKS,
    TEXT,
    Watch,
    body_of,
    distant,
    matrix,  # noqa: F401
)
from tls import TlsGatewayFactory, client_context
from upstream import Upstream

# Their bytes are counted from the connection's first one, those of the others from the first record
# that carries a request or an answer.
HELLO = Fault(after=60)
GREETING = {
    f"{end} within the handshake, {who}": tuple(
        dataclasses.replace(HELLO, then=end) if who == direction else Fault()
        for direction in ("asking", "answering")
    )
    for end in ENDS
    for who in ("asking", "answering")
}
TLS_NETWORKS = {**NETWORKS, **GREETING}
MODES = ("plain", "streamed", "to the end")
CELLS = [
    (network, mode) for network in TLS_NETWORKS for mode in MODES[: 1 if network in GREETING else 3]
]
each_cell = pytest.mark.parametrize("network, mode", CELLS)

HALF_A_RECORD = 16  # its header and some of what it holds: nothing that can be read yet


def overhead(port, context):
    """How many bytes go up before the first record of a request, and down before an answer's."""
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(received, to_send, server_hostname="localhost")
    up = down = record = 0
    asked = False
    with socket.create_connection(("127.0.0.1", port), 20) as client, client.makefile("rb") as file:
        while True:
            try:
                if asked and tls.read(1):
                    return up, down - record
                tls.do_handshake()
                hello = to_send.read()
                up += len(hello)
                tls.write(b"GET /health/liveliness HTTP/1.1\r\nHost: localhost\r\n\r\n")
                client.sendall(hello + to_send.read())
                asked = True
            except ssl.SSLWantReadError:
                hello = to_send.read()
                up += len(hello)
                client.sendall(hello)
                start = file.read(5)
                rest = file.read(int.from_bytes(start[3:], "big"))
                received.write(start + rest)
                record = len(start) + len(rest)
                down += record


def shifted(fault, by):
    if fault.after is None:
        return fault
    return dataclasses.replace(fault, after=fault.after + by + HALF_A_RECORD)


class Proxies:
    """Networks between any client and `port`, which speaks TLS."""

    def __init__(self, context):
        self.context, self.made = context, []

    def __call__(self, port, network):
        up, down = TLS_NETWORKS[network]
        if network not in GREETING:
            before_request, before_answer = overhead(port, self.context)
            up, down = shifted(up, before_request), shifted(down, before_answer)
        self.made.append(FaultProxy(port, up, down))
        return self.made[-1].port


@pytest.fixture(scope="module")
def proxies(certificates):
    proxies = Proxies(client_context(certificates))
    yield proxies
    for proxy in proxies.made:
        proxy.close()


class TlsWatch(Watch):
    @staticmethod
    def arrives(network):
        return network not in ASKING and network not in GREETING


# --- between a client and the gateway -------------------------------------------------------------


class ClientWatch(TlsWatch):
    def request(self, model, mode):
        if mode != "a stream to the end":
            return super().request(model, mode)
        body = body_of(model, "streamed")
        fields = f"x-request-id: {self.id}\r\nContent-Length: {len(body)}"
        return f"POST /v1/chat/completions HTTP/1.0\r\n{fields}\r\n\r\n".encode() + body


@pytest.fixture(scope="module")
def near(binary, tmp_path_factory, certificates, module_upstream):
    """A gateway that listens with TLS, and whose clients are far away."""
    factory = TlsGatewayFactory(binary, tmp_path_factory.mktemp("gateways"), certificates)
    running = factory(
        deployment(module_upstream()), router=NO_RETRIES, spillway={"timeouts": DEADLINES}
    )
    yield running
    assert running.chat().status == 200
    factory.stop()


@each_cell
def test_between_client_and_gateway_over_tls(near, proxies, matrix, network, mode):  # noqa: F811
    shown = "a stream to the end" if mode == "to the end" else mode
    watch = ClientWatch(near, proxies(near.port, network), "m", shown, network)
    between = "client and gateway, TLS"
    if mode == "to the end":
        matrix(network, f"{between}, until the end", "streamed", watch.told())
        assert watch.answer is None or watch.answer.header("transfer-encoding") is None
    else:
        matrix(network, between, mode, watch.told())
    if network in GREETING:
        assert watch.answer is None and not watch.lines
    else:
        watch.assert_from_afar(network, shown)


# --- between the gateway and a provider -----------------------------------------------------------

# In several records: a cut leaves some that can be read.
SPEECH = [head(200, [("Content-Type", "audio/mpeg")])]
SPEECH += [AUDIO[at : at + 128] for at in range(0, len(AUDIO), 128)]


class ProviderWatch(TlsWatch):
    @staticmethod
    def arrives(network):
        return True

    def request(self, model, mode):
        if mode != "to the end":
            return super().request(model, mode)
        body = json.dumps({"model": model, "input": TEXT, "voice": "a"}).encode()
        fields = f"Host: x\r\nx-request-id: {self.id}\r\nConnection: close"
        length = f"Content-Length: {len(body)}"
        return f"POST /v1/audio/speech HTTP/1.1\r\n{fields}\r\n{length}\r\n\r\n".encode() + body

    def assert_honest(self, mode):
        if mode != "to the end":
            super().assert_honest(mode)
        elif self.whole and self.answer.status == 200:
            assert self.answer.body == AUDIO


async def provider(exchange):
    if exchange.request.target == "/health/liveliness":  # overhead() wants any answer
        await raw(head(204, []), end="keep")(exchange)
    elif exchange.request.target.endswith("/audio/speech"):
        await raw(*SPEECH)(exchange)
    else:
        await plausible()(exchange)


@pytest.fixture(scope="module")
def far(module_gateway, certificates, proxies):
    """A gateway whose providers speak TLS and are far away, each behind a network of its own."""
    served, entries = {}, []
    for network in TLS_NETWORKS:
        context = certificates.server("good")
        context.num_tickets = 0  # each handshake is a whole one, and as long as the others
        served[network] = Upstream(provider, tls=context)
        port = proxies(served[network].port, network)
        entries.append(distant(network, f"https://localhost:{port}/v1"))
    timeouts = {**DEADLINES, "connect": "10s"}
    running = module_gateway(
        *entries,
        router=NO_RETRIES,
        spillway={"timeouts": timeouts},
        env={"SSL_CERT_FILE": str(certificates.ca_file)},
    )
    running.served = served
    yield running
    assert running.alive
    for upstream in served.values():
        upstream.close()
        assert not upstream.script_errors


@each_cell
def test_between_gateway_and_provider_over_tls(far, matrix, network, mode):  # noqa: F811
    asked = far.served[network].count
    watch = ProviderWatch(far, far.port, network, mode, network)
    between = "gateway and provider, TLS"
    if mode == "to the end":
        matrix(network, f"{between}, until the end", "plain", watch.told())
    else:
        matrix(network, between, mode, watch.told())
    watch.assert_brought_from_afar(network, mode)
    assert far.served[network].count - asked <= 1, "an exchange that may have been billed"
