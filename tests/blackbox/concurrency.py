"""Many calls at once, from threads: the tests' own code stays sequential and readable."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable

from upstream import Upstream


def at_once(count: int, call: Callable[[], Any]) -> list[Any]:
    """The results of `count` concurrent calls."""
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(call) for _ in range(count)]]


def in_background(call: Callable[[], Any]) -> "Future[Any]":
    """One call in a thread of its own; ask the future for what became of it."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # handed to whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def eventually(look: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true value of `look`, for state that can only be asked for."""
    end = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < end, f"{look} stayed {value!r} for {seconds} s"
        time.sleep(0.01)  # between two looks, so that looking does not keep the gateway busy
    return value


class Traffic:
    """Threads that repeat a call until stopped; failures and answers are kept."""

    def __init__(self, call: Callable[[], Any], threads: int = 4) -> None:
        self._call = call
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.answers: list[Any] = []
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive(), "a call never came back"

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                answer = self._call()
                with self._lock:
                    self.answers.append(answer)
            except BaseException as error:
                with self._lock:
                    self.failures.append(error)
                return

    def wait_for_answers(self, more: int, witness: Upstream) -> None:
        """Until `more` further answers came; `witness` is an upstream that serves them."""
        target = len(self.answers) + more
        witness.wait_for(
            lambda: self.failures or len(self.answers) >= target, f"{more} more answers"
        )
