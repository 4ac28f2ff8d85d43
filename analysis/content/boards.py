"""The tables that compare: for each column what every seed of every line scored, so that a reader can compare anew.

A board is one page of `pages.comparison` or `pages.results`. Its `outcomes` are by line and column, one entry a seed:

    [seed, mean, n, data, items, values, run, error]

data, items, values: places in `Outcomes` (-1: none); run: the place of the record; error: over items, or None.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.content import rows
from analysis.content.interned import NONE, Interned, packed
from analysis.load.paper import label
from analysis.load.records import Loaded
from analysis.pages import comparison, footnotes, results
from analysis.statistics.experiments import Experiment, experiments, identified
from harness.store import identity
from harness.store.record import Record

RUN = 6  # its place in an outcome


class Outcomes:
    """What is kept once: sets of test items, their verdicts, and numbers by item."""

    def __init__(self, loaded: Loaded) -> None:
        self.runs = {id(record): place for place, record in enumerate(loaded.records)}
        self.data, self.items, self.values = Interned(), Interned(), Interned()

    def of(self, record: Record, column: Mapping[str, Any]) -> list[Any] | None:
        """One run on one column {benchmark, split, scorer}; None where it was not scored."""
        entry = record.scores.get(column["benchmark"], {}).get(column["split"])
        score = (entry or {"scorers": {}})["scorers"].get(column["scorer"])
        if score is None or record.status != "done":
            return None
        values = score.get("values")
        return [
            record.run["seed"], score["mean"], entry["n"],
            self.data.place(identity.items(record, column["benchmark"], column["split"])),
            self.items.place(score["items"]), self.values.place(None if values is None else tuple(values)),
            self.runs[id(record)], score.get("standard_error"),
        ]  # fmt: skip

    def stored(self) -> dict[str, list]:
        return {
            "data": self.data.values, "items": [packed(each) for each in self.items.values],
            "values": [list(each) for each in self.values.values],
        }  # fmt: skip


def boards(loaded: Loaded, outcomes: Outcomes) -> list[dict[str, Any]]:
    """Comparisons, whether they were begun or not: those that are evidence first, the fullest of them first.

    Then tables of results; `covered` are those of their columns all of whose scores a comparison has too.
    """
    compared = [_comparison(loaded, each, outcomes) for each in experiments(loaded).values() if each.compares]
    tables = [_results(loaded, each, outcomes) for each in results.results(loaded) if len(each.rows)]
    there = [scores for each in compared for scores in _scores(each)]
    for table in tables:
        for column, scores in zip(table["columns"], _scores(table), strict=True):
            column["covered"] = bool(scores) and any(scores <= others for others in there)
    return [*sorted(compared, key=_standing), *tables]


def _standing(board: Mapping[str, Any]) -> tuple[bool, int, str]:
    scored = sum(bool(cell) for line in board["outcomes"] for cell in line)
    return not board["evidence"], -scored, board["name"]


def _scores(board: Mapping[str, Any]) -> list[set[tuple]]:
    """By column: of what, and in which runs."""
    names = [tuple(column[name] for name in ("benchmark", "split", "scorer")) for column in board["columns"]]
    return [
        {(name, each[RUN]) for line in board["outcomes"] for each in line[number] or ()}
        for number, name in enumerate(names)
    ]


# --- comparisons -----------------------------------------------------------------------------------------------------


def _comparison(loaded: Loaded, experiment: Experiment, outcomes: Outcomes) -> dict[str, Any]:
    manifest = experiment.manifest
    columns = [column for column in manifest["columns"] if "reference" in column]
    numbers = {column["metric"]: number for number, column in enumerate(columns)}
    records, places = identified(experiment.records), rows.places(loaded)
    lines: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in manifest["rows"]:
        for metric, cell in row["cells"].items():
            if metric not in numbers:
                continue
            name = row["model"], label(row), row["targets"]
            line = lines.setdefault(name, _line(*name, row, manifest, len(columns)))
            number, runs = numbers[metric], records.get(cell["identity"], {})
            line["commands"][number] = f"python run.py {cell['overrides']}"
            line["columns"].append(number)
            scored = [outcomes.of(run, columns[number]) for _, run in sorted(runs.items())]
            line["outcomes"][number] = [each for each in scored if each] or None
            first = next(iter(runs.values()), None)
            line["rows"][number] = None if first is None else places[first.key]
            if line["outcomes"][number]:
                line["params"] = runs[line["outcomes"][number][0][0]].parameters.get("adapter")
    told = list(lines.values())
    frame = comparison.numbers(loaded, experiment.name)
    for row in frame.itertuples():
        lines[row.model, row.label, row.targets]["rate_mark"] = comparison.mark(row)
    return {
        "name": experiment.name, "kind": "comparison", "title": manifest["title"], "correction": "board",
        "evidence": bool(manifest.get("evidence")), "notes": list(comparison.notes(experiment, frame)),
        "table": f"tables/{experiment.name}.md",
        "columns": [_column(column, told, number) for number, column in enumerate(columns)],
        "outcomes": [line.pop("outcomes") for line in told],
        "lines": [{**line, "row": next((row for row in line["rows"] if row is not None), None)} for line in told],
    }  # fmt: skip


def _line(
    model: str, name: str, targets: str, row: Mapping[str, Any], manifest: Mapping[str, Any], columns: int
) -> dict[str, Any]:
    return {
        "label": name, "model": model, "method": row["id"], "targets": targets, "params": row.get("params"),
        "planned": list(manifest["seeds"]), "columns": [], "rows": [None] * columns, "commands": [None] * columns,
        "outcomes": [None] * columns,
    }  # fmt: skip


def _column(column: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], number: int) -> dict[str, Any]:
    own = [place for place, line in enumerate(lines) if number in line["columns"]]
    chosen = dict(item.partition("=")[::2] for item in (lines[own[0]]["commands"][number] or "").split())
    lower = column.get("better") == "lower"
    return {
        "name": column["panel"], **{name: column[name] for name in ("benchmark", "split", "scorer")},
        "unit": "nats" if lower else "%", "lower": lower, "task": chosen.get("task"), "model": chosen.get("model"),
        "reference": next((place for place in own if lines[place]["label"] == column["reference"]), None),
    }  # fmt: skip


# --- tables of results -----------------------------------------------------------------------------------------------


def _results(loaded: Loaded, result: results.Results, outcomes: Outcomes) -> dict[str, Any]:
    names = result.cells[["benchmark", "scorer"]].drop_duplicates()
    several = names["benchmark"].nunique() > 1
    by_key: dict[str, list[Record]] = {}
    for record in sorted(loaded.records, key=lambda each: each.run["seed"]):
        by_key.setdefault(record.key, []).append(record)
    all_rows, places = rows.rows(loaded), rows.places(loaded)
    own = [all_rows[places[key]] for key in result.rows["key"]]
    lines = [
        {"label": name, "model": row["model_label"], "method": row["method"], "targets": row["targets"],
         "params": row["params"], "planned": None, "columns": list(range(len(names))), "row": places[row["key"]],
         "rows": [places[row["key"]]] * len(names), "commands": [None] * len(names)}
        for row, name in zip(own, result.rows["label"], strict=True)
    ]  # fmt: skip
    keys = list(result.rows["key"])
    columns = [
        {**_of_results(benchmark, scorer, cells, keys), "name": f"{benchmark}, {scorer}" if several else scorer,
         "task": own[0]["task"], "model": own[0]["model"]}
        for (benchmark, scorer), cells in result.cells.groupby(["benchmark", "scorer"], sort=False)
    ]  # fmt: skip
    averages = _averages(result, loaded)
    return {
        "name": result.name, "kind": "results", "title": result.title, "correction": "column", "evidence": False,
        "notes": [note for note in result.notes if note != footnotes.MARKS], "table": f"tables/{result.name}.md",
        "columns": columns, "lines": lines,
        "outcomes": [
            [_scored(by_key[row["key"]], column, outcomes, averages) for column in columns] for row in own
        ],
    }  # fmt: skip


def _of_results(benchmark: str, scorer: str, cells: pd.DataFrame, keys: Sequence[str]) -> dict[str, Any]:
    """best: the line that the table calls the best, of several equal ones; None where nothing is compared."""
    loss, best = bool(cells["loss"].any()), cells[cells["verdict"] == "best"]["key"]
    return {
        "benchmark": benchmark, "split": "test", "scorer": scorer, "unit": "nats" if loss else "%", "lower": loss,
        "tested": benchmark != results.AVERAGE, "reference": None,
        "best": keys.index(best.iloc[0]) if len(best) else None,
    }  # fmt: skip


def _scored(
    records: Sequence[Record], column: Mapping[str, Any], outcomes: Outcomes, averages: Mapping[tuple, float]
) -> list | None:
    if column["tested"]:
        found = [outcomes.of(record, column) for record in records]
    else:
        found = [
            [record.run["seed"], mean, 0, NONE, NONE, NONE, outcomes.runs[id(record)], None]
            for record in records
            if (mean := averages.get((record.key, column["scorer"], record.run["seed"]))) is not None
        ]
    return [each for each in found if each] or None


def _averages(result: results.Results, loaded: Loaded) -> dict[tuple[str, str, int], float]:
    """By key, scorer and seed."""
    keys = set(result.rows["key"])
    scores = results.scores_frame([record for record in loaded.records if record.key in keys])
    if scores["benchmark"].nunique() < 3:
        return {}
    found = results.average(scores)
    return {(row.key, row.scorer, row.seed): row.mean for row in found.itertuples()}
