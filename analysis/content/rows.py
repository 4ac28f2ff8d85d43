"""The rows of all tables: runs that differ by their seed alone, each once, with what they cost."""

from collections.abc import Mapping
from functools import lru_cache
from statistics import fmean, median
from typing import Any

from analysis.load import retention
from analysis.load.frames import runs_frame
from analysis.load.records import Loaded
from harness.store.record import Record, step_time


@lru_cache(maxsize=1)
def rows(loaded: Loaded) -> list[dict[str, Any]]:
    """In the order of the records. `runs`: places of its records in `loaded.records`."""
    found: dict[str, dict[str, Any]] = {}
    frame = runs_frame(loaded.records)
    for place, (record, said) in enumerate(zip(loaded.records, frame.to_dict("records"), strict=True)):
        row = found.setdefault(record.key, {**_named(record, said), "runs": []})
        row["runs"].append(
            {
                "seed": record.run["seed"],
                "run": place,
                "status": record.status,
                "failure": (said["failure"] or {}).get("reason"),
            }
        )
    for row in found.values():
        own = [loaded.records[each["run"]] for each in row["runs"]]
        done = [record for record in own if record.status == "done"]
        row |= _costs(done) | _kept(done)
        row["runs"].sort(key=lambda run: run["seed"])
    return list(found.values())


@lru_cache(maxsize=1)
def places(loaded: Loaded) -> dict[str, int]:
    """The place of each key's row."""
    return {row["key"]: place for place, row in enumerate(rows(loaded))}


def _named(record: Record, said: Mapping[str, Any]) -> dict[str, Any]:
    train = record.config.get("train", {})
    return {
        "key": record.key, **{name: said[name] for name in ("task", "model", "method", "label")},
        "task_label": said["task_label"], "model_label": said["model_label"],
        "targets": record.run.get("targets") or "", "recipe": record.run.get("recipe"),
        "rate": None if said["untrained"] else train.get("lr"),
        "steps": (record.train or {}).get("steps"), "batch": train.get("batch_size"),
        "settings": said["settings"], "warnings": [*said["warnings"], *said["remarks"]],
        "searched": "test" not in record.config.get("evaluate", {}).get("splits", ["test"]),
    }  # fmt: skip


def _costs(done: list[Record]) -> dict[str, Any]:
    """Of finished runs: counts of the first, the median of step times, the mean of the others."""
    trained = [record.train or {} for record in done]
    steps = [seconds for seconds in map(step_time, trained) if seconds is not None]
    return {
        "params": done[0].parameters.get("adapter") if done else None,
        "head": done[0].parameters.get("head") if done else None,
        "step_seconds": median(steps) if steps else None,
        "file_bytes": _mean([each.get("trained_bytes") for each in trained]),
        "peak_bytes": _mean([each.get("peak_bytes") for each in trained]),
    }


def _kept(done: list[Record]) -> dict[str, dict[str, float]]:
    """`kept`: means of what the records say of retention, by the names of retention.MEASURES; nothing where none is."""
    found = {name: fmean(values) for name, values in retention.by_measure(done).items()}
    return {"kept": found} if found else {}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
