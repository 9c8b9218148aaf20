"""Tables of test cases whose entries claim rows of the fault catalogue."""

from __future__ import annotations

from typing import Any, Mapping

import pytest


def cases(table: Mapping[Any, Any], rows: Mapping[Any, str]) -> list:
    """Parameters for pytest.mark.parametrize; `rows` names the rows of a case, apart by spaces."""
    unknown = set(rows) - set(table)
    assert not unknown, unknown
    return [
        pytest.param(
            *(values if isinstance(values, tuple) else (values,)),
            id=str(name),
            marks=[pytest.mark.row(*rows[name].split())] if name in rows else [],
        )
        for name, values in table.items()
    ]
