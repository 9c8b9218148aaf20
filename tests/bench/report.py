"""Writes docs/benchmarks.md and its charts from the results of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import added
import proxies
from pictures import draw
from results import Results
from sections import SECTIONS
from sections_more import calls_section, choice_section, gateways_section
from targets import TARGETS, Target

QUIET = 0.05  # of the machine, used by others
QUICK_ROUNDS = 3
ALL_SECTIONS = (*SECTIONS, choice_section, calls_section, gateways_section)


def write(found: dict[str, Any], docs: Path) -> None:
    results = Results(found["measurements"])
    docs.mkdir(parents=True, exist_ok=True)
    for old in docs.glob("benchmarks-*.svg"):
        old.unlink()
    drawn = draw(results, docs)
    parts = [
        intro(found, results),
        targets_table(results),
        *(part for section in ALL_SECTIONS if (part := section(results, drawn))),
        how(found),
    ]
    (docs / "benchmarks.md").write_text("\n\n".join(parts) + "\n")


def intro(found: dict[str, Any], results: Results) -> str:
    machine = found["machine"]
    lines = [
        "# Benchmarks: what Spillway costs beside nginx and HAProxy",
        "",
        "Everything on loopback: a scripted upstream that answers at once, a load generator, and in between, in turn,",
        "nginx, HAProxy, Spillway or nothing. nginx and HAProxy relay; Spillway does so with all of its policies on: a",
        "key is checked, one of two deployments chosen, its health and load kept, metrics counted, every hundredth",
        "request logged. The proxy has a core of its own; upstream and load generator share the others.",
        "Figures are medians over the rounds, with the smallest and the largest in brackets. Less is better, except for",
        "requests a second.",
        "",
        f"{machine['processor']}{' (virtual)' if machine['virtual'] else ''}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}, Linux {machine['kernel']}; "
        f"{'; '.join([*machine['programs'], *found.get('gateways', [])])}; revision {machine['revision']}. Run {found['begun']}, "
        f"{found['minutes']} minutes, {found['rounds']} rounds of {found['seconds']:g} s each, or as many of shorter turns.",
    ]
    if found["missing"]:
        lines += ["", f"Not installed, and so not measured: {', '.join(found['missing'])}."]
    if found.get("added"):
        lines += ["", "Measured at another time, and so not in the same rounds as the rest:", ""]
        lines += [f"- {one}" for one in added.told(found)]
    loudest = results.busiest_neighbour()
    if loudest > QUIET:
        lines += [
            "",
            f"**The machine was not quiet**: other processes took up to {loudest:.0%} of it during a "
            "measurement. These figures show that the harness works, not what the proxies cost.",
        ]
    if found["rounds"] < QUICK_ROUNDS:
        lines += ["", "**A quick run**: too few rounds for a spread that means anything."]
    if found["invalid"]:
        lines += ["", "**Measurements that stayed invalid** and are left out:", ""]
        lines += [f"- {fault}" for fault in found["invalid"]]
    return "\n".join(lines)


def targets_table(results: Results) -> str:
    lines = ["## Targets", "", "| what | target | measured | |", "|---|---:|---:|---|"]
    for target in TARGETS:
        value = target.value(results)
        limit = f"{'>=' if target.at_least else '<='} {target.bound:g}"
        limit += f", then {target.later:g}" if target.later else ""
        limit += f" {target.unit}" if target.unit else ""
        measured = "-" if value is None else f"{value:.2f} {target.unit}"
        lines.append(
            f"| {target.what} | {limit} | {measured.strip()} | {verdict(results, target, value)} |"
        )
    lines += [
        "",
        'Ratios to other proxies are the median of the ratios within each round. What is "to nginx" wants nginx in the run.',
        "Cold caches are the worst case: the choice of a deployment, below, says what they are.",
    ]
    return "\n".join(lines)


def comparison(results: Results) -> str:
    """This build of Spillway beside the other one, figure by figure: for the terminal."""
    lines = [f"{'':70} {'before':>14} {'now':>14} {'ratio':>7}"]
    for scenario, figure in results.figures(proxies.BEFORE):
        before = results.median(scenario, proxies.BEFORE, figure)
        now = results.median(scenario, proxies.SPILLWAY, figure)
        ratio = results.ratio(scenario, figure, proxies.SPILLWAY, proxies.BEFORE)
        if before is not None and now is not None and ratio is not None:
            lines.append(f"{scenario + ' ' + figure:70} {before:14,.2f} {now:14,.2f} {ratio:7.3f}")
    return "\n".join(lines)


def verdict(results: Results, target: Target, value: Optional[float]) -> str:
    if value is None:
        return target.without(results) if target.without else "not measured"
    if target.later is not None and value <= target.later:
        return "**pass**"
    met = value >= target.bound if target.at_least else value <= target.bound
    return "pass" if met else "no"


def how(found: dict[str, Any]) -> str:
    commands = "\n".join(f"    {command}" for command in found["commands"])
    return f"""## How it was measured

    make bench                                        # everything; writes this page
    tests/bench/bench.py --quick                      # three minutes
    tests/bench/bench.py --only sse --rounds 3        # one kind of scenario; --list names them
    tests/bench/bench.py --only cpu --before FILE     # beside another build of Spillway, figure by figure
    tests/bench/bench.py --only count --before FILE   # instructions and system calls: the same on a machine that is busy
    tests/bench/bench.py --add --only memory/soak --soak 10 --docs docs
    make bench-gateways && tests/bench/bench.py --with portkey,litellm --docs docs
    make profile                                      # where the time goes: profile.md, and its flame graph

Processor time is read from `/proc` before and after the load. For each scenario the proxies take turns, and each round
begins with another one. Who else uses the machine changes it from one second to the next; so where proxies are compared
by their processor time on one core (but for bodies of 1 MiB and more), at 5,000 requests a second and more, or with one
request at a time, all of them run side by side, warmed up, and are asked one after the other for a second each (streams
2, TLS 3): the same time, in more and shorter rounds. For the rest, and for other gateways, every measurement has a proxy
of its own. A measurement is thrown away and repeated
if an answer was not a 200, a connection broke, events were held back, the load generator was late, or the scripted
upstream had no time left, and the run fails if that happens three times. wrk keeps the connections busy; fixed rates
and streams come from `tests/bench/load_main.cpp`, because they need every single event, and a steady rate: h2load sends
the requests of all its connections at one tick (at 5,000 a second 100 within a millisecond, then none for 20). The choice
of a deployment is timed by `tests/bench/routing_main.cpp`, with the gateway's own code and no load. The proxies'
configurations are in `tests/bench/proxies.py`. The load commands, warming up included; PORT is the proxy's:

{commands}"""
