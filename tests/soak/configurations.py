"""The configurations of the soak, and the changes that are made to them while it runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from providers import Provider
from settings import configuration, deployment

KEY = "sk-soak"
CROWD_KEY = "sk-crowd"
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
# A crowd has more requests than run and wait; whoever else waits has a place even then.
LIMITS = {"body": "2MiB", "concurrent_requests": 10, "queue": 24, "queue_timeout": "20s"}
HEDGE = {"after": "400ms", "share": "100%"}


@dataclass
class Place:
    """What the configurations of one gateway have in common."""

    log: Path
    own: dict  # further settings, below `spillway`
    router: dict  # and below `router_settings`
    authority: str  # who vouches for the providers that speak TLS


def groups(origins: list[Provider], authority: str) -> list[dict]:
    """Each deployment calls a model with its own name: the provider's log then says which it
    was."""
    first, second, third, fourth = origins

    def one(group: str, number: int, at: Provider, **more: Any) -> dict:
        name = f"{group}-{number}"
        if at.tls:
            more["ssl_verify"] = authority
        return deployment(at, group, id=name, model=f"openai/{name}", **more)

    return [
        *(one("calm", n, at, **NEVER_COOLS) for n, at in enumerate((first, second, third), 1)),
        *(one("touchy", n, at) for n, at in enumerate((second, third, fourth), 1)),
        one("single", 1, first, **NEVER_COOLS),
        *(one("spare", n, at, **NEVER_COOLS) for n, at in enumerate((third, fourth), 1)),
    ]


def variants(origins: list[Provider], place: Place) -> list[str]:
    """Configurations that differ a little; all of them log alike, or lines would be missed."""

    def text(*changes: Callable[[dict], None]) -> str:
        keys = [{"name": "soak", "key": KEY}, {"name": "crowd", "key": CROWD_KEY}]
        router = {"cooldown_time": 0.3, "num_retries": 2, "fallbacks": FALLBACKS, **place.router}
        config = configuration(
            *groups(origins, place.authority),
            router=router,
            spillway={
                "keys": keys,
                "access_log": {"file": str(place.log)},
                "limits": dict(LIMITS),
                "timeouts": dict(TIMEOUTS),
                "stream_keepalive": "400ms",
                "reload_on_change": False,
                **place.own,
            },
        )
        for change in changes:
            change(config)
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

    def hedge(config: dict) -> None:
        config["spillway"]["hedge"] = HEDGE

    changes = (
        [hedge], [], [weigh], [weigh, hedge], [reverse], [reverse, hedge], [without_one],
        [another_strategy], [another_strategy, hedge], [no_recovery],
    )  # fmt: skip
    return [text(*each) for each in changes]


BROKEN: list[Callable[[str], str]] = [
    lambda good: good[: len(good) // 2],
    lambda good: "",
    lambda good: good.replace('"stream_keepalive": "400ms"', '"stream_keepalive": "soon"'),
    lambda good: good.replace('"num_retries": 2', '"num_retries": []'),
    lambda good: good + "\n}",
]
