"""Nothing that the gateway writes can be made to end a line, a field or an event by what others
chose: ids, names, messages, a provider's fields."""

from __future__ import annotations

import json
import subprocess

import pytest

from behaviours import error, stream
from canned import sse
from edge import CHAT
from error_table import NO_RETRIES
from framing import head
from gateway import clean_environment
from rows import cases
from settings import configuration, deployment
from streams import ONE, ROLE

EVIL = "x\r\nX-Evil: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-Evil: 2"

pytestmark = pytest.mark.row("R30")


def assert_no_evil(answer):
    assert "x-evil" not in {name.lower() for name, _ in answer.headers}
    for name, value in answer.headers:
        assert all(" " <= c <= "~" or c == "\t" for c in name + value), (name, value)


def check(binary, tmp_path, config):
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(config))
    command = [binary, "check", "--config", str(file)]
    checked = subprocess.run(command, env=clean_environment(), capture_output=True, text=True)
    for line in [*checked.stdout.splitlines(), *checked.stderr.splitlines()]:
        assert not line.startswith("X-Evil")
    return checked


@pytest.mark.parametrize("place", ["id", "group"])
def test_a_name_that_the_operator_gives_is_refused(binary, tmp_path, upstream, place):
    """It would stand in x-spillway-deployment or x-spillway-model-group."""
    named = {"id": deployment(upstream(), id=EVIL), "group": deployment(upstream(), EVIL)}[place]
    checked = check(binary, tmp_path, configuration(named))
    assert checked.returncode == 1
    assert "without control characters" in checked.stderr or "printable" in checked.stderr


def test_a_model_that_the_client_names(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served, "any/*", model="openai/*"))
    answer = running.chat(f"any/{EVIL}")
    assert_no_evil(answer)
    for request in served.requests:
        assert b"X-Evil" not in request.head
        assert request.json()["model"] == EVIL
    assert_no_evil(running.chat(f"none/{EVIL}"))


def test_a_model_that_becomes_part_of_an_address(gateway, upstream):
    served = upstream()
    running = gateway(
        deployment(
            None, "azure/*", model="azure/*", api_base=served.origin, api_version="2024-06-01"
        )
    )
    answer = running.chat(f"azure/{EVIL}/../../x?y#z")
    assert_no_evil(answer)
    for request in served.requests:
        assert b"X-Evil:" not in request.head
        assert "/../" not in request.target and "#" not in request.target
        assert request.target.count("?") <= 1


@pytest.mark.parametrize("name", ["x-request-id", "x-litellm-tags", "user-agent", "openai-project"])
def test_a_field_of_the_clients(scene, name):
    with scene.connect() as client:
        fields = f"Host: x\r\nContent-Length: 2\r\n{name}: a\rX-Evil: 1"
        client.send(f"POST {CHAT} HTTP/1.1\r\n{fields}\r\n\r\n{{}}".encode())
        answer = client.read_response("POST")
        assert answer.status == 400
        assert_no_evil(answer)


PROVIDERS_FIELDS = {
    "a bare CR": b"x-ratelimit-limit-requests: 1\rX-Evil: 1\r\n",
    "a bare LF": b"x-ratelimit-limit-requests: 1\nX-Evil: 1\r\n",
    "a NUL": b"x-request-id: a\x00b\r\n",
    "a control byte": b"openai-version: a\x1bb\r\n",
    "a delete": b"openai-version: a\x7fb\r\n",
    "a space in its name": b"openai version: a\r\n",
    "a folded value": b"openai-version: a\r\n X-Evil: 1\r\n",
    "bytes beyond ASCII": b"openai-version: \xc3\xa9\xff\r\n",
    "a request id with a quote": b'x-request-id: a", "b": "c\r\n',
}


@pytest.mark.parametrize("field", PROVIDERS_FIELDS.values(), ids=PROVIDERS_FIELDS)
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_a_field_of_a_providers(gateway, upstream, field, streamed):
    async def answers(exchange):
        first, rest = head(200, []).split(b"\r\n", 1)
        body = b'{"choices":[{"message":{"content":"x"}}]}'
        length = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
        await exchange.send(first + b"\r\n" + field + length + rest + body)

    running = gateway(deployment(upstream(default=answers)), router=NO_RETRIES)
    answer = running.chat(stream=streamed)
    names = {name.lower() for name, _ in answer.headers}
    assert "x-evil" not in names
    for _, value in answer.headers:
        assert "\r" not in value and "\n" not in value and "\0" not in value
    assert answer.status in (200, 502) and answer.complete


WORDS = 'bad\r\n\r\nX-Evil: 1\n\ndata: [DONE]\n\nevent: error\u2028\u0000\x1b[31m"}'


@pytest.mark.parametrize(
    "behaviour", cases({"status": error(400, WORDS), "credential": error(401, WORDS)}, {})
)
def test_an_error_of_a_providers_in_an_answer(gateway, upstream, behaviour):
    running = gateway(deployment(upstream(default=behaviour)), router=NO_RETRIES)
    answer = running.chat(headers={"x-request-id": "words"})
    assert_no_evil(answer)
    assert answer.error["message"] and b"\n" not in answer.body.strip()
    running.wait_for_log(lambda line: line["request_id"] == "words")
    running.stop()
    for line in [*running.stdout.lines, *running.stderr.lines]:
        assert not line.startswith(("X-Evil", "data:", "event:")) and "\x1b" not in line


def test_an_error_of_a_providers_in_a_stream(gateway, upstream):
    served = upstream(stream(ROLE, ONE, sse({"error": {"message": WORDS, "type": "x"}})))
    answer = gateway(deployment(served), router=NO_RETRIES).chat(stream=True)
    events = answer.body.rstrip(b"\n").split(b"\n\n")
    assert len(events) == 3, "no event was made of its words"
    assert json.loads(events[-1].removeprefix(b"data: "))["error"]["message"]


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_names_in_the_log(gateway, upstream, form):
    running = gateway(
        deployment(upstream(), "any/*", model="openai/*"),
        spillway={"access_log": {"format": form}},
        arguments=("--log-level", "debug"),
    )
    running.chat(f'any/a" b=c status=200\n{EVIL}\u2028\x1b[2J')
    running.chat("none\r\nforged line")
    running.get("/a%0d%0aforged%20line")
    running.stop()
    for line in [*running.stdout.lines, *running.stderr.lines]:
        assert not line.startswith(("X-Evil", "forged", "HTTP/1.1")) and "\x1b" not in line
    assert len([line for line in running.stdout.lines if line.strip()]) == 3


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b"])
@pytest.mark.parametrize("place", ["key", "header"])
def test_a_value_that_the_operator_adds_to_calls_is_refused(
    binary, tmp_path, upstream, place, value
):
    params = {"key": {"api_key": value}, "header": {"extra_headers": {"X-Mine": value}}}[place]
    checked = check(binary, tmp_path, configuration(deployment(upstream(), **params)))
    assert checked.returncode == 1
