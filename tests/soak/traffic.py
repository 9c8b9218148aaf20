"""What the clients do: one function for each kind of request, good and bad."""

from __future__ import annotations

import json
import select
import time

from book import Asked
from caller import CHAT, Caller, CountingClient, judge
from configurations import CROWD_KEY, KEY
from wire import Closed

READER_BYTES = 64 << 10  # what the kernel keeps for a slow reader
STOPPED_SECONDS = 4.0  # longer than stream_idle
CROWD = 40  # more than run and wait, together
GOOD_GROUPS = ("calm", "touchy", "spare")
FAILURES = (
    "429", "429 soon", "500", "503", "529", "400", "404", "html", "reset", "close", "cut head",
    "cut body", "no http",
)  # fmt: skip
STREAM_FAILURES = (
    "error first", "cut early", "cut", "reset late", "error late", "no json", "no done", "stalled",
)  # fmt: skip

MUST_SUCCEED = {
    "plain", "large", "embeddings", "streamed", "pipelined", "slow provider", "slow reader",
    "own pages",
}  # fmt: skip

# --- requests that must succeed -------------------------------------------------------------------


def plain(caller: Caller) -> None:
    request = caller.new("plain", caller.random.choice(GOOD_GROUPS))
    caller.ask(request, caller.bytes_of(request, caller.body(request)))


def large(caller: Caller) -> None:
    request = caller.new("large", caller.random.choice(GOOD_GROUPS))
    text = "x" * caller.random.randrange(50_000, 500_000)
    caller.ask(request, caller.bytes_of(request, caller.body(request, text)))


def embeddings(caller: Caller) -> None:
    request = caller.new("embeddings", caller.random.choice(GOOD_GROUPS))
    body = {"model": request.group, "user": request.id, "input": ["one", "two"]}
    caller.ask(request, caller.bytes_of(request, body, "/v1/embeddings"))


def streamed(caller: Caller) -> None:
    request = caller.new("streamed", caller.random.choice(GOOD_GROUPS), streamed=True)
    usage = {"stream_options": {"include_usage": True}} if caller.random.random() < 0.5 else {}
    caller.ask(request, caller.bytes_of(request, caller.body(request, **usage)))


def pipelined(caller: Caller) -> None:
    """The second is sent before the first is answered; again, if that answer was to be the last."""
    first, second = (caller.new("pipelined", "calm") for _ in range(2))
    data = [caller.bytes_of(each, caller.body(each)) for each in (first, second)]
    with caller.fresh() as client:
        client.send(b"".join(data))
        if caller.read(first, client):
            caller.read(second, client)
        else:
            caller.ask(second, data[1])


def slow_provider(caller: Caller) -> None:
    streams = caller.random.random() < 0.5
    script = "trickle" if streams else caller.random.choice(("slow", "slower"))
    request = caller.new("slow provider", "calm", (script,), streamed=streams)
    caller.ask(request, caller.bytes_of(request, caller.body(request)))


def slow_reader(caller: Caller) -> None:
    request = caller.new("slow reader", "calm", ("long",), streamed=True)
    with caller.fresh(receive_buffer=READER_BYTES) as client:
        client.send(caller.bytes_of(request, caller.body(request)))
        try:
            response = client.read_head()
            for _ in range(20):
                response.body += client.read_chunk()
                time.sleep(0.02)  # this is how slow it is
            client.read_body(response)
            request.received = client.taken if response.complete else 0
            judge(request, response)
        except (Closed, OSError) as error:
            request.note = f"{type(error).__name__} while reading slowly"
    caller.book.enter(request)


def own_pages(caller: Caller) -> None:
    path = caller.random.choice(("/v1/models", "/health", "/health/liveliness", "/router/state"))
    request = caller.new("own pages")
    caller.ask(request, caller.bytes_of(request, None, path, "GET"), "GET")


# --- providers that fail --------------------------------------------------------------------------


