"""Holds the gateway's access log to what clients asked, to what providers were asked, and to the
gateway's own counters."""

from __future__ import annotations

import collections
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator

from book import Asked, Book, Called
from traffic import MUST_SUCCEED

Line = dict[str, Any]
EXAMPLES = 5


@dataclass
class Findings:
    """What does not agree: how often, by what it is, with the first examples."""

    counts: collections.Counter = field(default_factory=collections.Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, what: str, example: str) -> None:
        self.counts[what] += 1
        kept = self.examples.setdefault(what, [])
        if len(kept) < EXAMPLES:
            kept.append(example)

    @property
    def failed(self) -> bool:
        return bool(self.counts)

    def equal(self, what: str, found: float, wanted: float) -> None:
        if found != wanted:
            self.add(what, f"{found:g} instead of {wanted:g}")


@dataclass
class Ledger:
    """The sums of the log that the counters must show, and the outcomes of each kind."""

    outcomes: dict[str, collections.Counter] = field(default_factory=dict)
    by_group: collections.Counter = field(default_factory=collections.Counter)
    failed: collections.Counter = field(default_factory=collections.Counter)
    rejected: collections.Counter = field(default_factory=collections.Counter)
    tokens: collections.Counter = field(default_factory=collections.Counter)
    attempts: int = 0
    cooldowns: int = 0
    left: int = 0
    calls: collections.Counter = field(default_factory=collections.Counter)  # that providers saw


def read_logs(files: list[Path], findings: Findings) -> dict[str, list[Line]]:
    lines: dict[str, list[Line]] = {}
    for file in files:
        for text in file.open(encoding="utf-8"):
            try:
                line = json.loads(text)
                lines.setdefault(line["request_id"], []).append(line)
            except (ValueError, KeyError):
                findings.add("a line of the log is not one", text[:200])
    return lines


def reconcile(book: Book, logs: list[Path], counted_from: int, findings: Findings) -> Ledger:
    """Request by request: clients, log and providers. The sums are those of the rounds from
    `counted_from` on."""
    lines = read_logs(logs, findings)
    ledger = Ledger()
    known = set()
    for request in book.asked:
        if request.id in known:
            findings.add("one id for two requests", request.id)
        known.add(request.id)
        own = lines.get(request.id, [])
        if request.note:
            findings.add("a client met what it should not", f"{request.note}: {request}")
        if len(own) not in request.lines:
            findings.add("not one line for a request", f"{len(own)} lines for {request}: {own}")
        calls = book.calls.get(request.id, [])
        outcomes = ledger.outcomes.setdefault(request.kind, collections.Counter())
        if not own:
            outcomes["not logged"] += 1
            if calls:
                findings.add("calls without a line", f"{request}: {calls}")
        for line in own:
            outcomes[outcome(line)] += 1
            for what in disagreements(request, line, calls):
                findings.add(what, f"{request} :: {short(line)} :: {calls}")
            if request.round >= counted_from:
                add_up(ledger, request, line)
        if request.round >= counted_from:
            ledger.calls.update(call.deployment for call in calls if not call.stale)
    for id in lines.keys() - known:
        findings.add("a line for a request that nobody made", str(lines[id]))
    for id in book.calls.keys() - known:
        findings.add("a call for a request that nobody made", f"{id}: {book.calls[id]}")
    for body in book.unmarked:
        findings.add("a call without its mark", body)
    return ledger


def short(line: Line) -> str:
    names = ("status", "class", "detail", "deployment", "attempts", "fallbacks", "response_bytes")
    return " ".join(f"{name}={line[name]}" for name in names) + f" ms={line['duration_ms']}"


def outcome(line: Line) -> str:
    failed = line["class"] != "success"
    return f"{line['status']} {line['class']}" if failed else str(line["status"])


def disagreements(request: Asked, line: Line, calls: list[Called]) -> Iterator[str]:
    yield from client_disagrees(request, line)
    yield from providers_disagree(request, line, calls)


def client_disagrees(request: Asked, line: Line) -> Iterator[str]:
    status, success = line["status"], line["class"] == "success"
    if (status == 499) != (line["class"] == "client_closed"):
        yield "499 and client_closed are not together"
    if line["class"] == "internal" and line["attempts"] == 0:
        yield "the log calls a mistake of the client's internal"
    if request.statuses and status not in request.statuses:
        yield "a status that was not due"
    if request.end == "left":
        return
    if request.kind in MUST_SUCCEED and (request.end, status) != ("whole", 200):
        yield "a request that had to succeed did not"
    if request.end == "silent":
        yield "no answer"
    elif status != request.status:
        yield "the log has another status than the client"
    if success != (request.end == "whole"):
        yield "the log has another end than the client"
    if request.received and request.received != line["response_bytes"]:
        yield "the log has another size"


