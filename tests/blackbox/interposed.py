"""Builds interposed.c, for gateways that need a clock that jumps, a name with two addresses, a
thread that hangs, memory that cannot be had, sockets with little room, or calls that are counted."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from edge import BODY, CHAT
from gateway import Gateway, is_sanitized
from wire import request_bytes

SOURCE = Path(__file__).with_suffix(".c")


class Interposed:
    def __init__(self, binary: str, folder: Path) -> None:
        if is_sanitized(binary):
            pytest.skip("a sanitizer's runtime must be loaded first")
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            pytest.skip("no C compiler")
        library = folder / "interposed.so"
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
        built = subprocess.run(command, capture_output=True, text=True)
        assert built.returncode == 0, built.stderr
        self.clock, self.hanging = folder / "clock", folder / "hang"
        self.starving, self.telling = folder / "starve", folder / "tellings"
        self.cramping = folder / "cramp"
        self.jump(0)
        self.resume()
        self.starve(0)
        write(self.telling, 0)
        write(self.cramping, 0)
        self.environment = {
            "LD_PRELOAD": str(library),
            "SPILLWAY_TEST_CLOCK": str(self.clock),
            "SPILLWAY_TEST_HANG": str(self.hanging),
            "SPILLWAY_TEST_STARVE": str(self.starving),
            "SPILLWAY_TEST_TELLINGS": str(self.telling),
            "SPILLWAY_TEST_CRAMP": str(self.cramping),
        }

    def jump(self, seconds: int) -> None:
        """From now on the time of day is that many seconds off."""
        write(self.clock, seconds)

    def hang(self) -> None:
        """A thread other than the main one does not come back to its events until resume()."""
        write(self.hanging, 1)

    def resume(self) -> None:
        write(self.hanging, 0)

    def starve(self, size: int) -> None:
        """So many bytes at once, or more, cannot be had; 0: all can."""
        write(self.starving, size)

    def cramp(self) -> None:
        """Sockets take half of what they are given, and the rest when they are asked again."""
        write(self.cramping, 1)

    def tellings(self) -> int:
        """How often the kernel was told what to wait for (epoll_ctl(2))."""
        return struct.unpack("q", self.telling.read_bytes())[0]

    def tellings_each(self, running: Gateway, requests: int = 20) -> float:
        """For a request, one after the other over connections that stay open."""
        with running.connect() as client:

            def ask() -> None:
                client.send(request_bytes("POST", CHAT, BODY))
                assert client.read_response("POST").status == 200

            ask()  # makes the connection to the provider known
            before = self.tellings()
            for _ in range(requests):
                ask()
            return (self.tellings() - before) / requests


def write(path: Path, number: int) -> None:
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(struct.pack("q", number))
