"""What /proc tells about processes: processor time, memory; and about the machine: who else is using it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")
NS_PER_US = 1000


def tree(pid: int) -> list[int]:
    """The process and all of its descendants."""
    found, new = [], [pid]
    while new:
        current = new.pop()
        found.append(current)
        for children in Path(f"/proc/{current}/task").glob("*/children"):
            new += [int(child) for child in children.read_text().split()]
    return found


def cpu_us(pid: int) -> float:
    """Processor time, user and system, that the process and its descendants have used, in microseconds."""
    total = 0.0
    for one in tree(pid):
        for times in Path(f"/proc/{one}/task").glob("*/schedstat"):
            total += int(times.read_text().split()[0]) / NS_PER_US
    return total


def user_and_system_us(pid: int) -> tuple[float, float]:
    """The same in two parts, which the kernel tells with a resolution of a tick."""
    user = system = 0.0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        user += int(fields[11]) * TICK_US
        system += int(fields[12]) * TICK_US
    return user, system


@dataclass
class Memory:
    """In bytes. `anonymous` counts pages that parent and child share once."""

    total: int
    anonymous: int
    peak: int


def memory(pid: int) -> Memory:
    total = anonymous = peak = 0
    for one in tree(pid):
        rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        status = Path(f"/proc/{one}/status").read_text()
        total += kib(rollup, "Rss")
        anonymous += kib(rollup, "Pss_Anon")
        peak += kib(status, "VmHWM")
    return Memory(total * 1024, anonymous * 1024, peak * 1024)


def kib(text: str, name: str) -> int:
    return int(re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)[1])


def forget_peak(pid: int) -> None:
    """From now on memory().peak is the highest since this call."""
    for one in tree(pid):
        Path(f"/proc/{one}/clear_refs").write_text("5")


def machine_busy_us() -> float:
    """Processor time that the whole machine has used, what its host took away included."""
    line = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in line[1:9])
    return (user + nice + system + irq + softirq + steal) * TICK_US
