"""One gateway of the soak, through all the processes that it is, one after the other."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
from pathlib import Path
from typing import Optional

from book import Book
from configurations import Place, variants
from gateway import Gateway, clean_environment
from providers import Provider
from reloading import FAILURES, SUCCESSES, replace
from successors import SERVES, wait_for_exit
from watch import Watch

CHANGE_SECONDS = 20.0  # until a change has been made
END_SECONDS = 30.0  # until a process that was replaced has ended


class Instance:
    def __init__(
        self,
        program: str,
        folder: Path,
        origins: list[Provider],
        place: Place,
        book: Book,
        tls: Optional[ssl.SSLContext] = None,
        core_dumps: bool = False,
    ) -> None:
        self.place = place
        self.variants = variants(origins, place)
        self._own_log = folder / "gateway.log"
        self._config = folder / "config.yaml"
        self._config.write_text(self.variants[0])
        command = ["serve", "--config", str(self._config), "--listen", "127.0.0.1:0"]
        command += ["--threads", "2", "--log-file", str(self._own_log)]
        if core_dumps:
            command.append("--core-dumps")  # else nobody but root may count its descriptors
        self.gateway = Gateway(program, command, clean_environment(), folder)
        self.gateway.tls = tls
        self.pid = self.gateway.process.pid
        self.watch = Watch(self, book)
        self.replaced = 0
        self._old_logs: list[Path] = []
        self._forget_reloads()

    def _forget_reloads(self) -> None:
        self.reloads = {SUCCESSES: 0, FAILURES: 0}  # of the present process

    @property
    def port(self) -> int:
        return self.gateway.port

    @property
    def logs(self) -> list[Path]:
        return [*self._old_logs, self.place.log]

    def end_code(self, pid: int) -> int:
        if pid == self.gateway.process.pid:
            return self.gateway.process.wait(END_SECONDS)
        return wait_for_exit(pid, END_SECONDS)

    def close(self) -> None:
        """Ends the gateway as an operator does, which it must leave with 0."""
        if self.pid == self.gateway.process.pid:
            return self.gateway.stop()
        os.kill(self.pid, signal.SIGTERM)
        code = self.end_code(self.pid)
        assert code == 0, f"exit code {code}"

    # --- what operators do; each raises AssertionError if nothing comes of it ---

    def reload(self, text: str, counter: str) -> None:
        """Another configuration; the counter says what is to become of it."""
        before = self.watch.metrics()[counter]
        replace(self._config, text)
        os.kill(self.pid, signal.SIGHUP)
        self.reloads[counter] += 1
        moved = self.watch.until(lambda: self.watch.metrics()[counter] > before, CHANGE_SECONDS)
        assert moved, f"{counter} did not move"

    def rotate_log(self) -> None:
        """The log goes on in a new file; not a line may be missing or be cut."""
        old = self.place.log.with_name(f"access.{len(self._old_logs)}.log")
        os.rename(self.place.log, old)
        self._old_logs.append(old)
        os.kill(self.pid, signal.SIGUSR1)
        assert self.watch.until(self.place.log.exists, CHANGE_SECONDS), "no new log was begun"

    def upgrade(self) -> None:
        """Another process takes over, and the one before ends well."""
        before = len(self._successors())
        os.kill(self.pid, signal.SIGUSR2)
        taken_over = self.watch.until(lambda: len(self._successors()) > before, CHANGE_SECONDS)
        assert taken_over, "no other process took over"
        old, self.pid = self.pid, self._successors()[-1]
        self.replaced += 1
        self._forget_reloads()
        try:
            code = self.end_code(old)
        except subprocess.TimeoutExpired:
            raise AssertionError("the process that was replaced does not end") from None
        assert code == 0, f"the process that was replaced ended with {code}"

    def _successors(self) -> list[int]:
        return [int(pid) for pid in SERVES.findall(self._own_log.read_text())]

    def alive(self) -> bool:
        return Path(f"/proc/{self.pid}/fd").exists()
