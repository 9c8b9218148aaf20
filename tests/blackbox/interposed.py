"""Builds interposed.c, for gateways that need a clock that jumps or a name with two addresses."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from gateway import is_sanitized

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
        self.clock = folder / "clock"
        self.jump(0)
        self.environment = {"LD_PRELOAD": str(library), "SPILLWAY_TEST_CLOCK": str(self.clock)}

    def jump(self, seconds: int) -> None:
        """From now on the time of day is that many seconds off."""
        with self.clock.open("r+b" if self.clock.exists() else "wb") as file:
            file.write(struct.pack("q", seconds))
