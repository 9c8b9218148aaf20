"""What the tests of the HTTP edge share: a good request, small limits, and refusals."""

from __future__ import annotations

import pytest

CHAT = "/v1/chat/completions"
BODY = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
SMALL = {
    "limits": {"body": "64KiB", "head": "8KiB", "headers": 20},
    "timeouts": {"head": "400ms", "body": "400ms"},
}


no_upstream_call = pytest.mark.no_upstream_call


def post_head(*fields: str, version: str = "1.1") -> bytes:
    """The head of a POST to the chat endpoint."""
    return "\r\n".join([f"POST {CHAT} HTTP/{version}", "Host: x", *fields, "", ""]).encode()


def send_raw(running, *pieces, method="POST"):
    with running.connect() as client:
        for piece in pieces:
            client.send(piece)
        response = client.read_response(method)
        response.closes = client.closed_by_gateway(timeout=5)
        return response


def assert_refused(running, response, status, **error):
    """The error shape, with these members, and nothing reached an upstream."""
    assert response.status == status, (response.status, response.body)
    found = response.error
    for name, value in error.items():
        assert found[name] == value, found
    assert found["type"] != "server_error"
