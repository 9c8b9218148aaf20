"""Many clients that ask at the same moment, so that the gateway serves several in one round."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest

from edge import CHAT
from gateway import Gateway
from wire import Closed, Response, request_bytes

CLIENTS = 30
ROUNDS = 4


def everybody_is_answered(running: Gateway, stream: bool, kept: bool) -> list[Response]:
    """Their answers, each of which was whole; connections that are not kept end in order."""
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": stream}
    request = request_bytes(
        "POST", CHAT, json.dumps(body).encode(), {} if kept else {"Connection": "close"}
    )
    answers = []
    with ExitStack() as stack:
        clients = [stack.enter_context(running.connect()) for _ in range(CLIENTS)]
        for _ in range(ROUNDS if kept else 1):
            for client in clients:
                client.send(request)
            answers += [client.read_response("POST") for client in clients]
        for client in [] if kept else clients:
            with pytest.raises(Closed, match="closed"):
                client.more()
    assert all(answer.complete for answer in answers)
    return answers
