r"""Math word problems: MetaMathQA to train on (Yu et al. 2024, arXiv:2309.12284); GSM-8K (Cobbe et al. 2021,
arXiv:2110.14168) and MATH (Hendrycks et al. 2021, arXiv:2103.03874) to test.

Training asks with the released template that separates the lines after the first as an input; evaluation puts the whole
question into the instruction and appends `eval_suffix`, as the released `eval_gsm8k.py` and `eval_math.py` do.

A row of MetaMathQA as it is fed, prompt and then target:

    >>> query, response = "Ines has 4 boxes of 6 pears. How many pears?", "4*6 = 24.\n#### 24\nThe answer is: 24"
    >>> example = taught("train-0", query, response, eval_suffix="")
    >>> print(example.prompt + example.target)
    Below is an instruction that describes a task. Write a response that appropriately completes the request.
    <BLANKLINE>
    ### Instruction:
    Ines has 4 boxes of 6 pears. How many pears?
    <BLANKLINE>
    ### Response:4*6 = 24.
    #### 24
    The answer is: 24
    >>> example.gold
    '24'
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from errors import DataError
from tasks import fingerprints, prompts
from tasks.base import Benchmark, DataFile, Scorer, SplitName, Task, TextExample
from tasks.reading.content import several
from tasks.reading.sources import HubFile, Table
from tasks.reading.tables import Row
from tasks.scoring.gsm8k import MARKER, gsm8k_legacy, gsm8k_strict
from tasks.scoring.math_scoring import boxed_answer, math_legacy, math_strict

# A branch: pin the commit from a machine that reaches the hub.
METAMATHQA_40K = HubFile("meta-math/MetaMathQA-40K", "MetaMathQA-40K.json", "main")
GSM8K_TEST = HubFile("openai/gsm8k", "main/test-00000-of-00001.parquet", "740312add88f781978c0658806c59bc2815b9866")
# The 5,000 test problems of all seven subjects in one file, columns problem, level, solution, type. (EleutherAI's copy
# has one file a subject, MATH-500 a tenth of the problems.) A branch, and a path that has not been fetched: the file
# that MetaMath ships as data/test/MATH_test.jsonl serves as well, given as a local path.
MATH_TEST = HubFile("DigitalLearningGmbH/MATH-lighteval", "data/test-00000-of-00001.parquet", "main")
RELEASED_STOP = (
    "Question:", "Question", "USER:", "USER", "ASSISTANT:", "ASSISTANT",
    "Instruction:", "Instruction", "Response:", "Response",
)  # fmt: skip

_INTEGER = re.compile(r"-?\d{1,3}(?:,\d{3})+|-?\d{1,15}", re.ASCII)

_TRAIN_COLUMNS = ({"type": str, "query": str, "response": str},)
_GSM8K_COLUMNS = ({"query": str, "response": str}, {"question": str, "answer": str})
_ANSWERS_ALONE = {"problem": str, "answer": str}
_MATH_COLUMNS = ({"instruction": str, "output": str}, {"problem": str, "solution": str}, _ANSWERS_ALONE)


class MetaMath(Task):
    """Train and validation: rows of `train_source`. Tested on two benchmarks, whose files are opened when asked for.

    train_source: a HubFile, a local path or None (METAMATHQA_40K), columns type, query, response.
    gsm8k_source: a HubFile, a local path or None (GSM8K_TEST), columns query, response (the released file) or
        question, answer (the hub's).
    math_source: a HubFile, a local path or None (MATH_TEST), columns instruction, output (the released file) or
        problem, solution (the hub's) or, without solutions, problem, answer.
    max_new_tokens: of each benchmark, by its name.
    validation_size: rows held out of training, drawn with `data_seed` from the GSM rows with an integer answer. Other
        phrasings of their problems stay in training, so validation ranks configurations and overstates accuracy.
    limit: keep the first so many examples of every split.
    """

    kind: ClassVar[str] = "generation"
    tokenised_as_released: ClassVar[bool] = True

    def __init__(
        self,
        *,
        validation_size: int,
        eval_suffix: str,
        max_new_tokens: Mapping[str, int],
        train_source: HubFile | str | None = None,
        gsm8k_source: HubFile | str | None = None,
        math_source: HubFile | str | None = None,
        limit: int | None = None,
        data_seed: int = 0,
        name: str = "metamath",
        stop: Sequence[str] = RELEASED_STOP,
    ) -> None:
        if validation_size < 0 or (limit is not None and limit < 1):
            raise ValueError(f"validation_size >= 0 and limit >= 1 (or null), not {validation_size} and {limit}")
        if set(max_new_tokens) != {"gsm8k", "math"}:
            raise ValueError(f"max_new_tokens is for gsm8k and math, not for {', '.join(max_new_tokens) or 'none'}")
        self.name = name
        self.validation_size = validation_size
        self.limit = limit
        self.data_seed = data_seed
        self.eval_suffix = eval_suffix
        self._train = Table(train_source or METAMATHQA_40K, _TRAIN_COLUMNS, METAMATHQA_40K)
        gsm8k = Gsm8k(
            table=Table(gsm8k_source or GSM8K_TEST, _GSM8K_COLUMNS, GSM8K_TEST),
            held_out=lambda: self.examples("validation"), eval_suffix=eval_suffix, stop=stop, limit=limit,
            max_new_tokens=max_new_tokens["gsm8k"],
        )  # fmt: skip
        math = Math(
            table=Table(math_source or MATH_TEST, _MATH_COLUMNS, MATH_TEST),
            eval_suffix=eval_suffix, stop=stop, limit=limit, max_new_tokens=max_new_tokens["math"],
        )  # fmt: skip
        self.benchmarks: Mapping[str, Benchmark] = {"gsm8k": gsm8k, "math": math}

    def fingerprint(self) -> str:
        facts = [
            self._train.fingerprint(), self.validation_size, self.limit, self.data_seed,
            prompts.ALPACA_NO_INPUT, prompts.ALPACA_WITH_INPUT,
        ]  # fmt: skip
        return fingerprints.of(*facts)

    def files(self) -> list[DataFile]:
        return self._train.files()

    @property
    def notes(self) -> list[str]:
        return self._train.notes

    def examples(self, split: SplitName) -> Sequence[TextExample]:
        return self._splits[split]

    def questions(self, rows: Sequence[Row]) -> list[TextExample]:
        """The column is `question`, as in the hub's GSM-8K."""
        prompts_of = [prompts.alpaca(row.text("question")) + self.eval_suffix for row in rows]
        return [TextExample(str(row), asked, asked, "", "") for row, asked in zip(rows, prompts_of, strict=True)]

    @cached_property
    def _splits(self) -> dict[SplitName, list[TextExample]]:
        rows = self._train.rows()
        held_out = self._held_out(rows)
        train: list[TextExample] = []
        validation: list[TextExample] = []
        for number, (_, query, response) in enumerate(rows):
            example = taught(f"train-{number}", query, response, self.eval_suffix)
            (validation if number in held_out else train).append(example)
        return {"train": train[: self.limit], "validation": validation[: self.limit]}

    def _held_out(self, rows: Sequence[tuple[str, str, str]]) -> set[int]:
        eligible = [
            number
            for number, (type_, _, response) in enumerate(rows)
            if type_.startswith("GSM") and _INTEGER.fullmatch(_answer(response, MARKER))
        ]
        if min(len(eligible), len(rows) - 1) < self.validation_size:
            raise DataError(
                f"{self._train.source} has {len(rows)} rows, {len(eligible)} of them GSM rows with an integer answer: "
                f"too few to hold out validation_size={self.validation_size}"
            )
        return set(random.Random(f"gsm8k {self.data_seed}").sample(eligible, self.validation_size))


class _TestFile(Benchmark):
    """What both benchmarks are: a table of problems and solutions, and how the released scripts ask them."""

    metric: ClassVar[str] = "accuracy"

    def __init__(
        self, *, table: Table, eval_suffix: str, stop: Sequence[str], limit: int | None, max_new_tokens: int
    ) -> None:
        self.eval_suffix = eval_suffix
        self.stop = tuple(stop)
        self.max_new_tokens = max_new_tokens
        self._table = table
        self._limit = limit

    def files(self) -> list[DataFile]:
        return self._table.files()

    def fetch(self) -> None:
        self._table.paths()

    @property
    def notes(self) -> list[str]:
        return self._table.notes

    def fingerprint(self) -> str:
        facts = [self._table.fingerprint(), self._limit, self.eval_suffix, self.stop, prompts.ALPACA_NO_INPUT]
        return fingerprints.of(*facts)

    def _asked(self, id: str, problem: str, target: str, gold: str) -> TextExample:
        prompt = prompts.alpaca(problem)
        return TextExample(id, prompt, prompt + self.eval_suffix, target, gold)


class Gsm8k(_TestFile):
    """The 1,319 test problems, and as validation what `held_out` returns. Gold: the integer after the last "#### "."""

    name: ClassVar[str] = "gsm8k"
    # The paper's numbers were scored by `legacy`.
    scorers: ClassVar[Mapping[str, Scorer]] = {"legacy": gsm8k_legacy, "strict": gsm8k_strict}

    def __init__(self, *, held_out: Callable[[], Sequence[TextExample]], **asked) -> None:
        super().__init__(**asked)
        self._held_out = held_out

    def examples(self, split: SplitName) -> Sequence[TextExample]:
        return {"validation": self._held_out, "test": lambda: self._test}[split]()

    @cached_property
    def _test(self) -> list[TextExample]:
        examples = []
        for number, (question, solution) in enumerate(self._table.rows()):
            gold = _answer(solution, "#### ")
            if not _INTEGER.fullmatch(gold):
                raise DataError(f"row {number + 1} of {self._table.source} has no integer after '#### '")
            examples.append(self._asked(f"test-{number}", question, solution, gold.replace(",", "")))
        return examples[: self._limit]


class Math(_TestFile):
    """The 5,000 test problems. Gold: as `boxed_answer` takes it out of the solution; a row without one is left out.

    The target is the solution as MetaMathQA writes one: its closing line repeats the answer. Of a file without
    solutions the gold is its answer, and the target that line alone.
    """

    name: ClassVar[str] = "math"
    splits: ClassVar[Sequence[SplitName]] = ("test",)
    scorers: ClassVar[Mapping[str, Scorer]] = {"legacy": math_legacy, "strict": math_strict}

    def examples(self, split: SplitName) -> Sequence[TextExample]:
        return {"test": lambda: self._test}[split]()

    @cached_property
    def _test(self) -> list[TextExample]:
        (columns, rows), examples, without = self._table.found(), [], []
        solved = columns is not _ANSWERS_ALONE
        for number, (problem, text) in enumerate(rows):
            if gold := boxed_answer(text) if solved else text.strip():
                closing = f"{MARKER}{gold}"
                examples.append(
                    self._asked(f"math-{number}", problem, f"{text}\n{closing}" if solved else closing, gold)
                )
            else:
                without.append(number + 1)
        lacking = "no \\boxed answer in their solution" if solved else "no answer"
        if not examples:
            raise DataError(f"the rows of {self._table.source} have {lacking}")
        if without:
            told = f"left out {len(without)} of {len(rows):,} rows with {lacking} (rows {several(without)})"
            self._table.notes.append(f"{self._table.source}: {told}")
        return examples[: self._limit]


def taught(id: str, query: str, response: str, eval_suffix: str) -> TextExample:
    """A row of MetaMathQA, as it is trained on and as it is asked in validation."""
    instruction, _, input = query.partition("\n")
    prompt, eval_prompt = prompts.alpaca(instruction, input), prompts.alpaca(query) + eval_suffix
    return TextExample(id, prompt, eval_prompt, response, _answer(response, MARKER).replace(",", ""))


def _answer(solution: str, marker: str) -> str:
    """What follows the last marker; empty where there is none."""
    _, found, answer = solution.rpartition(marker)
    return answer.strip() if found else ""
