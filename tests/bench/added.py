"""Joins a run with an earlier one whose file it was told to add to."""

from __future__ import annotations

from typing import Any, Iterable

Found = dict[str, Any]


def merged(old: Found, new: Found) -> Found:
    """The earlier run, with what was measured anew in place of what it had of the same scenario and proxy."""
    fresh = {(one["scenario"], one["proxy"]) for one in new["measurements"]}
    kept = [one for one in old["measurements"] if (one["scenario"], one["proxy"]) not in fresh]
    stays = [one for one in old.get("added", []) if (one[0], one[1]) not in fresh]
    gateways = {text.split(" ")[0]: text for text in [*old.get("gateways", []), *new["gateways"]]}
    missing = [name for name in old["missing"] if name not in {proxy for _, proxy in fresh}]
    return {
        **old,
        "missing": missing,
        "gateways": list(gateways.values()),
        "scenarios": {**old["scenarios"], **new["scenarios"]},
        "measurements": kept + new["measurements"],
        "commands": sorted({*old["commands"], *new["commands"]}),
        "invalid": old["invalid"] + new["invalid"],
        "added": [*stays, *([*pair, when(new)] for pair in sorted(fresh))],
    }


def when(new: Found) -> str:
    return f"{new['begun']}, revision {new['machine']['revision']}"


def told(found: Found) -> list[str]:
    """What was added when: one line for each run that something is left of."""
    runs: dict[str, list[tuple[str, str]]] = {}
    for scenario, proxy, at in found.get("added", []):
        runs.setdefault(at, []).append((scenario, proxy))
    return [
        f"{at}: {listed(scenario for scenario, _ in pairs)} of {listed(proxy for _, proxy in pairs)}"
        for at, pairs in runs.items()
    ]


def listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
