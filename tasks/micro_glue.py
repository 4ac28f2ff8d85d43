"""GLUE in small: the eight tasks over the small world of tasks/micro/world.py, from a seeded generator.

Columns, label values and metrics are those of GLUE (Wang et al. 2019, arXiv:1804.07461), so a run takes the same path
through the harness; only the vocabulary is small enough for a model that trains on a laptop.

A pair of micro-MNLI as it is fed, and the name of its class:

    >>> task = MicroGlue(subset="mnli", train_size=3, dev_size=2, data_seed=0)
    >>> example = task.examples("train")[0]
    >>> example.text, example.pair, task.class_names[example.label]
    ('Ben moves five hammers on Monday.', 'On Monday, five tools are moved by Ben.', 'entailment')
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from typing import Any

from tasks import fingerprints
from tasks.glue import HIGHEST_SIMILARITY, SUBSETS, Glue, Subset
from tasks.micro.entailment import mnli, qnli, rte
from tasks.micro.sentences import Label, Texts, cola, mrpc, qqp, sst2, stsb
from tasks.micro.world import HERE, THERE, Setting

GENERATOR_VERSION = 1  # Raise it with every change that alters a row.

DRAWS: Mapping[str, Callable[[random.Random, Setting, Label], Texts]] = {
    "cola": cola,
    "sst2": sst2,
    "mrpc": mrpc,
    "stsb": stsb,
    "qqp": qqp,
    "mnli": mnli,
    "qnli": qnli,
    "rte": rte,
}


def labels(subset: Subset) -> tuple[Label, ...]:
    """Every label of the task, each drawn equally often."""
    if subset.num_classes == 1:
        return tuple(half / 2 for half in range(int(2 * HIGHEST_SIMILARITY) + 1))
    return tuple(range(subset.num_classes))


@dataclass(frozen=True)
class MicroRows:
    """The rows of one part of a task. part: "dev", "dev_mm" or "train"; no texts are in two parts."""

    subset: str
    part: str
    train_size: int
    dev_size: int
    data_seed: int

    def fingerprint(self) -> str:
        return fingerprints.of(GENERATOR_VERSION, *astuple(self))

    def rows(self) -> list[tuple[Any, ...]]:
        """(text, label) or (text, pair, label), with equally many of each label."""
        rng = random.Random(f"micro_{self.subset} {self.data_seed}")
        seen: set[Texts] = set()
        # The dev sets are drawn first, so that they stay the same when the training set grows.
        for part, setting, size in (
            ("dev", HERE, self.dev_size),
            ("dev_mm", THERE, self.dev_size),
            ("train", HERE, self.train_size),
        ):
            rows = self._draw(rng, setting, size, seen)
            if part == self.part:
                return rows
        raise ValueError(f"micro-GLUE has the parts dev, dev_mm and train, not {self.part!r}")

    def _draw(self, rng: random.Random, setting: Setting, size: int, seen: set[Texts]) -> list[tuple[Any, ...]]:
        every = labels(SUBSETS[self.subset])
        rows = []
        for number in range(size):
            label = every[number % len(every)]
            texts = DRAWS[self.subset](rng, setting, label)
            while texts in seen or (len(texts) == 2 and texts[0] == texts[1]):
                texts = DRAWS[self.subset](rng, setting, label)
            seen.add(texts)
            rows.append((*texts, label))
        rng.shuffle(rows)
        return rows


class MicroGlue(Glue):
    """One of the eight tasks: Glue, with generated rows for its files. Sizes are of train and of each dev set."""

    def __init__(self, *, subset: str, train_size: int, dev_size: int, data_seed: int) -> None:
        if subset not in DRAWS:
            raise ValueError(f"no task of micro-GLUE is named {subset!r}; there are {', '.join(DRAWS)}")
        if train_size < 1 or dev_size < 2:
            raise ValueError(f"train_size >= 1 and dev_size >= 2, not {train_size} and {dev_size}")

        def part(name: str) -> MicroRows:
            return MicroRows(subset, name, train_size, dev_size, data_seed)

        super().__init__(
            subset=subset,
            name=f"micro_{subset}",
            data_seed=data_seed,
            train_source=part("train"),
            dev_source=part("dev"),
            mismatched_source=part("dev_mm") if "_mm" in SUBSETS[subset].dev else None,
        )
