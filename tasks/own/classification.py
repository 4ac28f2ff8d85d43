"""Text classification and regression on files of one's own.

A row, and how it is fed; the label is an index of the classes:

    >>> row = Row("mine.csv", 1, 1, {"review": "A dull film.", "good": "no"})
    >>> task = OwnClassification(
    ...     train="mine.csv", validation=None, test=None, validation_share=0.1, test_share=0.2, data_seed=0,
    ...     name="mine", text="review", pair=None, label="good", class_names=["no", "yes"], regression=False,
    ... )
    >>> task.example("train-1", row)
    ClassExample(id='train-1', text='A dull film.', pair=None, label=0)
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from errors import DataError
from tasks.base import ClassExample, CorpusScorer, Scorer, SplitName
from tasks.own.rows import OwnText
from tasks.reading.content import several
from tasks.reading.tables import Row, text_of
from tasks.scoring import corpus
from tasks.scoring.verdicts import exact_class

FEWEST_ROWS = 10  # with fewer, many classes are no sign that the column is wrong

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.ASCII)
_TRUTH = {"false": "0", "true": "1"}


class OwnClassification(OwnText):
    """Text, or a pair of texts, to a class or, with `regression`, to a number.

    text, pair: columns; pair may be None.  label: the column of the class (any text or whole number) or of the number.
    class_names: the classes, in their order. None: those of the training table, whole numbers in their order and others
        in that of the alphabet; refused where they look like an accident (see `refuse_accidents`).
    metrics: paths of metrics of the library evaluate, scored besides. They get indices of classes, or numbers.
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
        class_names: Sequence[Any] | None = None,
        metrics: Sequence[str] | None = None,
        **files: Any,
    ) -> None:
        super().__init__(name=name, **files)
        self.regression = regression
        self.metric = "pearson" if regression else "accuracy"
        self.scorers: dict[str, Scorer | CorpusScorer] = (
            {"pearson": CorpusScorer(corpus.pearson), "spearman": CorpusScorer(corpus.spearman)}
            if regression
            else {"accuracy": exact_class}
        )
        self.scorers |= corpus.own(metrics, beside=self.scorers)
        self._text, self._pair, self._label = text, pair, label
        self._class_names = None if class_names is None else _given(class_names, regression)

    def _facts(self) -> list[Any]:
        facts = [self._text, self._pair, self._label, self.regression]
        return facts if self._class_names is None else [*facts, {"class_names": self._class_names}]

    @property
    def num_classes(self) -> int:
        """1 is regression. Raises DataError where all labels are one, of which nothing can be learnt or scored."""
        return 1 if self.regression and len(self.classes) > 1 else len(self.classes)

    @property
    def class_names(self) -> tuple[str, ...]:
        return () if self.regression else tuple(self.classes)

    @cached_property
    def classes(self) -> dict[str, int]:
        """Class to index. Raises DataError where there are fewer than two, or what look like none."""
        if self._class_names is not None:
            return {label: index for index, label in enumerate(self._class_names)}
        file = self._files["train"]
        empty = [row.index for row in file.rows() if not row.text(self._label).strip()]
        if empty:
            raise DataError(
                f"{file}: {self._label!r} is empty in {len(empty):,} row{'s' * (len(empty) > 1)} ({several(empty)}); "
                "leave them out of the file"
            )
        found = Counter(row.text(self._label) for row in file.rows())
        if len(found) < 2:
            kind = "value" if self.regression else "class"
            raise DataError(f"{file} has one {kind} in {self._label!r}, {set(found)}; two or more are needed")
        if not self.regression:
            refuse_accidents(found, f"{file}: {self._label!r}")
        return {label: index for index, label in enumerate(_in_order(found))}

    def examples(self, split: SplitName) -> list[ClassExample]:
        return [self.example(id, row) for id, row in self._kept(split)]

    def example(self, id: str, row: Row) -> ClassExample:
        """Raises DataError where the label is no class, or no number."""
        return ClassExample(id, *self._texts(row), (self._value if self.regression else self._class)(row))

    def questions(self, rows: Sequence[Row]) -> list[ClassExample]:
        return [ClassExample(str(row), *self._texts(row), 0) for row in rows]

    def _texts(self, row: Row) -> tuple[str, str | None]:
        return row.text(self._text), row.text(self._pair) if self._pair else None

    def _class(self, row: Row) -> int:
        label = row.filled(self._label)
        if label not in self.classes:
            whose = "the training file's" if self._class_names is None else "task.source.class_names"
            raise DataError(f"{row}: class {label!r} is none of {whose}: {', '.join(self.classes)}")
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


def refuse_accidents(found: Mapping[str, int], where: str) -> None:
    """Raise DataError where labels do not look like classes: one class is written in several ways, a label marks rows
    that have none, or there are nearly as many labels as rows.

    found: the number of rows of each label.  where: file and column, as the sentence begins.
    """
    written: dict[str, list[str]] = {}
    for label in found:
        written.setdefault(_meant(label), []).append(label)
    for labels in written.values():
        if len(labels) > 1:
            raise DataError(
                f"{where} has what may be one class in several ways, {_counted(labels, found)}; write it in one way, "
                "or name the classes: task.source.class_names=[...]"
            )
    for label in found:
        if _marks_no_label(label.strip().casefold(), set(found) - {label}):
            raise DataError(
                f"{where} is {_counted([label], found)}, which marks rows without a label; leave them out of the file, "
                f"or name all classes: task.source.class_names=[{', '.join(_in_order(found))}]"
            )
    rows = sum(found.values())
    if rows >= FEWEST_ROWS and 2 * len(found) > rows:
        raise DataError(
            f"{where} has {len(found):,} classes in {rows:,} rows, as a number or an id would; "
            "task.source.regression=true predicts a number, task.source.label=COLUMN names another column"
        )


def _marks_no_label(label: str, others: set[str]) -> bool:
    """Whether it is pandas' nan, SNLI's -, or GLUE's -1 among classes that are counted from 0."""
    if label in ("nan", "-"):
        return label == "nan" or "+" not in others
    if not _NUMBER.fullmatch(label) or float(label) != -1:
        return False
    numbers = [float(other) for other in others if _NUMBER.fullmatch(other.strip())]
    return len(numbers) < len(others) or (0 in numbers and min(numbers) >= 0)


def _meant(label: str) -> str:
    """The label without what may be a slip: case, blanks, the form of a letter, how a number or a truth is written."""
    plain = " ".join(unicodedata.normalize("NFKC", label).casefold().split())
    plain = _TRUTH.get(plain, plain)
    return repr(float(plain)) if _NUMBER.fullmatch(plain) else plain


def _counted(labels: Sequence[str], found: Mapping[str, int]) -> str:
    return ", ".join(f"{label!r} ({found[label]:,} row{'s' * (found[label] > 1)})" for label in labels)


def _given(class_names: Sequence[Any], regression: bool) -> list[str]:
    names = [] if isinstance(class_names, str) else [text_of(name) for name in class_names]
    if regression or len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(
            "class_names are two or more classes, each once, as [no, yes], and null with regression, "
            f"not {class_names!r}"
        )
    return names


def _in_order(labels: Iterable[str]) -> list[str]:
    try:
        return sorted(labels, key=lambda label: (int(label), label))
    except ValueError:
        return sorted(labels)
