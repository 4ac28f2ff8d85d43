"""Predictions, stored before they are scored; then every scorer over the same predictions."""

import time
from typing import Any

from torch import nn

from harness.record import summarise
from harness.run_folder import RunFolder
from tasks.base import Task


def evaluate(run: RunFolder, task: Task, modality, model: nn.Module, split: str, batch_size: int) -> dict[str, Any]:
    """The record's entry for one split of one benchmark. Predictions that are already stored are not made again."""
    examples = task.examples(split)
    stored = run.stored_predictions(task.name, split)
    if stored is None:
        started = time.perf_counter()
        predictions, generated = modality.predict(model, examples, batch_size, f"{task.name} {split}")
        rows = [
            {"id": example.id, "prediction": prediction, "gold": modality.gold(example)}
            for example, prediction in zip(examples, predictions, strict=True)
        ]
        stored = {"seconds": time.perf_counter() - started, "generated_tokens": generated, "rows": rows}
        run.store_predictions(task.name, split, stored)
    return {
        "metric": task.metric,
        "n": len(stored["rows"]),
        "seconds": stored["seconds"],
        "generated_tokens": stored["generated_tokens"],
        "scorers": {name: _score(scorer, stored["rows"]) for name, scorer in task.scorers.items()},
    }


def _score(scorer, rows: list[dict[str, Any]]) -> dict[str, Any]:
    verdicts = [scorer(row["prediction"], row["gold"]) for row in rows]
    return summarise([v.correct for v in verdicts], [v.parsed for v in verdicts])
