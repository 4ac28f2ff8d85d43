"""GLUE, the eight tasks of SVFT's Table 3 (Wang et al. 2018, arXiv:1804.07461; all of GLUE but WNLI).

The labels of the official test sets are not public, so the official dev set is split at random into two halves,
"validation" and "test", with labels distributed alike. Published numbers, those of Table 3 among them, are of the best
epoch on the whole dev set. To compare with them there is the split "dev", which is both halves: it is scored after
every epoch and selects nothing. Rows are drawn at random, not premises. MNLI asks about each premise three times, so
both halves can have the same premise, and validation is not independent of test.

With `drawn`, a task is small and its dev set stays whole: rows to train, to choose and, as a benchmark of its own, to
test are drawn from the training file, each text once, and the whole dev set is a test set too.

A local file has the hub's columns, or is one of GLUE's own .tsv files: other names, labels in words, no quoting.

A row of MNLI's file, and the pair as it is fed:

    >>> row = Row("dev.jsonl", 1, 1, {"premise": "Mia plays the guitar.", "hypothesis": "Mia makes music.", "label": 0})
    >>> [example] = Glue(subset="mnli", data_seed=0).questions([row])
    >>> example.text, example.pair, SUBSETS["mnli"].classes[row.values["label"]]
    ('Mia plays the guitar.', 'Mia makes music.', 'entailment')
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, ClassVar

from errors import DataError
from tasks import fingerprints
from tasks.base import ClassExample, CorpusScorer, DataFile, Scorer, SplitName, Task
from tasks.reading.separated import unquoted_tsv
from tasks.reading.sources import Columns, HubFile, Rows, Table
from tasks.reading.tables import Row
from tasks.scoring import corpus
from tasks.scoring.verdicts import exact_class
from tasks.splits.drawn_rows import DrawnRows
from tasks.splits.halves import Halved

REPOSITORY = "nyu-mll/glue"
REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
HIGHEST_SIMILARITY = 5.0  # of STS-B, whose values start at 0

Scorers = Mapping[str, Scorer | CorpusScorer]

ACCURACY: Scorers = {"accuracy": exact_class}
ACCURACY_F1: Scorers = {"accuracy": exact_class, "f1": CorpusScorer(corpus.f1)}
MATTHEWS: Scorers = {"matthews": CorpusScorer(corpus.matthews), "accuracy": exact_class}
CORRELATIONS: Scorers = {"pearson": CorpusScorer(corpus.pearson), "spearman": CorpusScorer(corpus.spearman)}


@dataclass(frozen=True)
class Original:
    """A task's own .tsv files: how their header starts, and the columns of texts and label.

    whole: the columns of files that have no header.
    """

    starts: tuple[str, ...]
    texts: tuple[str, ...]
    label: str = "label"
    whole: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subset:
    """One task of GLUE as the hub has it.

    texts: the column of the text, or the two columns of a pair.  num_classes: 1 is regression.
    scorers: the first is the one that Table 3 reports.  dev: the dev set of each benchmark, by the ending of its name.
    classes: their names, in the hub's order; empty for regression.  in_words: GLUE's own files have them for labels.
    """

    texts: tuple[str, ...]
    scorers: Scorers
    original: Original
    num_classes: int = 2
    classes: tuple[str, ...] = ()
    in_words: bool = False
    dev: Mapping[str, str] = field(default_factory=lambda: {"": "validation"})

    @property
    def columns(self) -> dict[str, type]:
        return dict.fromkeys(self.texts, str) | {"label": float if self.num_classes == 1 else int}

    @property
    def alternatives(self) -> list[Columns]:
        """Of a file: the columns of the hub, and of GLUE's own files."""
        words = {name: index for index, name in enumerate(self.classes)}
        label = words if self.in_words else self.columns["label"]
        columns = ((self.texts, "label"), (self.original.texts, self.original.label))
        found = [dict.fromkeys(texts, str) | {name: label} for texts, name in columns]
        return found[:1] if found[0] == found[1] else found


MATCHED_AND_MISMATCHED = {"": "validation_matched", "_mm": "validation_mismatched"}
ENTAILMENT = ("entailment", "not_entailment")
PAIR = ("sentence1", "sentence2")

SUBSETS = {
    "cola": Subset(
        ("sentence",), MATTHEWS, Original((), ("sentence",), whole=("source", "label", "star", "sentence")),
        classes=("unacceptable", "acceptable"),
    ),
    "sst2": Subset(
        ("sentence",), ACCURACY, Original(("sentence", "label"), ("sentence",)), classes=("negative", "positive")
    ),
    "mrpc": Subset(
        PAIR, ACCURACY_F1, Original(("Quality", "#1 ID", "#2 ID"), ("#1 String", "#2 String"), "Quality"),
        classes=("not_equivalent", "equivalent"),
    ),
    "stsb": Subset(PAIR, CORRELATIONS, Original(("index", "genre", "filename"), PAIR, "score"), num_classes=1),
    "qqp": Subset(
        ("question1", "question2"), ACCURACY_F1,
        Original(("id", "qid1", "qid2"), ("question1", "question2"), "is_duplicate"),
        classes=("not_duplicate", "duplicate"),
    ),
    "mnli": Subset(
        ("premise", "hypothesis"), ACCURACY, Original(("index", "promptID", "pairID"), PAIR, "gold_label"),
        num_classes=3, classes=("entailment", "neutral", "contradiction"), in_words=True, dev=MATCHED_AND_MISMATCHED,
    ),
    "qnli": Subset(
        ("question", "sentence"), ACCURACY, Original(("index", "question", "sentence"), ("question", "sentence")),
        classes=ENTAILMENT, in_words=True,
    ),
    "rte": Subset(PAIR, ACCURACY, Original(("index", *PAIR), PAIR), classes=ENTAILMENT, in_words=True),
}  # fmt: skip


