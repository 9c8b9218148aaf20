"""Upstreams behind a proxy, as HTTPS_PROXY, HTTP_PROXY and NO_PROXY say."""

from __future__ import annotations

import socket
import threading

import pytest

from error_table import NO_RETRIES
from settings import deployment


class TunnelProxy:
    """Takes CONNECT for any host and tunnels to one port of this machine."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.requests: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            self.requests.append(head.decode())
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            server = socket.create_connection(("127.0.0.1", self.target))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        self.listener.close()


@pytest.fixture
def tunnel(upstream, certificates):
    served = upstream(tls=certificates.server("wrong-host"))  # its name is elsewhere.example
    proxy = TunnelProxy(served.port)
    yield served, proxy
    proxy.close()


def behind(tunnel_url, certificates, **params):
    entry = deployment(
        None,
        api_base="https://elsewhere.example/v1",
        ssl_verify=str(certificates.ca_file),
        **params,
    )
    return entry, {"HTTPS_PROXY": tunnel_url}


def test_https_goes_through_a_tunnel_and_is_verified_end_to_end(gateway, tunnel, certificates):
    served, proxy = tunnel
    entry, env = behind(f"http://user:pass%21@{proxy.url}", certificates)
    running = gateway(entry, env=env)
    assert running.chat().status == 200
    assert proxy.requests[0].startswith("CONNECT elsewhere.example:443 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic dXNlcjpwYXNzIQ==\r\n" in proxy.requests[0]
    assert "sk-upstream" not in "".join(proxy.requests)
    assert served.requests[0].header("proxy-authorization") is None


def test_a_tunnel_to_an_ipv6_address_is_asked_for_in_brackets(gateway, tunnel, certificates):
    _, proxy = tunnel
    entry, env = behind(f"http://{proxy.url}", certificates)
    entry["litellm_params"]["api_base"] = "https://[2001:db8::1]:8443/v1"
    running = gateway(entry, env=env, router=NO_RETRIES)
    assert running.chat().status == 502, "the certificate is another host's"
    request_line, host, *_ = proxy.requests[0].split("\r\n")
    assert request_line == "CONNECT [2001:db8::1]:8443 HTTP/1.1"
    assert host == "Host: [2001:db8::1]:8443"


def test_no_proxy_names_what_is_reached_directly(gateway, tunnel, certificates):
    _, proxy = tunnel
    entry, env = behind(f"http://{proxy.url}", certificates)
    env["NO_PROXY"] = "other.example,.example"
    running = gateway(entry, env=env, router=NO_RETRIES)
    assert running.chat().status == 502, "the name does not resolve here, and nobody else is asked"
    assert proxy.requests == []


def test_plain_http_is_asked_of_the_proxy_with_the_whole_address(gateway, upstream):
    proxy = upstream()
    entry = deployment(None, api_base="http://elsewhere.example:8080/v1")
    running = gateway(entry, env={"HTTP_PROXY": f"http://127.0.0.1:{proxy.port}"})
    assert running.chat().status == 200
    request = proxy.requests[0]
    assert request.target == "http://elsewhere.example:8080/v1/chat/completions"
    assert request.header("host") == "elsewhere.example:8080"
