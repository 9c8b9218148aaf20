"""One measurement: load on one proxy, what it cost, and whether the figures may be used."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Optional

import payloads
import procfs
import proxies
from programs import BUILD, HERE, Invalid, Program, on_cores

if TYPE_CHECKING:
    from stage import Stage

SATURATED = 0.95  # of a core, by a thread of the scripted upstream
HOLD_SECONDS = 40  # within which all connections must be there
GRACE_SECONDS = 30.0
US_PER_SECOND = 1e6


@dataclass
class Cores:
    """Which cores the proxy has for itself, and which the upstream and the load generator share."""

    proxy: list[int]
    load: list[int]

    @staticmethod
    def of_this_machine() -> "Cores":
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            raise Invalid("needs two processor cores: one for the proxy, one for everything else")
        return Cores(allowed[:1], allowed[1:])


@dataclass
class Bench:
    """What every scenario needs: where to work, how long, on which cores, and how much of it."""

    folder: Path
    cores: Cores
    seconds: float
    quick: bool
    commands: dict[str, str] = field(
        default_factory=dict
    )  # the load commands that were run, once each
    upstream_threads: int = 1
    stage: Optional[Stage] = None  # while a scenario's proxies take short turns side by side

    @contextmanager
    def upstream(
        self, threads: int = 1, cores: Optional[list[int]] = None
    ) -> Iterator[proxies.Upstream]:
        certificate = self.folder / "upstream.pem"
        command = [
            str(BUILD / "bench_upstream"),
            "--threads",
            str(threads),
            "--certificate",
            str(certificate),
        ]
        with Program(
            command, log=self.folder / "upstream.log", cores=cores or self.cores.load
        ) as program:
            said = program.read_json()
            self.upstream_threads = threads
            yield proxies.Upstream(program.pid, said["plain"], said["tls"], certificate)

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


@dataclass
class Spent:
    """What a stretch of time cost, in microseconds of processor time; shares are of one core."""

    seconds: float = 0
    proxy_us: float = 0
    user_us: float = 0
    system_us: float = 0
    upstream_share: float = 0
    foreign_share: float = (
        0  # everybody who has nothing to do with the benchmark, of the whole machine
    )

    @property
    def proxy_share(self) -> float:
        return self.proxy_us / US_PER_SECOND / self.seconds


@contextmanager
def spending(bench: Bench, upstream: proxies.Upstream, running: proxies.Running) -> Iterator[Spent]:
    """Fills in what was spent while the block ran. Whoever is started within must have ended."""
    spent = Spent()
    before = _reading(upstream.pid, running.pid)
    yield spent
    after = _reading(upstream.pid, running.pid)
    wall, proxy, user, system, served, machine, ours = (b - a for a, b in zip(before, after))
    spent.seconds, spent.proxy_us, spent.user_us, spent.system_us = wall, proxy, user, system
    spent.upstream_share = served / US_PER_SECOND / wall / bench.upstream_threads
    foreign = max(0.0, machine - proxy - served - ours)
    spent.foreign_share = foreign / US_PER_SECOND / wall / os.cpu_count()
    if spent.upstream_share > SATURATED:
        raise Invalid(
            f"the scripted upstream was saturated: {spent.upstream_share:.0%} of its cores"
        )


def _reading(upstream: int, proxy: Optional[int]) -> tuple[float, ...]:
    user, system = procfs.user_and_system_us(proxy) if proxy else (0.0, 0.0)
    ours = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        ours += (usage.ru_utime + usage.ru_stime) * US_PER_SECOND
    return (
        time.perf_counter(),
        procfs.cpu_us(proxy) if proxy else 0.0,
        user,
        system,
        procfs.cpu_us(upstream),
        procfs.machine_busy_us(),
        ours,
    )


def closed_load(
    bench: Bench,
    port: int,
    body: bytes,
    connections: int,
    seconds: float,
    cores: Optional[list[int]] = None,
    threads: int = 1,
    headers: Optional[dict[str, str]] = None,
) -> dict[str, Any]:
    """As many requests as the proxy takes from so many connections; by wrk where it is installed."""
    if shutil.which("wrk") is None:
        request = payloads.request(body, headers=headers)
        return own_load(bench, "closed", port, request, connections=connections, seconds=seconds)
    path = bench.file(f"body-{len(body)}.json", body)
    command = [
        "wrk",
        f"-t{threads}",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "30s",
        "-s",
        str(HERE / "post.lua"),
        f"http://127.0.0.1:{port}{payloads.PATH}",
    ]
    done = subprocess.run(
        on_cores(command, cores or bench.cores.load),
        env={
            **os.environ,
            "BENCH_BODY": str(path),
            "BENCH_KEY": payloads.KEY,
            "BENCH_HEADERS": "\n".join(f"{key}: {text}" for key, text in (headers or {}).items()),
        },
        capture_output=True,
        text=True,
        timeout=seconds + GRACE_SECONDS,
    )
    note_command(bench, f"BENCH_BODY={path.name} BENCH_KEY=...", command, port)
    found = [line for line in done.stdout.splitlines() if line.startswith("JSON ")]
    if not found:
        raise Invalid(f"wrk failed: {done.stdout} {done.stderr}")
    return checked(json.loads(found[0].removeprefix("JSON ")))


def own_command(bench: Bench, mode: str, port: int, request: bytes, **options: object) -> list[str]:
    interval = re.search(rb'"interval_us":(\d+)', request)
    name = f"stream-{interval[1].decode()}us.http" if interval else f"request-{len(request)}.http"
    path = bench.file(name, request)
    command = [str(BUILD / "bench_load"), mode, "--port", str(port), "--request", str(path)]
    for name, value in sorted(options.items()):
        command += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    note_command(bench, "", command, port)
    return on_cores(command, bench.cores.load)


def own_load(bench: Bench, mode: str, port: int, request: bytes, **options: Any) -> dict[str, Any]:
    done = subprocess.run(
        own_command(bench, mode, port, request, **options),
        capture_output=True,
        text=True,
        timeout=options["seconds"] + GRACE_SECONDS,
    )
    if done.returncode != 0:
        raise Invalid(f"bench_load failed: {done.stderr}")
    return checked(json.loads(done.stdout))


@contextmanager
def held_load(
    bench: Bench, mode: str, port: int, request: bytes, **options: Any
) -> Iterator[dict[str, Any]]:
    """Connections that are open while the block runs; what came of them is filled in at its end."""
    command = own_command(bench, mode, port, request, hold=True, seconds=HOLD_SECONDS, **options)
    found: dict[str, Any] = {}
    with Program(command, log=bench.folder / "load.log") as program:
        if program.process.stdout.readline() != b"ready\n":
            raise Invalid("not all connections could be made or were served")
        yield found
        program.process.stdin.close()
        found.update(checked(json.loads(program.process.stdout.readline())))
        program.process.wait(GRACE_SECONDS)


def checked(found: dict[str, Any]) -> dict[str, Any]:
    """The load generator's own word that everything was answered as it should be."""
    faults = [
        f"{found[name]} {name}" for name in ("refused", "broken", "unanswered") if found[name]
    ]
    faults += [
        f"{count} answers with status {status}" for status, count in found["other_statuses"].items()
    ]
    if faults:
        raise Invalid(", ".join(faults))
    if found["answered"] + found.get("events", 0) == 0:
        raise Invalid("nothing was answered")
    return found


def note_command(bench: Bench, before: str, command: list[str], port: int) -> None:
    """Keeps the command as somebody else would type it."""
    words = [
        word.replace(str(bench.folder) + "/", "").replace(f":{port}", ":PORT") for word in command
    ]
    words = ["PORT" if word == str(port) else word for word in words]
    words = [word.replace(str(HERE.parents[1]) + "/", "") for word in words]
    text = " ".join(filter(None, [before, *words]))
    bench.commands.setdefault(text, text)
