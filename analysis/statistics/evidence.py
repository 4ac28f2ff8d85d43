"""What claims are judged by: the experiments whose manifest says `evidence: true`, their rows pooled column by column.

A column is one model and one metric. Rows of several experiments that have its label and layers are one row of it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from analysis.load.hypotheses import Row
from analysis.load.manifests import manifests
from analysis.load.paper import label
from analysis.load.records import Loaded
from analysis.statistics import paired
from analysis.statistics.experiments import Experiment, experiments, identified
from errors import RecordError
from harness.store.record import Record

SAME = ("benchmark", "split", "scorer", "summary", "better")  # what a column of one name is in every experiment


@dataclass(frozen=True)
class Entry:
    """A row in a column. params: trained, head apart, as run or else as planned; runs: what each seed scored."""

    identity: str
    params: int | None
    runs: paired.Outcomes


@dataclass(frozen=True)
class Column:
    """One model and metric. lower: is less better, as of a loss? entries: by label and layers."""

    model: str
    metric: str
    summed: bool
    lower: bool
    everywhere: str  # the layers of a row that adapts all linear layers
    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)

    def entry(self, row: Row) -> Entry | None:
        """Without layers of its own, the row on all linear layers, or else the one that is described by no letters."""
        if row.targets:
            return self.entries.get((row.label, row.targets))
        if (row.label, self.everywhere) in self.entries:
            return self.entries[row.label, self.everywhere]
        others = [
            entry for (name, targets), entry in self.entries.items() if name == row.label and not letters(targets)
        ]
        return others[0] if len(others) == 1 else None


def letters(targets: str) -> bool:
    """`QKVUD`, and not `all weights`, `classifier`."""
    return targets.isalpha() and targets.isupper()


def evidence(loaded: Loaded) -> list[Experiment]:
    return [each for each in experiments(loaded).values() if each.manifest.get("evidence")]


def known_rows(runs: Path) -> set[tuple[str, str]]:
    """Labels and layers of the rows of all experiments of a folder, evidence or not."""
    return {(label(row), row["targets"]) for each in manifests(runs).values() for row in each["rows"]}


def known_metrics(runs: Path) -> set[str]:
    """Of the columns of what is evidence."""
    judging = (each for each in manifests(runs).values() if each.get("evidence"))
    return {column["metric"] for each in judging for column in each["columns"] if "benchmark" in column}


@lru_cache(maxsize=1)
def columns(loaded: Loaded) -> list[Column]:
    """In the order of the experiments.

    Raises RecordError where experiments differ in what a column or a row of one name is.
    """
    records = identified(loaded.records)
    planned = [(each, column, row) for each in evidence(loaded) for column, row in _cells(each.manifest)]
    everywhere = _everywhere([row for _, _, row in planned])
    found: dict[tuple[str, str], Column] = {}
    first: dict[tuple[str, str], tuple[str, Mapping[str, Any]]] = {}
    for experiment, column, row in planned:
        key = row["model"], column["metric"]
        source, there = first.setdefault(key, (experiment.name, column))
        _refuse_other_column(key, source, there, experiment.name, column)
        lower = column.get("better") == "lower"
        summed = column.get("summary", True) and not lower
        into = found.setdefault(key, Column(*key, summed, lower, everywhere.get(row["model"], "")))
        _add(into, column, row, records, experiment.name)
    return list(found.values())


def _cells(manifest: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Its cells that are measured: a column that is a mean of others says nothing that they do not."""
    for column in manifest["columns"]:
        if "benchmark" in column:
            yield from ((column, row) for row in manifest["rows"] if column["metric"] in row["cells"])


def _everywhere(rows: list[dict[str, Any]]) -> dict[str, str]:
    """By model the layers that most of its rows adapt; of several, the most layers."""
    distinct = {(row["model"], label(row), row["targets"]) for row in rows if letters(row["targets"])}
    counts = Counter((model, targets) for model, _, targets in distinct)
    ranked = sorted(counts, key=lambda key: (counts[key], len(key[1]), key[1]))
    return dict(ranked)  # the last of each model stays


def _refuse_other_column(
    key: tuple[str, str], source: str, there: Mapping[str, Any], name: str, column: Mapping[str, Any]
) -> None:
    for what in SAME:
        if there.get(what) != column.get(what):
            raise RecordError(
                f"{' '.join(key)}: {what} is {there.get(what)} in {source} and {column.get(what)} in {name}; "
                "a column of one name has to be the same in all experiments that are evidence"
            )


def _add(
    into: Column, column: Mapping[str, Any], row: Mapping[str, Any], records: Mapping[str, dict[int, Record]], name: str
) -> None:
    key, own = (label(row), row["targets"]), row["cells"][column["metric"]]["identity"]
    there = into.entries.get(key)
    if there is None:
        runs = records.get(own, {})
        done = [run for run in runs.values() if run.status == "done"]
        params = done[0].parameters.get("adapter") if done else row.get("params")
        into.entries[key] = Entry(own, params, paired.outcomes(column, runs))
    elif there.identity != own:
        raise RecordError(
            f"{into.model} {into.metric}: {Row(*key)} is another run in {name} ({own[:8]}) than in the experiment "
            f"before it ({there.identity[:8]}); rows of one name that are evidence have to be the same run"
        )
