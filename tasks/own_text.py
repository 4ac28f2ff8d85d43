"""Text tasks of one's own: rows of local files, with the columns named in the configuration.

Training rows come from one file; validation and test rows from files of their own or, where there are none, from shares
of the training file that are drawn with `data_seed`.
"""

import hashlib
import json
import math
import random
import string
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from tasks.base import (
    ClassExample,
    CorpusScorer,
    DataError,
    ItemScore,
    OwnBenchmark,
    Scorer,
    SplitName,
    TextExample,
)
from tasks.math_scoring import math_strict
from tasks.metrics import pearson, spearman
from tasks.own_files import Row, RowFile
from tasks.scoring import exact_class, gsm8k_legacy, gsm8k_strict, of_bounded_text

# --- scorers ---


@of_bounded_text
def exact_text(text: str, gold: str) -> ItemScore:
    """Equal but for case and surrounding space; an empty text is no answer."""
    answer = text.strip().casefold()
    return ItemScore(correct=answer == gold.strip().casefold(), parsed=bool(answer))


GENERATION_SCORERS: dict[str, Scorer] = {
    "exact": exact_text,
    "gsm8k_strict": gsm8k_strict,
    "gsm8k_legacy": gsm8k_legacy,
    "math_strict": math_strict,
}


# --- tasks ---


class OwnText(OwnBenchmark, ABC):
    """What both tasks share: where the rows of each split are.

    train, validation, test: local json, jsonl, csv, tsv or parquet files; the last two may be None.
    validation_share, test_share: of the training file's rows, in (0, 1), held out where there is no such file.
    """

    metric: str

    def __init__(
        self,
        *,
        train: str,
        validation: str | None,
        test: str | None,
        validation_share: float,
        test_share: float,
        data_seed: int,
        name: str,
    ) -> None:
        for key, share in (("validation_share", validation_share), ("test_share", test_share)):
            if not (isinstance(share, float) and 0 < share < 1):
                raise ValueError(f"{key} is a share of the training rows between 0 and 1, not {share!r}")
        self.name = name
        self.data_seed = data_seed
        self._files = {"train": RowFile(train)}
        self._shares: dict[SplitName, float] = {}
        for split, path, share in (("validation", validation, validation_share), ("test", test, test_share)):
            if path is None:
                self._shares[split] = share
            else:
                self._files[split] = RowFile(path)

    def fingerprint(self) -> str:
        files = {split: file.fingerprint() for split, file in self._files.items()}
        facts = [files, self._shares, self.data_seed if self._shares else None, self._facts()]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @abstractmethod
    def _facts(self) -> list[Any]:
        """What determines the examples besides files, shares and seed."""

    @cached_property
    def _rows(self) -> dict[SplitName, list[tuple[str, Row]]]:
        """The rows of each split in file order, each with an id: its file's part and its number there."""
        rows = {split: file.rows() for split, file in self._files.items()}
        everything, held = rows["train"], dict[SplitName, list[Row]]()
        order = random.Random(f"{self.name} {self.data_seed}").sample(everything, len(everything))
        for split, share in self._shares.items():
            size = max(1, round(share * len(everything)))
            held[split], order = order[:size], order[size:]
        if not order:
            raise DataError(
                f"{self._files['train']} has {len(everything)} rows: too few to hold out {self._shares}; add rows, or "
                "name files: task.source.validation=FILE task.source.test=FILE"
            )
        chosen = {**rows, **held, "train": order}
        return {
            split: [
                (f"{'train' if split in held else split}-{row.number}", row) for row in sorted(members, key=_number)
            ]
            for split, members in chosen.items()
        }


def _number(row: Row) -> int:
    return row.number


