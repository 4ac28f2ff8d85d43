"""Scorers of the multiple-choice questions of LLM-Adapters (arXiv:2304.01933), and the labels that answers name.

The same model is scored on what it writes (`legacy`, as released) and on which of the offered answers it finds
likeliest (`strict`), which no slip of format can lower.
"""

import re
from collections.abc import Mapping
from typing import Any

from tasks.base import ItemScore
from tasks.scoring import verdicts
from tasks.scoring.verdicts import UNPARSED, of_bounded_text

_ANSWERS = ("answer1", "answer2", "answer3", "answer4", "answer5")
# The words that the released evaluation looks for, by benchmark, in the order of SVFT's Tables 2 and 8.
LABELS: Mapping[str, tuple[str, ...]] = {
    "boolq": ("true", "false"),
    "piqa": ("solution1", "solution2"),
    "siqa": _ANSWERS,
    "hellaswag": ("ending1", "ending2", "ending3", "ending4"),
    "winogrande": ("option1", "option2"),
    "arc_e": _ANSWERS,
    "arc_c": _ANSWERS,
    "obqa": _ANSWERS,
}


def choice(label: str) -> str:
    """The answer that names `label`, as it follows a prompt."""
    return f"the correct answer is {label}"


def family(gold: str) -> tuple[str, ...]:
    """The labels among which the released evaluation looks for `gold`. Raises ValueError where it is none of them."""
    for labels in LABELS.values():
        if gold in labels:
            return labels
    raise ValueError(f"the gold answer {gold!r} is none of the labels {', '.join(known_labels())}")


def legacy(prediction: Mapping[str, Any], gold: str) -> ItemScore:
    """The first label in the generated text, as LLM-Adapters' `extract_answer` finds it: anywhere, case-sensitive.

    An option that is echoed counts as an answer, and "answer11" as answer1.
    """
    return _first_label(prediction["text"], gold)


@of_bounded_text
def _first_label(text: str, gold: str) -> ItemScore:
    response, _, _ = text.partition("### Response:")
    found = re.search("|".join(family(gold)), response)
    return UNPARSED if found is None else ItemScore(correct=found.group() == gold)


def strict(prediction: Mapping[str, Any], gold: str) -> ItemScore:
    """Whether the answer with the greatest likelihood among those offered is the gold one."""
    return verdicts.likeliest(prediction, choice(gold))


def answer_loss(prediction: Mapping[str, Any], gold: str) -> float | None:
    """-log p of the gold answer, "the correct answer is <label>", in nats."""
    return verdicts.answer_loss(prediction, choice(gold))


def known_labels() -> list[str]:
    return list(dict.fromkeys(label for labels in LABELS.values() for label in labels))
