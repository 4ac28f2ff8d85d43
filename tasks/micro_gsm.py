"""Grade-school word problems of one to three steps, drawn from a seeded generator: GSM-8K in small.

Problems of four steps, harder than any that is trained on, are a second benchmark: MATH in small.

Prompt, target layout and scorers are those of GSM-8K, so a run takes the same path through the harness; only the
numbers (1 to 99) and the vocabulary are small enough for a model that trains on a laptop.

A problem as it is fed, prompt and then target:

    >>> example = MicroGsm(train_size=1, validation_size=200, test_size=500).examples("train")[0]
    >>> print(example.prompt + example.target)
    Below is an instruction that describes a task. Write a response that appropriately completes the request.
    <BLANKLINE>
    ### Instruction:
    Anna has 5 packs. There are 4 shells in each. Ben has 25 shells. How many shells do they have in total?
    <BLANKLINE>
    ### Response:Anna has 5 * 4 = 20 shells.
    They have 20 + 25 = 45 shells.
    The answer is: 45
"""

import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from errors import DataError
from tasks import fingerprints
from tasks.base import Benchmark, OwnBenchmark, Scorer, SplitName, TextExample
from tasks.micro.word_problems import draw_problem
from tasks.prompts import alpaca
from tasks.reading.tables import Row
from tasks.scoring.gsm8k import MARKER, gsm8k_legacy, gsm8k_strict
from tasks.scoring.math_scoring import math_legacy, math_strict

GENERATOR_VERSION = 1  # Raise it with every change that alters a problem.


class MicroGsm(OwnBenchmark):
    """The splits of generated word problems, disjoint by problem text."""

    kind: ClassVar[str] = "generation"
    metric: ClassVar[str] = "accuracy"
    scorers: ClassVar[Mapping[str, Scorer]] = {"strict": gsm8k_strict, "legacy": gsm8k_legacy}

    def __init__(
        self,
        *,
        train_size: int,
        validation_size: int,
        test_size: int,
        data_seed: int = 0,
        name: str = "micro_gsm",
        steps: Sequence[int] = (1, 2, 3),
    ) -> None:
        if not set(steps) <= {1, 2, 3} or not steps:
            raise DataError(f"micro_gsm has problems of 1, 2 and 3 steps, not {list(steps)}")
        self.name = name
        self.sizes: dict[SplitName, int] = {"test": test_size, "validation": validation_size, "train": train_size}
        self.data_seed = data_seed
        self.steps = tuple(steps)
        self._splits: dict[SplitName, list[TextExample]] = {}

    @cached_property
    def benchmarks(self) -> Mapping[str, Benchmark]:
        return {self.name: self, MicroMath.name: MicroMath(self)}

    def fingerprint(self) -> str:
        facts = [GENERATOR_VERSION, self.sizes, self.data_seed, self.steps]
        return fingerprints.of(*facts)

    def examples(self, split: SplitName) -> Sequence[TextExample]:
        if not self._splits:
            self._splits = self._draw()
        return self._splits[split]

    def questions(self, rows: Sequence[Row]) -> list[TextExample]:
        """The column is `question`, as in the hub's GSM-8K."""
        prompts = [alpaca(row.text("question")) for row in rows]
        return [TextExample(str(row), prompt, prompt, "", "") for row, prompt in zip(rows, prompts, strict=True)]

    def _draw(self) -> dict[SplitName, list[TextExample]]:
        # Test is drawn first, so that it stays the same when the training set grows.
        rng = random.Random(f"micro_gsm {self.data_seed}")
        seen: set[str] = set()
        splits: dict[SplitName, list[TextExample]] = {}
        for split, size in self.sizes.items():
            splits[split] = []
            while len(splits[split]) < size:
                problem, solution, answer = draw_problem(rng, rng.choice(self.steps))
                if problem in seen:
                    continue
                seen.add(problem)
                splits[split].append(_example(f"{split}-{len(splits[split])}", problem, solution, answer))
        return splits


class MicroMath(Benchmark):
    """Problems of four steps in the words of a MicroGsm, none of them among its own."""

    name: ClassVar[str] = "micro_math"
    splits: ClassVar[Sequence[SplitName]] = ("test",)
    metric: ClassVar[str] = "accuracy"
    scorers: ClassVar[Mapping[str, Scorer]] = {"strict": math_strict, "legacy": math_legacy}
    STEPS: ClassVar[int] = 4
    SIZE: ClassVar[int] = 200

    def __init__(self, trained_on: MicroGsm) -> None:
        self._trained_on = trained_on

    def fingerprint(self) -> str:
        facts = [GENERATOR_VERSION, self.STEPS, self.SIZE, self._trained_on.fingerprint()]
        return fingerprints.of(*facts)

    def examples(self, split: SplitName) -> Sequence[TextExample]:
        return {"test": self._test}[split]

    @cached_property
    def _test(self) -> list[TextExample]:
        rng = random.Random(f"micro_math {self._trained_on.data_seed}")
        seen = {e.prompt for split in self._trained_on.sizes for e in self._trained_on.examples(split)}
        drawn: list[TextExample] = []
        while len(drawn) < self.SIZE:
            example = _example(f"{self.name}-{len(drawn)}", *draw_problem(rng, self.STEPS))
            if example.prompt not in seen:
                seen.add(example.prompt)
                drawn.append(example)
        return drawn


def _example(id: str, problem: str, solution: str, answer: int) -> TextExample:
    prompt = alpaca(problem)
    return TextExample(id, prompt, prompt, f"{solution}\n{MARKER}{answer}", str(answer))