def failing(caller: Caller) -> None:
    draw = caller.random
    script = tuple(draw.choice(FAILURES) for _ in range(draw.randint(1, 4)))
    group = draw.choices(("calm", "touchy", "single"), (6, 6, 1))[0]
    request = caller.new("failing", group, script)
    caller.ask(request, caller.bytes_of(request, caller.body(request)))


def failing_stream(caller: Caller) -> None:
    draw = caller.random
    choices = STREAM_FAILURES * 2 + FAILURES
    script = tuple(draw.choice(choices) for _ in range(draw.randint(1, 3)))
    group = draw.choices(("calm", "touchy", "single"), (6, 6, 1))[0]
    request = caller.new("failing stream", group, script, streamed=True)
    caller.ask(request, caller.bytes_of(request, caller.body(request)))


def silent_provider(caller: Caller) -> None:
    request = caller.new("silent provider", "single", ("stall",) * 4)
    caller.ask(request, caller.bytes_of(request, caller.body(request, timeout=1)))


def crowd(caller: Caller) -> None:
    """More at once, all of one key, than may run and wait; others have their turn between them."""
    requests = [caller.new("crowd", "calm", ("slow",), statuses=(200, 503)) for _ in range(CROWD)]
    clients = []
    for request in requests:
        clients.append(caller.fresh())
        clients[-1].send(caller.bytes_of(request, caller.body(request), key=CROWD_KEY))
    for request, client in zip(requests, clients):
        caller.read(request, client)
        client.close()


# --- clients that leave ---------------------------------------------------------------------------


def leave(caller: Caller, request: Asked, client: CountingClient) -> None:
    client.leave(by_reset=caller.random.random() < 0.5)
    request.end = "left"
    caller.book.enter(request)


def left_waiting(caller: Caller) -> None:
    """When its provider, who will never answer, has the call."""
    request = caller.new("left waiting", "calm", ("stall",) * 4, statuses=(499,))
    request.streamed = caller.random.random() < 0.5
    client = caller.fresh()
    client.send(caller.bytes_of(request, caller.body(request)))
    if not caller.book.wait_for_call(request.id):
        request.note = "no provider was asked"
    leave(caller, request, client)


def left_between_calls(caller: Caller) -> None:
    script = ("429 soon", "500", "stall")
    request = caller.new("left between calls", "single", script, statuses=(499, 429))
    client = caller.fresh()
    client.send(caller.bytes_of(request, caller.body(request)))
    caller.book.wait_for_call(request.id)
    leave(caller, request, client)


def left_at_once(caller: Caller) -> None:
    """The gateway may have answered before it sees that nobody is there any more."""
    request = caller.new("left at once", "calm", statuses=(499, 200))
    client = caller.fresh()
    client.send(caller.bytes_of(request, caller.body(request)))
    leave(caller, request, client)


def reset_at_once(caller: Caller) -> None:
    """The reset may take the request with it."""
    request = caller.new("reset at once", "calm", statuses=(499, 200), lines=(0, 1))
    client = caller.fresh()
    client.send(caller.bytes_of(request, caller.body(request)))
    client.leave(by_reset=True)
    request.end = "left"
    caller.book.enter(request)


def left_in_stream(caller: Caller) -> None:
    script = caller.random.choice(("stalled", "stalled", "trickle", "long"))
    late = () if script == "stalled" else (200,)  # all of it may have been sent by then
    request = caller.new("left in stream", "calm", (script,), streamed=True)
    request.statuses = (499, *late)
    client = caller.fresh()
    client.send(caller.bytes_of(request, caller.body(request)))
    try:
        client.read_until(client.read_head(), b"xxx" if script == "long" else b"echo:")
    except (Closed, OSError, AssertionError) as error:
        request.note = f"{type(error).__name__} before the first content"
    leave(caller, request, client)


