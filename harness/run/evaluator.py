"""Predictions are made and stored; then every scorer of the benchmark scores the same predictions."""

import math
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import nn

from errors import NotFinite
from harness.modality.interface import Modality
from harness.plan import splits
from harness.ranks import distributed
from harness.store.run_folder import RunFolder
from harness.train.scores import score
from tasks.base import Benchmark


def evaluate(
    run: RunFolder, benchmark: Benchmark, modality: Modality, model: nn.Module, split: str, batch_size: int
) -> dict[str, Any]:
    """The record's entry for one split of one benchmark. Predictions that are already stored are not made again."""
    examples = benchmark.examples(split)
    data = benchmark.fingerprint()
    stored = run.stored_predictions(benchmark.name, split)
    if stored is None or stored["data"] != data:
        started = time.perf_counter()
        predictions, generated, said = predict(benchmark, modality, model, examples, batch_size, split)
        if any(isinstance(prediction, float) and not math.isfinite(prediction) for prediction in predictions):
            raise NotFinite(f"a prediction for {benchmark.name} {split} is not a finite number")
        for sentence in said:
            distributed.warn(sentence)
        rows = [
            {"id": example.id, "prediction": prediction, "gold": modality.gold(example)}
            for example, prediction in zip(examples, predictions, strict=True)
        ]
        if names := modality.class_names:
            rows = [r | {"predicted_class": names[r["prediction"]], "gold_class": names[r["gold"]]} for r in rows]
        seconds = time.perf_counter() - started
        stored = {"data": data, "seconds": seconds, "generated_tokens": generated, "rows": rows}
        stored |= {"warnings": said} if said else {}
        stored |= {"generation": used} if (used := _of_all_ranks(modality.used(benchmark))) else {}
        run.store_predictions(benchmark.name, split, stored)
    predictions = [row["prediction"] for row in stored["rows"]]
    golds = [row["gold"] for row in stored["rows"]]
    scored = {name: score(scorer, predictions, golds) for name, scorer in benchmark.scorers.items()}
    return {
        "metric": benchmark.metric,
        "n": len(golds),
        "data": data,
        "seconds": stored["seconds"],
        "generated_tokens": stored["generated_tokens"],
        **{name: stored[name] for name in ("generation", "warnings") if name in stored},
        **({"metrics": metrics} if (metrics := splits.versions(benchmark)) else {}),
        "majority": majority(examples, golds),
        "scorers": {
            name: _finite(f"{name} of {benchmark.name} {split}", found)
            for name, found in scored.items()
            if found is not None
        },
    }


def _of_all_ranks(used: dict[str, Any]) -> dict[str, Any]:
    """What all ranks say; of what they do not say alike, since each checks its engine itself, a list of it."""
    first, *others = distributed.gather(used)
    return {
        name: value if all(other[name] == value for other in others) else [value, *(other[name] for other in others)]
        for name, value in first.items()
    }


def _finite(what: str, found: dict[str, Any]) -> dict[str, Any]:
    for name in ("mean", "standard_error"):
        if not math.isfinite(found[name]):
            raise NotFinite(f"{what} has the {name.replace('_', ' ')} {found[name]}, which is not a finite number")
    return found


def predict(
    benchmark: Benchmark, modality: Modality, model: nn.Module, examples: Sequence[Any], batch_size: int, split: str
) -> tuple[list[Any], int, list[str]]:
    """Predictions in the order of `examples`, each rank making a share; tokens generated; sentences of warnings."""
    mine = distributed.shares(examples)

    def share() -> tuple[Sequence[Any], int]:
        return modality.predict(model, benchmark, mine, batch_size, f"{benchmark.name} {split}") if mine else ([], 0)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        made = distributed.gather(distributed.call_together(share))
    said = {str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)}
    said = sorted(set().union(*distributed.gather(said)))
    return distributed.interleaved([predictions for predictions, _ in made]), sum(tokens for _, tokens in made), said


def majority(examples: Sequence[Any], golds: Sequence[Any]) -> float | None:
    """What answering the most frequent gold answer every time would score; None where answers are not given classes."""
    closed = all(isinstance(gold, int) for gold in golds) or all(example.choices for example in examples)
    return Counter(golds).most_common(1)[0][1] / len(golds) if closed and golds else None
