"""Starts and stops the programs of the benchmark, each on its own processor cores."""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Optional

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "release"
STOP_SECONDS = 10.0
START_SECONDS = 60.0  # of a gateway in Python, or of any proxy under valgrind


class Invalid(Exception):
    """A measurement that may not be used, and why."""


def raise_descriptor_limit() -> int:
    """For this process and all it starts; the new limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def on_cores(command: list[str], cores: Optional[list[int]]) -> list[str]:
    if cores is None:
        return command
    return ["taskset", "-c", ",".join(str(core) for core in cores), *command]


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


def environment(extra: dict[str, str]) -> dict[str, str]:
    """Nothing of the machine's own: no provider keys, no proxies."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, **extra}


class Program:
    """A running program. Its standard output goes to `output`, or to a pipe where that is None."""

    def __init__(
        self,
        command: list[str],
        *,
        log: Path,
        cores: Optional[list[int]] = None,
        output: Optional[Path] = None,
        extra_environment: Optional[dict[str, str]] = None,
    ) -> None:
        self.command = on_cores(command, cores)
        self.log = log
        with open(log, "ab") as errors:
            stdout = open(output, "ab") if output else None
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=stdout or subprocess.PIPE,
                stderr=errors,
                env=environment(extra_environment or {}),
                cwd=log.parent,
            )
            if stdout:
                stdout.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    def ended_within(self, seconds: float) -> bool:
        """Waits for the program's end; whether it came."""
        watched = os.pidfd_open(self.pid)
        try:
            return bool(select.select([watched], [], [], seconds)[0])
        finally:
            os.close(watched)

    def read_json(self) -> Any:
        line = self.process.stdout.readline()
        if not line:
            raise Invalid(f"{self.command[0]} said nothing: {self.log.read_text()[-500:]}")
        return json.loads(line)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def wait_until_answered(
    port: int, request: bytes, program: Optional[Program], pause: float = 0.0002
) -> float:
    """Asks until there is a 200; when that was, on the clock of time.perf_counter()."""
    until = time.perf_counter() + START_SECONDS
    while time.perf_counter() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS) as made:
                made.sendall(request)
                if made.recv(64).startswith(b"HTTP/1.1 200"):
                    return time.perf_counter()
        except OSError:
            pass
        if program is None or program.ended_within(pause):
            break
    what = program.command if program else f"port {port}"
    log = program.log.read_text()[-800:] if program else ""
    raise Invalid(f"{what} does not serve: {log}")
