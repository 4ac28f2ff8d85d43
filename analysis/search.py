"""Learning-rate search: what every method scored on validation data at every rate of one grid, and the rate it picks.

    python -m analysis.search --family micro_math --task micro_gsm --model micro_gemma

Writes <out>/search_<task>_<model>.{csv,md,tex}, and <recipes>/<family>-<model>.yaml for `recipe=clean` to read; a
family of several tasks (`--task digits micro_shapes`) has one such file. `default` in it, for variants that were not
searched, is the lowest rate that was picked for the method.
The pick is the highest mean validation score over the seeds; among equal ones, the middle rate (the lower middle of an
even number). Test scores are not read.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis import command
from analysis.frames import ordered, scores_frame, untrained
from analysis.grounds import ground
from analysis.tables import OUT, write
from harness.store import record
from harness.store.disk import tells_disk_errors, writing
from harness.store.files import write_text
from harness.store.record import Record

SEEDED = ("seed", "projection_prng_key")  # options of adapters and callbacks that differ by the seed of the run
HEADER = """\
# Learning rates that scored best on validation data, {family} with {model}: task, method, then variant.
# Written by `python -m analysis.search --family {family} --model {model} --task {tasks}`.
"""


def grid(records: Sequence[Record]) -> pd.DataFrame:
    """One row a variant and rate: mean validation score by each benchmark's first scorer, over the seeds there are.

    A variant that has been run at one rate alone was not searched and is left out, as is what trains nothing.
    """
    scores = scores_frame(records, "validation").drop_duplicates(["key", "seed", "benchmark"])
    scores = scores.groupby(["key", "seed"], as_index=False).agg(mean=("mean", "mean"))
    facts = [
        {
            "key": r.key, "seed": r.run["seed"], "method": r.run["method"], "variant": r.run["variant"],
            "label": r.run["label"], "adapter_params": r.parameters["adapter"], "rate": r.config["train"]["lr"],
            "budget": budget(r),
        }
        for r in records
        if r.status == "done" and not untrained(r)
    ]  # fmt: skip
    columns = ["key", "seed", "method", "variant", "label", "adapter_params", "rate", "budget"]
    frame = pd.DataFrame(facts, columns=columns).merge(scores, on=["key", "seed"])
    searched = frame.groupby(["method", "variant", "budget"])["rate"].transform("nunique") > 1
    frame = _shared_seeds(frame[searched])
    by = ["method", "variant", "label", "adapter_params", "key", "rate"]
    return frame.groupby(by, as_index=False).agg(score=("mean", "mean"), seeds=("seed", "nunique"))


def budget(run: Record) -> str:
    """All that trains a run but its learning rates: rates are compared at the same steps, batch, rank and so on."""
    train = {key: value for key, value in run.config["train"].items() if key not in ("lr", "head_lr")}
    method = run.config.get("method", {})
    options = [method.get("adapter", {}), *(method.get("callbacks") or {}).values()]
    unseeded = [{key: value for key, value in each.items() if key not in SEEDED} for each in options if each]
    return json.dumps([train, unseeded], sort_keys=True)


def _shared_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """The seeds that every rate of a variant has; those that only the picked rate was run with later decide nothing."""
    rates = frame.groupby(["method", "variant"])["rate"].transform("nunique")
    return frame[frame.groupby(["method", "variant", "seed"])["rate"].transform("nunique") == rates]


def pick(rates: pd.DataFrame) -> float:
    """The best rate of one variant; columns rate, score."""
    best = rates[rates["score"] == rates["score"].max()].sort_values("rate")
    return float(best["rate"].iloc[(len(best) - 1) // 2])


def table(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Numbers, and the same as text with the picked rate in bold; one row a variant, one column a rate."""
    rows = ordered(frame.drop_duplicates(["method", "variant"]))[["method", "variant", "label"]]
    numbers = frame.pivot(index=["method", "variant", "label"], columns="rate", values="score")
    numbers = numbers.reindex([tuple(row) for row in rows.itertuples(index=False)])
    shown = numbers.map(lambda score: "" if pd.isna(score) else f"{score:.1%}".rstrip("%"))
    picked = {variant: pick(group) for variant, group in frame.groupby(["method", "variant", "label"])}
    for rate in shown.columns:
        shown[rate] = [f"**{cell}**" if picked[row] == rate else cell for row, cell in shown[rate].items()]
    shown.columns = [f"{rate:g}" for rate in shown.columns]
    shown = shown.reset_index().rename(columns={"label": "Method", "variant": "Variant"})
    return numbers.reset_index(), shown[["Method", "Variant", *shown.columns[3:]]]


def recipe(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Rates by method and variant, and each method's `default`."""
    picks: dict[str, dict[str, float]] = {}
    for method, variants in ordered(frame).groupby("method", sort=False):
        rates = {variant: pick(group) for variant, group in variants.groupby("variant", sort=False)}
        picks[method] = rates | {"default": min(rates.values())}
    return picks


def yaml(picks: dict[str, dict[str, dict[str, float]]], family: str, model: str) -> str:
    lines = [HEADER.format(family=family, model=model, tasks=" ".join(picks))]
    for task, methods in picks.items():
        lines.append(f"{task}:\n")
        for method, rates in methods.items():
            lines += [f"  {method}:\n", *(f"    {variant}: {rate:g}\n" for variant, rate in rates.items())]
    return "".join(lines)


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser("analysis.search", __doc__, OUT, "tables")
    parser.add_argument("--family", required=True, help="as the task's yaml says: names the file of picks")
    parser.add_argument("--task", required=True, nargs="+")
    parser.add_argument("--model", required=True)
    parser.add_argument("--recipes", type=Path, default=Path("conf/recipe/clean/picked"))
    options = command.parsed(parser, arguments)
    found = {task: record.find(options.runs / task / options.model) for task in options.task}
    for task, (records, _) in found.items():
        if len({tuple(ground(each).values()) for each in records if each.status == "done"}) > 1:
            place = options.runs / task / options.model
            sys.exit(f"{place} has runs on different data or bases, and a rate is picked on one; move the others away")
    grids = {task: grid(records) for task, (records, _) in found.items()}
    empty = [str(options.runs / task / options.model) for task, frame in grids.items() if frame.empty]
    if empty:
        sys.exit(f"no method was run at two learning rates or more below {' and '.join(empty)}")
    for folder in (options.recipes, options.out):  # both can be written to, or nothing is
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    for task, frame in grids.items():
        _, broken = found[task]
        write(options.out, f"search_{task}_{options.model}", *table(frame), [seeds_note(frame), *broken])
    path = options.recipes / f"{options.family}-{options.model}.yaml"
    write_text(path, yaml({task: recipe(frame) for task, frame in grids.items()}, options.family, options.model))
    print(path)


def seeds_note(frame: pd.DataFrame) -> str:
    seeds = " or ".join(str(n) for n in sorted(frame["seeds"].unique()))
    return f"Validation score in per cent by learning rate (seeds: {seeds}). Bold: the rate picked."


if __name__ == "__main__":
    main()
