"""What numbers must share to be compared, whatever their runs are called: the data and the base, by fingerprints."""

from collections.abc import Sequence

import pandas as pd

from errors import RecordError
from harness.store.record import Record

Ground = dict[str, str]  # data, base: fingerprints, empty where unknown


def ground(record: Record) -> Ground:
    return {"data": record.fingerprints.get("data", ""), "base": record.fingerprints.get("model", "")}


def short(fingerprint: str | None) -> str | None:
    """A hub id and revision whole, of a digest the first eight digits."""
    return fingerprint if fingerprint is None or "@" in fingerprint else fingerprint[:8]


def told_apart(runs: pd.DataFrame) -> dict[str, Ground]:
    """The grounds of these runs by what tells them apart, "base 1a2b3c4d"; empty where all have the same."""
    grounds = runs[["data", "base"]].drop_duplicates()
    differing = [column for column in ("base", "data") if grounds[column].nunique() > 1]
    named = {
        " ".join(f"{column} {short(row[column])}" for column in differing): row for row in grounds.to_dict("records")
    }
    return dict(sorted(named.items())) if differing else {}


def refuse_mixed(runs: Sequence[Record]) -> None:
    """Raise RecordError where runs of one configuration differ in it, or in what else `_shared` names.

    Their mean would be one of nothing.
    """
    told: dict[str, tuple[Record, str]] = {}  # the first run that says it, and what it says
    for run in runs:
        for what, value in _shared(run).items():
            first, there = told.setdefault(what, (run, value))
            if value != there:
                raise RecordError(
                    f"{run.run['label']}, {run.run['task']}, {run.run['model']}: seeds {first.run['seed']} and "
                    f"{run.run['seed']} have different {what} ({there[:8]}, {value[:8]}); move one away"
                )


def _shared(run: Record) -> dict[str, str]:
    """By what it is; the data of a split that was not scored, or of which an older record does not say them, is not."""
    scored = {
        f"data of {benchmark} {split}": entry["data"]
        for benchmark, splits in run.scores.items()
        for split, entry in splits.items()
        if "data" in entry
    }
    metrics = {
        f"code of the metric {name} of {benchmark} {split}": version
        for benchmark, splits in run.scores.items()
        for split, entry in splits.items()
        for name, version in entry.get("metrics", {}).items()
    }
    files = {name: run.fingerprints.get(name, "") for name in ("tokenizer", "adapter")}
    return {**ground(run), **files, **scored, **metrics}
