"""Every row of the error table, through the real OpenAI Python SDK: exception class, status, type,
code, request id."""

from __future__ import annotations

import asyncio

import pytest

from behaviours import error, status, stream
from canned import sse
from error_table import ANY, NO_RETRIES, ROWS, models
from rows import cases
from settings import deployment
from state import health_state

openai = pytest.importorskip("openai")

MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def table(module_gateway, module_upstream):
    return module_gateway(*models(module_upstream), router=NO_RETRIES)


def sync_failure(base_url, **arguments):
    with openai.OpenAI(base_url=base_url, api_key="sk-client", max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(messages=MESSAGES, **arguments)
        return caught.value


def async_failure(base_url, **arguments):
    async def call():
        async with openai.AsyncOpenAI(
            base_url=base_url, api_key="sk-client", max_retries=0
        ) as client:
            with pytest.raises(openai.APIStatusError) as caught:
                await client.chat.completions.create(messages=MESSAGES, **arguments)
            return caught.value

    return asyncio.run(call())


# The rows of the fault catalogue
CATALOGUE = {
    "bad-request": "U35",
    "too-large": "U35",
    "unprocessable": "U35",
    "conflict": "U36",
    "request-timeout": "U36",
    "unauthorized": "U33",
    "forbidden": "U33",
    "missing": "U34",
    "quota": "U31",
    "unpaid": "U31",
    "limited": "U30",
    "internal": "U21",
    "unavailable": "U23",
    "overloaded": "U22",
    "refused": "U1",
    "reset": "U6",
    "junk": "U8",
    "truncated": "U11",
    "redirect": "U45",
    "html": "U19",
    "html-503": "U20",
    "error-in-200": "U18",
    "silence": "U37",
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("failure", [sync_failure, async_failure], ids=["sync", "async"])
@pytest.mark.parametrize("row", cases({row.name: row for row in ROWS}, CATALOGUE))
def test_the_sdk_raises_what_the_table_says(table, row, failure, stream):
    raised = failure(table.base_url, model=row.name, stream=stream)
    assert type(raised).__name__ == row.sdk_class
    assert raised.status_code == row.status
    assert raised.type == row.type
    if row.code is not ANY:
        assert raised.code == row.code
    assert set(raised.body) == {"message", "type", "param", "code"}
    headers = raised.response.headers
    assert headers["content-type"].startswith("application/json")
    assert raised.request_id and raised.request_id == headers["x-request-id"]
    assert not ("retry-after" in headers and "x-should-retry" in headers)


def test_a_clients_request_id_comes_back_on_an_error(table):
    with openai.OpenAI(base_url=table.base_url, api_key="sk-client", max_retries=0) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(
                model="internal", messages=MESSAGES, extra_headers={"x-request-id": "mine-42"}
            )
    assert caught.value.request_id == "mine-42"


def test_param_and_message_of_a_bad_request_survive(table):
    raised = sync_failure(table.base_url, model="bad-request")
    assert raised.param == "seed"
    assert "scripted failure" in raised.message


@pytest.mark.row("U33")
def test_an_upstreams_401_says_whose_credential_was_refused(table):
    refused = table.chat("unauthorized").error
    assert "openai" in refused["message"].lower() or "unauthorized" in refused["message"].lower()
    assert refused["code"] != "invalid_api_key", "the user's own key is fine"


@pytest.mark.row("U20")
def test_an_upstreams_html_page_never_reaches_the_client(table):
    for model in ("html", "html-503"):
        response = table.chat(model)
        assert b"<html" not in response.body
        assert response.error


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    "headers, name, value",
    [
        ({"retry-after": "7"}, "retry-after", "7"),
        ({"retry-after-ms": "350"}, "retry-after-ms", "350"),
    ],
)
@pytest.mark.row("U23")
def test_a_lone_upstreams_retry_headers_are_passed_on(
    gateway, upstream, headers, name, value, stream
):
    running = gateway(deployment(upstream(default=error(429, headers=headers))), router=NO_RETRIES)
    response = running.chat(stream=stream)
    assert response.status == 429
    assert response.header(name) == value
    assert response.header("x-should-retry") is None


def test_after_its_own_retries_the_gateway_tells_the_sdk_not_to_repeat_them(gateway, upstream):
    failing = upstream(default=error(500))
    running = gateway(deployment(failing))
    with openai.OpenAI(base_url=running.base_url, api_key="sk-client", max_retries=2) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model="m", messages=MESSAGES)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert failing.count == 2, "once, and once again after a backoff; the SDK added nothing"


@pytest.mark.row("U55")
def test_a_rate_limit_of_all_deployments_names_the_soonest_recovery(gateway, upstream):
    slow = upstream(default=error(429, headers={"retry-after": "40"}))
    soon = upstream(default=error(429, headers={"retry-after": "20"}))
    running = gateway(deployment(slow), deployment(soon))
    first, then = running.chat(), running.chat()
    for response in (first, then):
        assert response.status == 429 and response.error["type"] == "rate_limit_error"
        assert 17 <= int(response.header("retry-after")) <= 21
        assert response.header("x-should-retry") is None
    assert (slow.count, soon.count) == (1, 1), "while all are cooling nothing is called"


