"""Multiple-choice questions about a small world, drawn from a seeded generator: Commonsense-15K in small.

Rows have the columns of the real data, and prompts, labels and scorers are the real ones (`tasks/commonsense.py`), so a
run takes the same path. The facts are in `tasks/micro_facts.py`. Of each relation, validation and test ask about other
subjects than the training questions do: who answers must know the facts beforehand.
"""

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

from errors import DataError
from tasks import prompts
from tasks.base import SplitName, TextExample
from tasks.commonsense import LOSS_ON, LabelBenchmark, Row, asked, choice, questions
from tasks.micro_facts import RELATIONS, Relation, larger

GENERATOR_VERSION = 1  # Raise it with every change that alters a question.
TRAINING_SHARE = 2 / 3  # of the subjects of each relation
LONGEST_SEARCH = 10_000  # draws in a row without a new question

Subjects = Mapping[str, Sequence[str]]  # by relation: who may be asked about


# --- questions: each asks something whose right label is the given one, counted from 0 ---


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


# --- rows ---


def draw_rows(rng: random.Random, benchmark: str, subjects: Subjects, size: int, seen: set[str]) -> list[Row]:
    """`size` rows whose instructions are not in `seen`, each label as often as the others; adds them to `seen`.

    Raises DataError where the facts about `subjects` give no further question.
    """
    kind = KINDS[benchmark]
    rights = [number % len(kind.labels) for number in range(size)]
    rng.shuffle(rights)
    rows: list[Row] = []
    for right in rights:
        for _ in range(LONGEST_SEARCH):
            instruction = kind.instruction(rng, subjects, right)
            if instruction not in seen:
                break
        else:
            raise DataError(
                f"{benchmark} has no {size} different questions for one split; ask for fewer: about {len(rows)}"
            )
        seen.add(instruction)
        rows.append((instruction, "", choice(kind.labels[right]), kind.labels[right]))
    return rows


def split_subjects(data_seed: int) -> tuple[Subjects, Subjects]:
    """Who training questions are about, and who those of validation and test are about."""
    rng = random.Random(f"micro_commonsense subjects {data_seed}")
    training, evaluation = {}, {}
    for name, relation in RELATIONS.items():
        shuffled = rng.sample(list(relation.values), len(relation.values))
        cut = round(len(shuffled) * TRAINING_SHARE)
        training[name], evaluation[name] = shuffled[:cut], shuffled[cut:]
    return training, evaluation


def _sha256(*facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


# --- benchmarks and task ---


class MicroBenchmark(LabelBenchmark):
    """The validation and test questions of one kind, from the same subjects, none in both."""

    splits: ClassVar[Sequence[SplitName]] = ("validation", "test")

    def __init__(self, *, name: str, beams: int, sizes: Mapping[SplitName, int], data_seed: int) -> None:
        super().__init__(name=name, beams=beams)
        self.sizes, self.data_seed = dict(sizes), data_seed

    def fingerprint(self) -> str:
        return _sha256(
            GENERATOR_VERSION, _facts(), self.name, self.sizes, self.data_seed, prompts.LLM_ADAPTERS_EVALUATION
        )

    def examples(self, split: SplitName) -> Sequence[TextExample]:
        return self._splits[split]

    def rows(self) -> dict[SplitName, list[Row]]:
        """The rows of every split, in the columns of the real data: instruction, input, output, answer."""
        _, subjects = split_subjects(self.data_seed)
        rng = random.Random(f"{self.name} {self.data_seed}")
        seen: set[str] = set()
        return {split: draw_rows(rng, self.name, subjects, self.sizes[split], seen) for split in self.splits}

    @cached_property
    def _splits(self) -> dict[SplitName, list[TextExample]]:
        return {split: questions(rows, f"{self.name}-{split}", self.name) for split, rows in self.rows().items()}


class MicroCommonsense:
    """Train on the questions of all four benchmarks together.

    train_size: of all kinds together, as many of each; a remainder goes to the first kinds.
    validation_size, test_size: of each benchmark.
    loss_on: "prompt_and_answer" (as released) or "answer".
    beams: of the search that writes the answers.
    """

    kind: ClassVar[str] = "generation"

    def __init__(
        self,
        *,
        train_size: int,
        validation_size: int,
        test_size: int,
        loss_on: str,
        beams: int,
        data_seed: int = 0,
        name: str = "micro_commonsense",
    ) -> None:
        if min(train_size, validation_size, test_size, beams) < 1:
            raise ValueError(
                "train_size, validation_size, test_size and beams are 1 or more, "
                f"not {train_size}, {validation_size}, {test_size} and {beams}"
            )
        if loss_on not in LOSS_ON:
            raise ValueError(f"loss_on is one of {', '.join(LOSS_ON)}, not {loss_on!r}")
        self.name = name
        self.trains_on_prompt = loss_on == "prompt_and_answer"
        self.train_size, self.data_seed = train_size, data_seed
        sizes = {"validation": validation_size, "test": test_size}
        self.benchmarks = {
            each: MicroBenchmark(name=each, beams=beams, sizes=sizes, data_seed=data_seed) for each in KINDS
        }

    def fingerprint(self) -> str:
        validation_sizes = [benchmark.sizes["validation"] for benchmark in self.benchmarks.values()]
        return _sha256(
            GENERATOR_VERSION, _facts(), self.train_size, validation_sizes, self.data_seed,
            prompts.LLM_ADAPTERS_TRAINING,
        )  # fmt: skip

    def examples(self, split: SplitName) -> Sequence[TextExample]:
        """Training questions, or the validation questions of the four benchmarks one after the other."""
        if split == "train":
            return self._train
        return [example for benchmark in self.benchmarks.values() for example in benchmark.examples("validation")]

    def questions(self, rows: Sequence[Any]) -> list[TextExample]:
        """The column is `instruction`."""
        return asked(rows)

    def rows(self) -> list[Row]:
        """The training rows, kinds in mixed order: instruction, input, output, answer."""
        subjects, _ = split_subjects(self.data_seed)
        rng = random.Random(f"micro_commonsense {self.data_seed}")
        rows: list[Row] = []
        for number, benchmark in enumerate(KINDS):
            size = len(range(number, self.train_size, len(KINDS)))
            rows += draw_rows(rng, benchmark, subjects, size, set())
        rng.shuffle(rows)
        return rows

    @cached_property
    def _train(self) -> list[TextExample]:
        return questions(self.rows(), "train", self.name)


def _facts() -> dict[str, Any]:
    return {name: asdict(relation) for name, relation in RELATIONS.items()}
