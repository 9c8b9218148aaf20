"""The gateway of the soak: its configurations, and the changes that are made to them while it
runs."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import Any, Callable, Optional

from book import Book
from gateway import Gateway, clean_environment
from providers import Provider, providers
from reloading import FAILURES, SUCCESSES, config_file, hang_up, replace
from settings import configuration, deployment
from watch import Watch

KEY = "sk-soak"
PROVIDERS = 4
GROUPS = ("calm", "touchy", "single", "spare")
FALLBACKS = [{"calm": ["spare"]}, {"touchy": ["spare"]}]
NEVER_COOLS = {"cooldown_time": 0}
# Short, so that half requests, silent providers and readers that stopped are met often.
TIMEOUTS = {
    "connect": "5s",
    "head": "1500ms",
    "body": "1500ms",
    "stream_idle": "3s",
    "drain": "10s",
}
RELOAD_SECONDS = 20.0
BROKEN_SHARE = 0.2


def groups(origins: list[Provider]) -> list[dict]:
    """Each deployment calls a model with its own name: the provider's log then says which it
    was."""
    first, second, third, fourth = origins

    def one(group: str, number: int, at: Provider, **more: Any) -> dict:
        name = f"{group}-{number}"
        return deployment(at, group, id=name, model=f"openai/{name}", **more)

    return [
        *(one("calm", n, at, **NEVER_COOLS) for n, at in enumerate((first, second, third), 1)),
        *(one("touchy", n, at) for n, at in enumerate((second, third, fourth), 1)),
        one("single", 1, first, **NEVER_COOLS),
        *(one("spare", n, at, **NEVER_COOLS) for n, at in enumerate((third, fourth), 1)),
    ]


def variants(origins: list[Provider], log: Path) -> list[str]:
    """Configurations that differ a little; all of them log alike, or lines would be missed."""

    def text(changed: Callable[[dict], None]) -> str:
        config = configuration(
            *groups(origins),
            router={"cooldown_time": 0.3, "num_retries": 2, "fallbacks": FALLBACKS},
            spillway={
                "keys": [{"name": "soak", "key": KEY}],
                "access_log": {"file": str(log)},
                "limits": {"body": "2MiB"},
                "timeouts": dict(TIMEOUTS),
                "stream_keepalive": "400ms",
                "reload_on_change": False,
            },
        )
        changed(config)
        return json.dumps(config, indent=2)

    def weigh(config: dict) -> None:
        config["model_list"][0]["litellm_params"]["weight"] = 5

    def reverse(config: dict) -> None:
        config["model_list"].reverse()

    def without_one(config: dict) -> None:
        del config["model_list"][1]

    def another_strategy(config: dict) -> None:
        config["router_settings"]["routing_strategy"] = "least-busy"

    def no_recovery(config: dict) -> None:
        config["spillway"]["stream_recovery"] = "off"

    same: Callable[[dict], None] = lambda config: None  # noqa: E731
    return [text(f) for f in (same, weigh, reverse, without_one, another_strategy, no_recovery)]


BROKEN: list[Callable[[str], str]] = [
    lambda good: good[: len(good) // 2],
    lambda good: "",
    lambda good: good.replace('"stream_keepalive": "400ms"', '"stream_keepalive": "soon"'),
    lambda good: good.replace('"num_retries": 2', '"num_retries": []'),
    lambda good: good + "\n}",
]


class Scene:
    """A running gateway and its providers."""

    def __init__(self, program: str, folder: Path, book: Book, core_dumps: bool) -> None:
        self.log = folder / "access.log"
        self.own_log = folder / "gateway.log"
        self.providers = providers(book, PROVIDERS)
        self.variants = variants(self.providers, self.log)
        file = folder / "config.yaml"
        file.write_text(self.variants[0])
        command = ["serve", "--config", str(file), "--listen", "127.0.0.1:0", "--threads", "2"]
        command += ["--log-file", str(self.own_log)]
        if core_dumps:
            command.append("--core-dumps")  # else nobody but root may count its descriptors
        self.gateway = Gateway(program, command, clean_environment(), folder)
        self.watch = Watch(self.gateway, book)

    def close(self) -> None:
        """Ends the gateway as an operator does, which it must leave with 0."""
        try:
            self.gateway.stop()
        finally:
            for provider in self.providers:
                provider.close()


class Reloads:
    """Changes the configuration every few seconds, now and then to one that cannot be used."""

    def __init__(self, scene: Scene, seed: int, seconds: float) -> None:
        self._scene = scene
        self._random = random.Random(f"{seed} reloads")
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self.good = 0
        self.broken = 0
        self.faults: list[str] = []

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(RELOAD_SECONDS * 2)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                self._once()
            except Exception as error:
                self.faults.append(f"{type(error).__name__}: {error}")

    def _once(self) -> None:
        text = self._random.choice(self._scene.variants)
        broken = self._random.random() < BROKEN_SHARE
        if broken:
            text = self._random.choice(BROKEN)(text)
        counter = FAILURES if broken else SUCCESSES
        watch = self._scene.watch
        before = watch.metrics()[counter]
        replace(config_file(self._scene.gateway), text)
        hang_up(self._scene.gateway)
        if broken:
            self.broken += 1
        else:
            self.good += 1
        if not watch.until(lambda: watch.metrics()[counter] > before, RELOAD_SECONDS, 0.05):
            self.faults.append(f"{counter} did not move within {RELOAD_SECONDS} s")