def providers_disagree(request: Asked, line: Line, calls: list[Called]) -> Iterator[str]:
    # What a used connection drops is repeated as the same attempt. The call of a client that left,
    # and one that another outran, may have ended before its provider had read it.
    made = sum(not call.stale for call in calls)
    unseen = 1 if line["status"] == 499 or line["attempts"] > 1 else 0
    asked = {call.deployment for call in calls}
    if not made <= line["attempts"] <= made + unseen:
        yield "the log has another number of attempts than the providers"
    elif made == line["attempts"] and calls and line["deployment"] not in asked:
        yield "the log has another deployment than the providers"
    # A stream names the first that it came from, the log the one that ended it.
    named = request.deployment
    if named and (named not in asked if request.streamed else named != line["deployment"]):
        yield "the client was told of another deployment"


def add_up(ledger: Ledger, request: Asked, line: Line) -> None:
    status, group = line["status"], request.group
    ledger.attempts += line["attempts"]
    ledger.cooldowns += line["cooldowns"]
    if status == 499:
        ledger.left += 1
    if group:
        ledger.by_group[group, status] += 1
        if line["class"] != "success":
            ledger.failed[group, line["class"]] += 1
        for kind in ("prompt", "completion"):
            ledger.tokens[group, kind] += line[f"{kind}_tokens"] or 0
    elif status >= 400 and status != 499:
        ledger.rejected[status] += 1


# --- counters -------------------------------------------------------------------------------------

LABELS = re.compile(r'(\w+)="([^"]*)"')


def samples(metrics: dict[str, float], family: str) -> Iterator[tuple[dict[str, str], float]]:
    for name, value in metrics.items():
        if name.split("{")[0] == family:
            yield dict(LABELS.findall(name)), value


def since(metrics: dict[str, float], begin: dict[str, float]) -> dict[str, float]:
    """What counters have counted meanwhile."""
    return {name: value - begin.get(name, 0) for name, value in metrics.items()}


def reconcile_counters(ledger: Ledger, metrics: dict[str, float], findings: Findings) -> None:
    """The log's sums and what /metrics counted meanwhile."""

    def compare(family: str, labels: tuple[str, ...], wanted: collections.Counter) -> None:
        found = {tuple(have[name] for name in labels): n for have, n in samples(metrics, family)}
        expected = {tuple(map(str, key)): n for key, n in wanted.items()}
        for key in found.keys() | expected.keys():
            findings.equal(f"{family}{list(key)}", found.get(key, 0), expected.get(key, 0))

    rejected = collections.Counter({(status,): n for status, n in ledger.rejected.items()})
    compare("spillway_requests_total", ("group", "status"), ledger.by_group)
    compare("spillway_request_failures_total", ("group", "class"), ledger.failed)
    compare("spillway_tokens_total", ("group", "kind"), ledger.tokens)
    compare("spillway_rejected_requests_total", ("status",), rejected)
    for name, wanted in (
        ("spillway_client_disconnects_total", ledger.left),
        ("spillway_dropped_log_lines_total", 0),
    ):
        findings.equal(name, metrics[name], wanted)
    reconcile_attempts(ledger, metrics, findings)
    # The counter has the breakers that opened as well.
    benched = sum(value for _, value in samples(metrics, "spillway_cooldowns_total"))
    if benched < ledger.cooldowns:
        findings.add("spillway_cooldowns_total", f"{benched:g}, the log has {ledger.cooldowns}")


def reconcile_attempts(ledger: Ledger, metrics: dict[str, float], findings: Findings) -> None:
    """What providers saw, what the gateway counted as ended, and what its log tells. A call that
    ended while it was begun is counted, but its provider may not have seen it."""
    seen = ledger.calls
    counted: collections.Counter = collections.Counter()
    for labels, value in samples(metrics, "spillway_attempts_total"):
        counted[labels["deployment"]] += int(value)
    findings.equal("the sum of spillway_attempts_total", counted.total(), ledger.attempts)
    for name in seen.keys() | counted.keys():
        if counted[name] < seen[name]:
            findings.add(
                "spillway_attempts_total", f"{name}: {counted[name]}, its provider saw {seen[name]}"
            )


def uncovered(metrics: dict[str, float], ledger: Ledger, shared: bool) -> Iterator[str]:
    """What the mix was to bring about and did not: a long soak without it has not tried it."""

    def total(family: str, **labels: str) -> float:
        found = samples(metrics, family)
        return sum(value for have, value in found if labels.items() <= have.items())

    if not total("spillway_attempts_total", **{"class": "outrun"}):
        yield "a call that another outran"
    if not total("spillway_attempts_total", **{"class": "client_closed"}):
        yield "a call that its client left"
    if not total("spillway_tls_handshakes_total"):
        yield "a client that speaks TLS"
    if not total("spillway_requests_total", group="calm", status="503"):
        yield "a request for which there was no place in the queue"
    if shared and not total("spillway_shared_state_messages_total"):
        yield "news between the gateways"
    if not ledger.cooldowns:
        yield "a cooldown"
