"""Stacks of a running proxy: taken by perf, or, where there is no perf, functions alone, counted by callgrind.

A stack is a tuple of frames, outermost first; a frame has the name of its function and the group that it belongs to.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import NamedTuple, Optional

from programs import Invalid

FREQUENCY = 1999  # samples a second; no multiple of what else happens at round times
KERNEL, ASIO, CORE, SERVER, JSON, LIBC = "kernel", "asio", "core", "server", "json", "libc"
MEMORY, OTHER = "memory", "other"
# What the groups hold, in the order of the legend.
GROUPS = {
    KERNEL: "the kernel, by system calls and interrupts",
    ASIO: "Boost: Asio, Beast and what they stand on",
    CORE: "Spillway's core/: routing, health, classes of errors, checks of requests",
    SERVER: "Spillway's server/ and config/: connections, relaying, records",
    JSON: "simdjson and nlohmann_json",
    MEMORY: "malloc, free and their like",
    LIBC: "the rest of the C and C++ libraries",
    OTHER: "other libraries, as fmt and OpenSSL",
}
PREFIXES = (
    ("spillway::server::", SERVER),
    ("spillway::config::", SERVER),
    ("spillway::", CORE),
    ("boost::", ASIO),
    ("simdjson::", JSON),
    ("nlohmann::", JSON),
)
ALLOCATOR = re.compile(
    r"^(_int_|__libc_|tcache_|sys)?(malloc|free|calloc|realloc|memalign)(_consolidate)?$"
    r"|^(operator (new|delete)|unlink_chunk|cfree|tcache_)"
)
FRAME = re.compile(r"^\s+[0-9a-f]+ (.*) \((.*)\)$")
COUNTED = re.compile(r"^\s*([\d,]+) \(\s*[\d.]+%\)\s+\S*?:(\S.*?)(?: \[(\S+)\])?$", re.MULTILINE)


class Frame(NamedTuple):
    name: str
    group: str


Stack = tuple[Frame, ...]
UNKNOWN_CALLER = Frame("(caller not known)", OTHER)


def perf_command(pid: int, seconds: float, file: Path) -> list[str]:
    """Samples by the clock: virtual machines often have no counters. Stacks by frame pointers."""
    command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(FREQUENCY), "--call-graph"]
    return [*command, "fp", "-p", str(pid), "-o", str(file), "--", "sleep", str(seconds)]


def of_perf(file: Path) -> Counter[Stack]:
    done = subprocess.run(
        ["perf", "script", "-i", str(file), "-F", "comm,tid,ip,sym,dso", "--no-inline"],
        capture_output=True,
        text=True,
        errors="replace",
    )
    found: Counter[Stack] = Counter()
    for sample in done.stdout.split("\n\n"):
        frames = [
            frame
            for line in sample.splitlines()
            if (match := FRAME.match(line)) and (frame := frame_of(match[1], match[2]))
        ]
        if frames:
            found[rooted(tuple(reversed(frames)))] += 1
    if not found:
        raise Invalid(f"perf saw nothing: {done.stderr[-500:]}")
    return found


def rooted(stack: Stack) -> Stack:
    """The C library keeps no frame pointers: its functions may hide who called them."""
    return (UNKNOWN_CALLER, *stack) if stack[0].group in (LIBC, MEMORY) else stack


def of_callgrind(file: Path) -> Counter[Stack]:
    """Instructions by function; no stacks, and nothing of the kernel."""
    if shutil.which("callgrind_annotate") is None:
        raise Invalid("neither perf nor valgrind is installed")
    done = subprocess.run(
        ["callgrind_annotate", "--threshold=100", str(file)], capture_output=True, text=True
    )
    found: Counter[Stack] = Counter()
    for count, name, library in COUNTED.findall(done.stdout):
        frame = frame_of(name.replace("'2", "").removesuffix(" const"), library or "spillway")
        if frame:
            found[(Frame(frame.group, frame.group), frame)] += int(count.replace(",", ""))
    if not found:
        raise Invalid(f"callgrind counted nothing: {done.stderr[-500:]}")
    return found


def frame_of(symbol: str, library: str) -> Optional[Frame]:
    """None for a place that has no name, as code of the C++ library's threads."""
    if symbol == "[unknown]":
        return None
    name = without_templates(symbol)
    return Frame(name, group_of(name, library))


def group_of(name: str, library: str) -> str:
    if "kernel" in library or library.startswith("[guest") or library == "[vdso]":
        return LIBC if library == "[vdso]" else KERNEL
    if ALLOCATOR.match(name):
        return MEMORY
    for prefix, group in PREFIXES:
        if name.startswith(prefix):
            return group
    base = Path(library).name
    if re.match(r"(libc|libm|libstdc\+\+|libgcc_s|ld-linux[-\w]*)[.-]", base):
        return LIBC
    # Templates of the C++ library, compiled into the program.
    return LIBC if name.startswith(("std::", "__gnu_cxx::")) else OTHER


def without_templates(symbol: str) -> str:
    """A function's name without its arguments, those of its templates, its return type, versions and clones."""
    kept, depth = [], 0
    text = re.sub(r"operator(<<|>>|<=>|<=|>=|->|<|>|\(\))", "operator", symbol)
    for letter in text.replace("(anonymous namespace)::", ""):
        depth += letter in "<("
        if depth == 0:
            kept.append(letter)
        depth -= letter in ">)"
    name = re.sub(
        r"\s*\[.*\]|@+[A-Z].*|\)|\.(isra|constprop|part|actor|cold)(\.\d+)*", "", "".join(kept)
    )
    if name.startswith("operator"):
        return name.strip()
    return name.strip().rpartition(" ")[2]
