r"""GSM-8K (Cobbe et al. 2021, arXiv:2110.14168) from its own training problems to five-shot answers: Table 2 of the
Spectral Adapter paper (Zhang & Pilanci 2024, arXiv:2405.13952).

Trained as the released `mistral_tune.py` does (pilancilab/spectral_adapter at 3c18280), with the loss on question and
answer alike; the released text has no end-of-sequence token. Tested as the task `gsm8k` (version 3.0) of
EleutherAI/lm-evaluation-harness asks and scores: the same prompts, stop strings and filters, byte for byte.

A problem as it is trained on, and as it is asked after one that is solved:

    >>> solved = ("A bus has 40 seats, 13 are taken. How many are free?", "40-13=<<40-13=27>>27\n#### 27")
    >>> problem = ("Ines has 4 boxes of 6 pears. How many pears?", "4*6=<<4*6=24>>24\n#### 24")
    >>> trained, asked = example("train-0", problem, ()), example("test-0", problem, [solved])
    >>> print(trained.prompt + trained.target)
    question: Ines has 4 boxes of 6 pears. How many pears? answer: 4*6=<<4*6=24>>24
    #### 24
    >>> print(asked.eval_prompt)
    Question: A bus has 40 seats, 13 are taken. How many are free?
    Answer: 40-13=<<40-13=27>>27
    #### 27
    <BLANKLINE>
    Question: Ines has 4 boxes of 6 pears. How many pears?
    Answer:
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from errors import DataError
from tasks import fingerprints
from tasks.base import Benchmark, DataFile, ItemScore, Scorer, SplitName, Task, TextExample
from tasks.math_word import GSM8K_TEST
from tasks.reading.sources import HubFile, Table
from tasks.scoring.verdicts import UNPARSED, of_bounded_text

GSM8K_TRAIN = HubFile(GSM8K_TEST.repo_id, "main/train-00000-of-00001.parquet", GSM8K_TEST.revision)
STOP = ("Question:", "</s>", "<|im_end|>")

LEARNT = "question: {question} answer: "  # what the answer follows in training
ASKED = "Question: {question}\nAnswer:"
SHOWN = ASKED + " {answer}\n\n"

_COLUMNS = ({"question": str, "answer": str},)
_INTEGER = re.compile(r"-?\d+\s*", re.ASCII)

Problem = tuple[str, str]  # question, answer


# --- prompts ---


def few_shot_prompt(shown: Sequence[Problem], question: str) -> str:
    """Solved problems and then the question; braces in them are kept as they are."""
    solved = [SHOWN.format(question=question, answer=answer) for question, answer in shown]
    return "".join(solved) + ASKED.format(question=question)


def demonstrations(pool: Sequence[Problem], shots: int, questions: int, seed: int) -> list[list[Problem]]:
    """For each of so many questions the problems to show, all drawn in turn from one generator.

    What the k-th question is shown depends on k, `shots`, `seed` and the length of `pool` alone, as in lm-eval where
    one process evaluates from the first question on.
    """
    rng = random.Random(seed)
    return [rng.sample(pool, shots) for _ in range(questions)]


# --- scorers: lm-eval's filters, then its exact_match ---

_STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
_FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_FULL_STOP = re.compile(r"\.$")


@of_bounded_text
def strict_match(text: str, gold: str) -> ItemScore:
    """The number after the first "#### ", against gold by letters: "18.00" is not "18"."""
    found = _STRICT.search(text)
    return _verdict(found[1], gold) if found else UNPARSED


@of_bounded_text
def flexible_extract(text: str, gold: str) -> ItemScore:
    """The last run of digits and "$.,", against gold by letters. A "..." after the number is such a run: no answer."""
    found = _FLEXIBLE.findall(text)
    return _verdict(found[-1][0] or found[-1][1], gold) if found else UNPARSED


def _verdict(answer: str, gold: str) -> ItemScore:
    return ItemScore(correct=compared(answer) == compared(gold))


def compared(text: str) -> str:
    """What exact_match compares: without "," and "$", without all up to the last "#### ", without one final "."."""
    return _FULL_STOP.sub("", text.replace(",", "").replace("$", "").rpartition("#### ")[2])


# --- task and benchmark ---


class Gsm8kDirect(Task):
    """Train and validation: rows of `train_source`. Tested on one benchmark, whose file is opened when asked for.

    train_source: a HubFile, a local path or None (GSM8K_TRAIN), columns question, answer. What is shown is drawn from
        it too.
    gsm8k_source: a HubFile, a local path or None (GSM8K_TEST), the same columns.
    validation_size: rows held out of training, drawn with `data_seed` from those with an integer answer.
    shots, shots_seed: solved problems before each question, and the seed of their draw. Test questions are shown any
        row of `train_source`, as in lm-eval; validation questions those that are not held out.
    limit: keep the first so many examples of every split.
    """

    kind: ClassVar[str] = "generation"
    trains_on_prompt: ClassVar[bool] = True
    tokenised_as_released: ClassVar[bool] = True

    def __init__(
        self,
        *,
        validation_size: int,
        shots: int,
        shots_seed: int,
        train_source: HubFile | str | None = None,
        gsm8k_source: HubFile | str | None = None,
        limit: int | None = None,
        data_seed: int = 0,
        name: str = "gsm8k_few_shot",
    ) -> None:
        if validation_size < 0 or shots < 0 or (limit is not None and limit < 1):
            raise ValueError(
                f"validation_size >= 0, shots >= 0 and limit >= 1 (or null), not {validation_size}, {shots} and {limit}"
            )
        self.name = name
        self.validation_size, self.limit, self.data_seed = validation_size, limit, data_seed
        self._train = Table(train_source or GSM8K_TRAIN, _COLUMNS, GSM8K_TRAIN)
        benchmark = Gsm8kFewShot(
            table=Table(gsm8k_source or GSM8K_TEST, _COLUMNS, GSM8K_TEST), shown=self._train,
            held_out=lambda: self._split[1], shots=shots, shots_seed=shots_seed, limit=limit,
        )  # fmt: skip
        self.benchmarks: Mapping[str, Benchmark] = {benchmark.name: benchmark}

    def files(self) -> list[DataFile]:
        return self._train.files()

    @property
    def notes(self) -> list[str]:
        return self._train.notes

    def fingerprint(self) -> str:
        return fingerprints.of(self._train.fingerprint(), self.validation_size, self.limit, self.data_seed, LEARNT)

    def examples(self, split: SplitName) -> Sequence[TextExample]:
        if split == "validation":
            return self.benchmarks[Gsm8kFewShot.name].examples(split)
        learnt, _ = self._split
        return [example(f"train-{number}", problem, ()) for number, problem in learnt.items()][: self.limit]

    def questions(self, rows: Sequence[Any]) -> list[TextExample]:
        """The column is `question`. The first row is shown the problems that the first test question is, and so on."""
        return self.benchmarks[Gsm8kFewShot.name].questions(rows)

    @cached_property
    def _split(self) -> tuple[dict[int, Problem], dict[int, Problem]]:
        """Row number to problem: those that are learnt, and those held out."""
        rows = self._train.rows()
        eligible = [number for number, (_, answer) in enumerate(rows) if _gold(answer)]
        if min(len(eligible), len(rows) - 1) < self.validation_size:
            raise DataError(
                f"{self._train.source} has {len(rows)} rows, {len(eligible)} of them with an integer answer: "
                f"too few to hold out validation_size={self.validation_size}"
            )
        drawn = set(random.Random(f"{Gsm8kFewShot.name} {self.data_seed}").sample(eligible, self.validation_size))
        numbered = dict(enumerate(rows))
        learnt = {number: problem for number, problem in numbered.items() if number not in drawn}
        return learnt, {number: numbered[number] for number in sorted(drawn)}


class Gsm8kFewShot(Benchmark):
    """The 1,319 test problems and, as validation, what `held_out` returns. Gold: the integer after the last "#### "."""

    name: ClassVar[str] = "gsm8k_few_shot"
    metric: ClassVar[str] = "accuracy"
    # The numbers of Table 2 were scored by strict_match.
    scorers: ClassVar[Mapping[str, Scorer]] = {"strict_match": strict_match, "flexible_extract": flexible_extract}
    stop: ClassVar[tuple[str, ...]] = STOP

    def __init__(
        self,
        *,
        table: Table,
        shown: Table,
        held_out: Callable[[], Mapping[int, Problem]],
        shots: int,
        shots_seed: int,
        limit: int | None,
    ) -> None:
        self._table, self._shown, self._held_out = table, shown, held_out
        self._shots, self._shots_seed, self._limit = shots, shots_seed, limit

    def files(self) -> list[DataFile]:
        return self._table.files()

    def fetch(self) -> None:
        self._table.paths()

    @property
    def notes(self) -> list[str]:
        return self._table.notes

    def fingerprint(self) -> str:
        drawn = [self._shown.fingerprint(), self._shots, self._shots_seed]
        return fingerprints.of(self._table.fingerprint(), drawn, self._limit, SHOWN, ASKED, STOP)

    def examples(self, split: SplitName) -> Sequence[TextExample]:
        return {"validation": lambda: self._validation, "test": lambda: self._test}[split]()

    @cached_property
    def _validation(self) -> list[TextExample]:
        held_out = self._held_out()
        pool = [problem for number, problem in enumerate(self._shown.rows()) if number not in held_out]
        return self._asked({f"train-{number}": problem for number, problem in held_out.items()}, pool)[: self._limit]

    @cached_property
    def _test(self) -> list[TextExample]:
        problems = {f"test-{number}": problem for number, problem in enumerate(self._table.rows())}
        for number, (_, answer) in enumerate(problems.values(), 1):
            if not _gold(answer):
                raise DataError(f"row {number} of {self._table.source} has no integer after '#### '")
        return self._asked(problems, self._shown.rows())[: self._limit]

    def questions(self, rows: Sequence[Any]) -> list[TextExample]:
        """Those of a file's column `question`."""
        return self._asked({str(row): (row.text("question"), "") for row in rows}, self._shown.rows())

    def _asked(self, problems: Mapping[str, Problem], pool: Sequence[Problem]) -> list[TextExample]:
        if len(pool) < self._shots:
            raise DataError(
                f"{self._shown.source} leaves {len(pool)} solved problems to show: too few for shots={self._shots}"
            )
        shown = demonstrations(pool, self._shots, len(problems), self._shots_seed)
        return [example(id, problem, few) for (id, problem), few in zip(problems.items(), shown, strict=True)]


def example(id: str, problem: Problem, shown: Sequence[Problem]) -> TextExample:
    """shown: solved problems before the question, when it is asked. The gold answer is empty where it is no integer."""
    question, answer = problem
    prompt, eval_prompt = LEARNT.format(question=question), few_shot_prompt(shown, question)
    return TextExample(id, prompt, eval_prompt, answer, _gold(answer))


def _gold(answer: str) -> str:
    """The integer that exact_match compares with; empty where there is none."""
    gold = compared(answer)
    return gold if "#### " in answer and _INTEGER.fullmatch(gold) else ""
