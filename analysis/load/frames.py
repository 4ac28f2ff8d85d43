"""Records to frames: one row a run, one row a score.

    runs     task, model, task_label, model_label, data, base, key, method, label, seed, status, failure,
             adapter_params, head_params, seconds_per_step, crowded (others held the cores meanwhile), adapter_bytes,
             untrained, settings, warnings, remarks
    scores   key, seed, data (identity.items), benchmark, scorer, metric, n, mean, standard_error, unparsed, items,
             whole; in the record's order

A row of a table is a key: the runs that differ by their seed alone. What a record does not say is NaN or None, never 0.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from analysis.load.grounds import ground, short
from analysis.load.methods import methods
from analysis.writing.markup import plain
from harness.store import identity
from harness.store.record import Record, step_time, was_crowded

RUNS = (
    "task", "model", "task_label", "model_label", "data", "base", "key", "method", "label", "seed", "status", "failure",
    "adapter_params", "head_params", "seconds_per_step", "crowded", "adapter_bytes", "untrained",
    "settings", "warnings", "remarks",
)  # fmt: skip
SCORES = (
    "key", "seed", "data", "benchmark", "scorer", "metric", "n", "mean", "standard_error", "unparsed", "items",
    "whole",  # whether all benchmarks that the run was asked for were at hand
    "loss",  # whether the mean is one of nats, of which less is better
)  # fmt: skip


def runs_frame(records: Iterable[Record]) -> pd.DataFrame:
    return pd.DataFrame([_run(record) for record in records], columns=list(RUNS))


def scores_frame(records: Iterable[Record], split: str = "test") -> pd.DataFrame:
    """Scores of finished runs on one split."""
    rows = [row for record in records if record.status == "done" for row in _scores(record, split)]
    return pd.DataFrame(rows, columns=list(SCORES))


def ordered(rows: pd.DataFrame) -> pd.DataFrame:
    """In the order that conf/method states, then by trained parameters; a method without a place there comes last."""
    rank = {name: place for place, name in enumerate(methods().index)}
    places = rows["method"].map(lambda name: rank.get(name, len(rank)))
    by = ["_place", "method", "adapter_params", "label", "key"]
    return rows.assign(_place=places).sort_values(by).drop(columns="_place")


def untrained(record: Record) -> bool:
    """A finished run that took no step, as the pre-trained model itself: its learning rate means nothing."""
    return record.status == "done" and not (record.train or {}).get("steps")


def _run(record: Record) -> dict[str, Any]:
    run, train = record.run, record.train or {}
    return {
        **{name: run[name] for name in ("task", "model", "method", "seed")},
        "label": plain(run["label"]),
        "task_label": plain(run.get("task_label", run["task"])),
        "model_label": plain(run.get("model_label", run["model"])),
        **ground(record),
        "key": record.key,
        "status": record.status,
        "failure": record.failure if isinstance(record.failure, dict | None) else {"reason": str(record.failure)},
        "adapter_params": record.parameters.get("adapter"),
        "head_params": record.parameters.get("head"),
        "seconds_per_step": step_time(train),
        "crowded": was_crowded(record),
        "adapter_bytes": train.get("trained_bytes"),
        "untrained": untrained(record),
        "settings": _settings(record),
        "warnings": record.adapter.get("warnings", []),
        "remarks": train.get("warnings", []),
    }


def _scores(record: Record, split: str) -> Iterable[dict[str, Any]]:
    for benchmark, splits in record.scores.items():
        entry = splits.get(split, {"scorers": {}})
        for scorer, score in entry["scorers"].items():
            yield {
                "key": record.key, "seed": record.run["seed"], "data": identity.items(record, benchmark, split),
                "benchmark": benchmark, "scorer": scorer, "metric": entry["metric"], "n": entry["n"],
                **{name: score.get(name) for name in ("mean", "standard_error", "unparsed", "items")},
                "whole": not record.data.get("missing"), "loss": "values" in score,
            }  # fmt: skip


def _settings(record: Record) -> dict[str, str]:
    """What a reader must know of how a row was trained, in words."""
    train, recipe = record.config.get("train", {}), record.config.get("recipe", {})
    head = record.parameters.get("head")
    if untrained(record):
        train = {}
    said = {
        "recipe": record.run.get("recipe"),
        **{name.replace("_", " "): value for name, value in recipe.items() if name not in ("name", "head_lr")},
        "targets": None if untrained(record) else record.run.get("targets") or record.run.get("variant"),
        "learning rate": train.get("lr"),
        "head learning rate": train.get("head_lr") if head else None,
        "schedule": train.get("schedule"),
        "epochs": train.get("epochs") if train.get("max_steps") is None else None,
        "steps": train.get("max_steps"),
        "batch size": train.get("batch_size"),
        "kept": _selection(train),
        "base": short(record.fingerprints.get("model")),
        "data": short(record.fingerprints.get("data")),
    }
    return {name: _word(value) for name, value in said.items() if value is not None and not isinstance(value, dict)}


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _selection(train: dict[str, Any]) -> str | None:
    rule = train.get("select_best")
    return None if rule is None else "best on validation" if rule else "last step"
