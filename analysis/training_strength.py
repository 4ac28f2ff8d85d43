"""How far VectorFit's vectors have moved, by vector and step: `vectorfit_strength.csv`, `.md` and `.tex`.

    python -m analysis.training_strength [--runs runs] [--out analysis/output/tables]

From runs/experiments/vectorfit_strength.json and the `method.training_strength` of its records: of each vector the
mean distance of its entries from where they started (Hegde et al. 2025, arXiv:2503.19530), which adaptive freezing is
to even out. A run's spread is the coefficient of variation over its vectors, σ/μ.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from analysis import command, paired, paper, stats
from analysis.paper_notes import record_notes, statistics_notes
from analysis.paper_tables import estimate
from analysis.tables import OUT, count, write
from errors import RecordError
from harness.store import record
from harness.store.disk import tells_disk_errors
from harness.store.record import Record

NAME = "vectorfit_strength"
LETTERS = {"Q": "q", "K": "k", "V": "v", "O": "o", "U": "f1", "D": "f2"}  # roles, as the paper's figure names them
MEASURES = {"mean": "mean", "max": "largest", "spread": "spread (σ/μ)"}
COLUMNS = ["run", "seed", "kind", "layer", "step", "strength"]


def strengths(experiment: paper.Experiment) -> pd.DataFrame:
    """One line a run, seed, vector and step (COLUMNS); `run` is the row's label, `kind` such as "σ q" or "b f1"."""
    records = paper.identified(experiment.records)
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


def numbers(experiment: paper.Experiment, frame: pd.DataFrame) -> pd.DataFrame:
    """One line a run: its score, the MEASURES at the last step with their intervals over seeds, and its differences.

    Differences are to the first run, of which none is tested but the score.
    """
    records, (column,) = paper.identified(experiment.records), experiment.manifest["columns"]
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
    return {name: fmean(values) if values else None, f"{name}_low": low, f"{name}_high": high}


def text(numbers: pd.DataFrame, scorer: str) -> pd.DataFrame:
    lines = []
    for row in numbers.to_dict("records"):
        difference = row.get("difference"), row.get("difference_low"), row.get("difference_high")
        lines.append({
            "Run": row["run"], "Trained": count(row["params"]), "Seeds": str(row["seeds"]) if row["seeds"] else "",
            f"{scorer} (%)": estimate(pd.Series(row)) if row["seeds"] else "",
            "Difference": "" if pd.isna(difference[0]) else f"{paired.with_interval(*difference)} {row['verdict']}",
            **{said.capitalize(): _strength(row, measure) for measure, said in MEASURES.items()},
        })  # fmt: skip
    return pd.DataFrame(lines)


def _strength(row: Mapping[str, Any], measure: str) -> str:
    if pd.isna(row[measure]):
        return ""
    low, high = row[f"{measure}_low"], row[f"{measure}_high"]
    return f"{row[measure]:.3g}" + ("" if pd.isna(low) else f" [{low:.3g}, {high:.3g}]")


def notes(experiment: paper.Experiment, numbers: pd.DataFrame) -> Iterator[str]:
    first = numbers["run"].iloc[0]
    yield (
        "Last three columns: training strength at the last step, the mean distance of a vector's entries from where "
        "they started; its mean and largest value over the vectors, and its standard deviation over them by its mean."
    )
    if "difference" in numbers:
        yield f"Difference: of the score to {first}, in points, over the seeds that both have; {paired.RULE}."
    yield from statistics_notes(experiment.cells.assign(verdict=None, best_dev=None, majority=None))
    yield from record_notes(experiment)


def read(runs: Path) -> paper.Experiment | None:
    """The experiment, or None where it has no manifest."""
    found = paper.experiments(runs, record.find(runs)[0])
    return next((each for each in found if each.name == NAME), None)


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser("analysis.training_strength", __doc__, OUT, "tables")
    options = command.parsed(parser, arguments)
    try:
        experiment = read(options.runs)
        frame = pd.DataFrame() if experiment is None else numbers(experiment, strengths(experiment))
    except RecordError as error:
        sys.exit(str(error))
    if experiment is None:
        print(f"no {NAME}.json below {options.runs}/{paper.EXPERIMENTS}", file=sys.stderr)
        return
    (column,) = experiment.manifest["columns"]
    shown = text(frame, f"{column['metric']}, {column['scorer']}")
    write(options.out, NAME, frame, shown, list(notes(experiment, frame)))
    print(f"{options.out}/{NAME}.{{csv,md,tex}}")


if __name__ == "__main__":
    main()
