"""Looks at the gateway from outside: its own pages, its descriptors, its memory."""

from __future__ import annotations

import itertools
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from book import Asked, Book

AUTHORIZED = ("Authorization", "Bearer sk-soak")
QUIET_SECONDS = 30.0  # the gateway counts its connections every few seconds
KEPT = 'spillway_pool_connections{state="idle"}'
SAMPLE = re.compile(r"^([a-z_]+(?:\{.*\})?) (\S+)$")


@dataclass
class Quiet:
    """What the gateway holds while nobody asks it for anything."""

    descriptors: int
    resident: int  # bytes
    anonymous: int  # bytes: what it allocated, without the pages of files
    heap: int  # bytes of it in the segment that malloc grows first
    left_over: list[str]  # what should be 0 and is not


class Watch:
    def __init__(self, instance: Any, book: Book) -> None:
        self._instance = instance
        self._book = book
        self._numbers = itertools.count()

    def page(self, path: str) -> Any:
        """One of the gateway's own pages; entered into the book as any request."""
        request = Asked(f"watch-{self._instance.port}-{next(self._numbers)}", "own pages")
        answer = self._instance.gateway.get(
            path, headers=[("x-request-id", request.id), AUTHORIZED]
        )
        request.status, request.end = answer.status, "whole"
        self._book.enter(request)
        assert answer.status == 200, answer
        return answer

    def metrics(self) -> dict[str, float]:
        """Each sample by its name with its labels, as the page spells it."""
        lines = self.page("/metrics").body.decode().splitlines()
        found = [match for line in lines if (match := SAMPLE.match(line))]
        return {match[1]: float(match[2]) for match in found}

    def until(self, look: Callable[[], Any], seconds: float, pause: float = 0.1) -> bool:
        """Whether it became true in time."""
        end = time.monotonic() + seconds
        while not look():
            if time.monotonic() > end:
                return False
            time.sleep(pause)
        return True

    # --- at rest ---

    def in_flight(self) -> list[str]:
        """What is still under way, although no client is."""
        found = []
        for name, value in self.metrics().items():
            family = name.split("{")[0]
            busy = family in ("spillway_in_flight", "spillway_requests")
            if (busy or name == 'spillway_pool_connections{state="busy"}') and value != 0:
                found.append(f"{name} {value:g}")
            if family == "spillway_client_connections" and value != 1:  # the one that asks
                found.append(f"{name} {value:g} instead of 1")
            if family == "spillway_shared_state_connected" and value != 1:
                found.append(f"{name} {value:g}")
        for group in self.page("/router/state").json()["groups"]:
            for deployment in group["deployments"]:
                if deployment["in_flight"] != 0:
                    found.append(f"/router/state: {deployment['id']} {deployment['in_flight']}")
        return found

    def quiet(self, hang_up: Callable[[], None], descriptors: int = 0) -> Quiet:
        """Waits until nothing is under way and, if they are told, until the descriptors are those
        of the start; what is left if that does not come in time is in the answer."""
        left_over: list[str] = []

        def nothing() -> bool:
            left_over[:] = self.in_flight()
            return not left_over

        def closed() -> bool:
            return self._descriptors() <= descriptors

        self.until(nothing, QUIET_SECONDS)
        hang_up()
        if descriptors:
            self.until(closed, QUIET_SECONDS)
        else:
            self.until(lambda: self.metrics()[KEPT] == 0, QUIET_SECONDS)
        return Quiet(self._descriptors(), *self._memory(), left_over)

    def _descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self._instance.pid}/fd"))

    def _memory(self) -> tuple[int, int, int]:
        process = Path(f"/proc/{self._instance.pid}")
        status = process.joinpath("status").read_text()
        resident, anonymous = (
            int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) * 1024  # type: ignore
            for name in ("VmRSS", "RssAnon")
        )
        maps = process.joinpath("smaps").read_text()
        heap = re.search(r"\[heap\]\n(?:.*\n)*?Rss:\s+(\d+) kB", maps)
        return resident, anonymous, int(heap[1]) * 1024 if heap else 0
