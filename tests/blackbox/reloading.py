"""Changes the configuration of a gateway that runs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from concurrency import eventually
from settings import configuration
from state import metric

SUCCESSES = 'spillway_config_reloads_total{result="success"}'
FAILURES = 'spillway_config_reloads_total{result="failure"}'


def config_file(running: Any) -> Path:
    return Path(running.command[running.command.index("--config") + 1])


def replace(file: Path, text: str) -> None:
    """As careful programs write: nobody ever sees half a file."""
    beside = file.with_name(file.name + ".new")
    beside.write_text(text)
    os.replace(beside, file)


def reconfigure(running: Any, *deployments: dict, **sections: Any) -> None:
    """Writes another configuration; nobody is told."""
    replace(config_file(running), json.dumps(configuration(*deployments, **sections), indent=2))


def hang_up(running: Any) -> None:
    running.process.send_signal(signal.SIGHUP)


def reload(running: Any, *deployments: dict, **sections: Any) -> None:
    """Writes another configuration, sends SIGHUP and waits until it is in use."""
    before = metric(running, SUCCESSES)
    reconfigure(running, *deployments, **sections)
    hang_up(running)
    eventually(lambda: metric(running, SUCCESSES) > before)


def answered_by(running: Any, model: str = "m") -> str:
    response = running.chat(model)
    assert response.status == 200, response
    return response.header("x-spillway-deployment")
