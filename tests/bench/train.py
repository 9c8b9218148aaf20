#!/usr/bin/env python3
"""Runs a program under the loads that a tuned build is compiled for, as `make tuned` does.

The program notes what it did where it was told to when it was built, once it has ended.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import payloads
import profiling
import proxies
from measure import Bench, Cores, own_load
from programs import raise_descriptor_limit
from proxies import SPILLWAY, Running, Setting

SECONDS = 4.0


def bodies(bench: Bench, running: Running, seconds: float) -> None:
    """Requests of the sizes that the benchmark has beside the plain one."""
    for size in (16 * 1024, 128 * 1024):
        request = payloads.request(payloads.chat(size))
        own_load(bench, "closed", running.port, request, connections=16, seconds=seconds / 4)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", type=Path)
    options = parser.parse_args()
    raise_descriptor_limit()
    proxies.BUILDS[SPILLWAY] = options.program.resolve()
    for tls in (False, True):
        with tempfile.TemporaryDirectory(prefix="spillway-train-") as folder:
            bench = Bench(Path(folder), Cores.of_this_machine(), SECONDS, quick=False)
            with bench.upstream() as upstream:
                setting = Setting(upstream, bench.folder, cores=bench.cores.proxy, tls=tls)
                with proxies.start(SPILLWAY, setting) as running:
                    for load in profiling.LOADS:
                        load.run(bench, running, SECONDS, False)
                    bodies(bench, running, SECONDS)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
