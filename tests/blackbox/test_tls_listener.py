"""spillway.tls: who is let in, how connections end, and certificates that change."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess

import pytest

from behaviours import after, answer, plausible, stall, stream
from canned import DONE
from concurrency import at_once, eventually, in_background
from crowd import everybody_is_answered
from edge import BODY, CHAT
from interposed import Interposed
from loop import Gate
from settings import configuration, deployment
from streams import ONE, ROLE, TWO, open_stream
from tls import client_context, gateway, module_gateway  # noqa: F401
from wire import Client, Closed, request_bytes

STREAM_1_0 = BODY[:-1] + b',"stream":true}'
HEAD_1_0 = f"POST {CHAT} HTTP/1.0\r\nContent-Length: {len(STREAM_1_0)}\r\n\r\n".encode()


def ask(client):
    client.send(request_bytes("POST", CHAT, BODY))
    return client.read_response("POST")


def handshakes(running, result):
    page = running.get("/metrics").body.decode()
    return int(
        float(re.search(rf'tls_handshakes_total{{result="{result}"}} (\S+)', page)[1])
    )


# --- who is let in --------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(scene, certificates, version):
    context = client_context(certificates, minimum_version=version, maximum_version=version)
    with scene.connect(tls=context) as client:
        assert ask(client).status == 200
        name, _, bits = client.socket.cipher()
        assert bits >= 128 and ("GCM" in name or "CHACHA20" in name)
        assert client.socket.compression() is None


@pytest.mark.row("C38")
def test_tls_1_1_is_refused(scene, certificates):
    context = client_context(certificates)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        scene.connect(tls=context)


def test_min_version_1_3_refuses_1_2(gateway, upstream, certificates):
    running = gateway(deployment(upstream()), spillway={"tls": {"min_version": "1.3"}})
    old = client_context(certificates, maximum_version=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        running.connect(tls=old)
    assert running.chat().status == 200


@pytest.mark.parametrize(
    "ciphers", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA"], ids=["no-forward-secrecy", "cbc"]
)
@pytest.mark.row("C38")
def test_old_ciphers_are_refused(scene, certificates, ciphers):
    context = client_context(certificates, maximum_version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(ciphers)
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        scene.connect(tls=context)


@pytest.mark.parametrize("offered", [["http/1.1"], ["h2", "http/1.1"]])
def test_alpn_chooses_http_1_1(scene, certificates, offered):
    context = client_context(certificates)
    context.set_alpn_protocols(offered)
    with scene.connect(tls=context) as client:
        assert client.socket.selected_alpn_protocol() == "http/1.1"
        assert ask(client).status == 200


@pytest.mark.row("C38")
def test_a_client_that_offers_only_h2_is_told_that_there_is_nothing_in_common(scene, certificates):
    context = client_context(certificates)
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        scene.connect(tls=context)


def test_a_server_name_is_not_needed(scene, certificates):
    with scene.connect(tls=client_context(certificates, check_hostname=False), host=None) as client:
        assert ask(client).status == 200


@pytest.mark.row("C38")
def test_a_request_in_plain_text_is_told_so_and_closed(scene):
    before = handshakes(scene, "plain_text")
    with scene.connect(tls=None) as client:
        client.send(request_bytes("POST", CHAT, BODY))
        answer = client.read_response("POST")
        assert (answer.status, answer.header("connection")) == (400, "close")
        assert b"HTTPS" in answer.body and answer.complete
        assert client.closed_by_gateway()
    assert handshakes(scene, "plain_text") == before + 1


@pytest.mark.row("C38")
def test_what_is_no_tls_at_all_is_closed(scene):
    with scene.connect(tls=None) as client:
        client.send(b"\x00" * 100)
        with pytest.raises(Closed):
            client.read_to_end() or client.more()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"], ids=["silent", "begun"])
@pytest.mark.row("C38")
def test_a_handshake_that_is_not_finished_in_time_is_closed(gateway, upstream, sent):
    running = gateway(
        deployment(upstream()),
        spillway={"timeouts": {"head": "300ms"}, "limits": {"connections": 1}},
    )
    with running.connect(tls=None) as client:
        client.send(sent)
        assert client.closed_by_gateway()
    assert running.chat().status == 200, "its place is free again"
    assert handshakes(running, "timed_out") == 1


def test_many_handshakes_at_once(scene):
    assert [answer.status for answer in at_once(40, scene.chat)] == [200] * 40


@pytest.mark.row("C38")
def test_renegotiation_is_refused(scene, certificates):
    openssl = shutil.which("openssl")
    done = subprocess.run(
        [openssl, "s_client", "-tls1_2", "-connect", f"127.0.0.1:{scene.port}"],
        input=b"R\n", capture_output=True, timeout=20,
    )  # fmt: skip
    assert b"RENEGOTIATING" in done.stdout + done.stderr
    assert b"no renegotiation" in done.stdout + done.stderr


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_by_whichever_worker(scene, certificates, version):
    context = client_context(certificates, minimum_version=version, maximum_version=version)
    with scene.connect(tls=context) as first:
        assert ask(first).status == 200  # in TLS 1.3 the ticket comes with the answer
        session = first.socket.session
    for _ in range(4):
        raw = socket.create_connection(("127.0.0.1", scene.port))
        with context.wrap_socket(raw, server_hostname="127.0.0.1", session=session) as again:
            assert again.session_reused


# --- clients' certificates ------------------------------------------------------------------------


@pytest.fixture
def mutual(gateway, upstream, certificates):
    return gateway(
        deployment(upstream()),
        spillway={
            "tls": {"client_ca": str(certificates.ca_file)},
            "keys": [{"name": "k", "key": "sk-test"}],
        },
    )


def test_with_client_ca_nobody_is_let_in_without_a_certificate_of_its_own(mutual):
    with pytest.raises((Closed, ssl.SSLError)):
        mutual.chat()


def test_a_certificate_of_somebody_else_is_refused(mutual, certificates):
    with pytest.raises((Closed, ssl.SSLError)):
        ask(mutual.connect(tls=client_context(certificates, client="self-signed")))


def test_a_clients_certificate_is_no_key(mutual, certificates):
    context = client_context(certificates, client="good")
    with mutual.connect(tls=context) as client:
        assert ask(client).status == 401
    with mutual.connect(tls=context) as client:
        client.send(request_bytes("POST", CHAT, BODY, {"Authorization": "Bearer sk-test"}))
        assert client.read_response("POST").status == 200


# --- how connections end --------------------------------------------------------------------------


def test_an_answer_that_ends_with_the_connection_ends_with_a_goodbye(scene):
    with scene.connect() as client:
        client.send(HEAD_1_0 + STREAM_1_0)
        answer = client.read_response("POST")
    assert answer.complete and answer.body.endswith(DONE)


@pytest.mark.row("U14")
def test_an_answer_that_is_cut_ends_without_a_goodbye(gateway, upstream):
    served = upstream(stream(ROLE, ONE, end="cut"))
    running = gateway(deployment(served), router={"num_retries": 0})
    with running.connect() as client:
        client.send(HEAD_1_0 + STREAM_1_0)
        answer = client.read_head()
        with pytest.raises(Closed, match="cut"):
            client.read_to_end()
    assert answer.status == 200 and b'"error"' in client.buffer and DONE not in client.buffer


def test_an_idle_connection_ends_with_a_goodbye(gateway, upstream):
    running = gateway(deployment(upstream()), spillway={"timeouts": {"keepalive": "200ms"}})
    with running.connect() as client:
        assert ask(client).status == 200
        with pytest.raises(Closed, match="closed"):
            client.more()


def test_an_idle_connection_ends_with_a_goodbye_when_the_gateway_stops(gateway, upstream):
    running = gateway(deployment(upstream()))
    with running.connect() as client:
        assert ask(client).status == 200
        running.stop()
        with pytest.raises(Closed, match="closed"):
            client.more()


def encrypted(client, *pieces, goodbye):
    """What a client would send, as bytes: a handshake over the socket, then the pieces at once."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=client.roots)
    session = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    while True:
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            client.send(outgoing.read())
            incoming.write(client.socket.recv(65536))
    for piece in pieces:
        session.write(piece)
    if goodbye:
        with pytest.raises(ssl.SSLWantReadError):
            session.unwrap()
    return outgoing.read()


