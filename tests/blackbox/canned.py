"""Plausible answers of an OpenAI-compatible provider, by endpoint: what an upstream says unless a
test scripts it."""

from __future__ import annotations

import json
import re
from typing import Any

CREATED = 1_700_000_000
AUDIO = bytes(range(256)) * 8  # "speech": binary, and not JSON
# More than goes out at once, and less than is passed on as it comes.
LARGE_IMAGE = b'{"created": 1, "data": [{"b64_json": "' + b"A" * 7_500_000 + b'"}]}'


def last_user_message(body: dict) -> str:
    for message in reversed(body.get("messages") or []):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                content = " ".join(
                    part.get("text", "") for part in content if isinstance(part, dict)
                )
            return re.sub(r"\s+", " ", str(content))
    return "nothing"


def echo(body: dict) -> str:
    return f"echo: {last_user_message(body)}"


def usage() -> dict:
    return {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


# --- chat -----------------------------------------------------------------------------------------


def tool_call(body: dict) -> dict:
    name = body["tools"][0]["function"]["name"]
    arguments = json.dumps({"city": "Zürich"}, ensure_ascii=False)
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}


def chat_completion(body: dict, text: str | None = None) -> dict:
    if body.get("tools") and text is None:
        message = {"role": "assistant", "content": None, "tool_calls": [tool_call(body)]}
        reason = "tool_calls"
    else:
        message = {"role": "assistant", "content": echo(body) if text is None else text}
        reason = "stop"
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": CREATED,
        "model": body.get("model", ""),
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": usage(),
    }


def chat_chunk(
    delta: dict, finish_reason: str | None = None, model: str = "scripted", **more: Any
) -> dict:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    base = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": CREATED}
    return {**base, "model": model, "choices": choices, **more}


def sse(payload: Any, event: str = "") -> bytes:
    """One event; `payload` is JSON text or a value to be written as JSON."""
    data = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    return ((f"event: {event}\n" if event else "") + f"data: {data}\n\n").encode()


DONE = b"data: [DONE]\n\n"


def chat_text_events(text: str, model: str = "scripted") -> list[bytes]:
    """Role, one event a word, finish; without [DONE]."""
    words = re.findall(r"\S+\s*", text) or [text]
    deltas = [{"role": "assistant", "content": ""}] + [{"content": word} for word in words]
    events = [sse(chat_chunk(delta, model=model)) for delta in deltas]
    return events + [sse(chat_chunk({}, "stop", model))]


def chat_tool_events(body: dict, model: str) -> list[bytes]:
    call = tool_call(body)
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    opening = {
        "index": 0,
        "id": call["id"],
        "type": "function",
        "function": {"name": name, "arguments": ""},
    }
    deltas = [{"role": "assistant", "content": None, "tool_calls": [opening]}]
    for piece in (arguments[:4], arguments[4:]):
        deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    events = [sse(chat_chunk(delta, model=model)) for delta in deltas]
    return events + [sse(chat_chunk({}, "tool_calls", model))]


def chat_events(body: dict) -> list[bytes]:
    """The whole stream, [DONE] included."""
    model = body.get("model", "")
    tools = bool(body.get("tools"))
    events = chat_tool_events(body, model) if tools else chat_text_events(echo(body), model)
    if (body.get("stream_options") or {}).get("include_usage"):
        final = {**chat_chunk({}, model=model), "choices": [], "usage": usage()}
        events.append(sse(final))
    return events + [DONE]


# --- the other endpoints --------------------------------------------------------------------------


def completion(body: dict, text: str = "", finish_reason: str | None = "stop") -> dict:
    text = text or f"echo: {body.get('prompt')}"
    choices = [{"index": 0, "text": text, "finish_reason": finish_reason, "logprobs": None}]
    base = {"id": "cmpl-scripted", "object": "text_completion", "created": CREATED}
    return {**base, "model": body.get("model", ""), "choices": choices, "usage": usage()}


def completion_events(body: dict) -> list[bytes]:
    pieces = [sse(completion(body, word, None)) for word in ("echo: ", str(body.get("prompt")))]
    return pieces + [sse(completion(body, " ", "stop")), DONE]


def embeddings(body: dict) -> dict:
    inputs = body.get("input")
    count = len(inputs) if isinstance(inputs, list) else 1
    data = [
        {"object": "embedding", "index": i, "embedding": [0.25, -0.5, float(i)]}
        for i in range(count)
    ]
    return {
        "object": "list",
        "data": data,
        "model": body.get("model", ""),
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


def response(body: dict, status: str = "completed", text: str | None = None) -> dict:
    text = f"echo: {body.get('input')}" if text is None else text
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [part],
    }
    details = {"cached_tokens": 0}
    return {
        "id": "resp_scripted",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": body.get("model", ""),
        "output": [message] if status == "completed" else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": 7,
            "input_tokens_details": details,
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 12,
        },
    }


def response_event(kind: str, number: int, **fields: Any) -> bytes:
    return sse({"type": kind, "sequence_number": number, **fields}, event=kind)


def response_events(body: dict) -> list[bytes]:
    text = f"echo: {body.get('input')}"
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    item = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "in_progress",
        "content": [],
    }
    part = {"type": "output_text", "text": "", "annotations": []}
    return [
        response_event("response.created", 0, response=response(body, "in_progress")),
        response_event("response.output_item.added", 1, output_index=0, item=item),
        response_event("response.content_part.added", 2, part=part, **place),
        response_event("response.output_text.delta", 3, delta=text[:5], logprobs=[], **place),
        response_event("response.output_text.delta", 4, delta=text[5:], logprobs=[], **place),
        response_event("response.output_text.done", 5, text=text, logprobs=[], **place),
        response_event("response.completed", 6, response=response(body)),
    ]


def moderation(body: dict) -> dict:
    names = (
        "harassment harassment/threatening hate hate/threatening illicit illicit/violent self-harm "
        "self-harm/instructions self-harm/intent sexual sexual/minors violence violence/graphic"
    ).split()
    result = {
        "flagged": False,
        "categories": {name: False for name in names},
        "category_scores": {name: 0.01 for name in names},
        "category_applied_input_types": {name: ["text"] for name in names},
    }
    return {"id": "modr-1", "model": body.get("model", ""), "results": [result]}


def image(_: dict) -> dict:
    return {"created": CREATED, "data": [{"b64_json": "aW1hZ2U="}]}


def rerank(body: dict) -> dict:
    count = len(body.get("documents") or [])
    results = [{"index": i, "relevance_score": 1.0 / (i + 1)} for i in range(count)]
    return {"id": "rerank-1", "results": results}


JSON_ANSWERS = {
    "/chat/completions": chat_completion,
    "/completions": completion,
    "/embeddings": embeddings,
    "/responses": response,
    "/moderations": moderation,
    "/images/generations": image,
    "/rerank": rerank,
}

STREAMS = {
    "/chat/completions": chat_events,
    "/completions": completion_events,
    "/responses": response_events,
}


def endpoint_of(target: str) -> str:
    """The part of a request target behind the API base: "/chat/completions"."""
    path = target.split("?")[0]
    for endpoint in sorted([*JSON_ANSWERS, "/audio/speech"], key=len, reverse=True):
        if path.endswith(endpoint):
            return endpoint
    raise AssertionError(f"the gateway called an endpoint that no provider has: {target}")
