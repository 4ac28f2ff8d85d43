"""The record of a run: one JSON file, the only thing that tables and figures read.

    {schema, status, key, run, fingerprints, config, provenance, adapter, parameters, train, scores, failure}

    run           identity (of the configuration, without data and seed), method, task, model, recipe, seed, and the
                  labels that tables print
    parameters    {adapter, head, frozen}: scalars; trainable = adapter + head
    adapter       {layers: names, trained_tensors: {first of each kind: shape}, warnings, decomposition_seconds}
    train         {steps, loss: [[step, loss], ...], validation: [{step, loss, score}], best_step, watched: [{step,
                   score}] on data that select nothing, step_seconds, size: tokens or images trained on, peak_bytes,
                   trained_bytes: what was saved, method: what the method's callbacks report, if it has any}
    scores        {benchmark: {split: {metric, n, data: fingerprint, seconds, generated_tokens, majority: share of the
                   most frequent gold answer or null, warnings: if there were any, scorers: {name: Score as below}}}}
    Score         {mean, standard_error, unparsed, items: "0110..." one character per example; null of a metric that is
                   no mean of verdicts}
    failure       {reason, step} or null

Every rate is in [0, 1], every correlation in [-1, 1], every time in seconds, every size in bytes.
"""

import json
import math
import os
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

SCHEMA = 1
FILE = "record.json"
RESAMPLES = 200

Status = Literal["running", "done", "failed"]


class RecordError(Exception):
    """A record that cannot be used; the message names the file and says why."""


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
    scores: dict[str, Any] = field(default_factory=dict)
    failure: dict[str, Any] | None = None
    status: Status = "running"
    schema: int = SCHEMA

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


def read(path: Path) -> Record:
    """The record in file `path`. Raises RecordError where it is truncated, of another schema, or incomplete."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RecordError(f"{path} is not a readable record: {error}") from error
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise RecordError(f"{path} is not a record of schema {SCHEMA}")
    try:
        return Record(**values)
    except TypeError as error:
        raise RecordError(f"{path} is not a record of schema {SCHEMA}: {error}") from error


def find(runs: Path) -> tuple[list[Record], list[str]]:
    """All readable records below `runs`, and a sentence for each file that is not one."""
    records, broken = [], []
    folders = (Path(folder) for folder, _, files in os.walk(runs) if FILE in files)  # bears runs that go on meanwhile
    for path in sorted(folder / FILE for folder in folders):
        try:
            records.append(read(path))
        except RecordError as error:
            broken.append(str(error))
    return records, broken
