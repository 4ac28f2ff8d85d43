"""Math word problems: MetaMathQA to train on (Yu et al. 2024, arXiv:2309.12284), GSM-8K to test (Cobbe et al. 2021).

Training asks with the released template that separates the lines after the first as an input; evaluation puts the whole
question into the instruction and appends `eval_suffix`, as the released `eval_gsm8k.py` does.
"""

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from tasks import prompts
from tasks.base import DataError, Scorer, SplitName, TextExample
from tasks.scoring import MARKER, gsm8k_legacy, gsm8k_strict
from tasks.sources import HubFile, Table

# A branch: pin the commit from a machine that reaches the hub.
METAMATHQA_40K = HubFile("meta-math/MetaMathQA-40K", "MetaMathQA-40K.json", "main")
GSM8K_TEST = HubFile("openai/gsm8k", "main/test-00000-of-00001.parquet", "740312add88f781978c0658806c59bc2815b9866")
RELEASED_STOP = (
    "Question:", "Question", "USER:", "USER", "ASSISTANT:", "ASSISTANT",
    "Instruction:", "Instruction", "Response:", "Response",
)  # fmt: skip

_INTEGER = re.compile(r"-?\d{1,3}(?:,\d{3})+|-?\d{1,15}", re.ASCII)


class Gsm8k:
    """Train and validation: rows of `train_source`. Test: rows of `test_source`.

    train_source: a HubFile, a local path or None (METAMATHQA_40K), columns type, query, response.
    test_source: a HubFile, a local path or None (GSM8K_TEST), columns query, response (the released file) or
        question, answer (the hub's).
    validation_size: rows held out of training, drawn with `data_seed` from the GSM rows with an integer answer. Other
        phrasings of their problems stay in training, so validation ranks configurations and overstates accuracy.
    limit: keep the first so many examples of every split.
    """

    kind: ClassVar[str] = "generation"
    metric: ClassVar[str] = "accuracy"
    # The paper's numbers were scored by `legacy`.
    scorers: ClassVar[Mapping[str, Scorer]] = {"legacy": gsm8k_legacy, "strict": gsm8k_strict}

    def __init__(
        self,
        *,
        validation_size: int,
        eval_suffix: str,
        train_source: HubFile | str | None = None,
        test_source: HubFile | str | None = None,
        limit: int | None = None,
        data_seed: int = 0,
        name: str = "gsm8k",
        stop: Sequence[str] = RELEASED_STOP,
    ) -> None:
        if validation_size < 0 or (limit is not None and limit < 1):
            raise ValueError(f"validation_size >= 0 and limit >= 1 (or null), not {validation_size} and {limit}")
        self.name = name
        self.validation_size = validation_size
        self.limit = limit
        self.data_seed = data_seed
        self.eval_suffix = eval_suffix
        self.stop = tuple(stop)
        self._train = Table(
            train_source or METAMATHQA_40K, [{"type": str, "query": str, "response": str}], METAMATHQA_40K
        )
        self._test = Table(
            test_source or GSM8K_TEST, [{"query": str, "response": str}, {"question": str, "answer": str}], GSM8K_TEST
        )

    def fingerprint(self) -> str:
        facts = [
            self._train.fingerprint(), self._test.fingerprint(), self.validation_size, self.limit, self.data_seed,
            self.eval_suffix, self.stop, prompts.ALPACA_NO_INPUT, prompts.ALPACA_WITH_INPUT,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def examples(self, split: SplitName) -> Sequence[TextExample]:
        if split == "test":
            return self._test_examples
        train, validation = self._train_and_validation
        return train if split == "train" else validation

    @cached_property
    def _train_and_validation(self) -> tuple[list[TextExample], list[TextExample]]:
        rows = self._train.rows()
        held_out = self._held_out(rows)
        train: list[TextExample] = []
        validation: list[TextExample] = []
        for number, (_, query, response) in enumerate(rows):
            instruction, _, input = query.partition("\n")
            example = self._example(f"train-{number}", query, prompts.alpaca(instruction, input), response, MARKER)
            (validation if number in held_out else train).append(example)
        return train[: self.limit], validation[: self.limit]

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

    @cached_property
    def _test_examples(self) -> list[TextExample]:
        examples = []
        for number, (question, solution) in enumerate(self._test.rows()):
            example = self._example(f"test-{number}", question, prompts.alpaca(question), solution, "#### ")
            if not _INTEGER.fullmatch(example.gold):
                raise DataError(f"row {number + 1} of {self._test.source} has no integer after '#### '")
            examples.append(example)
        return examples[: self.limit]

    def _example(self, id: str, question: str, prompt: str, solution: str, marker: str) -> TextExample:
        eval_prompt = prompts.alpaca(question) + self.eval_suffix
        return TextExample(id, prompt, eval_prompt, solution, _answer(solution, marker).replace(",", ""))


def _answer(solution: str, marker: str) -> str:
    """What follows the last marker; empty where there is none."""
    _, found, answer = solution.rpartition(marker)
    return answer.strip() if found else ""
