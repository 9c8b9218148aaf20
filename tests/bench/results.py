"""The figures of a run: rounds gathered into medians with their spread."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple, Optional


class Summary(NamedTuple):
    """The median over the rounds, and the smallest and the largest."""

    median: float
    low: float
    high: float


class Results:
    """What bench.py measured: a list of {"scenario", "proxy", "round", "figures"}."""

    def __init__(self, measurements: list[dict[str, Any]]) -> None:
        self.measurements = measurements

    def summary(self, scenario: str, proxy: str, figure: str) -> Optional[Summary]:
        values = [
            one["figures"][figure]
            for one in self.measurements
            if one["scenario"] == scenario and one["proxy"] == proxy and figure in one["figures"]
        ]
        return Summary(statistics.median(values), min(values), max(values)) if values else None

    def median(self, scenario: str, proxy: str, figure: str) -> Optional[float]:
        found = self.summary(scenario, proxy, figure)
        return found.median if found else None

    def ratio(self, scenario: str, figure: str, proxy: str, to: str) -> Optional[float]:
        """The median of the ratios within each round, since what disturbs a round disturbs both."""
        rounds: dict[int, dict[str, float]] = {}
        for one in self.measurements:
            if one["scenario"] == scenario and figure in one["figures"]:
                rounds.setdefault(one["round"], {})[one["proxy"]] = one["figures"][figure]
        ratios = [
            both[proxy] / both[to]
            for both in rounds.values()
            if both.keys() >= {proxy, to} and both[to]
        ]
        return statistics.median(ratios) if ratios else None

    def difference(self, scenario: str, figure: str, proxy: str, to: str) -> Optional[float]:
        one, other = self.median(scenario, proxy, figure), self.median(scenario, to, figure)
        return None if one is None or other is None else one - other

    def quotient(self, scenario: str, to: str, figure: str, proxy: str) -> Optional[float]:
        """Of the medians of two scenarios, whose rounds were not measured side by side."""
        one, other = self.median(scenario, proxy, figure), self.median(to, proxy, figure)
        return one / other if one is not None and other else None

    def figures(self, proxy: str) -> list[tuple[str, str]]:
        """Every scenario and figure that there is of a proxy, in the order of the run."""
        return list(
            dict.fromkeys(
                (one["scenario"], figure)
                for one in self.measurements
                if one["proxy"] == proxy
                for figure in one["figures"]
            )
        )

    def busiest_neighbour(self) -> float:
        """The largest share of the machine that others used during a measurement."""
        return max(
            (one["figures"].get("foreign_share", 0.0) for one in self.measurements), default=0.0
        )
