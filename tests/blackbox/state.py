"""Reads GET /router/state: the names of its fields are known here only."""

from __future__ import annotations

from typing import Any, Optional


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
