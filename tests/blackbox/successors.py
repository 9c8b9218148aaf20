"""Processes that take over from a gateway: not children of the test, but its grandchildren."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import time
from typing import Any

SERVES = re.compile(r"process (\d+) serves; this one ends with its last request")
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Whose parent has ended becomes this process's child, whose exit code can be asked for."""
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def wait_for_exit(pid: int, seconds: float = 30.0) -> int:
    """The exit code of an adopted process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # its parent has not ended yet
            found = 0
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    raise AssertionError(f"process {pid} does not end")


class Upgrades:
    """Replaces gateways, and ends what took over."""

    def __init__(self) -> None:
        self.successors: list[int] = []
        self.replaced: list[Any] = []

    def __call__(self, running: Any, pid: int = 0) -> int:
        """Sends SIGUSR2 to the gateway, or to the process `pid` that took over from it; the process
        that serves now."""
        before = self.seen(running)
        os.kill(pid or running.process.pid, signal.SIGUSR2)
        with running.stderr.condition:
            assert running.stderr.condition.wait_for(
                lambda: len(self.seen(running)) > len(before), 30
            ), running.stderr.text
        self.successors.append(self.seen(running)[-1])
        self.replaced.append(running)
        return self.successors[-1]

    @staticmethod
    def seen(running: Any) -> list[int]:
        return [int(match[1]) for match in map(SERVES.search, running.stderr.lines) if match]

    def stop(self) -> None:
        for pid in self.successors:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        for running in self.replaced:
            running.terminate()
            assert running.process.wait(30) == 0
        for pid in self.successors:
            assert wait_for_exit(pid) == 0
