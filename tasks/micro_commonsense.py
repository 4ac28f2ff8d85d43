r"""Multiple-choice questions about a small world, drawn from a seeded generator: Commonsense-15K in small.

Rows have the columns of the real data, and prompts, labels and scorers are the real ones (`tasks/commonsense.py`), so a
run takes the same path. The facts are in `tasks/micro/facts.py`. Of each relation, validation and test ask about other
subjects than the training questions do, so a model has to know the facts from its pre-training.

A question as it is fed; in evaluation, the choices are ranked as continuations of a prompt that differs in blanks:

    >>> from pprint import pp
    >>> task = MicroCommonsense(train_size=4, validation_size=1, test_size=1, loss_on="answer", beams=1)
    >>> example = task.examples("train")[0]
    >>> pp(example.prompt, width=110)
    ('Below is an instruction that describes a task. Write a response that appropriately completes the '
     'request.  \n'
     '\n'
     '                ### Instruction:\n'
     '                Please answer the following question with true or false, question: is it true that the '
     'spoon is used to eat soup?\n'
     '\n'
     'Answer format: true/false\n'
     '                \n'
     '                ### Response:\n'
     '                ')
    >>> example.target, example.choices
    ('the correct answer is true', ('the correct answer is true', 'the correct answer is false'))
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, ClassVar

from errors import DataError
from tasks import fingerprints, prompts
from tasks.base import SplitName, Task, TextExample
from tasks.commonsense import LOSS_ON, LabelBenchmark, Row, asked, questions
from tasks.micro.facts import RELATIONS
from tasks.micro.questions import KINDS, Subjects, split_subjects
from tasks.scoring.commonsense import choice

GENERATOR_VERSION = 1  # Raise it with every change that alters a question.
LONGEST_SEARCH = 10_000  # draws in a row without a new question

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


# --- benchmarks and task ---


class MicroBenchmark(LabelBenchmark):
    """The validation and test questions of one kind, from the same subjects, none in both."""

    def __init__(self, *, name: str, beams: int, sizes: Mapping[SplitName, int], data_seed: int) -> None:
        super().__init__(name=name, beams=beams)
        self.sizes, self.data_seed = dict(sizes), data_seed

    def fingerprint(self) -> str:
        return fingerprints.of(
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


class MicroCommonsense(Task):
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
        return fingerprints.of(
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
