"""LiteLLM's response headers, beside our own where they are asked for."""

from __future__ import annotations

from behaviours import error
from settings import deployment


def test_litellms_response_headers_come_only_where_they_are_wanted(gateway, upstream):
    plain = gateway(deployment(upstream()))
    assert not [n for n, _ in plain.chat().headers if n.lower().startswith("x-litellm")]

    served = upstream()
    running = gateway(
        deployment(upstream(default=error(500)), id="first", order=1),
        deployment(served, id="second", order=2),
        spillway={"litellm_headers": True},
    )
    for streaming in (False, True):
        response = running.chat(stream=streaming, headers={"x-litellm-call-id": "call-1"})
        assert response.status == 200
        assert response.header("x-litellm-call-id") == "call-1"
        assert response.header("x-litellm-model-id") == "second"
        assert response.header("x-litellm-model-group") == "m"
        assert response.header("x-litellm-model-api-base") == served.url
        assert response.header("x-litellm-attempted-fallbacks") == "0"
        assert float(response.header("x-litellm-response-duration-ms")) >= 0
        assert response.header("x-litellm-attempted-retries") in ("0", "1")
        if not streaming:
            assert response.header("x-litellm-attempted-retries") == "1"


def test_an_error_has_litellms_names_for_the_request_only(gateway, upstream):
    running = gateway(
        deployment(upstream(default=error(400))), spillway={"litellm_headers": True}
    )
    names = {name.lower() for name, _ in running.chat().headers}
    assert {n for n in names if n.startswith("x-litellm")} == {
        "x-litellm-call-id",
        "x-litellm-model-group",
    }
