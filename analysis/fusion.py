"""What each task loses when adapters that were trained apart are fused: `fusion.csv`, `.md` and `.tex`.

    python -m analysis.fusion [--runs runs] [--out analysis/output/tables]

From runs/experiments/fusion.json. Rows of one method and config belong together: the one without a variant is each task
with its own adapter alone, a variant says how the adapters of all tasks were fused.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from analysis import command, paired, paper, stats
from analysis.paper_notes import record_notes
from analysis.paper_tables import estimate, seeds_said
from analysis.tables import OUT, count, percent, write
from errors import RecordError
from harness.store import record
from harness.store.disk import tells_disk_errors

NAME = "fusion"
AVERAGE = "Average"  # of the tasks, over the seeds that have all
COLUMNS = [
    "fused", "task", "mode", "params", "seeds", "reproduced", "low", "high", "error", "majority", "loss", "loss_low",
    "loss_high", "p", "verdict",
]  # fmt: skip


def numbers(experiment: paper.Experiment) -> pd.DataFrame:
    """One line a group, task and mode (COLUMNS; mode "" is the task alone), rates in [0, 1].

    `loss` is fused minus alone, so that what a task loses is negative; the average is not tested.
    """
    columns = {column["metric"]: column for column in experiment.manifest["columns"]}
    records = paper.identified(experiment.records)
    cells = {(cell.identity, cell.metric): cell for cell in experiment.cells.itertuples()}
    lines = []
    for group, rows in _groups(experiment.manifest).items():
        for row in rows:
            identities = {task: row["cells"][task]["identity"] for task in columns}
            runs = {task: paired.outcomes(columns[task], records.get(own, {})) for task, own in identities.items()}
            head = {"fused": group, "mode": row["variant"], "params": row["params"]}
            lines += [{**head, "task": task, "runs": runs[task], **_scored(cells[own, task])}
                      for task, own in identities.items()]  # fmt: skip
            average = _averaged(list(runs.values()))
            lines.append({**head, "task": AVERAGE, "runs": average, **paper.compared(_as_scores(average), None, None)})
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
    return {seed: paired.Outcome(fmean(task[seed].mean for task in tasks), None, "") for seed in seeds}


def _as_scores(average: paired.Outcomes) -> list[paper.Score]:
    return [paper.Score(run.mean, None, 0, verdicts=False) for run in average.values()]


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
        for task, cells in rows.groupby("task", sort=False):
            by_mode = {cell.mode: cell for cell in cells.itertuples()}
            line = {"Task": task, "Majority": percent(cells["majority"].dropna().max()), "Alone": _score(by_mode[""]),
                    "Seeds": seeds_said(cells["seeds"])}  # fmt: skip
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
    return f"{paired.with_interval(cell.loss, cell.loss_low, cell.loss_high)}{verdict}"


def notes(experiment: paper.Experiment, frame: pd.DataFrame) -> Iterator[str]:
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
    if ran["low"].notna().any():
        three = " (of three seeds: from the lowest to the highest)" if (ran["seeds"] == stats.MIN_SEEDS).any() else ""
        yield f"Brackets: 95 % bootstrap interval over seeds{three}."
    yield from record_notes(experiment)


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser("analysis.fusion", __doc__, OUT, "tables")
    options = command.parsed(parser, arguments)
    try:
        found = paper.experiments(options.runs, record.find(options.runs)[0])
    except RecordError as error:
        sys.exit(str(error))
    experiment = next((each for each in found if each.name == NAME), None)
    if experiment is None:
        print(f"no {NAME}.json below {options.runs}/{paper.EXPERIMENTS}", file=sys.stderr)
        return
    frame = numbers(experiment)
    write(options.out, NAME, frame, text(frame), list(notes(experiment, frame)))
    print(f"{options.out}/{NAME}.{{csv,md,tex}}")


if __name__ == "__main__":
    main()
