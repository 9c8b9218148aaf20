"""Starts and stops the gateway program, and keeps what it prints: the access log (stdout) and its
own log (stderr)."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any, Callable, Optional

from wire import Client, Response, request_bytes

START_SECONDS = 30.0  # a sanitizer build on a busy machine
STOP_SECONDS = 30.0
LOG_SECONDS = 10.0
LISTENING = re.compile(r"listening on https?://\S+?:(\d+)")
SANITIZER_REPORTS = (
    "ERROR: AddressSanitizer",
    "ERROR: LeakSanitizer",
    "WARNING: ThreadSanitizer",
    "runtime error:",
)


def is_sanitized(binary: str) -> bool:
    """Built with a sanitizer: slower, larger, and in need of being loaded first."""
    content = Path(binary).read_bytes()
    return any(name in content for name in (b"__asan_init", b"__tsan_init"))


def clean_environment(extra: Optional[dict[str, str]] = None) -> dict[str, str]:
    """Nothing of the machine's own: no provider keys, no proxies; only what a program needs, and
    sanitizer options."""
    kept = (
        "PATH",
        "HOME",
        "LANG",
        "TMPDIR",
        "ASAN_OPTIONS",
        "UBSAN_OPTIONS",
        "TSAN_OPTIONS",
        "LSAN_OPTIONS",
    )
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    # An immediate exit waits for no thread, ended or not.
    environment["TSAN_OPTIONS"] = environment.get("TSAN_OPTIONS", "") + ":report_thread_leaks=0"
    return {**environment, **(extra or {})}


class Output:
    """The lines of one of the program's streams, as they come."""

    def __init__(self, pipe: Any) -> None:
        self.lines: list[str] = []
        self.condition = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe: Any) -> None:
        for line in pipe:
            with self.condition:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.condition.notify_all()

    def join(self) -> None:
        self._thread.join(STOP_SECONDS)

    @property
    def text(self) -> str:
        with self.condition:
            return "\n".join(self.lines)


class Gateway:
    """One running gateway; `port` is where it listens."""

    def __init__(
        self, binary: str, arguments: list[str], environment: dict[str, str], folder: Path
    ) -> None:
        self.command = [binary, *arguments]
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=folder,
        )
        self.stdout = Output(self.process.stdout)
        self.stderr = Output(self.process.stderr)
        self.tls: Optional[ssl.SSLContext] = None  # how clients trust it; None: plain text
        self.terminated = False
        self.killed = False
        self.port = self._wait_until_listening()

    # --- life ---

    def _wait_until_listening(self) -> int:
        found: list[int] = []
        arrived = threading.Event()

        def look() -> None:
            for line in [*self.stdout.lines, *self.stderr.lines]:
                if match := LISTENING.search(line):
                    found.append(int(match[1]))
                    arrived.set()

        waited = 0.0
        while waited < START_SECONDS and not found:
            with self.stderr.condition:
                self.stderr.condition.wait(0.02)
            waited += 0.02
            look()
            if not found and self.process.poll() is not None:
                self.stderr.join()
                break
        if not found:
            self.process.kill()
            raise AssertionError(
                f"{self.command} does not listen:\n{self.stdout.text}\n{self.stderr.text}"
            )
        return found[0]

    def terminate(self) -> None:
        """Sends SIGTERM, once however often it is called: a second one means "at once"."""
        if not self.terminated and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.terminated = True

    def stop(self) -> None:
        """SIGTERM drains and exits 0, without a sanitizer's complaint."""
        if self.killed:
            return
        self.terminate()
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(
                f"no exit within {STOP_SECONDS} s of SIGTERM:\n{self.stderr.text}"
            ) from None
        self.stdout.join()
        self.stderr.join()
        for report in SANITIZER_REPORTS:
            assert report not in self.stderr.text, self.stderr.text
        assert code == 0, f"exit code {code}:\n{self.stderr.text}"

    def kill(self) -> None:
        """Ends it as a crash does."""
        self.killed = True
        self.process.kill()
        self.process.wait()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024  # type: ignore

    def open_descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    # --- use ---

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return self.url + "/v1"

    def connect(self, **options: Any) -> Client:
        return Client(self.port, **{"tls": self.tls, **options})

    def request(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: Any = (),
        key: Optional[str] = None,
    ) -> Response:
        """One request on a connection of its own. `body`: bytes as they are, else as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False).encode()
        fields = list(headers.items() if isinstance(headers, dict) else headers)
        if key:
            fields.append(("Authorization", f"Bearer {key}"))
        with self.connect() as client:
            client.send(request_bytes(method, target, body, [*fields, ("Connection", "close")]))
            return client.read_response(method)

    def get(self, target: str, **options: Any) -> Response:
        return self.request("GET", target, **options)

    def post(self, target: str, body: Any, **options: Any) -> Response:
        return self.request("POST", target, body, **options)

    def chat(
        self, model: str = "m", text: str = "hello", headers: Any = (), **fields: Any
    ) -> Response:
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return self.post("/v1/chat/completions", body, headers=headers)

    # --- logs ---

    def access_log(self) -> list[dict]:
        with self.stdout.condition:
            return [json.loads(line) for line in self.stdout.lines if line.startswith("{")]

    def wait_for_message(self, words: str) -> None:
        """Waits for a line of the program's own log."""
        with self.stderr.condition:
            if not self.stderr.condition.wait_for(
                lambda: any(words in line for line in self.stderr.lines), LOG_SECONDS
            ):
                raise AssertionError(f"no line with {words!r} among:\n" + self.stderr.text)

    def wait_for_log(self, found: Callable[[dict], bool]) -> dict:
        """The first access-log line for which `found` is true."""
        result: list[dict] = []

        def look() -> bool:
            result.extend(line for line in self.access_log() if found(line))
            return bool(result)

        with self.stdout.condition:
            if not self.stdout.condition.wait_for(look, LOG_SECONDS):
                raise AssertionError(
                    "no such access-log line among:\n" + "\n".join(self.stdout.lines)
                )
        return result[0]
