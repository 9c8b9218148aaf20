"""What cannot be made for one connection costs that connection, and nothing else."""

from __future__ import annotations

from edge import BODY, CHAT
from interposed import Interposed
from settings import deployment
from tls import gateway  # noqa: F401
from wire import Client, request_bytes


def test_a_connection_that_cannot_begin_is_the_only_one_that_ends(
    binary,
    gateway,  # noqa: F811
    upstream,
    tmp_path,
):
    environment = {**Interposed(binary, tmp_path).environment, "SPILLWAY_TEST_NO_TLS": "2"}
    only = {"limits": {"connections": 1}}  # none is thought to be there that is not
    running = gateway(deployment(upstream()), spillway=only, env=environment)
    for _ in range(2):
        with Client(running.port) as client:
            assert client.closed_by_gateway()
    with running.connect() as client:
        client.send(request_bytes("POST", CHAT, BODY))
        assert client.read_response("POST").status == 200
