"""Cases written by other projects, where shared/corpora lies beside the checkout: no hang, no
double answer, no crash, and every case that must be rejected is refused."""

from __future__ import annotations

import asyncio
import base64
import json
import re

import pytest

from edge import post_head
from settings import deployment

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
AT_ONCE = 24
PATIENCE = 5.0  # seconds for an answer or a close; the gateway's own deadlines are shorter
BEHIND = 0.5  # seconds for a second answer to one request, after the first

# Bytes behind a request that has no body are the next request, however its author meant them: junk
# there is refused with a 400 of its own, and the connection is closed.
JUNK_BEHIND = {
    "connection.md: Upgrade GET request",
    "connection.md: Multiple tokens with folding and LWS",
}


@pytest.fixture(scope="module")
def running(module_gateway, module_upstream):
    served = module_upstream()
    started = module_gateway(
        deployment(served), spillway={"timeouts": {"head": "600ms", "body": "600ms"}}
    )
    started.upstream = served
    yield started
    assert started.alive and started.chat().status == 200


def load(shared, name):
    path = shared / "corpora" / name
    if not path.is_file():
        pytest.skip(f"no {name} beside this checkout")
    return [json.loads(line) for line in path.read_text().splitlines()]


class Outcome:
    def __init__(self):
        self.data, self.closed = b"", False

    @property
    def finals(self):
        return [code for code in map(int, STATUS.findall(self.data)) if code >= 200]


async def exchange(port, sent):
    """Sends the bytes and collects what comes back until the end, silence behind an answer, or
    patience runs out."""
    outcome = Outcome()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        await writer.drain()
        while True:
            patience = BEHIND if outcome.finals else PATIENCE
            received = await asyncio.wait_for(reader.read(65536), patience)
            if not received:
                outcome.closed = True
                break
            outcome.data += received
    except ConnectionError:
        outcome.closed = True
    except asyncio.TimeoutError:
        pass
    finally:
        writer.close()
    return outcome


def run_all(port, messages):
    """The outcomes of many exchanges, a bounded number of them at a time."""

    async def all_of_them():
        room = asyncio.Semaphore(AT_ONCE)

        async def one(sent):
            async with room:
                return await exchange(port, sent)

        return await asyncio.gather(*[one(sent) for sent in messages])

    return asyncio.run(all_of_them())


def with_host(raw):
    """Many cases are about something else and lack a Host, for which 400 would be right."""
    if b"host:" in raw.lower() or b"\r\n" not in raw:
        return raw
    at = raw.index(b"\r\n") + 2
    return raw[:at] + b"Host: 127.0.0.1\r\n" + raw[at:]


def complaint(case, outcome):
    """What is wrong with the outcome; empty if nothing is."""
    finals, expected = outcome.finals, case["expect"]
    if not finals and not outcome.closed:
        return "no answer and no end"
    if any(code >= 500 and code not in (501, 505) for code in finals):
        return f"a server error: {finals}"
    if expected in ("reject", "wait") and any(200 <= code < 300 for code in finals):
        return f"accepted: {finals}"
    if expected == "accept" and not finals:
        return "closed without an answer"
    return ""


@pytest.mark.parametrize("name", ["llhttp_request.jsonl", "gunicorn.jsonl", "picohttpparser.jsonl"])
@pytest.mark.parametrize("host", [False, True], ids=["as-it-is", "with-host"])
def test_http_cases(running, shared, name, host):
    cases = load(shared, name)
    raws = [base64.b64decode(case["raw"]) for case in cases]
    outcomes = run_all(running.port, [with_host(raw) if host else raw for raw in raws])
    wrong = []
    for case, raw, outcome in zip(cases, raws, outcomes):
        problem = complaint(case, outcome)
        if problem:
            wrong.append(f"{case['id']}: {problem}: {raw!r}")
        answers, requests = len(outcome.finals), max(1, raw.count(b"HTTP/1"))
        if case["id"] in JUNK_BEHIND and outcome.finals[1:] == [400] and outcome.closed:
            answers = 1
        if answers > requests:
            wrong.append(f"{case['id']}: {answers} answers to {requests} request(s)")
    assert not wrong, "\n".join(wrong)


def test_every_json_body_is_judged_as_its_authors_say(running, shared):
    cases = load(shared, "json_parsing.jsonl")
    before = running.upstream.count
    messages = []
    for case in cases:
        body = base64.b64decode(case["body"])
        head = post_head("Connection: close", f"Content-Length: {len(body)}")
        messages.append(head + body)
    wrong = []
    for case, outcome in zip(cases, run_all(running.port, messages)):
        name, finals = case["id"], outcome.finals
        if len(finals) != 1:
            wrong.append(f"{name}: {finals}")
        elif name.startswith("n_") and finals != [400]:
            wrong.append(f"{name}: {finals}")
        elif finals[0] >= 500:
            wrong.append(f"{name}: {finals}")
    assert not wrong, "\n".join(wrong)
    assert running.upstream.count == before, "none of them names a model"


def test_json_values_inside_a_request_are_judged_the_same(running, shared):
    """The same texts as the value of an unknown member of an otherwise good request."""
    cases = load(shared, "json_parsing.jsonl")
    bodies = [
        b'{"model":"m","messages":[],"x":' + base64.b64decode(case["body"]) + b"}" for case in cases
    ]
    messages = []
    for body in bodies:
        head = post_head("Connection: close", f"Content-Length: {len(body)}")
        messages.append(head + body)
    wrong = []
    for case, body, outcome in zip(cases, bodies, run_all(running.port, messages)):
        kind, finals = case["id"][:2], outcome.finals
        allowed = {"y_": [[200]], "n_": [[400]], "i_": [[200], [400]]}[kind]
        if kind == "n_" and is_json(body):
            allowed = [[200], [400]]  # the braces around it made it right
        if finals not in allowed:
            wrong.append(f"{case['id']}: {finals}: {body[:80]!r}")
    assert not wrong, "\n".join(wrong)


def is_json(body):
    def refuse(name):
        raise ValueError(name)

    try:
        json.loads(body.decode(), parse_constant=refuse)
        return True
    except (ValueError, RecursionError):
        return False
