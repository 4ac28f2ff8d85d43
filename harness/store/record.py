"""The record of a run: one JSON file, the only thing that tables and figures read.

    {schema, status, key, run, fingerprints, config, provenance, adapter, parameters, train, data, scores, failure,
     files, sha256}

    run           identity (the key without data and base), seeded (keys of the values that follow the seed), method,
                  task, model, recipe, seed, and the labels that tables print
    fingerprints  data, model and adapter, of which the key is made; model_content and adapter_content, where the key
                  has a name of them alone; tokenizer and preprocessor
    parameters    {adapter, head, frozen}: scalars; trainable = adapter + head
    adapter       {layers: names, trained_tensors: {first of each kind: shape}, warnings, decomposition_seconds,
                   classes: their names by index, if the task names them}
    train         {steps, loss: [[step, loss], ...], validation: [{step, loss, score}], best_step, watched: [{step,
                   score}] on data that select nothing, step_seconds, size: tokens or images trained on, peak_bytes,
                   trained_bytes: what was saved, method: what the method's callbacks report, if it has any,
                   warnings: what was said of the data before training, if anything}
    data          what was trained and tested on, see harness/run/data_report.py; absent in older records
    scores        {benchmark: {split: {metric, n, data: fingerprint, seconds, generated_tokens, majority: share of the
                   most frequent gold answer or null, generation: of a text, all settings of the search, warnings: if
                   there were any, scorers: {name: Score as below}}}}
    Score         {mean, standard_error, unparsed, items: "0110..." one character per example; null of a metric that is
                   no mean of verdicts}
    failure       {reason, step} or null
    files         {path in the folder of the run: SHA-256} of adapter/ and of the predictions behind the scores
    sha256        the seal, see harness/store/files.py; a record of schema 1 has neither it nor `files`

Every rate is in [0, 1], every correlation in [-1, 1], every time in seconds, every size in bytes.
"""

import math
import os
import random
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from errors import Damaged, RecordError
from harness.store.files import SEALED, UNSEALED, read_sealed, write_sealed

FILE = "record.json"
RESAMPLES = 200
RUN = {"task": str, "model": str, "method": str, "label": str, "seed": int}  # of section run, what a table needs

Status = Literal["running", "done", "failed"]
BEST_FIRST: tuple[Status, ...] = ("done", "running", "failed")  # of several records of one configuration and seed


@dataclass
class Record:
    key: str
    run: dict[str, Any]
    config: dict[str, Any]
    fingerprints: dict[str, str]
    provenance: dict[str, Any] = field(default_factory=dict)
    adapter: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    failure: dict[str, Any] | None = None
    files: dict[str, str] = field(default_factory=dict)
    status: Status = "running"
    schema: int = SEALED

    @property
    def num_trainable_params(self) -> int:
        return self.parameters["adapter"] + self.parameters["head"]


def summarise(correct: Sequence[bool], parsed: Sequence[bool]) -> dict[str, Any]:
    """Mean accuracy with its binomial standard error sqrt(p(1-p)/n), the rate of unparsed answers, and each verdict."""
    n = len(correct)
    mean = sum(correct) / n
    return {
        "mean": mean,
        "standard_error": math.sqrt(mean * (1 - mean) / n),
        "unparsed": 1 - sum(parsed) / n,
        "items": "".join("1" if c else "0" for c in correct),
    }


def summarise_corpus(
    metric: Callable[[Sequence[Any], Sequence[Any]], float], predictions: Sequence[Any], golds: Sequence[Any]
) -> dict[str, Any]:
    """A metric of all predictions together; its standard error is that of RESAMPLES bootstrap samples of the items."""
    n = len(golds)
    rng = random.Random(0)
    resampled = []
    for _ in range(RESAMPLES):
        drawn = rng.choices(range(n), k=n)
        resampled.append(metric([predictions[i] for i in drawn], [golds[i] for i in drawn]))
    return {
        "mean": metric(predictions, golds),
        "standard_error": statistics.stdev(resampled),
        "unparsed": 0.0,
        "items": None,
    }


def write(path: Path, value: Record) -> None:
    value.schema = SEALED
    write_sealed(path, asdict(value))


def read(path: Path) -> Record:
    """The record in file `path`. Raises RecordError where it is damaged, incomplete, or lies in another run's folder.

    A record of schema 1 has no seal: of damage to it, only what breaks its form is found.
    """
    try:
        values = read_sealed(path)
    except (Damaged, OSError) as error:
        reason = error.reason if isinstance(error, Damaged) else error.strerror
        raise RecordError(f"{path} is not a readable record: {reason}") from error
    if values.get("schema") not in (UNSEALED, SEALED):
        raise RecordError(f"{path} is not a record: it has no schema")
    try:
        found = Record(**values)
    except TypeError as error:
        raise RecordError(f"{path} is not a record of schema {values['schema']}: {error}") from error
    if problem := _problem(found) or _misplaced(found, path):
        raise RecordError(f"{path} is not a record of this run: {problem}")
    return found


def _problem(value: Record) -> str | None:
    """What is wrong with the form of a record."""
    if value.status not in get_args(Status):
        return f"its status is {value.status!r}, which is not one of {', '.join(get_args(Status))}"
    sections = [each.name for each in fields(Record) if each.name not in ("key", "failure", "status", "schema")]
    wrong = [name for name in sections if not isinstance(getattr(value, name), dict)]
    return f"its section {wrong[0]} is not an object" if wrong else None


def _uncountable(value: Record) -> str | None:
    """Why tables cannot have this record; most of what can happen to one without a seal."""
    if not isinstance(value.key, str):
        return "its key is not a text"
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


def _misplaced(value: Record, path: Path) -> str | None:
    """Why this is not the record of the folder that it is in, where folders are called <variant>-<key>/seed=<seed>."""
    seed, key = re.fullmatch(r"seed=(\d+)", path.parent.name), re.search("-([0-9a-f]{8})$", path.parent.parent.name)
    if seed and str(value.run.get("seed")) != seed[1]:
        return f"it is of seed {value.run.get('seed')}"
    if seed and key and value.key[:8] != key[1]:
        return f"it is of the key {value.key[:8]}"
    return None


def find(runs: Path) -> tuple[list[Record], list[str]]:
    """All records below `runs` that can be counted, and a sentence for each file that is none."""
    records, broken = [], []
    walked = os.walk(runs)  # bears runs that go on meanwhile
    folders = (Path(folder) for folder, inner, names in walked if FILE in names or FILE in inner)
    for path in sorted(folder / FILE for folder in folders):
        try:
            value = read(path)
        except RecordError as error:
            broken.append(str(error))
            continue
        if problem := _uncountable(value):
            broken.append(f"{path} is not a whole record: {problem}")
        else:
            records.append(value)
    return records, broken