def stopped_reader(caller: Caller) -> None:
    """Stays connected and reads no more, for longer than the gateway waits."""
    request = caller.new("stopped reader", "calm", ("long",), streamed=True, statuses=(499,))
    with caller.fresh(receive_buffer=READER_BYTES) as client:
        client.send(caller.bytes_of(request, caller.body(request)))
        try:
            client.read_until(client.read_head(), b"xxx")
            given_up = select.poll()
            given_up.register(client.socket, 0)  # errors and hang-ups only
            given_up.poll(STOPPED_SECONDS * 1000)
        except (Closed, OSError, AssertionError) as error:
            request.note = f"{type(error).__name__} before the first content"
    request.end = "left"
    caller.book.enter(request)


# --- what no client should send -------------------------------------------------------------------


def malformed(caller: Caller) -> None:
    """Complete requests that the gateway refuses by itself."""
    request = caller.new("malformed")
    good = caller.body(request)
    table = [
        (400, lambda: caller.bytes_of(request, b'{"model": ')),
        (400, lambda: caller.bytes_of(request, b"")),
        (400, lambda: caller.bytes_of(request, b"[]")),
        (400, lambda: caller.bytes_of(request, {**good, "model": 3})),
        (404, lambda: caller.bytes_of(request, {**good, "model": "nobody"})),
        (401, lambda: caller.bytes_of(request, good, key="sk-wrong")),
        (401, lambda: caller.bytes_of(request, good, key="")),
        (404, lambda: caller.bytes_of(request, good, "/v1/nothing")),
        (405, lambda: caller.bytes_of(request, good, method="PUT")),
        (415, lambda: caller.bytes_of(request, good, headers=[("Content-Encoding", "gzip")])),
        (413, lambda: announcing(caller, request, 3 << 20)),
    ]
    status, data = caller.random.choice(table)
    request.statuses = (status,)
    caller.ask(request, data())


def announcing(caller: Caller, request: Asked, size: int, body: bytes = b"") -> bytes:
    """A head that promises more than comes."""
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nx-request-id: {request.id}\r\n"
    return f"{head}Authorization: Bearer {KEY}\r\nContent-Length: {size}\r\n\r\n".encode() + body


BAD_HEADS = (
    b"GET /v1/models HTTP/1.1\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET /v1/models HTTP/3.0\r\nHost: x\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\n",
    b"POST /v1/models HTTP/1.1\r\nHost: x\r\nContent-Length: 5x\r\n\r\nhello",
    b"POST /v1/models HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-A: \x00\r\n\r\n",
)


def bad_head(caller: Caller) -> None:
    """It is answered under an id of the gateway's own."""
    answered_by_its_id(caller, caller.new("bad head"), caller.random.choice(BAD_HEADS))


def half_head_waiting(caller: Caller) -> None:
    answered_by_its_id(caller, caller.new("half head, waits"), b"GET /v1/models HTTP/1.1\r\nHo")


def answered_by_its_id(caller: Caller, request: Asked, data: bytes) -> None:
    with caller.fresh() as client:
        client.send(data)
        try:
            response = client.read_response()
            request.id = response.header("x-request-id") or request.id
            request.status, request.end = response.status, "failed"
        except (Closed, OSError) as error:
            request.note = f"{type(error).__name__}: a bad head was not answered"
    caller.book.enter(request)


def half_head_left(caller: Caller) -> None:
    request = caller.new("half head, leaves", lines=(0,))
    client = caller.fresh()
    client.send(caller.bytes_of(request, caller.body(request))[: 60 + len(request.id)])
    leave(caller, request, client)


def half_body_waiting(caller: Caller) -> None:
    request = caller.new("half body, waits", statuses=(408,))
    with caller.fresh() as client:
        client.send(announcing(caller, request, 500, json.dumps(caller.body(request)).encode()))
        caller.read(request, client)


def half_body_left(caller: Caller) -> None:
    request = caller.new("half body, leaves", statuses=(499,))
    client = caller.fresh()
    client.send(announcing(caller, request, 500, json.dumps(caller.body(request)).encode()))
    leave(caller, request, client)
