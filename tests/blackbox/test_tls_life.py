"""A gateway that listens with TLS reloads and is replaced as one that does not."""

from __future__ import annotations

import shutil
import ssl

import pytest

from behaviours import stream
from canned import DONE, chat_text_events
from concurrency import eventually
from interposed import Interposed
from loop import Gate
from reloading import hang_up, reconfigure, reload
from settings import deployment
from streams import open_stream
from successors import Upgrades, adopt_orphans
from tls import client_context, gateway  # noqa: F401

UNWATCHED = {"reload_on_change": False}


def test_a_reload_changes_what_is_asked_of_clients(gateway, upstream, certificates):  # noqa: F811
    served = upstream()
    running = gateway(deployment(served), spillway=UNWATCHED)
    stricter = {"tls": {**gateway.settings, "min_version": "1.3"}, **UNWATCHED}
    reload(running, deployment(served), spillway=stricter)
    old = client_context(certificates, maximum_version=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        running.connect(tls=old)
    assert running.chat().status == 200


def test_a_reload_with_files_of_no_use_changes_nothing(gateway, upstream):  # noqa: F811
    served = upstream()
    running = gateway(deployment(served), spillway=UNWATCHED)
    broken = {"tls": {**gateway.settings, "key": "/not/there.key"}, **UNWATCHED}
    reconfigure(running, deployment(served, "new"), spillway=broken)
    hang_up(running)
    running.wait_for_message("the configuration stays as it was")
    assert "/not/there.key" in running.stderr.text
    assert running.chat("new").status == 404 and running.chat().status == 200


def test_files_that_a_refused_reload_names_are_tried_again_when_they_change(
    gateway, upstream, certificates, tmp_path  # noqa: F811
):
    served = upstream()
    running = gateway(deployment(served))
    own = {"certificate": str(tmp_path / "own.pem"), "key": str(tmp_path / "own.key")}
    reconfigure(running, deployment(served, "new"), spillway={"tls": own})
    running.wait_for_message("the configuration stays as it was")
    assert running.chat("new").status == 404
    for suffix in ("pem", "key"):
        shutil.copy(certificates.folder / f"gateway.{suffix}", tmp_path / f"own.{suffix}")
    eventually(lambda: running.chat("new").status == 200)


def test_a_reload_never_turns_encryption_off(gateway, upstream):  # noqa: F811
    served = upstream()
    running = gateway(deployment(served), spillway=UNWATCHED)
    reload(running, deployment(served, "new"), spillway=UNWATCHED)
    running.wait_for_message("spillway.tls has changed and takes effect with the next start only")
    assert running.chat("new").status == 200


def test_an_encrypted_stream_survives_that_another_process_takes_over(
    gateway, upstream  # noqa: F811
):
    gate = Gate()
    role, one, *rest = chat_text_events("one two")
    running = gateway(deployment(upstream(stream(role, one, gate, *rest, DONE))))
    adopt_orphans()
    upgrade = Upgrades()
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        client.read_until(answer, one)
        upgrade(running)
        assert running.chat().status == 200
        gate.open()
        client.read_body(answer)
    assert answer.complete and answer.body.endswith(DONE)
    upgrade.stop()


def test_waiting_over_tls_tells_the_kernel_nothing(  # noqa: F811
    gateway, upstream, binary, tmp_path, certificates  # noqa: F811
):
    interposed = Interposed(binary, tmp_path)
    served = upstream(tls=certificates.server("good"), host="localhost")
    trusting = {**interposed.environment, "SSL_CERT_FILE": str(certificates.ca_file)}
    running = gateway(deployment(served), env=trusting)
    assert interposed.tellings_each(running) < 1