def test_when_everything_failed_the_first_groups_error_is_told(gateway, upstream):
    first = upstream(default=error(503, "first is down"))
    other = upstream(default=error(400, "the fallback did not like it"))
    running = gateway(
        deployment(first, "m"),
        deployment(other, "spare"),
        router={**NO_RETRIES, "fallbacks": [{"m": ["spare"]}]},
    )
    response = running.chat()
    assert (response.status, response.error["type"]) == (503, "service_unavailable_error")
    assert "first is down" in response.error["message"]
    assert other.count == 1


NAMELESS = {
    "ollama": (404, {"error": "model 'x' not found"}),
    "anthropic": (404, {"type": "error", "error": {"type": "not_found_error", "message": "x"}}),
    "a page": (404, "<html>not here</html>"),
    "forbidden": (403, {"error": {"message": "no", "type": "t", "param": None, "code": None}}),
}


@pytest.mark.parametrize("code, body", NAMELESS.values(), ids=NAMELESS)
def test_a_refusal_that_names_nothing_is_asked_elsewhere_and_benches_nobody(
    gateway, upstream, code, body
):
    first, second = upstream(default=status(code, body)), upstream()
    running = gateway(
        deployment(first, order=1, id="first"), deployment(second, order=2, id="second")
    )
    for _ in range(5):
        assert running.chat().header("x-spillway-deployment") == "second"
    assert health_state(running, "first") == "closed"
    second.always(status(code, body))
    reply = running.chat()
    assert reply.status == code and reply.error["message"]


@pytest.mark.row("U34")
def test_a_404_about_what_only_one_provider_has_is_the_clients(gateway, upstream):
    first, second = upstream(default=error(404)), upstream()
    running = gateway(deployment(first, order=1), deployment(second, order=2))
    body = {"model": "m", "input": "x", "previous_response_id": "resp_1"}
    assert running.post("/v1/responses", body).status == 404
    assert second.count == 0


def test_a_403_whose_code_names_the_credential_benches(gateway, upstream):
    forbidden, second = upstream(default=error(403, code="invalid_api_key")), upstream()
    running = gateway(deployment(forbidden, order=1, id="first"), deployment(second, order=2))
    assert running.chat().status == 200
    assert health_state(running, "first") == "cooling"


def test_an_organization_refused_inside_a_stream_benches_nobody_either(gateway, upstream):
    refusal = sse({"error": {"message": "no", "code": "mismatched_organization"}})
    first = upstream(default=stream(refusal))
    running = gateway(deployment(first, order=1, id="first"), deployment(upstream(), order=2))
    headers = {"OpenAI-Organization": "org-not-ours"}
    assert running.chat(headers=headers, stream=True).status == 200
    assert health_state(running, "first") == "closed"


@pytest.mark.parametrize("sent", [True, False])
def test_an_organization_that_the_client_claims_benches_nobody(gateway, upstream, sent):
    refusal = error(401, code="mismatched_organization")
    first, second = upstream(default=refusal), upstream(default=refusal)
    running = gateway(
        deployment(first, order=1, id="first"), deployment(second, order=2, id="second")
    )
    headers = {"OpenAI-Organization": "org-not-ours"} if sent else {}
    assert running.chat(headers=headers).status == 401
    assert health_state(running, "first") == ("closed" if sent else "cooling")


@pytest.mark.row("U35")
def test_a_bad_request_is_not_tried_elsewhere_and_benches_nobody(gateway, upstream):
    first, second = upstream(default=error(400)), upstream()
    running = gateway(deployment(first, order=1), deployment(second, order=2))
    for _ in range(6):
        assert running.chat().status == 400
    assert (first.count, second.count) == (6, 0)


MOVING = {401: "U33", 402: "U31", 429: "U30", 500: "U21", 502: "U20", 503: "U23", 529: "U22"}


@pytest.mark.parametrize("code", cases({code: code for code in [*MOVING, 408, 504]}, MOVING))
def test_what_is_the_deployments_fault_moves_to_another(gateway, upstream, code):
    first, second = upstream(default=error(code)), upstream()
    running = gateway(deployment(first, order=1), deployment(second, id="second", order=2))
    response = running.chat()
    assert (response.status, response.header("x-spillway-deployment")) == (200, "second")
    assert (first.count, second.count) == (1, 1)


def test_an_error_inside_an_array_is_read(gateway, upstream):
    body = [{"error": {"code": 404, "message": "models/none is not found", "status": "NOT_FOUND"}}]
    running = gateway(deployment(upstream(default=status(404, body))), router=NO_RETRIES)
    response = running.chat()
    assert response.status == 404 and "models/none" in response.error["message"]
