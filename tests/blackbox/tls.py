"""Gateways that listen with TLS, and clients that trust them."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest

from certificates import Certificates
from conftest import GatewayFactory
from gateway import Gateway


def client_context(certificates: Certificates, client: str = "", **settings: Any) -> ssl.SSLContext:
    """Trusts the test CA; `client` names a certificate of its own; settings are the context's."""
    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    if client:
        folder = certificates.folder
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    for name, value in settings.items():
        setattr(context, name, value)
    return context


class TlsGatewayFactory(GatewayFactory):
    """Starts gateways as the plain one does, except that they speak TLS."""

    def __init__(self, binary: str, folder: Path, certificates: Certificates) -> None:
        super().__init__(binary, folder)
        self.certificates = certificates
        self.settings = {
            "certificate": str(certificates.folder / "gateway.pem"),
            "key": str(certificates.folder / "gateway.key"),
        }

    def write(self, folder: Path, config: dict) -> Path:
        own = {**config.get("spillway", {})}
        own["tls"] = {**self.settings, **own.get("tls", {})}
        return super().write(folder, {**config, "spillway": own})

    def start(
        self,
        command: list[str],
        env: Optional[dict[str, str]] = None,
        folder: Optional[Path] = None,
    ) -> Gateway:
        started = super().start(command, env, folder)
        started.tls = client_context(self.certificates)
        return started


# --- fixtures, for modules that import them -------------------------------------------------------


@pytest.fixture
def gateway(
    binary: str, tmp_path: Path, certificates: Certificates
) -> Iterator[TlsGatewayFactory]:
    factory = TlsGatewayFactory(binary, tmp_path / "gateways", certificates)
    yield factory
    factory.stop()


@pytest.fixture(scope="module")
def module_gateway(
    binary: str, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[TlsGatewayFactory]:
    factory = TlsGatewayFactory(binary, tmp_path_factory.mktemp("gateways"), certificates)
    yield factory
    factory.stop()


@pytest.fixture(autouse=True)
def trust(monkeypatch: pytest.MonkeyPatch, certificates: Certificates) -> None:
    """For SDKs, which look for their roots there."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(certificates.ca_file))
