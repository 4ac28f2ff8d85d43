"""Predictions to scores, by a scorer of each answer or by one of all of them together."""

from collections.abc import Sequence
from typing import Any

from harness.store.record import summarise, summarise_corpus
from tasks.base import CorpusScorer, Scorer


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
