"""A real nginx before a server that says 200 to everything: what it refuses, it refuses itself."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from redis_server import free_port

START_SECONDS = 20.0

CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_header_timeout 1s;
  client_body_timeout 1s;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{behind}; }}
  }}
  server {{
    listen 127.0.0.1:{behind};
    merge_slashes off;
    location / {{ return 200 "ok"; }}
  }}
}}
"""


def program() -> str:
    if found := shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        return found
    if os.environ.get("CI") == "true":
        pytest.fail("nginx is not installed")
    pytest.skip("nginx is not installed")


class Nginx:
    def __init__(self, folder: Path) -> None:
        self.port, behind = free_port(), free_port()
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=folder, port=self.port, behind=behind))
        command = [program(), "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                stopped = self.process.poll() is not None or time.monotonic() > end
                assert not stopped, self.process.stdout.read().decode()
                time.sleep(0.02)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
