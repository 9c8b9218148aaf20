"""API keys: who may ask for what, and where the gateway may listen without one."""

from __future__ import annotations

import pytest

from edge import BODY, CHAT, post_head
from settings import deployment


@pytest.fixture(scope="module")
def guarded(module_gateway, module_upstream):
    served = module_upstream()
    running = module_gateway(
        deployment(served),
        general={"master_key": "sk-master"},
        spillway={"keys": [{"name": "alice", "key": "sk-alice-key"}]},
    )
    running.upstream = served
    return running


BAD_KEYS = {
    "none": [],
    "wrong": [("Authorization", "Bearer sk-wrong")],
    "a prefix": [("Authorization", "Bearer sk-maste")],
    "longer": [("Authorization", "Bearer sk-master1")],
    "no scheme": [("Authorization", "sk-master")],
    "empty": [("Authorization", "")],
    "basic": [("Authorization", "Basic c2stbWFzdGVy")],
    "quotes": [("Authorization", "Bearer ' OR 1=1 --")],
    "long": [("Authorization", "Bearer " + "a" * 8000)],
    "two": [("Authorization", "Bearer sk-wrong"), ("Authorization", "Bearer sk-master")],
}


@pytest.mark.parametrize("fields", BAD_KEYS.values(), ids=BAD_KEYS)
@pytest.mark.row("C28", "R25", "X1")
def test_no_or_a_wrong_key_is_401_with_a_challenge(guarded, fields):
    before = guarded.upstream.count
    response = guarded.post(CHAT, BODY, headers=fields)
    assert response.status == 401
    assert (
        response.error["code"] == "invalid_api_key"
        and response.error["type"] == "authentication_error"
    )
    assert response.header("www-authenticate").startswith("Bearer")
    assert guarded.upstream.count == before


@pytest.mark.row("C29")
def test_a_key_in_the_query_is_no_key(guarded):
    assert guarded.get("/v1/models?key=sk-master&api_key=sk-master").status == 401


@pytest.mark.parametrize("key", ["sk-master", "sk-alice-key"])
def test_each_configured_key_opens_the_door(guarded, key):
    assert guarded.post(CHAT, BODY, key=key).status == 200


def test_a_wrong_key_is_refused_before_the_body_is_sent(guarded):
    with guarded.connect() as client:
        client.send(post_head("Expect: 100-continue", "Content-Length: 9"))
        response = client.read_response("POST")
        assert (response.status, response.interim) == (401, [])


@pytest.mark.parametrize(
    "target", ["/v1/models", "/metrics", "/router/state", "/health", "/v1/models/m", "/no/such"]
)
@pytest.mark.row("C31")
def test_everything_else_wants_a_key(guarded, target):
    assert guarded.get(target).status == 401


@pytest.mark.parametrize("target", ["/health/liveliness", "/health/liveness", "/health/readiness"])
def test_liveness_and_readiness_are_open(guarded, target):
    assert guarded.get(target).status == 200


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
@pytest.mark.row("X9")
def test_it_refuses_to_listen_beyond_loopback_without_a_key(gateway, upstream, listen):
    with pytest.raises(AssertionError, match="does not listen") as caught:
        gateway(deployment(upstream()), listen=listen)
    assert "key" in str(caught.value)
