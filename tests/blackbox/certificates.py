"""Certificates for upstreams, made by the openssl command at test time: a good one and the bad
kinds."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

CA_CONFIG = """
[ca]
default_ca = the_ca
[the_ca]
database = {folder}/index.txt
new_certs_dir = {folder}
serial = {folder}/serial
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
policy = any
copy_extensions = copy
email_in_dn = no
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
commonName = unused
"""


class Certificates:
    """A private CA, and server certificates signed by it (or by nobody) for `localhost`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca_file = folder / "ca.pem"
        (folder / "index.txt").write_text("")
        (folder / "serial").write_text("01\n")
        (folder / "openssl.cnf").write_text(CA_CONFIG.format(folder=folder))
        self._self_sign("ca", "Spillway test CA", "basicConstraints=critical,CA:TRUE")
        self._self_sign("self-signed", "localhost", "subjectAltName=DNS:localhost")
        self._signed("good", "localhost")
        self.issue("gateway")
        self._signed("wrong-host", "elsewhere.example")
        self._signed(
            "expired", "localhost", ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z")
        )
        self._self_sign("other-ca", "Another CA", "basicConstraints=critical,CA:TRUE")
        self._signed("unknown-root", "localhost", by="other-ca")
        self._signed("between", "between.example", extension="basicConstraints=critical,CA:TRUE")
        self._signed("incomplete-chain", "localhost", by="between")
        chain = [(folder / f"{name}.pem").read_text() for name in ("incomplete-chain", "between")]
        (folder / "whole-chain.pem").write_text("".join(chain))
        shutil.copy(folder / "incomplete-chain.key", folder / "whole-chain.key")

    def server(self, kind: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{kind}.pem", self.folder / f"{kind}.key")
        return context

    def old_protocol_server(self) -> ssl.SSLContext:
        """Offers nothing newer than TLS 1.1."""
        context = self.server("good")
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        return context

    def issue(self, name: str, names: str = "DNS:localhost,IP:127.0.0.1") -> None:
        """A certificate for these names, and its key; what was there under `name` is replaced."""
        self._signed(name, "localhost", names=names)

    def _openssl(self, *arguments: str) -> None:
        command = ["openssl", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, f"{command}: {done.stderr}"

    def _key(self, name: str) -> None:
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")

    def _self_sign(self, name: str, common_name: str, extension: str) -> None:
        self._key(name)
        self._openssl(
            "req", "-config", "openssl.cnf", "-x509", "-new", "-key", f"{name}.key", "-days", "30",
            "-subj", f"/CN={common_name}", "-addext", extension, "-out", f"{name}.pem",
        )  # fmt: skip

    def _signed(
        self,
        name: str,
        host: str,
        dates: tuple[str, ...] = ("-days", "30"),
        names: str = "",
        by: str = "ca",
        extension: str = "",
    ) -> None:
        self._key(name)
        self._openssl(
            "req", "-config", "openssl.cnf", "-new", "-key", f"{name}.key", "-subj", f"/CN={host}",
            "-addext", extension or f"subjectAltName={names or 'DNS:' + host}",
            "-out", f"{name}.csr",
        )  # fmt: skip
        self._openssl(
            "ca", "-batch", "-notext", "-config", "openssl.cnf", "-in", f"{name}.csr",
            "-cert", f"{by}.pem", "-keyfile", f"{by}.key", "-out", f"{name}.pem", *dates,
        )  # fmt: skip
