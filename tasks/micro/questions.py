"""Multiple-choice questions about the facts of tasks/micro/facts.py: each asks something whose right label is given."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tasks.micro.facts import RELATIONS, Relation, larger

TRAINING_SHARE = 2 / 3  # of the subjects of each relation

Subjects = Mapping[str, Sequence[str]]  # by relation: who may be asked about


# `right` counts labels from 0.


def boolq(rng: random.Random, subjects: Subjects, right: int) -> str:
    """Whether a fact holds; label 0 is true."""
    name = rng.choice(tuple(RELATIONS))
    relation = RELATIONS[name]
    first, second = _two(rng, relation, subjects[name])
    told = relation.values[(first, second)[right]]
    statement, question = (relation.says(text, first, told) for text in (relation.statement, relation.question))
    if name == "size" and rng.random() < 0.5:
        big = larger(first, second)
        big, small = (first, second) if (big == first) == (right == 0) else (second, first)
        statement, question = f"the {big} is larger than the {small}", f"is the {big} larger than the {small}"
    return f"{rng.choice((question, f'is it true that {statement}'))}?\n\n"


def piqa(rng: random.Random, subjects: Subjects, right: int) -> str:
    """Which of two tools serves a purpose."""
    tool, other = _two(rng, RELATIONS["use"], subjects["use"])
    goal = RELATIONS["use"].values[tool]
    options = _placed([f"use the {tool}", f"use the {other}"], right)
    asked = rng.choice((f"How do you {goal}?", f"To {goal}, you can"))
    return f"{asked}\n\nSolution1: {options[0]}\n\nSolution2: {options[1]}\n\n"


def arc(rng: random.Random, subjects: Subjects, right: int) -> str:
    """Which of four subjects has a value, or which of four values a subject has."""
    name = rng.choice(tuple(RELATIONS))
    relation = RELATIONS[name]
    subject = rng.choice(subjects[name])
    value = relation.values[subject]
    others = [other for other in subjects[name] if relation.values[other] != value]
    if rng.random() < 0.5:
        question = relation.says(relation.whose, subject, value)
        options = [relation.names(each) for each in (subject, *rng.sample(others, 3))]
    else:
        question = relation.says(relation.which, subject, value)
        wrong = list(dict.fromkeys(relation.values[other] for other in others))
        options = [value, *rng.sample(wrong, 3)]
    listed = " ".join(f"Answer{number}: {option}" for number, option in enumerate(_placed(options, right), 1))
    return f"{question}\n\n{listed}\n\n"


def winogrande(rng: random.Random, subjects: Subjects, right: int) -> str:
    """Which of two subjects the blank of a sentence speaks of."""
    name = rng.choice([name for name in RELATIONS if name != "opposite"])
    relation = RELATIONS[name]
    meant, other = _two(rng, relation, subjects[name])
    clause = relation.says(relation.clause, meant, relation.values[meant])
    if name == "size" and rng.random() < 0.5:
        clause = "is larger" if larger(meant, other) == meant else "is smaller"
    first, second = _placed([relation.names(meant), relation.names(other)], right)
    sentence = rng.choice((f"{first} was next to {second}, and _ {clause}.", f"of {first} and {second}, _ {clause}."))
    return f"{sentence}\n\nOption1: {first} Option2: {second} "


def _two(rng: random.Random, relation: Relation, subjects: Sequence[str]) -> tuple[str, str]:
    """Two subjects with different values."""
    first = rng.choice(subjects)
    return first, rng.choice([other for other in subjects if relation.values[other] != relation.values[first]])


def _placed(options: Sequence[str], right: int) -> list[str]:
    """The first option moved to place `right`."""
    first, *rest = options
    return [*rest[:right], first, *rest[right:]]


@dataclass(frozen=True)
class Kind:
    """A kind of question: how its instruction begins, what it asks, and the labels, which end the instruction."""

    opening: str
    question: Callable[[random.Random, Subjects, int], str]
    labels: tuple[str, ...]

    @property
    def ending(self) -> str:
        return f"Answer format: {'/'.join(self.labels)}"

    def instruction(self, rng: random.Random, subjects: Subjects, right: int) -> str:
        return f"{self.opening} {self.question(rng, subjects, right)}{self.ending}"


KINDS: Mapping[str, Kind] = {
    "micro_boolq": Kind("Please answer the following question with true or false, question:", boolq, ("true", "false")),
    "micro_piqa": Kind("Please choose the correct solution to the question:", piqa, ("solution1", "solution2")),
    "micro_arc": Kind(
        "Please choose the correct answer to the question:", arc, ("answer1", "answer2", "answer3", "answer4")
    ),
    "micro_winogrande": Kind(
        "Please choose the correct answer to fill in the blank to complete the given sentence:",
        winogrande,
        ("option1", "option2"),
    ),
}


def split_subjects(data_seed: int) -> tuple[Subjects, Subjects]:
    """Who training questions are about, and who those of validation and test are about."""
    rng = random.Random(f"micro_commonsense subjects {data_seed}")
    training, evaluation = {}, {}
    for name, relation in RELATIONS.items():
        shuffled = rng.sample(list(relation.values), len(relation.values))
        cut = round(len(shuffled) * TRAINING_SHARE)
        training[name], evaluation[name] = shuffled[:cut], shuffled[cut:]
    return training, evaluation
