"""The record of a run: one JSON file, the only thing that tables and figures read.

    {schema, status, key, run, fingerprints, config, provenance, adapter, parameters, train, data, scores, retention,
     failure, files, sha256}

    run           identity (the key without data and base), seeded (keys of the values that follow the seed), method,
                  task, model, recipe, seed, and the labels that tables print
    fingerprints  data, model and adapter, of which the key is made; model_content and adapter_content, where the key
                  has a name of them alone; tokenizer and preprocessor
    parameters    {adapter, head, frozen}: scalars; trainable = adapter + head
    provenance    {code, packages, device; sources: {folder: its SOURCE.json} of base and data, where they have one}
    adapter       {layers: names, trained_tensors: {first of each kind: shape}, warnings, decomposition_seconds,
                   classes: their names by index, if the task names them, start_distance: from the base, relative to
                   the weights' norm, of a method that starts elsewhere}
    train         {steps, loss: [[step, loss], ...], validation: [{step, loss, score}], best_step, watched: [{step,
                   score}] on data that select nothing, step_seconds: their sum, step_times: {median, quartiles,
                   measured: so many steps, first: those of a process that are told apart, cpu_seconds of all threads,
                   queued_seconds that they waited for a core, or null}, size: tokens or images trained on, peak_bytes,
                   trained_bytes: what was saved, method: what the method's callbacks report, if it has any,
                   warnings: what was said of the data before training, if anything}
    data          what was trained and tested on, see harness/run/data_report.py; absent in older records
    scores        {benchmark: {split: {metric, n, data: fingerprint, seconds, generated_tokens, majority: share of the
                   most frequent gold answer or null, generation: of a text, all settings of the search, warnings: if
                   there were any, metrics: {name: SHA-256 of the code} of a user's own, if any, scorers: {name: Score
                   as below}}}}
    Score         {mean, standard_error, unparsed, items: "0110..." one character per example; null of a metric that is
                   no mean of verdicts, values: of a loss, one number per example}
    retention     how far the model moved from its base, see harness/retention/section.py; empty where it was not
                   measured, absent in older records
    failure       {reason, step} or null
    files         {path in the folder of the run: SHA-256} of adapter/ and of the predictions behind the scores
    sha256        the seal, see harness/store/files.py

Records of schema 1 have neither `sha256` nor `files`. They are read by harness/seal.py alone, which seals them.

Every rate is in [0, 1], every correlation in [-1, 1], every loss in nats, every time in seconds, every size in bytes.
"""

import math
import os
import random
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from errors import Damaged, RecordError
from harness.store.files import SEALED, read_json, read_sealed, write_sealed

FILE = "record.json"
RESAMPLES = 200
DIGITS = 6  # of the loss of an example
LEAST_CPU, MOST_QUEUED = 0.8, 0.1  # of the seconds of the steps: below and above these the machine was busy

Status = Literal["running", "done", "failed"]
UNSEALED = 1  # the schema of records that are older than seals
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
    retention: dict[str, Any] = field(default_factory=dict)
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
    """A metric of all predictions together; its standard error is that of RESAMPLES bootstrap samples of the items.

    Samples for which the metric is no finite number, as a rate of a class that is not in them, are left out.
    """
    n = len(golds)
    rng = random.Random(0)
    resampled = []
    for _ in range(RESAMPLES):
        drawn = rng.choices(range(n), k=n)
        resampled.append(metric([predictions[i] for i in drawn], [golds[i] for i in drawn]))
    finite = list(filter(math.isfinite, resampled))
    return {
        "mean": metric(predictions, golds),
        "standard_error": statistics.stdev(finite) if len(finite) > 1 else math.nan,
        "unparsed": 0.0,
        "items": None,
    }


def summarise_values(values: Sequence[float]) -> dict[str, Any]:
    """Mean, with its standard error s / sqrt(n), of a loss of each item; and each of them."""
    n = len(values)
    return {
        "mean": statistics.fmean(values),
        "standard_error": statistics.stdev(values) / math.sqrt(n) if n > 1 else 0.0,
        "unparsed": 0.0,
        "items": None,
        "values": [round(value, DIGITS) for value in values],
    }


