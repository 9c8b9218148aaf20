"""No request, whatever it names, has the gateway call anybody but the configured provider."""

from __future__ import annotations

import json
import re
import socket
import threading

import pytest

from behaviours import answer
from conftest import ROOT
from edge import CHAT
from settings import deployment

# Where names of settings stand in the sources, and names that other gateways and SDKs know.
SOURCES = ["config/*.cpp", "core/gateway_body_keys.hpp", "core/body.cpp"]
NAMES_ELSEWHERE = """
api_base apiBase base_url baseURL baseUrl endpoint url uri host hostname proxy proxies http_proxy
https_proxy azure_endpoint azure_ad_token aws_bedrock_runtime_endpoint vertex_api_base webhook
callback callback_url success_callback extra_headers extra_body extra_query default_headers
default_query headers http_client client organization deployment_id custom_llm_provider
litellm_params litellm_metadata model_info model_list router_settings_override user_config
fallbacks api_version api_type target target_url upstream server origin redirect location
""".split()


def names():
    found = set(NAMES_ELSEWHERE)
    for pattern in SOURCES:
        for file in ROOT.glob(pattern):
            found |= set(re.findall(r'"([a-z][a-z0-9_]{2,60})"', file.read_text()))
    return sorted(found - {"model", "messages", "stream"})


NAMES = names()


class Attacker:
    """Counts who connects; says nothing."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            peer.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"


@pytest.fixture(scope="module")
def attacker():
    made = Attacker()
    yield made
    socket.create_connection(("127.0.0.1", made.port)).close()
    made.listener.close()


@pytest.fixture(scope="module")
def lured(module_gateway, module_upstream, attacker):
    """Every test is followed by a look at whom the gateway called, and with what."""
    served = module_upstream(default=answer(text="fine"))
    running = module_gateway(
        deployment(served, api_key="sk-configured"), deployment(served, "spare")
    )
    running.upstream = served
    yield running
    assert running.chat().status == 200
    assert attacker.connections == 0
    assert {request.header("host") for request in served.requests} == {f"127.0.0.1:{served.port}"}
    keys = {request.header("authorization") for request in served.requests}
    assert keys <= {"Bearer sk-configured", "Bearer sk-upstream"}


def bait(attacker):
    """Each is a lure under whatever name it is put."""
    return [
        attacker.url,
        {"api_base": attacker.url, "base_url": attacker.url, "api_key": "sk-mine", "model": "m"},
        [
            {
                "model": "spare",
                "api_base": attacker.url,
                "litellm_params": {"api_base": attacker.url},
            }
        ],
    ]


def nested(name, lure, depth):
    body = {name: lure}
    for outer in ["metadata", "litellm_params", "extra_body"][:depth]:
        body = {outer: body}
    return body


@pytest.mark.row("C32", "X4")
def test_there_are_names_to_try():
    assert len(NAMES) > 300 and "api_base" in NAMES


@pytest.mark.row("C32", "X4")
@pytest.mark.parametrize("kind", [0, 1, 2], ids=["address", "object", "list"])
def test_no_name_at_the_top_is_an_address(lured, attacker, kind):
    for name in NAMES:
        got = lured.post(CHAT, {"model": "m", "messages": [], name: bait(attacker)[kind]})
        assert got.status in (200, 400), (name, got)
    assert attacker.connections == 0


@pytest.mark.row("C32", "X4")
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("kind", [0, 1, 2], ids=["address", "object", "list"])
def test_no_name_below_is_an_address(lured, attacker, kind, depth):
    for name in NAMES:
        body = {"model": "m", "messages": [], **nested(name, bait(attacker)[kind], depth)}
        got = lured.post(CHAT, body)
        assert got.status in (200, 400), (name, got)
    assert attacker.connections == 0


@pytest.mark.row("C32", "X4")
@pytest.mark.parametrize("name", ["api_base", "base_url", "api_key"])
def test_the_plainest_names_are_refused_and_not_repeated(lured, attacker, name):
    got = lured.chat(**{name: attacker.url})
    assert (got.status, got.error["param"]) == (400, name)
    assert attacker.url not in got.error["message"]


@pytest.mark.row("C32", "X4")
def test_no_header_and_no_query_is_an_address(lured, attacker):
    own = ["X-Forwarded-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL", "X-Host"]
    made = [
        f"{prefix}{name.replace('_', '-')}" for name in NAMES for prefix in ("x-litellm-", "x-")
    ]
    fields = [(name, attacker.url) for name in [*own, *made]]
    for start in range(0, len(fields), 40):
        assert lured.chat(headers=fields[start : start + 40]).status in (200, 400)
    query = "&".join(f"{name}={attacker.url}" for name in NAMES[:150])
    body = {"model": "m", "messages": []}
    assert lured.post(f"{CHAT}?{query}", body).status in (200, 414)
    assert "127.0.0.1" not in lured.upstream.last.target


@pytest.mark.row("C32", "X4")
def test_a_host_field_and_an_absolute_target_lead_nowhere(lured, attacker):
    body = json.dumps({"model": "m", "messages": []}).encode()
    head = (
        f"POST {attacker.url}/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{attacker.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with lured.connect() as client:
        client.send(head.encode() + body)
        assert client.read_response("POST").status == 200
    assert attacker.connections == 0


@pytest.mark.row("C32", "X4")
def test_an_address_in_the_model_is_no_model(lured, attacker):
    for model in (attacker.url, f"openai/{attacker.url}", f"m@{attacker.url}", f"m#{attacker.url}"):
        assert lured.chat(model).status in (400, 404)
    assert attacker.connections == 0
