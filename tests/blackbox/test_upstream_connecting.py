"""Reaching an upstream: names, connects and TLS that fail, and that nothing is sent where it must
not be."""

from __future__ import annotations

import json
import socket
import ssl
import threading

import pytest

from behaviours import STREAM_HEADERS, raw
from canned import DONE, chat_chunk, chat_completion, sse
from error_table import NO_RETRIES
from framing import LAST_CHUNK, chunk, head
from settings import deployment


# --- connecting -----------------------------------------------------------------------------------
class Blackhole:
    """A port whose connection requests are never answered: its accept queue is full."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)

    def close(self):
        for held in (*self.fillers, self.listener):
            held.close()


@pytest.mark.row("U2")
def test_a_connection_that_never_comes_about_is_a_504_after_the_deadline(gateway, upstream):
    hole = Blackhole()
    try:
        second = upstream()
        lone = deployment(None, "lone", api_base=f"http://127.0.0.1:{hole.port}/v1")
        first = deployment(None, "m", api_base=f"http://127.0.0.1:{hole.port}/v1", order=1)
        running = gateway(
            lone, first, deployment(second, order=2),
            router=NO_RETRIES, spillway={"timeouts": {"connect": "300ms"}},
        )  # fmt: skip
        response = running.chat("lone")
        assert (response.status, response.error["type"]) == (504, "api_connection_error")
        assert running.chat().status == 200
    finally:
        hole.close()


@pytest.mark.row("U3")
def test_a_name_that_does_not_resolve_is_a_502_and_tried_elsewhere(gateway, upstream):
    unknown = "http://no-such-host.invalid/v1"
    running = gateway(
        deployment(None, "lone", api_base=unknown),
        deployment(None, "m", api_base=unknown, order=1),
        deployment(upstream(), "m", order=2),
        router=NO_RETRIES,
    )
    response = running.chat("lone")
    assert (response.status, response.error["type"]) == (502, "api_connection_error")
    assert running.chat().status == 200


# --- TLS ------------------------------------------------------------------------------------------
def tls_gateway(gateway, certificates, served, trust, **sections):
    """`trust`: how the operator made the test CA known."""
    env, params = {}, {}
    if trust == "system":
        env["SSL_CERT_FILE"] = str(certificates.ca_file)
    elif trust == "deployment":
        params["ssl_verify"] = str(certificates.ca_file)
    lone = deployment(served, "lone", id="lone", **params)
    return gateway(lone, env=env, router=NO_RETRIES, **sections)


@pytest.mark.parametrize("trust", ["system", "deployment"])
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
def test_tls_works_with_a_ca_that_is_known(gateway, upstream, certificates, trust, streaming):
    served = upstream(tls=certificates.server("good"), host="localhost")
    running = tls_gateway(gateway, certificates, served, trust)
    for _ in range(3):
        assert running.chat("lone", stream=streaming).status == 200


class Farewell:
    """Answers one request a connection, and says in the same segment that nothing more will come, but
    leaves the connection open."""

    def __init__(self, context: ssl.SSLContext, answer: bytes):
        self.context, self.answer = context, answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.held: list[socket.socket] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.held.append(peer)
            self.answer_on(peer)

    def answer_on(self, peer: socket.socket):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(incoming, outgoing, server_side=True)

        def until_done(step, send=True):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    if not send:
                        return None
                    peer.sendall(outgoing.read())
                    incoming.write(peer.recv(65536))

        until_done(tls.do_handshake)
        request = b""
        while not request.endswith(b"}"):
            request += until_done(lambda: tls.read(65536))
        tls.write(self.answer)
        until_done(tls.unwrap, send=False)  # its goodbye goes out with the answer
        peer.sendall(outgoing.read())

    def close(self):
        self.listener.close()
        for peer in self.held:
            peer.close()


@pytest.mark.parametrize("framed", [True, False], ids=["with a length", "until the end"])
def test_a_goodbye_over_tls_that_comes_with_the_answer_is_heard(gateway, certificates, framed):
    body = json.dumps(chat_completion({}, "Hello")).encode()
    length = [("Content-Length", str(len(body)))] if framed else []
    answer = head(200, [("Content-Type", "application/json"), *length]) + body
    server = Farewell(certificates.server("good"), answer)
    try:
        only = deployment(
            None, "m", api_base=f"https://localhost:{server.port}/v1",
            ssl_verify=str(certificates.ca_file), timeout=5,
        )  # fmt: skip
        running = gateway(only, router=NO_RETRIES)
        for _ in range(2):
            assert running.chat().status == 200
        assert len(server.held) == 2  # the first connection was not used again
    finally:
        server.close()


@pytest.mark.parametrize(
    "kind", ["expired", "wrong-host", "self-signed", "unknown-root", "incomplete-chain"]
)
@pytest.mark.row("U5", "X8")
def test_a_bad_certificate_is_a_502_and_nothing_is_sent(gateway, upstream, certificates, kind):
    served = upstream(tls=certificates.server(kind), host="localhost")
    running = tls_gateway(gateway, certificates, served, "deployment")
    response = running.chat("lone")
    assert (response.status, response.error["type"]) == (502, "api_connection_error")
    assert not served.requests


def test_a_chain_that_the_server_completes_is_followed(gateway, upstream, certificates):
    served = upstream(tls=certificates.server("whole-chain"), host="localhost")
    assert tls_gateway(gateway, certificates, served, "deployment").chat("lone").status == 200


@pytest.mark.row("U5", "X8")
def test_an_unknown_ca_is_a_502_and_nothing_is_sent(gateway, upstream, certificates):
    served = upstream(tls=certificates.server("good"), host="localhost")
    response = tls_gateway(gateway, certificates, served, "nobody").chat("lone")
    assert (response.status, response.error["type"]) == (502, "api_connection_error")
    assert not served.requests


@pytest.mark.row("U5", "X8")
def test_tls_older_than_1_2_is_refused(gateway, upstream, certificates):
    served = upstream(tls=certificates.old_protocol_server(), host="localhost")
    assert tls_gateway(gateway, certificates, served, "deployment").chat("lone").status == 502
    assert not served.requests


@pytest.mark.row("U5", "X8")
def test_a_plaintext_server_on_an_https_address_never_sees_the_request(gateway, upstream):
    served = upstream(on_connect="greet")
    url = served.url.replace("http://127.0.0.1", "https://localhost")
    response = gateway(deployment(None, api_base=url), router=NO_RETRIES).chat()
    assert (response.status, response.error["type"]) == (502, "api_connection_error")
    served.wait_for(lambda: served.unread, "the handshake's first bytes")
    assert b"POST" not in served.unread


@pytest.mark.row("U5", "U2")
def test_a_tls_handshake_that_stalls_is_a_504(gateway, upstream):
    served = upstream(on_connect="stall")
    url = served.url.replace("http://127.0.0.1", "https://localhost")
    running = gateway(
        deployment(None, api_base=url),
        router=NO_RETRIES,
        spillway={"timeouts": {"connect": "300ms"}},
    )
    response = running.chat()
    assert (response.status, response.error["type"]) == (504, "api_connection_error")


@pytest.mark.row("U11")
def test_a_tls_connection_that_is_cut_without_a_goodbye_is_a_truncation(
    gateway, upstream, certificates
):
    """Without a close_notify, an answer that ends with the connection might be cut short by
    anybody."""
    cut = head(200, [("Content-Type", "application/json"), ("Content-Length", "100")]) + b"{"
    served = upstream(raw(cut, end="reset"), tls=certificates.server("good"))
    served.host = "localhost"
    assert tls_gateway(gateway, certificates, served, "deployment").chat("lone").status == 502


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.row("U48")
def test_bytes_behind_a_tls_answer_are_nobodys_answer(gateway, upstream, certificates, streaming):
    """They come in a TLS record of their own, so that nothing of them shows on the socket."""
    first, planted = whole_answer("mine"), whole_answer("for somebody else")

    async def two_answers(exchange):
        if exchange.request.streams():
            events = sse(chat_chunk({"content": "mine"})) + sse(chat_chunk({}, "stop")) + DONE
            answer = head(200, STREAM_HEADERS) + chunk(events) + LAST_CHUNK
            await exchange.send_together(answer, planted)
        else:
            await exchange.send_together(first, planted)

    served = upstream(two_answers, tls=certificates.server("good"), host="localhost")
    running = tls_gateway(gateway, certificates, served, "deployment", threads=1)
    assert b"mine" in running.chat("lone", stream=streaming).body
    second = running.chat("lone", text="second")
    assert second.json()["choices"][0]["message"]["content"] == "echo: second"
    assert [request.connection for request in served.requests] == [0, 1]


def whole_answer(text):
    body = json.dumps(chat_completion({"model": "x"}, text)).encode()
    fields = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return head(200, fields) + body
