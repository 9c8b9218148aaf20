"""A pytest plugin: which tests hold which row of the fault catalogue, and the page made of it.

`make reliability` has it write docs/reliability.md after a run of everything. On every run it lets
test_reliability.py check that each row has its tests and that the page tells of them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest

import observed
from fault_rows import ROWS, SECTIONS, Row

FOLDER = os.environ.get("SPILLWAY_RELIABILITY")  # where the page goes; unset: nowhere
LISTED = os.environ.get("SPILLWAY_LIST_ROWS")  # a file to name the tests of each row in

INTRODUCTION = """# What goes wrong, and what Spillway does

Made by `make reliability` from the black-box tests, which run the program over real sockets. A row
is claimed by the tests named in it, each of which fails if the behaviour is taken away; CI fails if
a row has no test and no reason, or if this page does not name the tests that there are. "Seen" is
what clients got while the tests ran; `no provider called` is told where that held for all of them.
(12) counts the cases of a test. In *italics*: where Spillway does on purpose otherwise than is
often recommended, or what does not exist yet.
"""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "row(id, ...): the rows of the fault catalogue that the test holds"
    )
    page = Page()
    config.stash[PAGE] = page
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(page, "reliability-page")


def rows_of(item: pytest.Item) -> list[str]:
    return sorted({row for marker in item.iter_markers("row") for row in marker.args})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests: dict[str, set[str]] = defaultdict(set)
    for item in items:
        for row in rows_of(item):
            if row not in ROWS:
                raise pytest.UsageError(f"{item.nodeid} claims an unknown row: {row}")
            tests[row].add(test_of(item.nodeid))
    if LISTED:
        lines = [f"{row} {test}\n" for row in ROWS for test in sorted(tests[row])]
        Path(LISTED).write_text("".join(lines))


def pytest_runtest_setup(item: pytest.Item) -> None:
    observed.begin()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> None:
    if call.when == "call" and (rows := rows_of(item)):
        item.user_properties.append(("rows", rows))
        item.user_properties.append(("observed", observed.summary()))


def test_of(nodeid: str) -> str:
    """file.py::function, without its parameters and the folders before it."""
    return nodeid.split("[")[0].rsplit("/", 1)[-1]


def sentence(test: str) -> str:
    return test.split("::")[-1].removeprefix("test_").replace("_", " ")


@dataclass
class Outcome:
    """What the tests of one row came to."""

    tests: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # cases by test
    seen: list[str] = field(default_factory=list)
    called: bool = False
    failed: bool = False
    expected_failure: bool = False


class Page:
    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = defaultdict(Outcome)
        self.matrix: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" or (report.skipped and not hasattr(report, "wasxfail")):
            return
        told = dict(report.user_properties)
        for row in told.get("rows", ()):
            outcome = self.outcomes[row]
            outcome.tests[test_of(report.nodeid)] += 1
            outcome.seen += told["observed"]["seen"]
            outcome.called = outcome.called or told["observed"]["called"]
            outcome.failed = outcome.failed or report.failed
            outcome.expected_failure = outcome.expected_failure or hasattr(report, "wasxfail")
        if cell := told.get("matrix"):
            fault, pair, mode, result = cell
            self.matrix[fault, pair][mode] = result

    def pytest_sessionfinish(self) -> None:
        if FOLDER:
            (Path(FOLDER) / "reliability.md").write_text(self.text())

    def text(self) -> str:
        parts = [INTRODUCTION]
        for title, rows in SECTIONS.items():
            parts.append(f"\n## {title}\n\n{HEADINGS}")
            parts += [self.line(row) for row in rows]
        return "".join([*parts, *self.matrix_lines()])

    def line(self, row: Row) -> str:
        outcome = self.outcomes.get(row.id)
        if outcome is None:
            return f"| {row.id} | {row.fault} | *{row.later}* | | | not yet |\n"
        holds = row.holds + (f". *{row.differs}*" if row.differs else "")
        result = "**fails**" if outcome.failed else "pass"
        if outcome.expected_failure:
            result += ", one case known to fail"
        cells = [row.id, row.fault, holds, tried(row, outcome), seen(outcome), result]
        return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"

    def matrix_lines(self) -> Iterator[str]:
        if not self.matrix:
            return
        yield MATRIX
        for (fault, pair), modes in sorted(self.matrix.items(), key=lambda cell: cell[0][::-1]):
            cells = [modes.get(mode, "") for mode in ("plain", "streamed")]
            yield f"| {pair} | {fault} | {' | '.join(cells)} |\n"


HEADINGS = """| | what goes wrong | what must hold | tried | seen | |
|---|---|---|---|---|---|
"""

MATRIX = """
## Between any two parties

A proxy of the tests' own stands between two parties and does what bad networks do. However it ends,
it ends in one of the allowed ways: a whole answer, an error with a status, or a cut that looks cut;
and in exactly one line of the access log that agrees with what the client saw. Over TLS bytes are
counted from the first one of the request or of the answer; "until the end" are answers whose end
nothing tells but that of the connection.

| between | the network | plain | streamed |
|---|---|---|---|
"""


def tried(row: Row, outcome: Outcome) -> str:
    """Tests of one name are one: some files run those of others over TLS."""
    cases: dict[str, int] = defaultdict(int)
    files: dict[str, str] = {}
    for test, count in sorted(outcome.tests.items()):
        cases[sentence(test)] += count
        files.setdefault(sentence(test), test.split("::")[0])
    names = [
        f"[{name}](../tests/blackbox/{files[name]})" + (f" ({count})" if count > 1 else "")
        for name, count in sorted(cases.items())
    ]
    return "; ".join([*names, *(f"unit test: {name}" for name in row.unit)])


def seen(outcome: Outcome) -> str:
    different = sorted(set(outcome.seen))
    words = different[: observed.MOST]
    if len(different) > observed.MOST:
        words.append(f"and {len(different) - observed.MOST} more")
    if not outcome.called:
        words.append("no provider called")
    return "; ".join(words)


PAGE = pytest.StashKey[Page]()


def described(page: str) -> dict[str, tuple[Optional[set[str]], str]]:
    """What a written page says of each row: the sentences of its tests, and its result."""
    rows: dict[str, Any] = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[0] in ROWS:
            sentences = {part.split("]")[0] for part in cells[3].split("[")[1:]}
            rows[cells[0]] = (sentences, cells[5])
    return rows
