"""How far VectorFit's vectors have moved, by vector and step: the page `vectorfit_strength`, from that manifest.

`method.training_strength` of a record has of each vector the mean distance of its entries from where they started
(Hegde et al. 2025, arXiv:2503.19530), which adaptive freezing is to even out. A run's spread is the coefficient of
variation over its vectors, σ/μ.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.load import paper
from analysis.load.records import Loaded
from analysis.pages.paper_notes import record_notes, statistics_notes
from analysis.statistics import paired, stats
from analysis.statistics.experiments import Experiment, experiments, identified
from analysis.writing.numbers import count, estimate, with_interval
from analysis.writing.page import Page, Table
from errors import RecordError
from harness.store.record import Record

NAME = "vectorfit_strength"
LETTERS = {"Q": "q", "K": "k", "V": "v", "O": "o", "U": "f1", "D": "f2"}  # roles, as the paper's figure names them
MEASURES = {"mean": "mean", "max": "largest", "spread": "spread (σ/μ)"}
COLUMNS = ["run", "seed", "kind", "layer", "step", "strength"]


def strengths(experiment: Experiment) -> pd.DataFrame:
    """One line a run, seed, vector and step (COLUMNS); `run` is the row's label, `kind` such as "σ q" or "b f1"."""
    records = identified(experiment.records)
    frames = [
        _strengths(each).assign(run=paper.label(row), seed=seed)
        for row in experiment.manifest["rows"]
        for seed, each in sorted(records.get(_identity(row), {}).items())
        if each.status == "done"
    ]
    return pd.concat([pd.DataFrame(columns=COLUMNS), *frames])[COLUMNS] if frames else pd.DataFrame(columns=COLUMNS)


def _identity(row: Mapping[str, Any]) -> str:
    (cell,) = row["cells"].values()
    return cell["identity"]


def _strengths(run: Record) -> pd.DataFrame:
    """Raises RecordError where it has no training strength."""
    measured = run.train.get("method", {}).get("training_strength")
    if measured is None:
        raise RecordError(f"{run.run['label']}, seed {run.run['seed']}, has no training strength in its record")
    places = [place(name, run.config["model"]["roles"]) for name in measured["vectors"]]
    return pd.DataFrame([
        {"kind": kind, "layer": layer, "step": step, "strength": value}
        for step, values in zip(measured["steps"], measured["values"], strict=True)
        for (kind, layer), value in zip(places, values, strict=True)
    ])  # fmt: skip


def place(name: str, roles: Mapping[str, str]) -> tuple[str, int]:
    """`encoder.layer.3.attention.self.query_proj sigma` -> ("σ q", 4), by the model's role letters; layers from 1.

    Raises ValueError where the name is of no role or not of a vector.
    """
    module, _, vector = name.rpartition(" ")
    parts = module.split(".")
    block = next((part for part in parts if part.isdecimal()), None)
    tail = ".".join(parts[parts.index(block) + 1 :]) if block else module
    letters = [letter for letter, path in roles.items() if path.partition("*.")[2] == tail]
    symbol = {"sigma": "σ", "bias": "b"}.get(vector)
    if not block or not letters or symbol is None:
        raise ValueError(f"{name!r} is no sigma or bias of a layer with a role; roles are {', '.join(roles.values())}")
    return f"{symbol} {LETTERS.get(letters[0], letters[0])}", int(block) + 1