Source = Rows | HubFile | str | None  # None is the hub's own file


def hub_file(subset: str, part: str) -> HubFile:
    """The file of "train", "validation", "validation_matched" or "validation_mismatched"."""
    return HubFile(REPOSITORY, f"{subset}/{part}-00000-of-00001.parquet", REVISION)


class Glue(Task):
    """Train: the official training set. Each benchmark: halves and whole of an official dev set.

    subset: a key of SUBSETS; a local file has its columns or is GLUE's own.
    train_source, dev_source: Rows, a HubFile, a local path or None (the hub's file).
    mismatched_source: the same for the second dev set of MNLI.
    limit: keep the first so many examples of train and of each half, for smoke runs; dev is both halves all the same.
    drawn: how many rows of the training file are for train, validation and, where it is named, test, and whether they
        keep apart from the dev set; see `DrawnRows`.
    """

    kind: ClassVar[str] = "text_classification"
    watched: ClassVar[SplitName] = "dev"

    def __init__(
        self,
        *,
        subset: str,
        data_seed: int,
        train_source: Source = None,
        dev_source: Source = None,
        mismatched_source: Source = None,
        limit: int | None = None,
        name: str | None = None,
        drawn: Mapping[str, Any] | None = None,
    ) -> None:
        if subset not in SUBSETS:
            raise ValueError(f"no task of GLUE is named {subset!r}; there are {', '.join(SUBSETS)}")
        if limit is not None and limit < 1:
            raise ValueError(f"limit >= 1 (or null), not {limit}")
        self.name = name or f"glue_{subset}"
        self.subset = SUBSETS[subset]
        self.num_classes = self.subset.num_classes
        self.class_names = self.subset.classes
        self.limit = limit
        if mismatched_source is not None and "_mm" not in self.subset.dev:
            raise ValueError(f"GLUE's {subset} has one dev set: mismatched_source is null, not {mismatched_source}")
        self._train = _Part(self.subset, train_source, hub_file(subset, "train"), "train")
        sources = {"": dev_source, "_mm": mismatched_source}
        dev = {
            self.name + ending: _Part(self.subset, sources[ending], hub_file(subset, part), f"dev{ending}")
            for ending, part in self.subset.dev.items()
        }
        self._drawn = None if drawn is None else DrawnRows(self._train, dev, drawn, data_seed, limit)
        scorers = self.subset.scorers
        if self._drawn is None:
            self.benchmarks = {name: Halved(name, part, scorers, data_seed, limit) for name, part in dev.items()}
        else:
            self.watched = None
            self.benchmarks = self._drawn.benchmarks(scorers)

    def files(self) -> Sequence[DataFile]:
        return self._rows.files()

    @property
    def notes(self) -> Sequence[str]:
        return self._rows.notes

    @property
    def _rows(self) -> "_Part | DrawnRows":
        """What training rows are of."""
        return self._train if self._drawn is None else self._drawn

    def fingerprint(self) -> str:
        """Of training and of the first benchmark, whose validation half selects."""
        if self._drawn is not None:
            return self._drawn.fingerprint()
        return fingerprints.of(self._train.fingerprint(), self.benchmarks[self.name].fingerprint(), self.limit)

    def questions(self, rows: Sequence[Row]) -> list[ClassExample]:
        """With the columns of texts that the hub's files have."""
        first, *second = self.subset.texts
        return [ClassExample(str(row), row.text(first), row.text(second[0]) if second else None, 0) for row in rows]

    def examples(self, split: SplitName) -> Sequence[ClassExample]:
        if split != "train":
            return self.benchmarks[self.name].examples(split)
        return self._train.examples[: self.limit] if self._drawn is None else self._drawn.examples("train")


class _Part:
    """One file of a task: its rows as examples."""

    def __init__(self, subset: Subset, source: Source, published: HubFile, prefix: str) -> None:
        self.subset = subset
        self.source = published if source is None else source
        self.prefix = prefix
        self.table: Rows = self.source if isinstance(self.source, Rows) else self._file(published)

    def _file(self, published: HubFile) -> Table:
        original = self.subset.original
        tsv = partial(unquoted_tsv, starts=original.starts, header=original.whole)
        return Table(self.source, self.subset.alternatives, published, tsv)

    @property
    def notes(self) -> Sequence[str]:
        return self.table.notes if isinstance(self.table, Table) else ()

    def files(self) -> Sequence[DataFile]:
        return self.table.files() if isinstance(self.table, Table) else ()

    def fingerprint(self) -> str:
        return fingerprints.of(self.table.fingerprint(), *self.subset.columns)

    def fetch(self) -> None:
        if isinstance(self.table, Table):
            self.table.paths()

    @cached_property
    def examples(self) -> list[ClassExample]:
        examples = []
        for number, (text, *pair, label) in enumerate(self.table.rows()):
            self._check(label, number + 1)
            examples.append(ClassExample(f"{self.prefix}-{number}", text, pair[0] if pair else None, label))
        return examples

    def _check(self, label: float, row: int) -> None:
        """Raises DataError; the hub's test files have -1 for every label."""
        highest = HIGHEST_SIMILARITY if self.subset.num_classes == 1 else self.subset.num_classes - 1
        if not 0 <= label <= highest:
            raise DataError(
                f"row {row} of {self.source} has label {label}, expected 0 to {highest}; "
                "the official test sets of GLUE have no labels, train and dev sets have"
            )
