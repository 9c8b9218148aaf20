"""The requests that are sent: chat completions of given sizes, as bytes of the wire."""

from __future__ import annotations

import base64
import json
import random
from typing import Optional

KEY = "sk-bench-0123456789abcdef"
PATH = "/v1/chat/completions"
PLAIN_BYTES = 700
IMAGE_BYTES = 512 * 1024  # from here on a body is mostly a picture, as large bodies are
WORDS = (
    "the water of a reservoir rises after rain and a spillway carries away what the dam cannot hold "
    "said “engineers” in Zürich, for it must never go over the top: 3.5 m³ a second\n"
).split(" ")


def chat(size: int, **extra: object) -> bytes:
    """A chat request of exactly `size` bytes; `extra` members come first."""
    head = {**extra, "model": "bench", "temperature": 0.7, "max_tokens": 256}
    begin = [{"role": "system", "content": "You are a helpful assistant."}]

    def spelled(content: object) -> bytes:
        messages = [*begin, {"role": "user", "content": content}]
        return json.dumps(
            {**head, "messages": messages}, ensure_ascii=False, separators=(",", ":")
        ).encode()

    def image(data: str) -> object:
        url = {"url": f"data:image/png;base64,{data}"}
        return [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": url}]

    make = image if size >= IMAGE_BYTES else str
    room = size - len(spelled(make("")))
    if room < 0:
        raise ValueError(f"no chat request has {size} bytes")
    body = spelled(make(picture(room) if make is image else prose(room)))
    return body + b" " * (size - len(body))


def prose(size: int) -> str:
    """At most `size` bytes of JSON text, escapes included."""
    chosen = random.Random(size)
    words, used = [], 0
    while True:
        word = chosen.choice(WORDS) + " "
        used += len(json.dumps(word, ensure_ascii=False).encode()) - 2
        if used > size:
            return "".join(words)
        words.append(word)


def picture(size: int) -> str:
    return base64.b64encode(random.Random(size).randbytes(size * 3 // 4 + 3)).decode()[:size]


def stream(interval_us: int, events: int) -> bytes:
    """A request for a stream; the scripted upstream reads how it is to be from the first bytes."""
    return chat(PLAIN_BYTES, events=events, interval_us=interval_us, stream=True)


def request(
    body: bytes,
    method: str = "POST",
    path: str = PATH,
    headers: Optional[dict[str, str]] = None,
) -> bytes:
    """A whole request; `headers` come beside those that every request has, or instead of them."""
    sent = {"Host": "127.0.0.1", "Authorization": f"Bearer {KEY}", **(headers or {})}
    head = f"{method} {path} HTTP/1.1\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    if method == "GET":
        return f"{head}\r\n".encode()
    return (
        f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
