"""Predictions to scores, by a scorer of each answer, or by one of all of them together."""

from collections.abc import Sequence
from typing import Any

from harness.store.record import summarise, summarise_corpus, summarise_values
from tasks.base import AnyScorer, CorpusScorer, ValueScorer


def score(scorer: AnyScorer, predictions: Sequence[Any], golds: Sequence[Any]) -> dict[str, Any] | None:
    """The record's Score of these predictions; None where they do not say what the scorer asks for."""
    if isinstance(scorer, ValueScorer):
        values = [scorer.value(prediction, gold) for prediction, gold in zip(predictions, golds, strict=True)]
        return None if None in values else summarise_values(values)
    if is_corpus(scorer):
        return summarise_corpus(scorer.metric, predictions, golds)
    verdicts = [scorer(prediction, gold) for prediction, gold in zip(predictions, golds, strict=True)]
    return summarise([v.correct for v in verdicts], [v.parsed for v in verdicts])


def mean_score(scorer: AnyScorer, predictions: Sequence[Any], golds: Sequence[Any]) -> float:
    """The score alone, without its standard error."""
    if is_corpus(scorer):
        return scorer.metric(predictions, golds)
    return score(scorer, predictions, golds)["mean"]


def is_corpus(scorer: AnyScorer) -> bool:
    return isinstance(scorer, CorpusScorer)
