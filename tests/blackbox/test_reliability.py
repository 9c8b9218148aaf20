"""docs/reliability.md claims what is tested, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from fault_rows import ROWS
from reliability import described, sentence

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs" / "reliability.md"


@pytest.fixture(scope="module")
def tests_of(tmp_path_factory):
    """The tests that claim each row, whichever part of them this run was asked for."""
    listed = tmp_path_factory.mktemp("rows") / "rows"
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(HERE)],
        env={**os.environ, "SPILLWAY_LIST_ROWS": str(listed)},
        capture_output=True,
        text=True,
        cwd=HERE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tests = defaultdict(set)
    for line in listed.read_text().splitlines():
        row, test = line.split(" ", 1)
        tests[row].add(sentence(test))
    return tests


def test_every_row_has_a_test_or_a_reason(tests_of):
    for name, row in ROWS.items():
        tested = bool(tests_of[name] or row.unit)
        assert tested != bool(row.later), f"{name}: tests, or a reason; not both"
        assert bool(row.holds) != bool(row.later), name


def test_unit_tests_that_rows_name_exist():
    cases = "".join(file.read_text() for file in (HERE.parent / "unit").glob("*_test.cpp"))
    rules = (HERE.parent / "architecture_test.py").read_text()
    for row in ROWS.values():
        for name in row.unit:
            rule = f"def test_{name.replace(' ', '_')}("
            assert f'TEST_CASE("{name}")' in cases or rule in rules, (row.id, name)


@pytest.mark.skipif("SPILLWAY_RELIABILITY" in os.environ, reason="the page is being made")
def test_the_page_tells_of_every_row_and_its_tests(tests_of):
    told = described(PAGE.read_text())
    assert list(told) == list(ROWS), "run `make reliability`"
    for name, row in ROWS.items():
        sentences, result = told[name]
        assert sentences == tests_of[name], f"{name}: run `make reliability`"
        assert re.match("not yet" if row.later else "pass", result), (name, result)
