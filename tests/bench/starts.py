"""How long a proxy takes to serve, and how large its program is."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any, Optional

import payloads
import proxies
from measure import Bench
from programs import wait_until_answered
from proxies import HAPROXY, NGINX, SPILLWAY, Setting

Figures = dict[str, Any]


def start_up(bench: Bench, proxy: str, deployments: int = 2) -> Figures:
    """Milliseconds from the start of the program until it has answered a chat request."""
    request = payloads.request(payloads.chat(payloads.PLAIN_BYTES))
    times = []
    with bench.upstream() as upstream:
        for _ in range(5 if bench.quick else 11):
            setting = Setting(
                upstream, bench.folder, cores=bench.cores.proxy, deployments=deployments
            )
            begun = time.perf_counter()
            with proxies.launch(proxy, setting) as running:
                times.append(
                    (wait_until_answered(running.port, request, running.program) - begun) * 1000
                )
    return {
        "ready_ms": statistics.median(times),
        "fastest_ms": min(times),
        "slowest_ms": max(times),
    }


def binary_size(bench: Bench, proxy: str) -> Figures:
    programs = {NGINX: "nginx", HAPROXY: "haproxy", **proxies.BUILDS}
    stripped = bench.folder / "stripped"
    program = shutil.which(programs[proxy])
    subprocess.run(["strip", "-o", stripped, program], check=True)
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = {Path(found).resolve() for found in re.findall(r"(/\S+) \(0x", linked)}
    figures = {
        "binary_bytes": stripped.stat().st_size,
        "with_libraries_bytes": stripped.stat().st_size
        + sum(library.stat().st_size for library in libraries),
    }
    image = image_bytes() if proxy == SPILLWAY else None
    return {**figures, "image_bytes": image} if image else figures


def image_bytes() -> Optional[float]:
    """Of the image that `make image` has built, if it has."""
    for engine in ("docker", "podman", "buildah"):
        if not shutil.which(engine):
            continue
        list_images = [engine, "images", "--format", "{{.Size}}", "spillway:latest"]
        listed = subprocess.run(list_images, capture_output=True, text=True)
        if found := re.fullmatch(r"([\d.]+) ?([kMG])B", listed.stdout.strip()):
            return float(found[1]) * {"k": 1e3, "M": 1e6, "G": 1e9}[found[2]]
    return None
