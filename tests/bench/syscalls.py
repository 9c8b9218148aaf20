"""System calls a request and a relayed event, by name, as strace sees them.

A long load is compared with a short one of the same kind, so that what it takes to open and to close connections and
streams is not in the figures. strace makes every call slow: only their number means something here, and under many
connections a proxy finds more work at each wake-up than it otherwise would.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, Callable

import payloads
import proxies
from measure import Bench, Invalid, own_load
from proxies import Running, Setting

Figures = dict[str, Any]
# A load of a given length, which tells how many requests or events it was.
Load = Callable[[Bench, Running, float], int]

# The first part of a call: a thread's number, its name and arguments; a call that another thread interrupted ends
# on a line of its own.
CALL = re.compile(r"^\d+ +(\w+)\(", re.MULTILINE)
IN_VAIN = re.compile(r"^\d+ +(?:(\w+)\(|<\.\.\. (\w+) resumed>).* = -1 EAGAIN", re.MULTILINE)
QUIET_SECONDS = 0.05  # without a call after a load; the memory is looked at each tenth of a second
# Few and slow, so that events do not meet in one read even where the machine is busy.
STREAMS = 16
INTERVAL_US = 100_000
HELD_BACK_US = INTERVAL_US / 2  # half of the events may not be later


def closed(connections: int) -> Load:
    def load(bench: Bench, running: Running, length: float) -> int:
        request = payloads.request(payloads.chat(payloads.PLAIN_BYTES))
        options = {"connections": connections, "seconds": length}
        return own_load(bench, "closed", running.port, request, **options)["answered"]

    return load


def events(bench: Bench, running: Running, length: float) -> int:
    """Each connection reads one stream of so many seconds."""
    stream = payloads.stream(INTERVAL_US, round(length * 1e6 / INTERVAL_US))
    options = {"connections": STREAMS, "seconds": 0.15, "open_rate": 10 * STREAMS}
    found = own_load(bench, "streams", running.port, payloads.request(stream), **options)
    late = found["event_delay_us"]["p50"]
    if late > HELD_BACK_US:
        raise Invalid(f"events were late: half of them by {late:.0f} us and more")
    return found["events"]


# What is counted: its name, the load, and how long it is at least and at most.
KINDS: dict[str, tuple[Load, float, float]] = {
    "one": (closed(1), 0.3, 1.5),
    "many": (closed(64), 0.5, 2.0),
    "event": (events, 0.5, 4.5),
}


def count(bench: Bench, proxy: str) -> Figures:
    """Calls by name, as KIND/NAME, those of them that found nothing as KIND!/NAME, and all together as KIND/all."""
    if shutil.which("strace") is None:
        raise Invalid("strace is not installed")
    log = bench.folder / "syscalls"
    log.unlink(missing_ok=True)
    # As a grandchild, so that it is the proxy itself which is told to stop, and strace ends with it.
    under = ["strace", "-D", "-f", "-qq", "-e", "raw=all", "-e", "signal=none", "-o", str(log)]
    figures: Figures = {}
    with bench.upstream() as upstream:
        setting = Setting(
            upstream, bench.folder, cores=bench.cores.proxy, streaming=True, under=under
        )
        with proxies.start(proxy, setting) as running:
            for kind, (load, short, long) in KINDS.items():
                load(bench, running, short)  # warms up
                few, calls_of_few, vain_of_few = observed(log, bench, running, load, short)
                much, calls_of_much, vain_of_much = observed(log, bench, running, load, long)
                for name, calls in difference(calls_of_much, calls_of_few).items():
                    figures[f"{kind}/{name}"] = calls / (much - few)
                for name, calls in difference(vain_of_much, vain_of_few).items():
                    figures[f"{kind}!/{name}"] = calls / (much - few)
                all_calls = sum(calls_of_much.values()) - sum(calls_of_few.values())
                figures[f"{kind}/all"] = all_calls / (much - few)
    return figures


def difference(one: Counter[str], other: Counter[str]) -> dict[str, int]:
    return {name: one[name] - other[name] for name in one if one[name] > other[name]}


def observed(
    log: Path, bench: Bench, running: Running, load: Load, length: float
) -> tuple[int, Counter[str], Counter[str]]:
    """How many requests or events there were, all calls meanwhile, and those that came back with EAGAIN."""
    begin = quiet_end(log, running)
    number = load(bench, running, length)
    with open(log, "rb") as file:
        file.seek(begin)
        text = file.read(quiet_end(log, running) - begin).decode()
    vain = Counter(first or second for first, second in IN_VAIN.findall(text))
    return number, Counter(CALL.findall(text)), vain


def quiet_end(log: Path, running: Running) -> int:
    """The length of the log, once the proxy has nothing to do any more."""
    size = -1
    while size != log.stat().st_size:
        size = log.stat().st_size
        if running.program.ended_within(QUIET_SECONDS):
            raise Invalid(f"{running.program.command} ended under strace")
    return size
