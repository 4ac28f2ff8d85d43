"""What analysis/bench_targets.csv wants of a block, an encoder or whole runs, read off its result file.

A column of that file each: `measure` (a key of MEASURES), `of` (methods), `tokens` (or any),
`bound`, `wanted` and `weight` (kept, dropped, either). Other measures are other benchmarks'.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGETS = Path(__file__).resolve().parents[1] / "analysis" / "bench_targets.csv"
EPOCH = 100  # steps: a short first epoch, of 1,600 rows in batches of 16
DROPPED = "_dropped"  # ends the id of a method whose W0 is not kept
Values = Iterator[tuple[str, int | None, float | None]]  # method, tokens, value


@dataclass(frozen=True)
class Target:
    """The worst value with W0 kept and dropped, None where nothing was measured; `weight`: whose verdict counts."""

    what: str
    bound: str
    wanted: float
    kept: float | None
    dropped: float | None
    weight: str  # kept, dropped or either

    def is_missed(self, weight: str) -> bool:
        """Nothing is missed that is not wanted, or was not measured."""
        value = getattr(self, weight)
        return value is not None and self.weight in ("either", weight) and not self._met(value)

    def _met(self, value: float) -> bool:
        return value <= self.wanted if self.bound == "at most" else value >= self.wanted


def check(result: dict[str, Any]) -> list[Target]:
    measures = MEASURES[result["bench"]]
    with TARGETS.open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["measure"] in measures]
    return [_target(line, list(measures[line["measure"]](result))) for line in lines]


def _target(line: dict[str, str], measured: list[tuple[str, int | None, float | None]]) -> Target:
    def worst(suffix: str) -> float | None:
        wanted = {name + suffix for name in line["of"].split()}
        values = [
            value
            for name, tokens, value in measured
            if name in wanted and value is not None and line["tokens"] in ("", str(tokens))
        ]
        return (max if line["bound"] == "at most" else min)(values, default=None)

    at = f", {line['tokens']} tokens" if line["tokens"] else ""
    return Target(line["target"] + at, line["bound"], float(line["wanted"]), worst(""), worst(DROPPED), line["weight"])


def _column(part: str, name: str) -> Callable[[dict[str, Any]], Values]:
    return lambda result: ((row["method"], row["tokens"], row[name]) for row in result[part])


def _saved(result: dict[str, Any]) -> Values:
    """Against the reference at as many tokens."""
    of_reference = {row["tokens"]: row["saved_bytes"] for row in result["rows"] if row["method"] == result["reference"]}
    for row in result["rows"]:
        if row["tokens"] in of_reference:
            yield row["method"], row["tokens"], row["saved_bytes"] / of_reference[row["tokens"]]


def _resident(result: dict[str, Any]) -> Values:
    for name, entry in result["methods"].items():
        yield name, None, entry["resident_bytes"] / entry["base_bytes"]


def _whole(result: dict[str, Any]) -> Values:
    for name, entry in result["methods"].items():
        if "whole" in entry:
            yield name, None, entry["whole_resident_bytes"] / entry["whole_base_bytes"]


def _resident_beside(result: dict[str, Any]) -> Values:
    """Against the reference."""
    reference = result["methods"].get(result["reference"])
    for name, entry in result["methods"].items() if reference else ():
        yield name, None, entry["resident_bytes"] / reference["resident_bytes"]


def _decompositions(result: dict[str, Any]) -> Values:
    """Against 100 steps of the smallest batch; of the method that came first, the others found them in the cache."""
    least = min(row["tokens"] for row in result["rows"])
    first = next((name for name, entry in result["methods"].items() if entry.get("svd_seconds")), None)
    for row in result["rows"]:
        if row["method"] == first and row["tokens"] == least:
            yield first, None, result["methods"][first]["svd_seconds"] / (EPOCH * row["seconds"])


def _part(name: str) -> Callable[[dict[str, Any]], Values]:
    return lambda result: ((row["method"], None, row["value"]) for row in result["rows"] if row["part"] == name)


MEASURES: dict[str, dict[str, Callable[[dict[str, Any]], Values]]] = {  # by bench
    "block": {
        "step": _column("rows", "ratio"),
        "released": _column("rows", "ratio_released"),
        "saved": _saved,
        "resident": _resident,
        "resident model": _whole,
        "linear": _column("linear", "ratio"),
    },
    "encoder": {
        "encoder": _column("rows", "ratio"),
        "encoder resident": _resident_beside,
        "encoder svd": _decompositions,
    },
    "runs": {name: _part(name) for name in ("whole", "overhead", "bare", "seeds", "minilm", "beside")},
}