def test_a_goodbye_that_comes_with_the_request_is_noticed(gateway, upstream, certificates):
    served = upstream(stall())
    running = gateway(deployment(served))
    with running.connect(tls=None) as client:
        client.roots = certificates.ca_file
        # Finished, request and goodbye in one segment: nothing more makes the socket readable.
        client.send(encrypted(client, request_bytes("POST", CHAT, BODY), goodbye=True))
        served.wait_for_requests(1)
        served.wait_for_disconnect()
    assert running.wait_for_log(lambda line: line["path"] == CHAT)["status"] == 499


def test_requests_sent_ahead_in_one_record_are_answered_in_order(gateway, upstream, certificates):
    gate = Gate()
    served = upstream(after(gate, plausible()))
    running = gateway(deployment(served))
    with running.connect() as client:
        client.send(
            b"".join(
                request_bytes("POST", CHAT, BODY.replace(b"hello", b"%d" % n)) for n in range(5)
            )
        )
        served.wait_for_requests(1)
        gate.open()
        for number in range(5):
            answer = client.read_response("POST").json()
            assert answer["choices"][0]["message"]["content"] == f"echo: {number}"


@pytest.mark.row("C38")
def test_a_handshake_byte_by_byte_is_a_handshake(scene, certificates):
    class Slow(Client):
        def send(self, data):
            for byte in data:
                self.socket.sendall(bytes([byte]))

    with Slow(scene.port) as client:
        client.roots = certificates.ca_file
        before = scene.upstream.count
        client.send(encrypted(client, request_bytes("POST", CHAT, BODY), goodbye=False))
        scene.upstream.wait_for_requests(before + 1)


