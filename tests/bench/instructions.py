"""Instructions a request and a relayed event, counted by valgrind's callgrind: in user space only.

The same program with the same requests gives nearly the same count on every machine and under any load, which no
time does. Counting is switched on once the proxy is warm. A long load is compared with a short one, as in
syscalls.py. What the kernel does for a proxy, which is most of the time that it takes, is not in these figures.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import proxies
from measure import Bench, Invalid
from proxies import Running, Setting
from syscalls import Load, closed, events

Figures = dict[str, Any]
TOTAL = re.compile(r"^totals: (\d+)", re.MULTILINE)

KINDS: dict[str, tuple[Load, float, float]] = {
    "a_request": (closed(16), 0.5, 4.0),
    "an_event": (events, 0.5, 4.5),
}


def count(bench: Bench, proxy: str) -> Figures:
    if shutil.which("callgrind_control") is None:
        raise Invalid("valgrind is not installed")
    for old in bench.folder.glob("callgrind.*"):
        old.unlink()
    under = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
    under += [f"--callgrind-out-file={bench.folder}/callgrind.%p"]
    figures: Figures = {}
    with bench.upstream() as upstream:
        setting = Setting(
            upstream, bench.folder, cores=bench.cores.proxy, streaming=True, under=under
        )
        with proxies.start(proxy, setting) as running:
            for kind, (load, short, long) in KINDS.items():
                load(bench, running, short)  # warms up
                control(running, "--instr=on")
                load(bench, running, short)  # translates the code anew, now with counters
                few, first = counted(bench, running, load, short)
                much, second = counted(bench, running, load, long)
                control(running, "--instr=off")
                figures[kind] = (second - first) / (much - few)
    return figures


def counted(bench: Bench, running: Running, load: Load, length: float) -> tuple[int, int]:
    """How many requests or events there were, and the instructions meanwhile."""
    dump(bench.folder, running)
    number = load(bench, running, length)
    return number, dump(bench.folder, running)


def dump(folder: Path, running: Running) -> int:
    """Has the counters written out and set to zero; the instructions since that was last done."""
    control(running, "--dump")
    total = 0
    for file in folder.glob(f"callgrind.{running.pid}.*"):
        total += sum(int(found) for found in TOTAL.findall(file.read_text()))
        file.unlink()
    return total


def control(running: Running, order: str) -> None:
    done = subprocess.run(
        ["callgrind_control", order, str(running.pid)], capture_output=True, text=True
    )
    if "OK." not in done.stdout:
        raise Invalid(f"callgrind does not obey {order}: {done.stdout}{done.stderr}")