def step_time(train: Mapping[str, Any]) -> float | None:
    """Seconds of a typical step: the median, of older records the mean; None where there was no step."""
    if times := train.get("step_times"):
        return times["median"]
    seconds, steps = train.get("step_seconds"), train.get("steps")
    return seconds / steps if steps and seconds is not None else None


def was_crowded(value: Record) -> bool:
    """Whether other processes held the cores while it trained, so that its seconds are not those of its arithmetic.

    Its threads waited for a core in more than a tenth of the time, or on a CPU the process got less than one core.
    Older records do not tell.
    """
    train = value.train or {}
    times, seconds = train.get("step_times"), train.get("step_seconds")
    if not times or not seconds:
        return False
    on_cpu = value.provenance.get("device", {}).get("type") == "cpu"
    starved = on_cpu and times["cpu_seconds"] < LEAST_CPU * seconds
    return starved or (times["queued_seconds"] or 0.0) > MOST_QUEUED * seconds


def shown(score: Mapping[str, Any], *, error: bool = False) -> str:
    """A Score as text: per cent, or of a loss nats; error: with its standard error."""
    form = "{:.3f}" if "values" in score else "{:.1%}"
    numbers = [score["mean"], *([score["standard_error"]] if error else [])]
    return " ± ".join(map(form.format, numbers))


def write(path: Path, value: Record) -> None:
    value.schema = SEALED
    write_sealed(path, asdict(value))


def read(path: Path) -> Record:
    """The record in file `path`. Raises RecordError where it is damaged or incomplete, or is that of another run."""
    try:
        return of_this_run(read_sealed(path), path)
    except (Damaged, OSError) as error:
        reason = error.reason if isinstance(error, Damaged) else error.strerror
        raise RecordError(f"{path} is not a readable record: {reason}{_remedy(path)}") from error


def _remedy(path: Path) -> str:
    """What to do about a record of an earlier version; nothing of others."""
    try:
        content = read_json(path)
    except (Damaged, OSError):
        return ""
    if content.get("schema") != UNSEALED or "sha256" in content:
        return ""
    return ", since an earlier version wrote it; `python -m harness.seal RUNS` seals all records in the folder RUNS"


def of_this_run(values: Mapping[str, Any], path: Path) -> Record:
    """`values` as a record. Raises RecordError where they are none, or not of the run whose folder `path` is in."""
    try:
        found = Record(**values)
    except TypeError as error:
        raise RecordError(f"{path} is not a record of schema {values.get('schema')}: {error}") from error
    if problem := _problem(found) or _misplaced(found, path):
        raise RecordError(f"{path} is not a record of this run: {problem}")
    return found


def _problem(value: Record) -> str | None:
    """What is wrong with the form of a record."""
    if not isinstance(value.key, str):
        return "its key is not a text"
    if value.status not in get_args(Status):
        return f"its status is {value.status!r}, which is not one of {', '.join(get_args(Status))}"
    sections = [each.name for each in fields(Record) if each.name not in ("key", "failure", "status", "schema")]
    wrong = [name for name in sections if not isinstance(getattr(value, name), dict)]
    return f"its section {wrong[0]} is not an object" if wrong else None


def _misplaced(value: Record, path: Path) -> str | None:
    """Why this is not the record of the folder that it is in, where folders are called <variant>-<key>/seed=<seed>."""
    seed, key = re.fullmatch(r"seed=(\d+)", path.parent.name), re.search("-([0-9a-f]{8})$", path.parent.parent.name)
    if seed and str(value.run.get("seed")) != seed[1]:
        return f"it is of seed {value.run.get('seed')}"
    if seed and key and value.key[:8] != key[1]:
        return f"it is of the key {value.key[:8]}"
    return None


def find(runs: Path) -> tuple[list[Record], list[str]]:
    """All records below `runs` that can be read, and a sentence for each file that is none."""
    records, broken = [], []
    for path in paths(runs):
        try:
            records.append(read(path))
        except RecordError as error:
            broken.append(str(error))
    return records, broken


def paths(runs: Path) -> list[Path]:
    """Whatever is called as a record below `runs`, in the order of names."""
    walked = os.walk(runs)  # which does not mind runs that go on meanwhile
    return sorted(Path(folder, FILE) for folder, inner, names in walked if FILE in names or FILE in inner)