def test_a_long_answer_comes_whole_to_a_slow_reader(gateway, upstream):
    text = "x" * 3_000_000
    served = upstream(default=answer(text=text))
    running = gateway(deployment(served))
    with running.connect(receive_buffer=4096) as client:
        whole = ask(client)
    assert whole.complete and whole.json()["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize("stream_wanted", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "closed"])
def test_sockets_with_little_room_get_everything_in_the_end(
    gateway, upstream, binary, tmp_path, stream_wanted, kept
):
    interposed = Interposed(binary, tmp_path)
    running = gateway(
        deployment(upstream()), spillway={"threads": 1}, env=interposed.environment
    )
    interposed.cramp()
    for got in everybody_is_answered(running, stream_wanted, kept):
        assert got.status == 200
        assert got.body.endswith(DONE) if stream_wanted else got.json()["choices"]


def test_comments_keep_a_stream_open_while_the_reader_is_slow(gateway, upstream):
    gate = Gate()
    served = upstream(stream(ROLE, ONE, gate, TWO, DONE))
    running = gateway(deployment(served), spillway={"stream_keepalive": "50ms"})
    with running.connect() as client:
        answer = open_stream(running, client).read_head()
        client.read_until(answer, ONE)
        answer.body = b""
        client.read_until(answer, b": keep-alive\n\n: keep-alive\n\n")
        gate.open()
        client.read_body(answer)
    assert answer.complete and answer.body.endswith(DONE)


# --- certificates that change ---------------------------------------------------------------------


@pytest.fixture
def renewable(gateway, certificates, tmp_path):
    """Copies of a certificate and its key that a test may replace."""
    for suffix in ("pem", "key"):
        shutil.copy(certificates.folder / f"gateway.{suffix}", tmp_path / f"own.{suffix}")
    gateway.settings = {
        "certificate": str(tmp_path / "own.pem"),
        "key": str(tmp_path / "own.key"),
    }
    return tmp_path


def replace(source, target):
    """As renewal tools do it: never half a file."""
    shutil.copy(source, f"{target}.new")
    os.replace(f"{target}.new", target)


def shown(running):
    with running.connect() as client:
        return client.socket.getpeercert()["serialNumber"]


def metric(running, name):
    page = running.get("/metrics").body.decode()
    return float(re.search(rf"^{re.escape(name)} (\S+)$", page, re.M)[1])


@pytest.mark.row("S6")
def test_a_renewed_certificate_is_used_without_a_signal(
    gateway, renewable, upstream, certificates
):
    running = gateway(deployment(upstream()))
    before = shown(running)
    certificates.issue("renewed")
    with running.connect() as old:
        assert ask(old).status == 200
        replace(certificates.folder / "renewed.key", renewable / "own.key")
        replace(certificates.folder / "renewed.pem", renewable / "own.pem")
        eventually(lambda: shown(running) != before)
        assert ask(old).status == 200, "a connection keeps the context that it began with"
    running.wait_for_message("has changed, and is in use")
    end = ssl.cert_time_to_seconds(
        subprocess.run(
            ["openssl", "x509", "-in", renewable / "own.pem", "-noout", "-enddate"],
            capture_output=True, text=True, check=True,
        ).stdout.strip().removeprefix("notAfter=")
    )  # fmt: skip
    assert metric(running, "spillway_tls_certificate_expiry_seconds") == end


def test_a_session_does_not_outlive_the_certificate_that_it_began_with(
    gateway, renewable, upstream, certificates
):
    running = gateway(deployment(upstream()))
    context = client_context(certificates)
    with running.connect(tls=context) as first:
        assert ask(first).status == 200
        before, session = first.socket.getpeercert()["serialNumber"], first.socket.session
    certificates.issue("later")
    for suffix in ("key", "pem"):
        replace(certificates.folder / f"later.{suffix}", renewable / f"own.{suffix}")
    eventually(lambda: shown(running) != before)
    raw = socket.create_connection(("127.0.0.1", running.port))
    with context.wrap_socket(raw, server_hostname="127.0.0.1", session=session) as again:
        assert not again.session_reused


@pytest.mark.row("S6")
def test_a_pair_that_does_not_fit_leaves_the_old_one_in_use(
    gateway, renewable, upstream, certificates
):
    running = gateway(deployment(upstream()))
    before = shown(running)
    certificates.issue("another")
    replace(certificates.folder / "another.pem", renewable / "own.pem")
    running.wait_for_message("stays in use")
    assert shown(running) == before
    assert metric(running, 'spillway_tls_certificate_reads_total{result="failed"}') == 1
    replace(certificates.folder / "another.key", renewable / "own.key")
    eventually(lambda: metric(running, 'spillway_tls_certificate_reads_total{result="used"}') == 2)


def write_odd_files(folder, certificates):
    """What people put where a certificate or a key should be."""
    (folder / "empty").touch()
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    good = (certificates.folder / "gateway.pem").read_text()
    (folder / "cut.pem").write_text(good[: len(good) // 2])
    for name, *how in (
        ("encrypted", "pkey", "-aes256", "-passout", "pass:x"),
        ("old", "rsa", "-traditional", "-aes256", "-passout", "pass:x"),
    ):
        kind = "RSA" if name == "old" else "EC"
        made = {"EC": ["ecparam", "-name", "prime256v1", "-genkey", "-noout"], "RSA": ["genrsa"]}
        key = subprocess.run(["openssl", *made[kind]], capture_output=True, check=True).stdout
        (folder / f"{kind}.key").write_bytes(key)
        command = ["openssl", how[0], "-in", folder / f"{kind}.key", *how[1:]]
        subprocess.run([*command, "-out", folder / name], capture_output=True, check=True)


FOREIGN = "holds a key that does not belong to the certificate"
ENCRYPTED = "holds an encrypted key, and there is nobody to be asked for its passphrase"


@pytest.mark.parametrize(
    "setting, file, words",
    [
        ("certificate", "nowhere", "does not exist"),
        ("certificate", "empty", "holds no PEM certificate"),
        ("certificate", "EC.key", "holds no PEM certificate"),
        ("certificate", "cut.pem", "holds a certificate that is damaged or not supported"),
        ("certificate", "pipe", "is not a regular file"),
        ("key", "nowhere", "does not exist"),
        ("key", "folder", "is a directory"),
        ("key", "pipe", "is not a regular file"),
        ("key", "cut.pem", "holds no PEM key"),
        ("key", "EC.key", FOREIGN),
        ("key", "RSA.key", FOREIGN),
        ("key", "encrypted", ENCRYPTED),
        ("key", "old", ENCRYPTED),
        ("client_ca", "nowhere", "does not exist"),
        ("client_ca", "EC.key", "holds no PEM certificate"),
        ("client_ca", "pipe", "is not a regular file"),
    ],
)
def test_files_that_cannot_be_used_are_named_at_start(
    binary, tmp_path, certificates, upstream, setting, file, words
):
    write_odd_files(tmp_path, certificates)
    tls = {name: str(certificates.folder / f"gateway.{suffix}")
           for name, suffix in (("certificate", "pem"), ("key", "key"))}  # fmt: skip
    tls[setting] = str(tmp_path / file)
    path = tmp_path / "config.yaml"
    config = configuration(deployment(upstream()), spillway={"tls": tls})
    path.write_text(json.dumps(config, indent=2))
    (line,) = [
        number for number, text in enumerate(path.read_text().splitlines(), 1)
        if f'"{setting}": ' in text
    ]  # fmt: skip
    for command in ("check", "serve"):
        told = subprocess.run(
            [binary, command, "--config", path], capture_output=True, text=True, timeout=20
        )
        assert told.returncode == 1
        (fault,) = [text for text in told.stderr.splitlines() if "spillway.tls" in text]
        place, rest = fault.split(f": spillway.tls.{setting}: ")
        assert place.startswith(f"{path}:{line}:")
        assert rest.startswith(f"{tmp_path}/{file} {words}")


# --- the health check -----------------------------------------------------------------------------


def check_health(binary, running):
    address = f"127.0.0.1:{running.port}"
    return subprocess.run([binary, "--health-check", "--listen", address], timeout=20).returncode


def test_the_health_check_finds_out_that_the_gateway_speaks_tls(binary, scene):
    assert check_health(binary, scene) == 0


def test_the_health_check_takes_the_question_for_a_certificate_for_an_answer(binary, mutual):
    assert check_health(binary, mutual) == 0


def test_the_health_check_reads_from_the_configuration_that_tls_is_spoken(
    binary, gateway, upstream, tmp_path
):
    running = gateway(deployment(upstream()))
    config = configuration(deployment(None), spillway={
        "listen": f"127.0.0.1:{running.port}", "tls": gateway.settings,
    })  # fmt: skip
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config))
    assert subprocess.run([binary, "--health-check", "--config", path], timeout=20).returncode == 0
    assert handshakes(running, "plain_text") == 0


def test_a_stopping_gateway_is_not_healthy(binary, gateway, upstream):
    gate = Gate()
    served = upstream(after(gate, plausible()))
    running = gateway(deployment(served))
    waiting = in_background(running.chat)
    served.wait_for_requests(1)
    running.terminate()
    running.wait_for_message("draining")
    eventually(lambda: check_health(binary, running) == 1)
    gate.open()
    assert waiting.result(20).status == 200
