"""What each task loses when adapters that were trained apart are fused: the page `fusion`, from the manifest `fusion`.

Rows of one method and config belong together: the one without a variant is each task with its own adapter alone, a
variant says how the adapters of all tasks were fused.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.load import paper
from analysis.load.records import Loaded
from analysis.pages.footnotes import bracket_notes
from analysis.pages.paper_notes import record_notes
from analysis.pages.paper_tables import seeds_said
from analysis.statistics import cells, paired, stats
from analysis.statistics.experiments import Experiment, experiments, identified
from analysis.writing.numbers import count, estimate, percent, with_interval
from analysis.writing.page import Page, Table

NAME = "fusion"
AVERAGE = "Average"  # of the tasks, over the seeds that have all
COLUMNS = [
    "fused", "task", "mode", "params", "seeds", "reproduced", "low", "high", "error", "majority", "loss", "loss_low",
    "loss_high", "p", "verdict",
]  # fmt: skip


def numbers(experiment: Experiment) -> pd.DataFrame:
    """One line a group, task and mode (COLUMNS; mode "" is the task alone), rates in [0, 1].

    `loss` is fused minus alone, so that what a task loses is negative; the average is not tested.
    """
    columns = {column["metric"]: column for column in experiment.manifest["columns"]}
    records = identified(experiment.records)
    scored = {(cell.identity, cell.metric): cell for cell in experiment.cells.itertuples()}
    lines = []
    for group, rows in _groups(experiment.manifest).items():
        for row in rows:
            identities = {task: row["cells"][task]["identity"] for task in columns}
            runs = {task: paired.outcomes(columns[task], records.get(own, {})) for task, own in identities.items()}
            head = {"fused": group, "mode": row["variant"], "params": row["params"]}
            lines += [{**head, "task": task, "runs": runs[task], **_scored(scored[own, task])}
                      for task, own in identities.items()]  # fmt: skip
            average = _averaged(list(runs.values()))
            lines.append({**head, "task": AVERAGE, "runs": average, **cells.compared(_as_scores(average), None, None)})
    losses = _losses({(line["fused"], line["task"], line["mode"]): line["runs"] for line in lines})
    lines = [{**line, **losses.get((line["fused"], line["task"], line["mode"]), {})} for line in lines]
    return pd.DataFrame(lines, columns=COLUMNS)


def _groups(manifest: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Rows by what is fused; in each the row of the tasks alone first. Raises ValueError where there is none."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in manifest["rows"]:
        groups.setdefault(paper.label({**row, "variant": ""}), []).append(row)
    for group, rows in groups.items():
        rows.sort(key=lambda row: bool(row["variant"]))
        if rows[0]["variant"]:
            raise ValueError(f"{group} has no row without a variant, so nothing says how its tasks do alone")
    return groups


def _scored(cell) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in ("seeds", "reproduced", "low", "high", "error", "majority")}


def _averaged(tasks: Sequence[paired.Outcomes]) -> dict[int, paired.Outcome]:
    """Over the tasks, for the seeds that have all of them; items of several tasks are not paired."""
    seeds = [seed for seed in tasks[0] if all(seed in task for task in tasks)]
    return {seed: paired.Outcome(stats.mean([task[seed].mean for task in tasks]), None, "") for seed in seeds}


def _as_scores(average: paired.Outcomes) -> list[cells.Score]:
    return [cells.Score(run.mean, None, 0, verdicts=False) for run in average.values()]


def _losses(runs: Mapping[tuple[str, str, str], paired.Outcomes]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Fused minus alone of each (group, task, mode)."""
    pairs = {key: (fused, runs[(*key[:2], "")]) for key, fused in runs.items() if key[2]}
    return {
        key: {"loss": each.mean, "loss_low": each.low, "loss_high": each.high, "p": each.p, "verdict": each.verdict}
        for key, each in paired.differences(pairs).items()
    }


# --- text ------------------------------------------------------------------------------------------------------------


def text(frame: pd.DataFrame) -> pd.DataFrame:
    """One line a task below a line that says what is fused; the modes side by side."""
    modes = [mode for mode in dict.fromkeys(frame["mode"]) if mode]
    lines = []
    for group, rows in frame.groupby("fused", sort=False):
        lines.append({"Task": f"**{group}**", "Trained": count(rows["params"].max())})
        for task, own in rows.groupby("task", sort=False):
            by_mode = {cell.mode: cell for cell in own.itertuples()}
            line = {"Task": task, "Majority": percent(own["majority"].dropna().max()), "Alone": _score(by_mode[""]),
                    "Seeds": seeds_said(own["seeds"])}  # fmt: skip
            for mode in (mode for mode in modes if mode in by_mode):
                line |= {mode.capitalize(): _score(by_mode[mode]), f"{mode.capitalize()} - alone": _loss(by_mode[mode])}
            lines.append(line)
    heads = [head for mode in modes for head in (mode.capitalize(), f"{mode.capitalize()} - alone")]
    known = ["Majority"] if frame["majority"].notna().any() else []
    return pd.DataFrame(lines, columns=["Task", "Trained", "Seeds", *known, "Alone", *heads]).fillna("")


def _score(cell) -> str:
    return estimate(cell) if cell.seeds else ""


def _loss(cell) -> str:
    if pd.isna(cell.loss):
        return ""
    verdict = "" if cell.verdict == "untested" else f" {cell.verdict}"
    return f"{with_interval(cell.loss, cell.loss_low, cell.loss_high)}{verdict}"


def notes(experiment: Experiment, frame: pd.DataFrame) -> Iterator[str]:
    scorers = {column["metric"]: column["scorer"] for column in experiment.manifest["columns"]}
    said = sorted(set(scorers.values()))
    which = said[0] if len(said) == 1 else ", ".join(f"{scorer} of {task}" for task, scorer in scorers.items())
    yield f"Score on the test split, per cent: {which}. Trained: parameters of one task's adapter, without the head."
    yield "Alone: each task with the adapter trained on it. Sum, mean: with the adapters of all tasks, fused so."
    yield f"Differences: in points, over the seeds that both have; averages are not tested; {paired.RULE}."
    if frame["majority"].notna().any():
        yield "Majority: the share of the most frequent answer, which needs no model."
    ran = frame[frame["seeds"] > 0]
    if (ran["seeds"] < stats.MIN_SEEDS).any():
        yield "Fewer than three seeds: ± the standard error over the test items; between seeds it is unknown."
    yield from bracket_notes(ran, "95 % bootstrap interval over seeds")
    yield from record_notes(experiment)


def makers(loaded: Loaded) -> dict[str, Callable[[], Page]]:
    experiment = experiments(loaded).get(NAME)
    return {NAME: lambda: _page(experiment)} if experiment else {}


def _page(experiment: Experiment) -> Page:
    frame = numbers(experiment)
    return Table(frame, text(frame), list(notes(experiment, frame)), experiment.manifest["title"])