class OwnGeneration(OwnText):
    """Text in, text out.

    prompt: a column, a list of columns (each on a line of its own), or a text with {column} fields.
    target: the column that is learnt.  gold: the column that answers are scored against; None: target.
    scorers: names of GENERATION_SCORERS; tables show the first.
    stop: the generated text is cut before the first of these.
    """

    kind: ClassVar[str] = "generation"
    metric: ClassVar[str] = "accuracy"

    def __init__(
        self,
        *,
        prompt: str | Sequence[str],
        target: str,
        gold: str | None,
        scorers: Sequence[str],
        stop: Sequence[str],
        name: str,
        **files: Any,
    ) -> None:
        super().__init__(name=name, **files)
        for key, value in (("scorers", scorers), ("stop", stop)):
            if isinstance(value, str):
                raise ValueError(f"{key} is a list, as [{value}], not {value!r}")
        unknown = [scorer for scorer in scorers if scorer not in GENERATION_SCORERS]
        if unknown or not scorers:
            raise ValueError(f"scorers are one or more of {', '.join(GENERATION_SCORERS)}, not {list(scorers)}")
        self.scorers: Mapping[str, Scorer] = {scorer: GENERATION_SCORERS[scorer] for scorer in scorers}
        self.stop = tuple(stop)
        self._template = template(prompt)
        self._target = target
        self._gold = gold or target

    def _facts(self) -> list[Any]:
        return [self._template, self._target, self._gold, self.stop]

    def examples(self, split: SplitName) -> list[TextExample]:
        return [self._example(id, row) for id, row in self._rows[split]]

    def _example(self, id: str, row: Row) -> TextExample:
        prompt = "".join(part if column is None else part + row.text(column) for part, column in self._template)
        gold = row.filled(self._gold)
        for name, scorer in self.scorers.items():
            try:
                scorer("", gold)
            except (ValueError, ZeroDivisionError) as error:
                raise DataError(
                    f"{row}: scorer {name} cannot read {gold!r} as an answer; name a column that holds it alone: "
                    "task.source.gold=COLUMN"
                ) from error
        return TextExample(id, prompt, prompt, row.filled(self._target), gold)


def template(prompt: str | Sequence[str]) -> list[tuple[str, str | None]]:
    """[(literal text, the column after it or None)]; columns alone are put each on a line of its own.

    Raises ValueError where the text has an unbalanced brace ("{{" is a brace), and where no column is named.
    """
    if isinstance(prompt, str) and "{" in prompt:
        parts = _parsed(prompt)
    else:
        names = [prompt] if isinstance(prompt, str) else prompt
        parts = [("\n" * (number > 0), name) for number, name in enumerate(names)] + [("\n", None)]
    columns = [column for _, column in parts if column is not None]
    if not columns or not all(columns):
        raise ValueError(f"prompt={prompt!r} names no column; it is one, a list of some, or a text with {{column}}")
    return parts


def _parsed(prompt: str) -> list[tuple[str, str | None]]:
    try:
        return [(literal, column) for literal, column, _, _ in string.Formatter().parse(prompt)]
    except ValueError as error:
        raise ValueError(f"prompt={prompt!r} has a brace without its other ({error}); {{{{ is a brace") from error


class OwnClassification(OwnText):
    """Text, or a pair of texts, to a class or, with `regression`, to a number.

    text, pair: columns; pair may be None.  label: the column of the class (any text or whole number) or of the number.
    Classes are those of the training file, whole numbers in their order and others in that of the alphabet.
    """

    kind: ClassVar[str] = "text_classification"

    def __init__(
        self,
        *,
        text: str,
        pair: str | None,
        label: str,
        regression: bool,
        name: str,
        **files: Any,
    ) -> None:
        super().__init__(name=name, **files)
        self.regression = regression
        self.metric = "pearson" if regression else "accuracy"
        self.scorers: Mapping[str, Scorer | CorpusScorer] = (
            {"pearson": CorpusScorer(pearson), "spearman": CorpusScorer(spearman)}
            if regression
            else {"accuracy": exact_class}
        )
        self._text, self._pair, self._label = text, pair, label

    def _facts(self) -> list[Any]:
        return [self._text, self._pair, self._label, self.regression]

    @property
    def num_classes(self) -> int:
        """1 is regression. Raises DataError where all labels are one, of which nothing can be learnt or scored."""
        return 1 if self.regression and len(self.classes) > 1 else len(self.classes)

    @cached_property
    def classes(self) -> dict[str, int]:
        """Class to index. Raises DataError where there are fewer than two."""
        found = {row.filled(self._label) for row in self._files["train"].rows()}
        if len(found) < 2:
            kind = "value" if self.regression else "class"
            raise DataError(
                f"{self._files['train']} has one {kind} in {self._label!r}, {found}; two or more are needed"
            )
        return {label: index for index, label in enumerate(_in_order(found))}

    def examples(self, split: SplitName) -> list[ClassExample]:
        value = self._value if self.regression else self._class
        return [
            ClassExample(id, row.text(self._text), row.text(self._pair) if self._pair else None, value(row))
            for id, row in self._rows[split]
        ]

    def _class(self, row: Row) -> int:
        label = row.filled(self._label)
        if label not in self.classes:
            raise DataError(f"{row}: class {label!r} is none of the training file's: {', '.join(self.classes)}")
        return self.classes[label]

    def _value(self, row: Row) -> float:
        text = row.filled(self._label)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"{row}: {self._label!r} is {text!r}, expected a number")
        return value


def _in_order(labels: set[str]) -> list[str]:
    try:
        return sorted(labels, key=lambda label: (int(label), label))
    except ValueError:
        return sorted(labels)
