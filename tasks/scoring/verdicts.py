"""What scorers share: a verdict on one item, and how much of a text is read."""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from tasks.base import ItemScore

UNPARSED = ItemScore(correct=False, parsed=False)

LONGEST_TEXT = 2**20  # characters: what 2,048 tokens of 512 each would spell. No honest answer comes near.


def of_bounded_text(scorer: Callable[[str, str], ItemScore]) -> Callable[[str, str], ItemScore]:
    """The same scorer, except that it takes a text longer than LONGEST_TEXT for an empty one."""

    @wraps(scorer)
    def bounded(text: str, gold: str) -> ItemScore:
        return scorer(text if len(text) <= LONGEST_TEXT else "", gold)

    return bounded


def exact_class(prediction: int, gold: int) -> ItemScore:
    """Verdict on a predicted class index."""
    return ItemScore(correct=bool(prediction == gold))


# Of questions whose answers are ranked, a prediction is {"likeliest": the choice with the greatest likelihood,
# "log_likelihoods": by choice log p(choice | prompt) in nats, summed over its tokens}.


def likeliest(prediction: Mapping[str, Any], gold: str) -> ItemScore:
    """Whether the choice with the greatest likelihood among those offered is `gold`."""
    return ItemScore(correct=prediction["likeliest"] == gold)


def answer_loss(prediction: Mapping[str, Any], gold: str) -> float | None:
    """-log p(gold | prompt), in nats; None of predictions without likelihoods, which earlier versions stored.

    It says more than whether an answer is right, so it tells two models apart by fewer questions. It is of the text
    that the choice is: longer answers have greater losses.
    """
    likelihoods = prediction.get("log_likelihoods")
    return None if likelihoods is None else -likelihoods[gold]


def cut_at_stop(text: str, stops: Iterable[str]) -> str:
    """`text` before the first occurrence of any stop string."""
    found = [text.find(stop) for stop in stops if stop]
    return text[: min((at for at in found if at >= 0), default=len(text))]
