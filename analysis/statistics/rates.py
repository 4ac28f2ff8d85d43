"""Learning rates: what each scored on validation data, which one is picked, and what a row's own was picked from.

The pick is the highest mean validation score over the seeds; among equal ones, the middle rate (the lower middle of an
even number). Test scores are not read.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from analysis.load.frames import ordered, scores_frame, untrained
from analysis.load.grounds import ground
from harness.store import identity
from harness.store.record import Record

SEEDED = ("seed", "projection_prng_key")  # options of adapters and callbacks that differ by the seed of the run

Search = tuple[str, ...]  # the choices, budget and ground that runs of one search share


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
    config = identity.keyed(run.config)  # an option that a record is older than is at its neutral value
    train = {key: value for key, value in config["train"].items() if key not in ("lr", "head_lr")}
    method = config.get("method", {})
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


def recipe(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Rates by method and variant, and each method's `default`."""
    picks: dict[str, dict[str, float]] = {}
    for method, variants in ordered(frame).groupby("method", sort=False):
        rates = {variant: pick(group) for variant, group in variants.groupby("variant", sort=False)}
        picks[method] = rates | {"default": min(rates.values())}
    return picks


def searches(records: Iterable[Record]) -> dict[Search, list[Record]]:
    """The runs that were searched together, whatever their rate: same task, data, model, method and budget."""
    found: dict[Search, list[Record]] = {}
    for record in records:
        found.setdefault(_search(record), []).append(record)
    return found


def searched(run: Record, among: Mapping[Search, Sequence[Record]]) -> pd.DataFrame:
    """The `grid` of the rates that a run's own was picked from. among: of `searches`."""
    return grid(among.get(_search(run), []))


def _search(run: Record) -> Search:
    return *(run.run.get(name) for name in ("task", "model", "method", "variant")), budget(run), *ground(run).values()
