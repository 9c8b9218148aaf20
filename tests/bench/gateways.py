"""Other gateways that may take their turns: what tests/bench/install_gateways.sh put into build/gateways.

Both are asked for as little as they can do: two deployments in turn, no log, no database. Portkey is told by its
clients what to do, in a header, and checks no key; LiteLLM checks one. Each runs as one process.
"""

from __future__ import annotations

import json
import os

import payloads
import proxies
from programs import ROOT
from proxies import Recipe, Setting

FOLDER = ROOT / "build" / "gateways"
PORTKEY, LITELLM = "Portkey", "LiteLLM"
PORTKEY_SERVER = FOLDER / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
LITELLM_PROGRAM = FOLDER / "litellm/bin/litellm"


def portkey(setting: Setting, port: int) -> Recipe:
    targets = [
        {
            "provider": "openai",
            "api_key": "sk-upstream",
            "custom_host": f"http://127.0.0.1:{upstream}/v1",
        }
        for upstream in setting.ports
    ]
    config = {"strategy": {"mode": "loadbalance"}, "targets": targets}
    return Recipe(
        ["node", str(PORTKEY_SERVER), f"--port={port}", "--headless"],
        environment={"NODE_ENV": "production"},
        headers={"x-portkey-config": json.dumps(config, separators=(",", ":"))},
    )


def litellm(setting: Setting, port: int) -> Recipe:
    config = {
        "model_list": [
            {
                "model_name": "bench",
                "litellm_params": {
                    "model": "openai/bench-model",
                    "api_base": f"http://127.0.0.1:{upstream}/v1",
                    "api_key": "sk-upstream",
                },
            }
            for upstream in setting.ports
        ],
        "litellm_settings": {"telemetry": False},
        "general_settings": {"master_key": payloads.KEY},
    }
    path = setting.folder / "litellm.yaml"
    path.write_text(json.dumps(config, indent=1))
    # Its own advice for production, and nothing that asks the network at start.
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    return Recipe(
        [str(LITELLM_PROGRAM), "--config", str(path), "--host", "127.0.0.1", "--port", str(port)],
        environment={**quiet, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )


KNOWN = {
    "portkey": (PORTKEY, PORTKEY_SERVER, portkey),
    "litellm": (LITELLM, LITELLM_PROGRAM, litellm),
}


def add(names: str) -> list[str]:
    """Has those of a list "portkey,litellm" take their turns that are installed; the names of the others."""
    absent = []
    for name in filter(None, names.split(",")):
        shown, program, recipe = KNOWN[name]
        if os.access(program, os.R_OK):
            proxies.OTHERS[shown] = recipe
        else:
            absent.append(shown)
    return absent


def versions() -> list[str]:
    """Of those that take their turns."""
    return [
        f"{shown} {(FOLDER / name / 'version').read_text().strip()}"
        for name, (shown, _, _) in KNOWN.items()
        if shown in proxies.OTHERS
    ]
