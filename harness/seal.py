"""Seal the records of earlier versions, which had no SHA-256 of themselves and of the files beside them.

    python -m harness.seal runs

A record is refused where its form or its own numbers are wrong, or where a file beside it does not fit. Nothing else of
it changes. Of a finished run, predictions stay as they are; the record gets their SHA-256. Those of a run that is not
done have no record to vouch for them, so the run makes them again.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from errors import Damaged, RecordError, UserError
from harness.store import disk, files, record
from harness.store.record import Record
from harness.store.run_folder import RunFolder
from harness.store.stored import PREDICTED, TRAIN, Stored

RUN = {"task": str, "model": str, "method": str, "label": str, "seed": int}  # what tables need of section run


def seal(path: Path) -> bool:
    """Whether the record in file `path` had no seal; it has one now.

    Raises RecordError, Damaged, Busy or DiskError. The record is written last, so that a run that was only half sealed
    is one without a seal, to which the same command may come again.
    """
    values = files.read_json(path)
    if values.get("schema") != record.UNSEALED or "sha256" in values:
        record.read(path)
        return False
    value = record.of_this_run(values, path)
    if problem := _problem(value):
        raise RecordError(f"{path} is not a complete record: {problem}")
    with RunFolder(path.parent, value):
        stored = Stored(path.parent, value)
        _seal_adapter(stored)
        for each in sorted(stored.predictions.glob("*.json")):
            _check_predictions(each, value)
            value.files[f"{stored.predictions.name}/{each.name}"] = files.sha256(each)
        files.write_sealed(path, {**values, "files": value.files})
    return True


def _seal_adapter(stored: Stored) -> None:
    """The files of the adapter get into the record's `files`."""
    path, value = stored.adapter / TRAIN, stored.record
    if not path.exists():
        return
    section = files.read_json(path)
    if "sha256" not in section:
        if section.get("loss") != value.train.get("loss", section.get("loss")):
            raise Damaged(path, "its losses are not those of the record")
        beside = {name: digest for name, digest in files.sums(stored.adapter).items() if name != TRAIN}
        files.write_sealed(path, {"key": value.key, "seed": value.run["seed"], "files": beside, "train": section})
    stored.train_section()


def _check_predictions(path: Path, value: Record) -> None:
    """Raise Damaged where these cannot be the predictions that the record has scores of."""
    content = files.read_json(path)
    if missing := PREDICTED - content.keys():
        raise Damaged(path, f"it has no {', '.join(sorted(missing))}")
    benchmark, _, split = path.stem.rpartition("-")
    scored = value.scores.get(benchmark, {}).get(split)
    if scored and (len(content["rows"]), content["data"]) != (scored["n"], scored.get("data", content["data"])):
        raise Damaged(path, f"its rows are not the {scored['n']} that the record has scores of")


def _problem(value: Record) -> str | None:
    """What is wrong with a record, as far as its form and its own numbers tell."""
    if lacking := [name for name, kind in RUN.items() if not isinstance(value.run.get(name), kind)]:
        return f"its section run has no {lacking[0]}"
    if wrong := [name for name in ("steps", "step_seconds") if not isinstance(value.train.get(name, 0), int | float)]:
        return f"train.{wrong[0]} is not a number"
    entries = [
        (f"scores.{benchmark}", splits if isinstance(splits, dict) else {"": splits})
        for benchmark, splits in value.scores.items()
    ]
    found = (_wrong_score(entry, f"{name}.{split}") for name, splits in entries for split, entry in splits.items())
    return next((problem for problem in found if problem), None)


def _wrong_score(entry: Any, name: str) -> str | None:
    """What is wrong with the form of the scores of one benchmark and split."""
    if not isinstance(entry, dict) or not isinstance(entry.get("scorers"), dict):
        return f"{name} has no scorers"
    if not (isinstance(entry.get("metric"), str) and isinstance(entry.get("n"), int)):
        return f"{name} has no metric or no n"
    for scorer, score in entry["scorers"].items():
        mean, items = (score.get(key) for key in ("mean", "items")) if isinstance(score, dict) else ("", None)
        if not (isinstance(mean, int | float) or mean is None):
            return f"the mean of {name}.{scorer} is not a number"
        if isinstance(items, str) and not _is_mean_of(items, mean, entry["n"]):
            return f"the mean of {name}.{scorer} is not that of its {entry['n']} items"
    return None


def _is_mean_of(items: str, mean: float | None, n: int) -> bool:
    counted = items.count("1"), items.count("0")
    return sum(counted) == len(items) == n > 0 and mean is not None and abs(mean - counted[0] / n) < 1e-12


@disk.tells_disk_errors()
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m harness.seal", description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, help="a folder with runs in it, at any depth")
    runs = parser.parse_args(arguments).runs
    if not runs.is_dir():
        parser.error(f"there is no folder {runs}")
    counts = {True: 0, False: 0}
    refused = 0
    for path in record.paths(runs):
        try:
            counts[seal(path)] += 1
        except UserError as error:
            refused += 1
            print(f"error: {error}", file=sys.stderr)
    print(f"{counts[True]} records sealed, {counts[False]} had a seal, {refused} refused")
    return int(refused > 0)


if __name__ == "__main__":
    sys.exit(main())
