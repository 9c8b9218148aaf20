"""Paths, methods, CORS and request ids."""

from __future__ import annotations

import pytest

from edge import BODY, CHAT, assert_refused, no_upstream_call, send_raw
from settings import deployment


# --- paths and methods ----------------------------------------------------------------------------
def test_every_path_works_without_v1(scene):
    assert scene.post("/chat/completions", BODY).status == 200
    assert scene.get("/models").json()["data"][0]["id"] == "m"
    assert scene.post("/embeddings", {"model": "m", "input": "x"}).status == 200


@no_upstream_call
@pytest.mark.parametrize(
    "target", ["/", "/v1", "/v2/chat/completions", "/v1/chat", "//v1/models", "/v1/%2e%2e/metrics"]
)
@pytest.mark.row("C31")
def test_an_unknown_path_is_404(scene, target):
    assert_refused(scene, scene.get(target), 404, type="not_found_error")


@no_upstream_call
@pytest.mark.parametrize("target", ["http://h?x=/v1/models", "http://h?/health/liveliness"])
@pytest.mark.row("C31")
def test_a_query_without_a_path_holds_no_path(scene, target):
    sent = f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    assert_refused(scene, send_raw(scene, sent), 404, type="not_found_error")


@no_upstream_call
@pytest.mark.parametrize(
    "method, target, allowed",
    [
        ("GET", CHAT, "POST"),
        ("PUT", CHAT, "POST"),
        ("DELETE", "/v1/models", "GET"),
        ("POST", "/metrics", "GET"),
    ],
)
@pytest.mark.row("C37", "R24")
def test_a_wrong_method_is_405_with_allow(scene, method, target, allowed):
    response = scene.request(method, target)
    assert_refused(scene, response, 405)
    assert allowed in response.header("allow")


@no_upstream_call
@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
@pytest.mark.row("R7")
def test_connect_and_trace_are_405(scene, method):
    target = "x:443" if method == "CONNECT" else "/health"
    assert send_raw(scene, f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).status == 405


@pytest.mark.row("C37", "R23")
def test_head_is_get_without_the_body(scene):
    got = scene.get("/health/liveliness")
    head = scene.request("HEAD", "/health/liveliness")
    assert (head.status, head.body) == (200, b"")
    assert head.header("content-length") == str(len(got.body))
    assert head.header("content-type") == got.header("content-type")


@no_upstream_call
@pytest.mark.row("X10", "R28")
def test_options_without_cors_allows_no_origin(scene):
    response = scene.request("OPTIONS", CHAT, headers={"Origin": "https://site.example"})
    assert response.status in (204, 405)
    assert response.header("access-control-allow-origin") is None


@pytest.mark.row("C37", "R28", "X10")
def test_cors_allows_exactly_the_origins_that_were_named(gateway, upstream):
    running = gateway(deployment(upstream()), spillway={"cors_origins": ["https://site.example"]})
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    allowed = running.request(
        "OPTIONS", CHAT, headers={"Origin": "https://site.example", **preflight}
    )
    assert allowed.status == 204
    assert allowed.header("access-control-allow-origin") == "https://site.example"
    assert "POST" in allowed.header("access-control-allow-methods")
    assert "origin" in allowed.header("vary").lower()
    other = running.request(
        "OPTIONS", CHAT, headers={"Origin": "https://site.example.evil", **preflight}
    )
    assert other.header("access-control-allow-origin") is None
    real = running.post(CHAT, BODY, headers={"Origin": "https://site.example"})
    assert real.header("access-control-allow-origin") == "https://site.example"


# --- request ids ----------------------------------------------------------------------------------
def test_a_sane_request_id_of_the_clients_is_kept(scene):
    assert (
        scene.chat(headers={"x-request-id": "abc-123_4.5"}).header("x-request-id") == "abc-123_4.5"
    )


@pytest.mark.parametrize("given", ["a" * 129, "with space", 'quo"te', "<b>", "é"])
@pytest.mark.row("R30")
def test_an_odd_request_id_is_replaced(scene, given):
    made = scene.chat(headers={"x-request-id": given}).header("x-request-id")
    assert made and made != given


def test_made_request_ids_differ_and_come_with_refusals_too(scene):
    responses = [scene.chat(), scene.chat("none"), scene.post(CHAT, b"{"), scene.get("/nowhere")]
    ids = [response.header("x-request-id") for response in responses]
    assert all(ids) and len(set(ids)) == 4


@pytest.mark.row("R27")
def test_every_answer_has_a_date(scene):
    assert scene.get("/health/liveliness").header("date")
    assert scene.chat().header("date")
