"""Where proxies serve while they are measured: each by itself, or all side by side and loaded in short turns.

Who else uses the machine changes it from one second to the next, by a third and more. A ratio of two figures is
worth something only if both were measured within a few seconds, and that leaves no time to start a proxy for each
of its turns. nginx, HAProxy and Spillway cost nothing while nobody asks them.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Iterator

import proxies
from measure import Bench
from proxies import DIRECT, Running, Setting, Upstream


@dataclass
class Serving:
    upstream: Upstream
    running: Running
    fresh: bool  # not loaded before: it is to be warmed up


class Stage:
    """The proxies of one scenario and their upstreams, each started for its first turn."""

    def __init__(self) -> None:
        self._ends = ExitStack()
        self._upstreams: dict[bool, Upstream] = {}
        self._running: dict[str, Running] = {}

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Ends them all: after a fault nobody knows what state they are in."""
        self._ends.close()
        self._upstreams.clear()
        self._running.clear()

    def serve(self, bench: Bench, proxy: str, beside: bool, **how: Any) -> Serving:
        """`beside`: for latencies, where an upstream without a proxy has the proxy's core."""
        apart = beside and proxy == DIRECT
        if apart not in self._upstreams:
            cores = bench.cores.proxy if apart else None
            self._upstreams[apart] = self._ends.enter_context(bench.upstream(cores=cores))
        upstream = self._upstreams[apart]
        fresh = proxy not in self._running
        if fresh:
            # A folder of its own: a program that watches its configuration must not see another's.
            folder = bench.folder / f"{proxy}-{len(self._running)}"
            folder.mkdir(exist_ok=True)
            setting = Setting(upstream, folder, cores=bench.cores.proxy, **how)
            self._running[proxy] = self._ends.enter_context(proxies.start(proxy, setting))
        return Serving(upstream, self._running[proxy], fresh)


@contextmanager
def serving(bench: Bench, proxy: str, beside: bool = False, **how: Any) -> Iterator[Serving]:
    """The proxy, on the stage of the scenario if it has one; `how` is for its Setting."""
    if bench.stage is not None:
        yield bench.stage.serve(bench, proxy, beside, **how)
        return
    with Stage() as alone:
        yield alone.serve(bench, proxy, beside, **how)
