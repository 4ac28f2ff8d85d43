"""Predictions, stored before they are scored; then every scorer over the same predictions."""

import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig
from torch import nn

from harness import distributed
from harness.record import summarise, summarise_corpus
from harness.run_folder import RunFolder
from harness.settings import SettingError
from tasks.base import Benchmark, CorpusScorer, MissingData, Scorer, Task

Wanted = Sequence[tuple[Benchmark, str]]  # with the split


class NotFinite(Exception):
    """The model predicts something that is not a number, as after a training that diverged."""

    agreed = True  # all ranks have the same predictions; see harness/distributed.py


def wanted(cfg: DictConfig, task: Task) -> Iterator[tuple[Benchmark, str]]:
    """Each benchmark and split that `cfg.evaluate` asks for and that the task has. Raises SettingError."""
    there = dict.fromkeys(split for benchmark in task.benchmarks.values() for split in benchmark.splits)
    for split in cfg.evaluate.splits:
        if split not in there:
            raise SettingError(f"evaluate.splits: task {task.name} has {', '.join(there)}, not {split!r}")
    names = list(task.benchmarks) if cfg.evaluate.benchmarks is None else list(cfg.evaluate.benchmarks)
    for name in names:
        if name not in task.benchmarks:
            raise SettingError(f"evaluate.benchmarks: task {task.name} has {', '.join(task.benchmarks)}, not {name!r}")
        benchmark = task.benchmarks[name]
        yield from ((benchmark, split) for split in cfg.evaluate.splits if split in benchmark.splits)


def at_hand(cfg: DictConfig, asked: Wanted, scores: dict[str, Any]) -> tuple[Wanted, dict[str, str]]:
    """Those of `asked` that are in `scores` or can be put there, and of each other benchmark why not, by name.

    Raises MissingData where `cfg.evaluate.benchmarks` names one whose files are missing, or nothing is left of a split.
    """
    wanted, missing = distributed.agreed(lambda: _at_hand(cfg, asked, scores))
    distributed.refuse_differing({"absent benchmarks": ", ".join(missing) or "none"})
    return wanted, missing


def _at_hand(cfg: DictConfig, asked: Wanted, scores: dict[str, Any]) -> tuple[Wanted, dict[str, str]]:
    wanted, missing = [], {}
    for benchmark, split in asked:
        try:
            if not is_scored(scores, benchmark, split):
                getattr(benchmark, "fetch", _nothing)()
            wanted.append((benchmark, split))
        except MissingData as error:
            if cfg.evaluate.benchmarks is not None:
                raise
            missing[benchmark.name] = error
    if {split for _, split in wanted} != {split for _, split in asked}:
        raise next(iter(missing.values()))
    return wanted, {name: str(error) for name, error in missing.items()}


def _nothing() -> None:
    return None


def tell_missing(missing: Mapping[str, str]) -> None:
    """At the end of a run that is all there is of it. Raises MissingData where it is not all that was asked for."""
    if missing:
        told = "; ".join(f"{name}: {why}" for name, why in missing.items())
        raise MissingData(
            f"not evaluated, {told}; the same command evaluates what has come by then, and evaluate.benchmarks=[...] "
            "asks for the others alone"
        )


def is_scored(scores: dict[str, Any], benchmark: Benchmark, split: str) -> bool:
    """Whether a record's `scores` have this split, of the data that the benchmark has now."""
    entry = scores.get(benchmark.name, {}).get(split)
    return entry is not None and entry["data"] == benchmark.fingerprint()


def evaluate(
    run: RunFolder, benchmark: Benchmark, modality, model: nn.Module, split: str, batch_size: int
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
        for sentence in said if distributed.is_main() else ():
            print(f"warning: {sentence}", file=sys.stderr)
        rows = [
            {"id": example.id, "prediction": prediction, "gold": modality.gold(example)}
            for example, prediction in zip(examples, predictions, strict=True)
        ]
        if names := getattr(modality, "class_names", ()):
            rows = [r | {"predicted_class": names[r["prediction"]], "gold_class": names[r["gold"]]} for r in rows]
        seconds = time.perf_counter() - started
        stored = {"data": data, "seconds": seconds, "generated_tokens": generated, "rows": rows}
        stored |= {"warnings": said} if said else {}
        stored |= {"generation": modality.used(benchmark)} if hasattr(modality, "used") else {}
        run.store_predictions(benchmark.name, split, stored)
    predictions = [row["prediction"] for row in stored["rows"]]
    golds = [row["gold"] for row in stored["rows"]]
    return {
        "metric": benchmark.metric,
        "n": len(golds),
        "data": data,
        "seconds": stored["seconds"],
        "generated_tokens": stored["generated_tokens"],
        **{name: stored[name] for name in ("generation", "warnings") if name in stored},
        "majority": majority(examples, golds),
        "scorers": {name: score(scorer, predictions, golds) for name, scorer in benchmark.scorers.items()},
    }


def predict(
    benchmark: Benchmark, modality, model: nn.Module, examples: Sequence[Any], batch_size: int, split: str
) -> tuple[list[Any], int, list[str]]:
    """Predictions in the order of `examples`, each rank making a share; tokens generated; sentences of warnings."""
    mine = distributed.shares(examples)

    def share() -> tuple[Sequence[Any], int]:
        return modality.predict(model, benchmark, mine, batch_size, f"{benchmark.name} {split}") if mine else ([], 0)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        made = distributed.gather(distributed.agreed(share))
    said = {str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)}
    said = sorted(set().union(*distributed.gather(said)))
    return distributed.whole([predictions for predictions, _ in made]), sum(tokens for _, tokens in made), said


def score(scorer: Scorer | CorpusScorer, predictions: Sequence[Any], golds: Sequence[Any]) -> dict[str, Any]:
    """The record's Score of these predictions."""
    if is_corpus(scorer):
        return summarise_corpus(scorer.metric, predictions, golds)
    verdicts = [scorer(prediction, gold) for prediction, gold in zip(predictions, golds, strict=True)]
    return summarise([v.correct for v in verdicts], [v.parsed for v in verdicts])


def mean_score(scorer: Scorer | CorpusScorer, predictions: Sequence[Any], golds: Sequence[Any]) -> float:
    """The score alone, without its standard error."""
    if is_corpus(scorer):
        return scorer.metric(predictions, golds)
    return score(scorer, predictions, golds)["mean"]


def is_corpus(scorer: Scorer | CorpusScorer) -> bool:
    return isinstance(scorer, CorpusScorer)


def majority(examples: Sequence[Any], golds: Sequence[Any]) -> float | None:
    """What answering the most frequent gold answer every time would score; None where answers are not given classes."""
    closed = all(isinstance(gold, int) for gold in golds) or all(getattr(e, "choices", ()) for e in examples)
    return Counter(golds).most_common(1)[0][1] / len(golds) if closed and golds else None
