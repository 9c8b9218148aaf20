"""The stage of the soak: providers, two gateways that share what they know through Redis, one of
them for clients that speak TLS, and the operator who keeps changing things."""

from __future__ import annotations

import random
import shutil
import threading
from pathlib import Path
from typing import Optional

from book import Book
from certificates import Certificates
from configurations import BROKEN, Place
from instance import Instance
from providers import Provider, providers
from redis_server import RedisServer, url_of
from reloading import FAILURES, SUCCESSES
from tls import client_context

PROVIDERS = 4
TLS_PROVIDERS = (3,)  # the last
BROKEN_SHARE = 0.2
ROTATED_SHARE = 0.25
JOIN_SECONDS = 120.0


class Scene:
    """Running gateways and their providers."""

    def __init__(self, program: str, folder: Path, book: Book, core_dumps: bool) -> None:
        (folder / "certificates").mkdir()
        self.certificates = Certificates(folder / "certificates")
        self.providers: list[Provider] = providers(
            book, PROVIDERS, TLS_PROVIDERS, self.certificates.server("good")
        )
        known = any(shutil.which(name) for name in ("redis-server", "valkey-server"))
        self.redis: Optional[RedisServer] = RedisServer(folder / "redis") if known else None
        self.instances = [
            self._instance(name, program, folder, book, core_dumps) for name in ("plain", "secure")
        ]

    def _instance(
        self, name: str, program: str, folder: Path, book: Book, core_dumps: bool
    ) -> Instance:
        own_folder = folder / name
        own_folder.mkdir()
        ca, own, context = self.certificates.folder, {}, None
        if name == "secure":
            pair = {"certificate": str(ca / "gateway.pem"), "key": str(ca / "gateway.key")}
            own["tls"], context = pair, client_context(self.certificates)
        router = {"redis_url": url_of(self.redis)} if self.redis else {}
        place = Place(own_folder / "access.log", own, router, str(self.certificates.ca_file))
        return Instance(
            program, own_folder, self.providers, place, book, context, core_dumps=core_dumps
        )

    @property
    def alive(self) -> bool:
        return all(instance.alive() for instance in self.instances)

    @property
    def logs(self) -> list[Path]:
        return [log for instance in self.instances for log in instance.logs]

    def hang_up(self) -> None:
        for provider in self.providers:
            provider.hang_up()

    def close(self) -> None:
        try:
            for instance in self.instances:
                instance.close()
        finally:
            for provider in self.providers:
                provider.close()
            if self.redis:
                self.redis.kill()


class Changes:
    """Every few seconds a gateway gets another configuration, now and then one that cannot be used,
    or another log file; and where the round wants it, another process."""

    def __init__(self, scene: Scene, seed: int, seconds: float) -> None:
        self._scene = scene
        self._random = random.Random(f"{seed} changes")
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self.counts = {"configurations": 0, "broken configurations": 0, "logs": 0, "processes": 0}
        self.faults: list[str] = []

    def start(self, upgrading: bool) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(upgrading,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(JOIN_SECONDS)

    def _run(self, upgrading: bool) -> None:
        upgrades = list(self._scene.instances) if upgrading else []
        while not self._stop.wait(self._seconds) or upgrades:
            try:
                if upgrades:
                    upgrades.pop().upgrade()
                    self.counts["processes"] += 1
                else:
                    self._once(self._random.choice(self._scene.instances))
            except Exception as error:
                self.faults.append(f"{type(error).__name__}: {error}")

    def _once(self, instance: Instance) -> None:
        if self._random.random() < ROTATED_SHARE:
            instance.rotate_log()
            self.counts["logs"] += 1
            return
        text = self._random.choice(instance.variants)
        if self._random.random() < BROKEN_SHARE:
            instance.reload(self._random.choice(BROKEN)(text), FAILURES)
            self.counts["broken configurations"] += 1
        else:
            instance.reload(text, SUCCESSES)
            self.counts["configurations"] += 1