def spreads(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each run, seed and step, over the vectors: mean, max, and spread σ/μ (None at the start, where all are 0)."""
    by = frame.astype({"strength": float}).groupby(["run", "seed", "step"], sort=False)["strength"]
    found = by.agg(mean="mean", max="max", deviation=lambda values: values.std(ddof=0)).reset_index()
    return found.assign(spread=(found["deviation"] / found["mean"]).where(found["mean"] > 0)).drop(columns="deviation")


def last(frame: pd.DataFrame) -> pd.DataFrame:
    """The lines of each run's and seed's last step."""
    return frame[frame["step"] == frame.groupby(["run", "seed"])["step"].transform("max")]


def numbers(experiment: Experiment, frame: pd.DataFrame) -> pd.DataFrame:
    """One line a run: its score, the MEASURES at the last step with their intervals over seeds, and its differences.

    Differences are to the first run, of which none is tested but the score.
    """
    records, (column,) = identified(experiment.records), experiment.manifest["columns"]
    at_end = last(spreads(frame)) if len(frame) else pd.DataFrame(columns=["run", "seed", *MEASURES])
    rows = experiment.manifest["rows"]
    outcomes = {paper.label(row): paired.outcomes(column, records.get(_identity(row), {})) for row in rows}
    names = list(outcomes)
    differences = paired.differences({name: (outcomes[name], outcomes[names[0]]) for name in names[1:]})
    cells = {cell.label: cell for cell in experiment.cells.itertuples()}
    lines = []
    for name in names:
        cell, own = cells[name], at_end[at_end["run"] == name]
        line = {"run": name, "params": cell.params, "seeds": cell.seeds, "reproduced": cell.reproduced,
                "low": cell.low, "high": cell.high, "error": cell.error}  # fmt: skip
        for measure in MEASURES:
            line |= _interval(measure, own[measure].tolist())
        if name in differences:
            found = differences[name]
            line |= {"difference": found.mean, "difference_low": found.low, "difference_high": found.high,
                     "p": found.p, "verdict": found.verdict}  # fmt: skip
        lines.append(line)
    return pd.DataFrame(lines)


def _interval(name: str, values: Sequence[float]) -> dict[str, float | None]:
    low, high = stats.bootstrap_interval(values) or (None, None)
    return {name: stats.mean(values) if values else None, f"{name}_low": low, f"{name}_high": high}


def text(numbers: pd.DataFrame, scorer: str) -> pd.DataFrame:
    lines = []
    for row in numbers.to_dict("records"):
        difference = row.get("difference"), row.get("difference_low"), row.get("difference_high")
        lines.append({
            "Run": row["run"], "Trained": count(row["params"]), "Seeds": str(row["seeds"]) if row["seeds"] else "",
            f"{scorer} (%)": estimate(pd.Series(row)) if row["seeds"] else "",
            "Difference": "" if pd.isna(difference[0]) else f"{with_interval(*difference)} {row['verdict']}",
            **{said.capitalize(): _strength(row, measure) for measure, said in MEASURES.items()},
        })  # fmt: skip
    return pd.DataFrame(lines)


def _strength(row: Mapping[str, Any], measure: str) -> str:
    if pd.isna(row[measure]):
        return ""
    low, high = row[f"{measure}_low"], row[f"{measure}_high"]
    return f"{row[measure]:.3g}" + ("" if pd.isna(low) else f" [{low:.3g}, {high:.3g}]")


def notes(experiment: Experiment, numbers: pd.DataFrame) -> Iterator[str]:
    first = numbers["run"].iloc[0]
    yield (
        "Last three columns: training strength at the last step, the mean distance of a vector's entries from where "
        "they started; its mean and largest value over the vectors, and its standard deviation over them by its mean."
    )
    if "difference" in numbers:
        yield f"Difference: of the score to {first}, in points, over the seeds that both have; {paired.RULE}."
    yield from statistics_notes(experiment.cells.assign(verdict=None, best_dev=None, majority=None))
    yield from record_notes(experiment)


def makers(loaded: Loaded) -> dict[str, Callable[[], Page]]:
    experiment = experiments(loaded).get(NAME)
    return {NAME: lambda: _page(experiment)} if experiment else {}


def _page(experiment: Experiment) -> Page:
    frame = numbers(experiment, strengths(experiment))
    (column,) = experiment.manifest["columns"]
    shown = text(frame, f"{column['metric']}, {column['scorer']}")
    return Table(frame, shown, list(notes(experiment, frame)), experiment.manifest["title"])
