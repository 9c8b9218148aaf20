"""Joins a run with an earlier one whose file it was told to add to."""

from __future__ import annotations

from typing import Any

Found = dict[str, Any]


def merged(old: Found, new: Found) -> Found:
    """The earlier run, with what was measured anew in place of what it had of the same scenario and proxy."""
    fresh = {(one["scenario"], one["proxy"]) for one in new["measurements"]}
    kept = [one for one in old["measurements"] if (one["scenario"], one["proxy"]) not in fresh]
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
        "added": [*old.get("added", []), addition(new)],
    }


def addition(new: Found) -> str:
    measured = list(dict.fromkeys(f"{one['scenario']}" for one in new["measurements"]))
    names = list(dict.fromkeys(one["proxy"] for one in new["measurements"]))
    return (
        f"{', '.join(measured)} of {', '.join(names)}: {new['begun']}, revision "
        f"{new['machine']['revision']}"
    )
