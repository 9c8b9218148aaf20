"""How long the choice of a deployment takes by itself: what bench_routing finds, as named figures."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import proxies
from measure import Bench
from programs import Invalid, on_cores

Figures = dict[str, Any]
SECONDS = 60.0  # it takes two


def choose(bench: Bench, proxy: str) -> Figures:
    program = proxies.BUILDS[proxy].with_name("bench_routing")
    if not program.exists():  # beside another build's spillway there may be nothing else
        return {}
    command = on_cores([str(program)], bench.cores.proxy)
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode != 0:
        raise Invalid(f"bench_routing failed: {done.stderr}")
    return named(json.loads(done.stdout))


def named(found: dict[str, Any]) -> Figures:
    """As "1,000 deployments/cold/choice_p50_ns"."""
    return {
        "walked_bytes": found["walked_bytes"],
        **{
            f"{case}/{caches}/{name}": value
            for case, states in found["cases"].items()
            for caches, figures in states.items()
            for name, value in figures.items()
        },
    }
