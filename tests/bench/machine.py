"""The machine and the programs that took part, as the report tells them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from programs import BUILD, ROOT


def describe() -> dict[str, Any]:
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    system = re.search(r'PRETTY_NAME="(.+)"', Path("/etc/os-release").read_text())
    return {
        "processor": cpu[1] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory[1]) / 2**20),
        "kernel": platform.release(),
        "system": system[1] if system else "",
        "virtual": "hypervisor" in Path("/proc/cpuinfo").read_text(),
        "programs": [text for text in map(version, PROGRAMS) if text],
        "revision": output(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]),
    }


PROGRAMS = (
    ["nginx", "-v"],
    ["haproxy", "-v"],
    [str(BUILD / "spillway"), "--version"],
    ["wrk", "-v"],
)


def version(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return output(command).split("\n")[0].split(" https:")[0].split(" Copyright")[0]


def output(command: list[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip()
