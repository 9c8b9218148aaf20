"""The fault proxy does what it says: otherwise the matrix would test nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from fault_proxy import CLEAR, Fault, FaultProxy

WORDS = b"0123456789" * 3


class Echo:
    """Sends back what it receives, and closes its side when the other has."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    @staticmethod
    def serve(peer):
        with contextlib.suppress(OSError), peer:
            while data := peer.recv(65536):
                peer.sendall(data)


@pytest.fixture
def through():
    """A connection to an echo through a proxy with these faults."""
    echo, proxies, sockets = Echo(), [], []

    def connect(up=CLEAR, down=CLEAR):
        proxies.append(FaultProxy(echo.port, up, down))
        peer = socket.create_connection(("127.0.0.1", proxies[-1].port), timeout=10)
        sockets.append(peer)
        return peer

    yield connect
    for each in (*sockets, *proxies, echo.listener):
        each.close()


def pieces(peer, count):
    got = []
    while sum(map(len, got)) < count:
        data = peer.recv(65536)
        assert data, "closed too early"
        got.append(data)
    return got


def test_without_a_fault_everything_passes(through):
    peer = through()
    peer.sendall(WORDS)
    assert b"".join(pieces(peer, 30)) == WORDS
    peer.shutdown(socket.SHUT_WR)
    assert peer.recv(1) == b"", "an end passes too"


def test_bytes_can_pass_one_at_a_time(through):
    peer = through(down=Fault(slice=1, latency=0.005))
    peer.sendall(WORDS)
    got = pieces(peer, 30)
    assert b"".join(got) == WORDS and len(got) > 10


@pytest.mark.parametrize(
    "fault, least",
    [(Fault(latency=0.3), 0.3), (Fault(rate=100), 0.3), (Fault(slice=1, jitter=0.02), 0.1)],
    ids=["latency", "bandwidth", "jitter"],
)
def test_slow_networks_take_their_time(through, fault, least):
    peer = through(down=fault)
    begun = time.monotonic()
    peer.sendall(WORDS)
    assert b"".join(pieces(peer, 30)) == WORDS
    assert time.monotonic() - begun >= least


def test_a_reset_is_a_reset(through):
    peer = through(down=Fault(after=5, then="reset"))
    peer.sendall(WORDS)
    with pytest.raises(ConnectionResetError):
        while peer.recv(1):
            pass


@pytest.mark.parametrize("then", ["close", "half-close"])
def test_an_end_comes_after_what_passed(through, then):
    peer = through(down=Fault(after=5, then=then))
    peer.sendall(WORDS)
    assert b"".join(iter(lambda: peer.recv(1), b"")) == WORDS[:5]


def test_after_a_half_close_the_other_direction_goes_on(through):
    peer = through(up=Fault(after=5, then="half-close"))
    peer.sendall(WORDS)
    assert b"".join(iter(lambda: peer.recv(65536), b"")) == WORDS[:5], (
        "the echo ends when it is told"
    )


def test_a_stall_passes_nothing_more_and_stays_open(through):
    peer = through(down=Fault(after=5, then="stall"))
    peer.sendall(WORDS)
    assert b"".join(pieces(peer, 5)) == WORDS[:5]
    peer.settimeout(0.3)
    with pytest.raises(TimeoutError):
        peer.recv(1)
