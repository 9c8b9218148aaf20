"""What nginx refuses at its edge, Spillway refuses too: a thousand requests are sent to both."""

from __future__ import annotations

import base64

import pytest

from head_cases import all_cases
from nginx_server import Nginx
from settings import deployment
from test_corpora import load, run_all, with_host

NOT_ABOUT_SYNTAX = (401, 404)  # refusals that come after the request was understood

# Where nginx refuses and Spillway does not, and why.
UNRESOLVED = "paths are compared as they are: nothing is decoded or resolved, so it names no page"
BLANK = "RFC 9110 section 5.6.3 allows a tab where a space may stand"
ROOM = "a head may have 64 KiB here (`limits.head`), a line of nginx's 8"
DEVIATIONS = {
    "byte 09 in the host": BLANK,
    "byte 09 behind the host": BLANK,
    "framing: a coding behind a tab": BLANK,
    "request line 'get / HTTP/1.1'": "methods are case-sensitive tokens; this one finds no page",
    "request line 'GET /%00 HTTP/1.1'": UNRESOLVED,
    "request line 'GET /../x HTTP/1.1'": UNRESOLVED,
    "request line 'GET /%2e%2e/x HTTP/1.1'": UNRESOLVED,
    "request line 'GET /a/../../x HTTP/1.1'": UNRESOLVED,
    "field: a field of 9000 bytes": ROOM,
    "field: 40000 bytes of fields": ROOM,
}


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    server = Nginx(tmp_path_factory.mktemp("nginx"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def running(module_gateway, module_upstream):
    started = module_gateway(
        deployment(module_upstream()), spillway={"timeouts": {"head": "600ms", "body": "600ms"}}
    )
    yield started
    assert started.alive and started.chat().status == 200


def refuses(outcome):
    """Whether the first request was refused for how it was written."""
    return not outcome.finals or (
        outcome.finals[0] >= 400 and outcome.finals[0] not in NOT_ABOUT_SYNTAX
    )


def serves(outcome):
    """Whether anything was done for it, or for what came behind it."""
    return any(200 <= status < 300 for status in outcome.finals)


def laxer(running, nginx, cases, lax):
    """The cases that nginx refuses and of which `lax` is true here, with what both said."""
    ours = run_all(running.port, list(cases.values()))
    theirs = run_all(nginx.port, list(cases.values()))
    assert any(map(refuses, theirs)) and not all(map(refuses, theirs))
    return {
        name: (our.finals, their.finals)
        for name, our, their in zip(cases, ours, theirs)
        if refuses(their) and lax(our)
    }


@pytest.mark.row("R31")
def test_whatever_nginx_refuses_is_refused(running, nginx):
    found = laxer(running, nginx, all_cases(), lambda our: not refuses(our))
    assert set(found) == set(DEVIATIONS), "\n".join(f"{name}: {found[name]}" for name in found)


# RFC 9112 section 3.2.4 has it; nginx knows no such target.
SERVED_BY_US = {"valid/rfc9112_target_asterisk_options_01"}


@pytest.mark.parametrize("name", ["llhttp_request.jsonl", "gunicorn.jsonl", "picohttpparser.jsonl"])
def test_whatever_nginx_refuses_of_other_projects_cases_is_not_served(running, nginx, shared, name):
    """Most name paths that do not exist here: a 404 before the body is read is refusal enough."""
    cases = {case["id"]: with_host(base64.b64decode(case["raw"])) for case in load(shared, name)}
    found = laxer(running, nginx, cases, serves)
    assert set(found) <= SERVED_BY_US, "\n".join(f"{id}: {found[id]} {cases[id]!r}" for id in found)
