"""Configurations as plain values, for the gateway fixture."""

from __future__ import annotations

from typing import Any, Optional

from upstream import Upstream


def deployment(
    upstream: Optional[Upstream],
    group: str = "m",
    *,
    id: Optional[str] = None,
    entry: Optional[dict] = None,
    info: Optional[dict] = None,
    **litellm_params: Any,
) -> dict:
    """One model_list entry; keyword arguments go into litellm_params and win."""
    params = {"model": "openai/upstream-model", "api_key": "sk-upstream"}
    if upstream is not None:
        params["api_base"] = upstream.url
    model_info = {**({"id": id} if id else {}), **(info or {})}
    model = {"model_name": group, "litellm_params": {**params, **litellm_params}, **(entry or {})}
    return {**model, "model_info": model_info} if model_info else model


def configuration(
    *deployments: dict,
    router: Optional[dict] = None,
    spillway: Optional[dict] = None,
    litellm: Optional[dict] = None,
    general: Optional[dict] = None,
) -> dict:
    """A whole config.yaml. Draining is kept short, so that a stream that a test forgot does not
    hold the run up."""
    own = dict(spillway or {})
    own["timeouts"] = {"drain": "5s", **own.get("timeouts", {})}
    sections = {"router_settings": router, "litellm_settings": litellm, "general_settings": general}
    present = {name: section for name, section in sections.items() if section}
    return {"model_list": list(deployments), **present, "spillway": own}
