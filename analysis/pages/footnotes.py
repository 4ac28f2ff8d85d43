"""What stands below a table of results: how its rows were trained, what its marks mean, and what is missing."""

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from analysis.load.frames import untrained
from analysis.statistics.stats import MIN_SEEDS
from harness.store.record import Record

AVERAGE = "average"  # of the benchmarks, beside them
LONGEST_REASON = 500  # characters of an exception's message
TESTS = "exact paired sign-flip test over items, summed over shared seeds; Holm; 5 %"
MARKS = f"Bold: the best of its column. †: not distinguishable from it ({TESTS})."
HEAD_RATE = "head learning rate"  # in a run's settings, of a run that trains a head


def footnotes(runs: pd.DataFrame, rows: pd.DataFrame, cells: pd.DataFrame, broken: list[str]) -> Iterator[str]:
    """runs: of frames.runs_frame; rows and cells: of results.Results; broken: what is not counted, and why."""
    labels = dict(zip(rows["key"], rows["label"], strict=True))
    yield from _setting_notes(runs, rows)
    yield from head_rate_notes(runs)
    yield from _statistics_notes(rows, cells)
    yield from _absence_notes(runs, rows, cells, labels)
    yield from _warning_notes(runs, labels)
    yield from left_out_notes(broken)


def _setting_notes(runs: pd.DataFrame, rows: pd.DataFrame) -> Iterator[str]:
    """What all rows that were trained share once, then what is particular to some."""
    settings = {key: group["settings"].iloc[0] for key, group in runs.groupby("key", sort=False)}
    still = set(runs[runs["untrained"].astype(bool)]["key"])
    everyone = [values for key, values in settings.items() if key not in still]
    first = everyone[0] if len(everyone) > 1 else {}
    shared = {k: v for k, v in first.items() if all(s.get(k) == v for s in everyone)}
    if shared:
        yield f"All rows: {said(shared)}."
    labels = {}
    for row in rows.itertuples():
        own = said({k: v for k, v in settings[row.key].items() if shared.get(k) != v})
        labels.setdefault(own, []).append(row.label)
    for own, names in labels.items():
        if own:
            yield f"{', '.join(names)}: {own}."
    nothing = [row.label for row in rows.itertuples() if row.key in still]
    if nothing:
        yield f"{', '.join(nothing)}: nothing was trained."


