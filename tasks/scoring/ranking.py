"""Scorers of questions whose answers are ranked by their likelihood.

A prediction is {"likeliest": the choice with the greatest likelihood, "log_likelihoods": log p(choice | prompt) in nats,
summed over its tokens, by choice}. The loss says more of an answer than whether it is right: it tells two models apart
by fewer questions. It is of the text that the choice is, so longer answers have greater losses.
"""

from collections.abc import Mapping
from typing import Any

from tasks.base import ItemScore


def likeliest(prediction: Mapping[str, Any], gold: str) -> ItemScore:
    """Whether the choice with the greatest likelihood among those offered is `gold`."""
    return ItemScore(correct=prediction["likeliest"] == gold)


def answer_loss(prediction: Mapping[str, Any], gold: str) -> float | None:
    """-log p(gold | prompt), in nats; None of predictions without likelihoods, which earlier versions stored."""
    likelihoods = prediction.get("log_likelihoods")
    return None if likelihoods is None else -likelihoods[gold]
