"""Learning rates: what each scored on validation data, which one is picked, and what a row's own was picked from.

The pick is the highest mean validation score over the seeds; among equal ones, the middle rate (the lower middle of an
even number). Where a search had rounds, of fewer steps for rates that were only ranked, those of most steps count.
Test scores are not read.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from analysis.load.frames import ordered, untrained
from analysis.load.grounds import ground
from analysis.statistics.stats import mean
from harness.store import identity
from harness.store.record import Record

GRID = ["method", "variant", "label", "adapter_params", "key", "rate", "score", "seeds", "steps"]

Search = tuple[str, ...]  # the choices, budget and ground that runs of one search share


def grid(records: Sequence[Record]) -> pd.DataFrame:
    """One row a variant, rate and number of steps (GRID): mean validation score by each benchmark's first scorer.

    A variant that has been run at one rate alone was not searched and is left out, as is what trains nothing, and one
    at fewer than half the rates of the widest search here: so is a row whose default has moved, with runs from before.
    Of the seeds those count that every rate of a round has: others, as the picked rate is run with later, decide
    nothing.
    """
    scored = _scored(records)
    whole, fewest = _breadth(scored)
    scored = [(r, score) for r, score in scored if len(whole[_tried(r)]) >= fewest]
    at_once = _rates((_tried(r, steps=True), r) for r, _ in scored)
    scored = [(r, score) for r, score in scored if len(at_once[_tried(r, steps=True)]) > 1]
    by_round = _rates((_round(r), r) for r, _ in scored)
    by_seed = _rates((_round(r) + (r.run["seed"],), r) for r, _ in scored)
    found: dict[tuple, list[float]] = {}
    for r, score in scored:
        if by_seed[_round(r) + (r.run["seed"],)] == by_round[_round(r)]:
            row = *_variant(r), r.run["label"], r.parameters["adapter"], r.key, r.config["train"]["lr"], _steps(r)
            found.setdefault(row, []).append(score)
    rows = [(*row[:-1], mean(scores), len(scores), row[-1]) for row, scores in sorted(found.items())]
    return pd.DataFrame(rows, columns=GRID)


def narrow(records: Sequence[Record]) -> list[str]:
    """Label and variant of what `grid` leaves out for too few rates, of two or more."""
    scored = _scored(records)
    whole, fewest = _breadth(scored)
    few = {_tried(r) for r, _ in scored if 1 < len(whole[_tried(r)]) < fewest}
    return list(dict.fromkeys(f"{r.run['label']} ({r.run['variant']})" for r, _ in scored if _tried(r) in few))


def _scored(records: Sequence[Record]) -> list[tuple[Record, float]]:
    """The runs that a rate can be picked by, with their validation scores."""
    scored = [(r, _validation(r)) for r in records if r.status == "done" and not untrained(r)]
    return [(r, score) for r, score in scored if score is not None]


def _breadth(scored: Sequence[tuple[Record, float]]) -> tuple[dict[tuple, set[float]], int]:
    """The rates of each variant over all rounds, and the fewest that are a search beside the widest."""
    whole = _rates((_tried(r), r) for r, _ in scored)
    return whole, max((math.ceil(len(rates) / 2) for rates in whole.values()), default=0)


def _variant(run: Record) -> tuple[str, ...]:
    return run.run["method"], run.run["variant"]


def _tried(run: Record, *, steps: bool = False) -> tuple[str, ...]:
    return *_variant(run), budget(run, steps=steps)


def _round(run: Record) -> tuple:
    return *_variant(run), _steps(run)


def _steps(run: Record) -> int:
    return run.config["train"].get("max_steps") or run.train.get("steps", 0)


def _rates(runs: Iterable[tuple[tuple, Record]]) -> dict[tuple, set[float]]:
    """The learning rates of the runs that share what stands before each."""
    found: dict[tuple, set[float]] = {}
    for shared, run in runs:
        found.setdefault(shared, set()).add(run.config["train"]["lr"])
    return found


def _validation(run: Record) -> float | None:
    """The mean over its benchmarks; None where it has no validation score."""
    scorers = [splits["validation"]["scorers"] for splits in run.scores.values() if "validation" in splits]
    means = [next(iter(each.values()))["mean"] for each in scorers if each]
    return mean([each for each in means if each is not None]) if means else None


def budget(run: Record, *, steps: bool = True) -> str:
    """All that trains a run but its learning rates: rates are compared at the same steps, batch, rank and so on.

    steps: False leaves the number of steps out, which differs between the rounds of one search.
    """
    # An option that a record is older than is at its neutral value.
    config = identity.unseeded({**run.config, "seed": run.run["seed"]}, run.run.get("seeded"))
    left_out = ("lr", "head_lr") if steps else ("lr", "head_lr", "max_steps")
    train = {key: value for key, value in config["train"].items() if key not in left_out}
    method = config.get("method", {})
    options = [method.get("adapter", {}), *(method.get("callbacks") or {}).values()]
    return json.dumps([train, [each for each in options if each]], sort_keys=True)


def pick(rates: pd.DataFrame) -> float:
    """The best rate of one variant; columns rate, score, steps."""
    last = rates[rates["steps"] == rates["steps"].max()]
    best = last[last["score"] == last["score"].max()].sort_values("rate")
    return float(best["rate"].iloc[(len(best) - 1) // 2])


def recipe(frame: pd.DataFrame, standing: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Rates by method and variant, and each method's `default`.

    standing: of an earlier search. Its default stays while some variant is picked at that rate: runs that took it are
    not searched again, and a variant that is searched later must not move them.
    """
    picks: dict[str, dict[str, float]] = {}
    for method, variants in ordered(frame).groupby("method", sort=False):
        rates = {variant: pick(group) for variant, group in variants.groupby("variant", sort=False)}
        stood = standing.get(method, {}).get("default")
        picks[method] = rates | {"default": stood if stood in rates.values() else min(rates.values())}
    return picks


def searches(records: Iterable[Record]) -> dict[Search, list[Record]]:
    """The runs that were searched together, whatever their rate and steps: same task, data, model, method, budget."""
    found: dict[Search, list[Record]] = {}
    for record in records:
        found.setdefault(_search(record), []).append(record)
    return found


def searched(run: Record, among: Mapping[Search, Sequence[Record]]) -> pd.DataFrame:
    """The `grid` of the rates that a run's own was picked from. among: of `searches`.

    Rates that were tried with another number of steps alone are no search of this run.
    """
    tried = grid(among.get(_search(run), []))
    return tried if (tried["steps"] == _steps(run)).sum() > 1 else tried[:0]


def _search(run: Record) -> Search:
    named = (run.run.get(name) for name in ("task", "model", "method", "variant"))
    return *named, budget(run, steps=False), *ground(run).values()