def said(settings: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def budget_note(records: Sequence[Record]) -> str:
    """At how many learning rates each row has finished runs there, searches included."""
    tried: dict[str, set[float]] = {}
    for record in (each for each in records if not untrained(each)):
        tried.setdefault(record.run["label"], set()).add(record.config["train"]["lr"])
    grids: dict[tuple[float, ...], list[str]] = {}
    for label, rates in tried.items():
        grids.setdefault(tuple(sorted(rates)), []).append(label)
    if not any(len(grid) > 1 for grid in grids):
        return ""
    said_of = [
        f"{'every row' if len(grids) == 1 else ', '.join(labels)} {len(grid)} ({', '.join(f'{r:g}' for r in grid)})"
        for grid, labels in grids.items()
    ]
    return f"Learning rates that were run, searches included: {'; '.join(said_of)}."


def _statistics_notes(rows: pd.DataFrame, cells: pd.DataFrame) -> Iterator[str]:
    if len(cells):
        yield (
            "Trained: parameters without the head. Scores: test split. Step: seconds of an optimiser step, the median. "
            "Saved: what was trained, on disk."
        )
    if rows["crowded"].any():
        yield "Busy: other processes held the cores while these were trained, so their steps took longer than alone."
    yield from bracket_notes(cells)
    if ((cells["seeds"] == 1) & cells["low"].isna()).any():
        yield "One seed: ± the binomial standard error over the test items; the variation between seeds is not known."
    if (cells["seeds"] == 2).any():
        yield "Two seeds: their mean, without an interval."
    if cells["benchmark"].nunique() > 1:
        yield "Of several benchmarks the first scorer is shown; the CSV has all."
    if (cells["benchmark"] == AVERAGE).any():
        yield f"{AVERAGE.capitalize()}: unweighted over the benchmarks; not tested."
    if cells["verdict"].notna().any():
        yield MARKS


def bracket_notes(
    cells: pd.DataFrame, over_seeds: str = "95 % bootstrap interval of the mean over seeds"
) -> Iterator[str]:
    """What brackets mean. Below three seeds they are of runs with all or no items right. cells: columns seeds, low."""
    bracketed = cells[cells["low"].notna()]
    if (bracketed["seeds"] >= MIN_SEEDS).any():
        three = " (of three seeds: from the lowest to the highest)" if (cells["seeds"] == MIN_SEEDS).any() else ""
        yield f"Brackets: {over_seeds}{three}."
    if (bracketed["seeds"] < MIN_SEEDS).any():
        yield "Brackets beside 0 or 100 % of fewer than three seeds: 95 % Wilson interval over the test items."


def left_out_notes(sentences: Iterable[str]) -> Iterator[str]:
    """What is not counted, on whatever page would have used it."""
    return (f"Not counted: {sentence}." for sentence in sentences)


def _absence_notes(
    runs: pd.DataFrame, rows: pd.DataFrame, cells: pd.DataFrame, labels: dict[str, str]
) -> Iterator[str]:
    untested = ", ".join(labels[key] for key in rows["key"] if key in set(cells[cells["verdict"] == "untested"]["key"]))
    if untested:
        yield f"Not tested against the best, as no seed is shared that has verdicts on the same items: {untested}."
    finished = dict(zip(rows["key"], rows["seeds"], strict=True))
    partial: dict[str, dict[str, None]] = {}
    for cell in cells.itertuples():
        if cell.seeds < finished[cell.key]:
            lacking = f"{cell.seeds} of {finished[cell.key]} seeds have a score on {cell.benchmark}"
            partial.setdefault(lacking, {})[labels[cell.key]] = None
    yield from (f"{', '.join(names)}: {lacking}." for lacking, names in partial.items())
    for run in runs[runs["status"] != "done"].itertuples():
        yield f"Not counted: {labels[run.key]}, seed {run.seed}, {_ending(run)}."


def _warning_notes(runs: pd.DataFrame, labels: dict[str, str]) -> Iterator[str]:
    """What was said when a method was attached, such as a setting that was not followed, and of the data."""
    for key, group in runs.groupby("key", sort=False):
        for warning in dict.fromkeys(warning for warnings in group["warnings"] for warning in warnings):
            yield f"{labels[key]}, when attached: {warning.rstrip('.')}."
    remarks: dict[str, dict[str, None]] = {}
    for run in runs.itertuples():
        for remark in run.remarks:
            remarks.setdefault(remark, {})[labels[run.key]] = None
    yield from (f"{', '.join(names)}: {remark.rstrip('.')}." for remark, names in remarks.items())


def _ending(run) -> str:
    if run.status != "failed":
        return f"whose record says {run.status!r}"
    failure = run.failure or {}
    step = "" if failure.get("step") is None else f" at step {failure['step']}"
    reason = str(failure.get("reason", "no reason recorded"))
    reason = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}…"
    return f"failed{step}: {reason.rstrip('.')}"


def head_rate_notes(runs: pd.DataFrame) -> Iterator[str]:
    """A sentence for each task and model whose finished runs trained their heads at several rates.

    Where they did, what the rows differ by may be their heads'. runs: of frames.runs_frame.
    """
    for (model, task), group in runs[runs["status"] == "done"].groupby(["model_label", "task_label"], sort=False):
        labels: dict[str, dict[str, None]] = {}
        for run in group.itertuples():
            if HEAD_RATE in run.settings:
                labels.setdefault(run.settings[HEAD_RATE], {})[run.label] = None
        if len(labels) > 1:
            said = "; ".join(f"{rate} {', '.join(names)}" for rate, names in labels.items())
            yield (
                f"Unequal {HEAD_RATE}s, {model} on {task}: {said}. "
                "A part of what these rows differ by may be the heads'."
            )
