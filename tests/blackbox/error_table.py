"""DESIGN.md section 4's error table, row by row: what an upstream does, and what every client must
make of it.

Each row is a model group of its own, named after the row, with one deployment. Python and Node SDK
tests share it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from behaviours import error, raw, reset, stall, status
from framing import head
from settings import deployment

ANY = "any code"


@dataclass(frozen=True)
class Row:
    name: str
    behaviour: Optional[Callable]  # None: nothing listens
    status: int
    type: str
    code: Optional[str] = ANY
    params: dict[str, Any] = field(default_factory=dict)  # of the deployment

    @property
    def sdk_class(self) -> str:
        return "InternalServerError" if self.status >= 500 else SDK_CLASSES[self.status]


SDK_CLASSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    408: "APIStatusError",
    409: "ConflictError",
    413: "APIStatusError",
    415: "APIStatusError",
    418: "APIStatusError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}

CONTEXT_MESSAGE = (
    "This model's maximum context length is 8192 tokens. "
    "However, your messages resulted in 9001 tokens."
)
POLICY_MESSAGE = "Your request was rejected as a result of the safety system."
TOO_LONG = "context_length_exceeded"
REFUSED = "content_policy_violation"
INVALID = "invalid_request_error"
UNAVAILABLE = "service_unavailable_error"


def html(code: int) -> Callable:
    return status(code, b"<html>hello</html>", content_type="text/html")


ROWS = [
    Row("bad-request", error(400, code="own_code", param="seed"), 400, INVALID, "own_code"),
    Row("teapot", error(418), 418, INVALID),
    Row("too-large", error(413), 413, INVALID),
    Row("unsupported-media", error(415), 415, INVALID),
    Row("context-by-code", error(400, code=TOO_LONG), 400, INVALID, TOO_LONG),
    Row("context-413-by-code", error(413, code=TOO_LONG), 400, INVALID, TOO_LONG),
    Row("context-422-by-code", error(422, code=TOO_LONG), 400, INVALID, TOO_LONG),
    Row("context-by-message", error(400, CONTEXT_MESSAGE), 400, INVALID, TOO_LONG),
    Row("policy-by-code", error(400, code=REFUSED), 400, INVALID, REFUSED),
    Row("policy-azure-code", error(400, code="content_filter"), 400, INVALID, REFUSED),
    Row("policy-403-by-code", error(403, code=REFUSED), 400, INVALID, REFUSED),
    Row("policy-by-message", error(400, POLICY_MESSAGE), 400, INVALID, REFUSED),
    Row("unauthorized", error(401), 401, "authentication_error"),
    Row("forbidden", error(403), 403, "permission_denied_error"),
    Row("missing", error(404), 404, "not_found_error"),
    Row("conflict", error(409), 409, "conflict_error"),
    Row("unprocessable", error(422), 422, "unprocessable_entity_error"),
    Row("limited", error(429), 429, "rate_limit_error"),
    Row("limited-by-code", error(400, code="rate_limit_exceeded"), 429, "rate_limit_error"),
    Row("limited-503-by-code", error(503, code="rate_limit_exceeded"), 429, "rate_limit_error"),
    Row("unpaid", error(402), 429, "insufficient_quota"),
    Row("quota", error(429, code="insufficient_quota"), 429, "insufficient_quota"),
    Row("request-timeout", error(408), 408, "timeout_error"),
    Row("gateway-timeout", error(504), 504, "timeout_error"),
    Row("silence", stall(), 504, "timeout_error", params={"timeout": 0.3, "stream_timeout": 0.3}),
    Row("internal", error(500), 500, "server_error"),
    Row("bad-gateway", error(502), 502, "bad_gateway_error"),
    Row("unavailable", error(503), 503, UNAVAILABLE),
    Row("overloaded", error(529, type="overloaded_error"), 503, UNAVAILABLE),
    Row("refused", None, 502, "api_connection_error"),
    Row("reset", reset(), 502, "api_connection_error"),
    Row("junk", raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), 502, "bad_gateway_error"),
    Row("truncated", raw(head(200, [("Content-Length", "50")]) + b"{"), 502, "bad_gateway_error"),
    Row("redirect", status(307, b"", {"Location": "/elsewhere"}), 502, "bad_gateway_error"),
    Row("html", html(200), 502, "bad_gateway_error"),
    Row("html-503", html(503), 503, UNAVAILABLE),
    Row("error-in-200", status(200, {"error": {"message": "busy", "code": 503}}), 503, UNAVAILABLE),
]


def models(make_upstream: Callable) -> list[dict]:
    """The model_list: one group a row. With nothing to move on to, nothing is benched between
    tests."""
    entries = []
    for row in ROWS:
        served = (
            make_upstream(default=row.behaviour)
            if row.behaviour
            else make_upstream(listening=False)
        )
        entries.append(deployment(served, row.name, id=row.name, **row.params))
    return entries


NO_RETRIES = {"num_retries": 0}
