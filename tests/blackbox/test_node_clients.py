"""Runs the Node client tests (tests/clients) against a gateway: the OpenAI SDK for Node and the
Vercel AI SDK."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from behaviours import stall, stream
from canned import chat_text_events
from conftest import ROOT
from error_table import ANY, NO_RETRIES, ROWS, models
from settings import deployment

CLIENTS = ROOT / "tests" / "clients"
NODE_SECONDS = 120


@pytest.fixture(scope="module")
def scene(module_gateway, module_upstream):
    """The error table, a healthy group `m`, one that never answers, and one that stalls after a few
    words."""
    silent = module_upstream(default=stall())
    halting = module_upstream(default=stream(*chat_text_events("one two three")[:3], end="stall"))
    cut = module_upstream(default=stream(*chat_text_events("one two three")[:3], end="cut"))
    running = module_gateway(
        deployment(module_upstream(), "m", id="healthy"),
        deployment(silent, "never-answers"),
        deployment(halting, "stalls-mid-stream"),
        deployment(cut, "cut-mid-stream"),
        *models(module_upstream),
        router=NO_RETRIES,
    )
    running.silent, running.halting = silent, halting
    return running


def run_node(scene, test_file, package):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not (CLIENTS / "node_modules" / package).is_dir():
        pytest.skip(f"the npm package {package} is not installed in tests/clients")
    rows = [
        {
            "model": row.name,
            "status": row.status,
            "type": row.type,
            "code": None if row.code is ANY else row.code,
            "sdkClass": "APIError" if row.sdk_class == "APIStatusError" else row.sdk_class,
        }
        for row in ROWS
    ]
    environment = {**os.environ, "BASE_URL": scene.base_url, "ERROR_TABLE": json.dumps(rows)}
    done = subprocess.run(
        [node, "--test", test_file],
        cwd=CLIENTS,
        env=environment,
        capture_output=True,
        text=True,
        timeout=NODE_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_openai_sdk_for_node(scene):
    run_node(scene, "openai.test.mjs", "openai")
    for left in (scene.silent, scene.halting):
        assert left.count == 1
        left.wait_for_disconnect(timeout=1.0)


def test_the_vercel_ai_sdk(scene):
    run_node(scene, "ai_sdk.test.mjs", "ai")
