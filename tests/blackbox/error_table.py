"""DESIGN.md section 4's error table, row by row: what an upstream does, and what every client must make of it.

Each row is a model group of its own, named after the row, with one deployment. Python and Node SDK tests share it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from behaviours import error, raw, reset, stall, status
from settings import deployment

ANY = "any code"


@dataclass(frozen=True)
class Row:
    name: str
    behaviour: Optional[Callable]  # None: nothing listens
    status: int
    type: str
    code: Optional[str] = ANY
    sdk_class: str = "InternalServerError"
    params: dict[str, Any] = field(default_factory=dict)  # of the deployment


def bad_request(name: str, code: int, expected: int, **fields: Any) -> Row:
    expected_code = fields.pop("expected_code", ANY)
    return Row(name, error(code, **fields), expected, "invalid_request_error", expected_code, "BadRequestError")


CONTEXT_MESSAGE = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens."
POLICY_MESSAGE = "Your request was rejected as a result of the safety system."
TOO_LONG = {"expected_code": "context_length_exceeded"}
REFUSED = {"expected_code": "content_policy_violation"}

ROWS = [
    bad_request("bad-request", 400, 400, code="upstream_code", param="temperature", expected_code="upstream_code"),
    Row("teapot", error(418), 418, "invalid_request_error", ANY, "APIStatusError"),
    Row("too-large", error(413), 413, "invalid_request_error", ANY, "APIStatusError"),
    Row("unsupported-media", error(415), 415, "invalid_request_error", ANY, "APIStatusError"),
    bad_request("context-by-code", 400, 400, code="context_length_exceeded", **TOO_LONG),
    bad_request("context-413-by-code", 413, 400, code="context_length_exceeded", **TOO_LONG),
    bad_request("context-422-by-code", 422, 400, code="context_length_exceeded", **TOO_LONG),
    bad_request("context-by-message", 400, 400, message=CONTEXT_MESSAGE, **TOO_LONG),
    bad_request("policy-by-code", 400, 400, code="content_policy_violation", **REFUSED),
    bad_request("policy-azure-code", 400, 400, code="content_filter", **REFUSED),
    bad_request("policy-403-by-code", 403, 400, code="content_policy_violation", **REFUSED),
    bad_request("policy-by-message", 400, 400, message=POLICY_MESSAGE, **REFUSED),
    Row("unauthorized", error(401), 401, "authentication_error", ANY, "AuthenticationError"),
    Row("forbidden", error(403), 403, "permission_denied_error", ANY, "PermissionDeniedError"),
    Row("missing", error(404), 404, "not_found_error", ANY, "NotFoundError"),
    Row("conflict", error(409), 409, "conflict_error", ANY, "ConflictError"),
    Row("unprocessable", error(422), 422, "unprocessable_entity_error", ANY, "UnprocessableEntityError"),
    Row("limited", error(429), 429, "rate_limit_error", ANY, "RateLimitError"),
    Row("limited-by-code", error(400, code="rate_limit_exceeded"), 429, "rate_limit_error", ANY, "RateLimitError"),
    Row("limited-503-by-code", error(503, code="rate_limit_exceeded"), 429, "rate_limit_error", ANY, "RateLimitError"),
    Row("unpaid", error(402), 429, "insufficient_quota", ANY, "RateLimitError"),
    Row("quota", error(429, code="insufficient_quota"), 429, "insufficient_quota", ANY, "RateLimitError"),
    Row("request-timeout", error(408), 408, "timeout_error", ANY, "APIStatusError"),
    Row("gateway-timeout", error(504), 504, "timeout_error"),
    Row("silence", stall(), 504, "timeout_error", params={"timeout": 0.3, "stream_timeout": 0.3}),
    Row("internal", error(500), 500, "server_error"),
    Row("bad-gateway", error(502), 502, "bad_gateway_error"),
    Row("unavailable", error(503), 503, "service_unavailable_error"),
    Row("overloaded", error(529, type="overloaded_error"), 503, "service_unavailable_error"),
    Row("refused", None, 502, "api_connection_error"),
    Row("reset", reset(), 502, "api_connection_error"),
    Row("junk", raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), 502, "bad_gateway_error"),
    Row("truncated", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"), 502, "bad_gateway_error"),
    Row("redirect", status(307, b"", {"Location": "http://127.0.0.1:1/"}), 502, "bad_gateway_error"),
    Row("html", status(200, b"<html>welcome</html>", content_type="text/html"), 502, "bad_gateway_error"),
    Row("html-503", status(503, b"<html>busy</html>", content_type="text/html"), 503, "service_unavailable_error"),
    Row("error-in-200", status(200, {"error": {"message": "busy", "code": 503}}), 503, "service_unavailable_error"),
]
ROWS_BY_NAME = {row.name: row for row in ROWS}


def models(make_upstream: Callable) -> list[dict]:
    """The model_list: one group a row. With nothing to move on to, nothing is benched between tests."""
    entries = []
    for row in ROWS:
        served = make_upstream(default=row.behaviour) if row.behaviour else make_upstream(listening=False)
        entries.append(deployment(served, row.name, id=row.name, **row.params))
    return entries


NO_RETRIES = {"num_retries": 0}
