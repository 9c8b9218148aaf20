"""Reads GET /router/state and GET /metrics: the names of their fields are known here only."""

from __future__ import annotations

from typing import Any, Optional

from concurrency import eventually


def find_deployment(document: Any, deployment_id: str) -> Optional[dict]:
    """The object that describes the deployment, wherever the document holds it."""
    if isinstance(document, dict):
        if document.get("id") == deployment_id:
            return document
        document = list(document.values())
    if isinstance(document, list):
        for item in document:
            if (found := find_deployment(item, deployment_id)) is not None:
                return found
    return None


def deployment_state(gateway: Any, deployment_id: str) -> dict:
    response = gateway.get("/router/state")
    assert response.status == 200, response
    found = find_deployment(response.json(), deployment_id)
    assert found is not None, response.json()
    return found


def health_state(gateway: Any, deployment_id: str) -> str:
    """closed, cooling, breaker_open or half_open."""
    return deployment_state(gateway, deployment_id)["state"]


def cooldown_seconds(gateway: Any, deployment_id: str) -> float:
    """What is left of the cooldown; 0 if there is none."""
    return deployment_state(gateway, deployment_id)["cooldown_remaining_ms"] / 1000


def in_flight(gateway: Any, deployment_id: str) -> int:
    return deployment_state(gateway, deployment_id)["in_flight"]


def metric(gateway: Any, name: str) -> float:
    for line in gateway.get("/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[-1])
    raise AssertionError(f"no {name}")


def connected(gateway: Any) -> bool:
    return metric(gateway, "spillway_shared_state_connected") == 1


def wait_until_connected(*gateways: Any) -> None:
    for running in gateways:
        eventually(lambda running=running: connected(running), 20)
