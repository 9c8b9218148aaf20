"""Fixtures: the program under test, and upstreams for it to call.

The program is taken from SPILLWAY_BIN, else from the build folders. Configurations are written as
JSON, which is YAML.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from behaviours import plausible  # noqa: E402
from certificates import Certificates  # noqa: E402
from edge import SMALL  # noqa: E402
from gateway import Gateway, clean_environment  # noqa: E402
from redis_server import RedisServer  # noqa: E402
from settings import configuration, deployment  # noqa: E402
from successors import Upgrades, adopt_orphans  # noqa: E402
from upstream import Upstream  # noqa: E402

pytest_plugins = ["reliability"]

SHARED = ROOT.parent / "shared"  # handed out beside a checkout, not part of the project
BUILD_FOLDERS = ("release", "asan", "debug", "tsan")


@pytest.fixture(scope="session")
def binary() -> str:
    candidates = [
        ROOT / "build" / "spillway",
        *(ROOT / "build" / name / "spillway" for name in BUILD_FOLDERS),
    ]
    named = os.environ.get("SPILLWAY_BIN")
    for candidate in [Path(named)] if named else candidates:
        if candidate.is_file():
            return str(candidate.resolve())
    pytest.fail("no gateway program: build it, or name it in SPILLWAY_BIN")


# --- gateways -------------------------------------------------------------------------------------


class GatewayFactory:
    """Starts gateways and stops them again, checking that each one ends well."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.binary = binary
        self.folder = folder
        self.started: list[Gateway] = []

    def __call__(
        self,
        *deployments: dict,
        config: Optional[dict] = None,
        providers: Optional[dict] = None,
        env: Optional[dict[str, str]] = None,
        arguments: tuple[str, ...] = (),
        listen: str = "127.0.0.1:0",
        threads: int = 2,
        **sections: Any,
    ) -> Gateway:
        folder = self.folder / f"gateway-{len(self.started)}"
        folder.mkdir(parents=True)
        config = config if config is not None else configuration(*deployments, **sections)
        command = [
            "serve",
            "--config",
            str(self.write(folder, config)),
            "--listen",
            listen,
            "--threads",
            str(threads),
        ]
        if providers is not None:
            (folder / "providers.json").write_text(json.dumps(providers))
        return self.start([*command, *arguments], env, folder)

    def write(self, folder: Path, config: dict) -> Path:
        path = folder / "config.yaml"
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False))
        return path

    def start(
        self,
        command: list[str],
        env: Optional[dict[str, str]] = None,
        folder: Optional[Path] = None,
    ) -> Gateway:
        folder = folder or self.folder
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0 and command[:1] == ["serve"]:
            command = [*command, "--core-dumps"]  # so that we may count its descriptors
        started = Gateway(self.binary, command, clean_environment(env), folder)
        self.started.append(started)
        return started

    def stop(self) -> None:
        failures = []
        for started in self.started:
            try:
                started.stop()
            except AssertionError as failure:
                failures.append(failure)
        if failures:
            raise failures[0]


@pytest.fixture
def gateway(binary: str, tmp_path: Path) -> Iterator[GatewayFactory]:
    factory = GatewayFactory(binary, tmp_path / "gateways")
    yield factory
    factory.stop()


@pytest.fixture(scope="module")
def module_gateway(
    binary: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayFactory]:
    """For tables that ask one gateway many things."""
    factory = GatewayFactory(binary, tmp_path_factory.mktemp("gateways"))
    yield factory
    factory.stop()


# --- upstreams ------------------------------------------------------------------------------------


class UpstreamFactory:
    def __init__(self) -> None:
        self.made: list[Upstream] = []

    def __call__(self, *script: Callable, **options: Any) -> Upstream:
        made = Upstream(options.pop("default", plausible()), **options)
        made.script(*script)
        self.made.append(made)
        return made

    def close(self) -> None:
        for made in self.made:
            made.close()
        for made in self.made:
            assert not made.script_errors, made.script_errors


@pytest.fixture
def upstream(request: pytest.FixtureRequest) -> Iterator[UpstreamFactory]:
    factory = UpstreamFactory()
    yield factory
    factory.close()


@pytest.fixture(scope="module")
def module_upstream() -> Iterator[UpstreamFactory]:
    factory = UpstreamFactory()
    yield factory
    factory.close()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Starts servers; keyword arguments are those of RedisServer."""
    started: list[RedisServer] = []

    def start(**options: Any) -> RedisServer:
        started.append(RedisServer(tmp_path / f"redis-{len(started)}", **options))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def upgrade(gateway):
    """Successors of gateways, which end with the test."""
    adopt_orphans()
    upgrades = Upgrades()
    yield upgrades
    upgrades.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the folder shared/ is not beside this checkout")
    return SHARED


# --- gateways that whole modules share ------------------------------------------------------------


@pytest.fixture(scope="module")
def scene(module_gateway, module_upstream):
    served = module_upstream()
    running = module_gateway(deployment(served))
    running.upstream = served
    return running


@pytest.fixture(scope="module")
def strict(module_gateway, module_upstream):
    """Small limits and short deadlines."""
    served = module_upstream()
    running = module_gateway(deployment(served), spillway=SMALL)
    running.upstream = served
    return running


@pytest.fixture(autouse=True)
def no_call_where_none_is_wanted(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests marked `no_upstream_call` fail if anything reached the upstream of their gateway."""
    if not request.node.get_closest_marker("no_upstream_call"):
        yield
        return
    name = next(name for name in ("scene", "strict") if name in request.fixturenames)
    upstream = request.getfixturevalue(name).upstream
    before = upstream.count
    yield
    assert upstream.count == before
