"""The proxies that are compared, each with the configuration under which it is at its best.

All of them balance over the same two ports of the scripted upstream, keep connections to it open, and verify its
certificate where it has one. Spillway alone checks a key, reads the request, keeps the state of its deployments,
counts metrics and logs every hundredth request.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

import payloads
from programs import BUILD, Program, free_port, wait_until_answered

DIRECT, NGINX, HAPROXY, SPILLWAY = "no proxy", "nginx", "HAProxy", "Spillway"
BEFORE = "before"  # another build of Spillway
# The programs that are configured as Spillway is; bench.py adds the other build where one is given.
BUILDS = {SPILLWAY: BUILD / "spillway"}


@dataclass
class Upstream:
    """The running scripted upstream."""

    pid: int
    plain: list[int]
    tls: list[int]
    certificate: Path


@dataclass
class Setting:
    """How a proxy is to run."""

    upstream: Upstream
    folder: Path
    workers: int = 1
    cores: Optional[list[int]] = None
    tls: bool = False
    streaming: bool = False  # nginx relays bodies and events as they come only if told so
    deployments: int = 2
    groups: int = 1  # model groups, each with so many deployments
    connections: int = 9000
    count_allocations: Optional[Path] = None  # the file that they are counted in
    under: list[str] = field(default_factory=list)  # the program that runs the proxy and watches it

    @property
    def ports(self) -> list[int]:
        return self.upstream.tls if self.tls else self.upstream.plain


@dataclass
class Recipe:
    """What starts a proxy, and what its clients have to send beside what all of them send."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


# Gateways beyond nginx and HAProxy that take their turns; bench.py adds what --with names.
OTHERS: dict[str, Callable[[Setting, int], Recipe]] = {}


@dataclass
class Running:
    """A proxy that serves, and whom to ask about its processor time and memory (nobody for "no proxy")."""

    port: int
    program: Optional[Program] = None
    headers: dict[str, str] = field(default_factory=dict)  # that its clients have to send

    @property
    def pid(self) -> Optional[int]:
        return self.program.pid if self.program else None

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        if self.program:
            self.program.stop()


def installed() -> list[str]:
    found = [DIRECT]
    if shutil.which("nginx"):
        found.append(NGINX)
    if shutil.which("haproxy"):
        found.append(HAPROXY)
    return [*found, *BUILDS, *OTHERS]


def launch(name: str, setting: Setting) -> Running:
    """Starts the proxy, without waiting until it serves."""
    if name == DIRECT:
        return Running(setting.ports[0])
    port = free_port()
    recipe = recipe_of(name, setting, port)
    extra = dict(recipe.environment)
    extra |= {"SSL_CERT_FILE": str(setting.upstream.certificate)} if setting.tls else {}
    if setting.count_allocations:
        extra["LD_PRELOAD"] = str(BUILD / "libbench_allocations.so")
        extra["BENCH_ALLOCATIONS"] = str(setting.count_allocations)
    program = Program(
        [*setting.under, *recipe.command],
        log=setting.folder / f"{name}.log",
        output=setting.folder / f"{name}.out",
        cores=setting.cores,
        extra_environment=extra,
    )
    return Running(port, program, recipe.headers)


def recipe_of(name: str, setting: Setting, port: int) -> Recipe:
    if name in OTHERS:
        return OTHERS[name](setting, port)
    if name in BUILDS:
        return Recipe([str(BUILDS[name]), *spillway(setting, port)])
    return Recipe({NGINX: nginx, HAPROXY: haproxy}[name](setting, port))


def start(name: str, setting: Setting) -> Running:
    """A proxy that has answered a request, one for each worker and deployment at least."""
    running = launch(name, setting)
    try:
        body = payloads.chat(payloads.PLAIN_BYTES)
        request = payloads.request(body, headers=running.headers)
        wait_until_answered(running.port, request, running.program)
    except BaseException:
        running.__exit__()
        raise
    return running


def nginx(setting: Setting, port: int) -> list[str]:
    scheme = "https" if setting.tls else "http"
    servers = "\n".join(f"        server 127.0.0.1:{upstream};" for upstream in setting.ports)
    # nginx closes connections that wait for a request once less than a sixteenth of these is left.
    slots = 2 * setting.connections * 5 // 4
    tls = f"""
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {setting.upstream.certificate};
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;"""
    streaming = """
            proxy_buffering off;
            proxy_request_buffering off;"""
    temporary = "\n".join(
        f"    {kind}_temp_path {setting.folder}/nginx-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = f"""daemon off;
{"master_process off;" if setting.under else ""}
{"user root;" if os.geteuid() == 0 else ""}
worker_processes {setting.workers};
worker_rlimit_nofile {2 * setting.connections + 1000};
pid {setting.folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections {slots}; }}
http {{
    access_log off;
{temporary}
    keepalive_timeout 300s;
    keepalive_requests 100000000;
    client_max_body_size 64m;
    upstream scripted {{
{servers}
        keepalive 512;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=16384;
        location / {{
            proxy_pass {scheme}://scripted;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_read_timeout 300s;{tls if setting.tls else ""}{streaming if setting.streaming else ""}
        }}
    }}
}}
"""
    (setting.folder / "nginx.conf").write_text(text)
    return [
        "nginx",
        "-e",
        "stderr",
        "-p",
        str(setting.folder),
        "-c",
        str(setting.folder / "nginx.conf"),
    ]


def haproxy(setting: Setting, port: int) -> list[str]:
    tls = f" ssl verify required ca-file {setting.upstream.certificate} sni str(localhost) verifyhost localhost"
    servers = "\n".join(
        f"    server scripted{i} 127.0.0.1:{upstream}{tls if setting.tls else ''}"
        for i, upstream in enumerate(setting.ports)
    )
    text = f"""global
    nbthread {setting.workers}
    maxconn {setting.connections + 200}
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s
    http-reuse always
{"    option http-no-delay" if setting.streaming else ""}
frontend front
    bind 127.0.0.1:{port} backlog 16384
    default_backend scripted
backend scripted
    balance roundrobin
{servers}
"""
    (setting.folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(setting.folder / "haproxy.cfg")]


def spillway(setting: Setting, port: int) -> list[str]:
    scheme, host = ("https", "localhost") if setting.tls else ("http", "127.0.0.1")
    deployments = [
        {
            "model_name": f"bench-{group}" if group else "bench",
            "litellm_params": {
                "model": "openai/bench-model",
                "api_base": f"{scheme}://{host}:{setting.ports[i % len(setting.ports)]}/v1",
                "api_key": "sk-upstream",
            },
            "model_info": {"id": f"bench-{group}-{i}"},
        }
        for group in range(setting.groups)
        for i in range(setting.deployments)
    ]
    own = {
        "keys": [{"name": "bench", "key": payloads.KEY}],
        "access_log": {"sample": 0.01},
        "limits": {"body": "64MiB"},
        "timeouts": {"keepalive": "300s", "drain": "1s"},
    }
    path = setting.folder / "spillway.yaml"
    path.write_text(json.dumps({"model_list": deployments, "spillway": own}, indent=1))
    return [
        "serve",
        "--config",
        str(path),
        "--listen",
        f"127.0.0.1:{port}",
        "--threads",
        str(setting.workers),
    ]
