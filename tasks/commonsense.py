r"""Commonsense-15K to eight sets of multiple-choice questions, as LLM-Adapters has them (arXiv:2304.01933).

Every question names the labels that it offers ("Answer format: answer1/answer2/answer3") and is answered by "the
correct answer is <label>". The same model is scored on what it writes (`legacy`, as released) and on which of the
offered answers it finds likeliest (`strict`), which no slip of format can lower; and on how likely it finds the right
one (`answer_loss`, in nats).

A row of commonsense_15k.json, and how it is fed; the prompts have the blanks of the released source:

    >>> from pprint import pp
    >>> asked = "Please answer the following question with true or false, question: can a fish swim?"
    >>> row = (asked + "\n\nAnswer format: true/false", "", "the correct answer is true", "true")
    >>> [example] = questions([row], "train", "commonsense_15k.json")
    >>> pp(example.prompt, width=110)
    ('Below is an instruction that describes a task. Write a response that appropriately completes the '
     'request.  \n'
     '\n'
     '                ### Instruction:\n'
     '                Please answer the following question with true or false, question: can a fish swim?\n'
     '\n'
     'Answer format: true/false\n'
     '                \n'
     '                ### Response:\n'
     '                ')
    >>> example.target, example.choices
    ('the correct answer is true', ('the correct answer is true', 'the correct answer is false'))
    >>> pp(example.eval_prompt, width=110)
    ('Below is an instruction that describes a task. Write a response that appropriately completes the '
     'request. \n'
     '\n'
     '                ### Instruction:\n'
     '                Please answer the following question with true or false, question: can a fish swim?\n'
     '\n'
     'Answer format: true/false\n'
     '\n'
     '                ### Response:\n'
     '                ')
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from errors import DataError
from tasks import fingerprints, prompts
from tasks.base import AnyScorer, Benchmark, DataFile, SplitName, Task, TextExample, ValueScorer
from tasks.reading.sources import Table
from tasks.scoring.commonsense import LABELS, answer_loss, choice, family, known_labels, legacy, strict

FOLDERS: Mapping[str, str] = {
    "boolq": "boolq", "piqa": "piqa", "siqa": "social_i_qa", "hellaswag": "hellaswag", "winogrande": "winogrande",
    "arc_e": "ARC-Easy", "arc_c": "ARC-Challenge", "obqa": "openbookqa",
}  # fmt: skip
TRAINING_FILE = "commonsense_15k.json"
COLUMNS = {"instruction": str, "input": str, "output": str, "answer": str}
RELEASED = "https://raw.githubusercontent.com/AGI-Edgerunners/LLM-Adapters/main"
LOSS_ON = ("prompt_and_answer", "answer")

Row = tuple[str, str, str, str]  # values of COLUMNS


# --- rows ---


@dataclass(frozen=True)
class ReleasedTable(Table):
    """A local file. `published` is the path of its original in the LLM-Adapters repository."""

    published: str

    def _absent(self, path: str) -> str:
        command = f"curl -fL --create-dirs -o {path} {RELEASED}/{self.published}"
        return f"no file {path} with the columns {self._wanted()}; `{command}` fetches it"


_FORMAT = re.compile(r"Answer format: *(\w+(?:/\w+)+)\s*$")


def questions(rows: Sequence[Row], prefix: str, source: str) -> list[TextExample]:
    """One example a row, with ids `<prefix>-<row>`. Raises DataError for a gold answer that is no label.

    The choices are the labels that end the instruction. Where none do, or the gold is not among them, they are those
    labels of the gold's kind that are gold somewhere in `rows`.
    """
    golds = {answer for _, _, _, answer in rows}
    unknown = golds.difference(known_labels())
    if unknown:
        number, answer = next((n, row[3]) for n, row in enumerate(rows, 1) if row[3] in unknown)
        labels = ", ".join(known_labels())
        raise DataError(f"row {number} of {source}: 'answer' is {answer!r}, expected one of {labels}")
    examples = []
    for number, (instruction, input, output, answer) in enumerate(rows):
        labels = _labels_offered(instruction)
        if answer not in labels:
            labels = tuple(label for label in family(answer) if label in golds)
        examples.append(
            TextExample(
                id=f"{prefix}-{number}",
                prompt=prompts.llm_adapters_training(instruction, input),
                eval_prompt=prompts.llm_adapters_evaluation(instruction),
                target=output,
                gold=answer,
                choices=tuple(map(choice, labels)),
            )
        )
    return examples


def asked(rows: Sequence[Any]) -> list[TextExample]:
    """What rows of a file ask in their column `instruction`; the choices are the labels that end it, if any do."""
    instructions = [row.text("instruction") for row in rows]
    prompts_of = map(prompts.llm_adapters_evaluation, instructions)
    choices = (tuple(map(choice, _labels_offered(instruction))) for instruction in instructions)
    return [
        TextExample(str(row), prompt, prompt, "", "", offered)
        for row, prompt, offered in zip(rows, prompts_of, choices, strict=True)
    ]


def _labels_offered(instruction: str) -> tuple[str, ...]:
    found = _FORMAT.search(instruction)
    return tuple(found[1].split("/")) if found else ()


# --- benchmarks and task ---


class LabelBenchmark(Benchmark):
    """What the questions of a benchmark have in common: the scorers, the beams, no stop strings."""

    metric: ClassVar[str] = "accuracy"
    # The paper's numbers were scored by `legacy`.
    scorers: ClassVar[Mapping[str, AnyScorer]] = {
        "legacy": legacy, "strict": strict, "answer_loss": ValueScorer(answer_loss),
    }  # fmt: skip

    def __init__(self, *, name: str, beams: int) -> None:
        self.name, self.beams = name, beams


class LabelTest(LabelBenchmark):
    """The questions of one of the eight sets; its file is read when they are first asked for."""

    splits = ("test",)

    def __init__(self, *, name: str, beams: int, table: ReleasedTable, limit: int | None) -> None:
        super().__init__(name=name, beams=beams)
        self._table, self._limit = table, limit

    def files(self) -> list[DataFile]:
        return self._table.files()

    def fetch(self) -> None:
        self._table.paths()

    @property
    def notes(self) -> list[str]:
        return self._table.notes

    def fingerprint(self) -> str:
        return fingerprints.of(self._table.fingerprint(), self._limit, prompts.LLM_ADAPTERS_EVALUATION, choice(""))

    def examples(self, split: SplitName) -> Sequence[TextExample]:
        return self._examples

    @cached_property
    def _examples(self) -> list[TextExample]:
        examples = questions(self._table.rows(), self.name, self._table.source)
        for number, example in enumerate(examples, 1):
            if example.gold not in LABELS[self.name]:
                labels = ", ".join(LABELS[self.name])
                raise DataError(f"row {number} of {self._table.source}: 'answer' is {example.gold!r}, not of {labels}")
        return examples[: self._limit]


class LabelHeldOut(LabelBenchmark):
    """The questions that a task holds out of its training data."""

    splits = ("validation",)

    def __init__(self, *, name: str, beams: int, task: "Commonsense") -> None:
        super().__init__(name=name, beams=beams)
        self._task = task

    def fingerprint(self) -> str:
        return fingerprints.of(self._task.fingerprint(), prompts.LLM_ADAPTERS_EVALUATION, choice(""))

    def examples(self, split: SplitName) -> Sequence[TextExample]:
        return self._task.examples("validation")


class Commonsense(Task):
    """Train on Commonsense-15K, with some rows held out; test on the eight sets.

    The benchmarks are the eight of LABELS and `<name>_held_out`, which asks what was held out.

    root: the folder that holds commonsense_15k.json and <set>/test.json; columns instruction, input, output, answer.
    train_source: files to train on in the place of commonsense_15k.json, with the same columns; None: that file.
    validation_size: rows held out of training, drawn with `data_seed`.
    loss_on: "prompt_and_answer" (as released) or "answer".
    beams: of the search that writes the answers.
    limit: keep the first so many examples of every split.
    """

    kind: ClassVar[str] = "generation"
    tokenised_as_released: ClassVar[bool] = True

    def __init__(
        self,
        *,
        root: str,
        validation_size: int,
        loss_on: str,
        beams: int,
        limit: int | None = None,
        data_seed: int = 0,
        name: str = "commonsense",
        train_source: str | None = None,
    ) -> None:
        if validation_size < 0 or beams < 1 or (limit is not None and limit < 1):
            raise ValueError(
                f"validation_size >= 0, beams >= 1 and limit >= 1 (or null), not {validation_size}, {beams} and {limit}"
            )
        if loss_on not in LOSS_ON:
            raise ValueError(f"loss_on is one of {', '.join(LOSS_ON)}, not {loss_on!r}")
        self.name = name
        self.trains_on_prompt = loss_on == "prompt_and_answer"
        self.validation_size, self.limit, self.data_seed = validation_size, limit, data_seed
        training = train_source or f"{root}/{TRAINING_FILE}"
        self._training = ReleasedTable(training, [COLUMNS], f"ft-training_set/{TRAINING_FILE}")
        self.benchmarks: dict[str, Benchmark] = {}
        for test, folder in FOLDERS.items():
            table = ReleasedTable(f"{root}/{folder}/test.json", [COLUMNS], f"dataset/{folder}/test.json")
            self.benchmarks[test] = LabelTest(name=test, beams=beams, table=table, limit=limit)
        held_out = LabelHeldOut(name=f"{name}_held_out", beams=beams, task=self)
        self.benchmarks[held_out.name] = held_out

    def files(self) -> list[DataFile]:
        return self._training.files()

    @property
    def notes(self) -> list[str]:
        return self._training.notes

    def fingerprint(self) -> str:
        return fingerprints.of(
            self._training.fingerprint(), self.validation_size, self.limit, self.data_seed,
            prompts.LLM_ADAPTERS_TRAINING, prompts.LLM_ADAPTERS_TRAINING_WITH_INPUT,
        )  # fmt: skip

    def examples(self, split: SplitName) -> Sequence[TextExample]:
        train, validation = self._train_and_validation
        return train if split == "train" else validation

    def questions(self, rows: Sequence[Any]) -> list[TextExample]:
        """The column is `instruction`."""
        return asked(rows)

    @cached_property
    def _train_and_validation(self) -> tuple[list[TextExample], list[TextExample]]:
        examples = questions(self._training.rows(), "train", self._training.source)
        if self.validation_size >= len(examples):
            raise DataError(
                f"{self._training.source} has {len(examples)} rows: "
                f"validation_size={self.validation_size} leaves none to train on"
            )
        draw = random.Random(f"commonsense {self.data_seed}")
        held_out = set(draw.sample(range(len(examples)), self.validation_size))
        train = [example for number, example in enumerate(examples) if number not in held_out]
        validation = [example for number, example in enumerate(examples) if number in held_out]
        return train[: self.limit], validation[: self.limit]
