r"""Generation of text on files of one's own: text in, text out.

A row, and how it is fed:

    >>> row = Row("mine.jsonl", 1, 1, {"question": "Is the sea salt?", "answer": "It is. #### yes"})
    >>> task = OwnGeneration(
    ...     train="mine.jsonl", validation=None, test=None, validation_share=0.1, test_share=0.2, data_seed=0,
    ...     name="mine", prompt=r"Q: {question}\nA: ", target="answer", gold=None, gold_after="####",
    ...     scorers=["exact"], stop=[r"\n"],
    ... )
    >>> example = task.example("train-1", row)
    >>> example.prompt, example.target, example.gold, task.stop
    ('Q: Is the sea salt?\nA: ', 'It is. #### yes', 'yes', ('\n',))
"""

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from errors import DataError
from tasks.base import Benchmark, ItemScore, Scorer, SplitName, TextExample
from tasks.own.more_tests import MoreTests
from tasks.own.rows import OwnText
from tasks.reading.content import several
from tasks.reading.tables import Row, TableFile
from tasks.scoring import corpus
from tasks.scoring.gsm8k import gsm8k_legacy, gsm8k_strict
from tasks.scoring.math_scoring import math_legacy, math_strict
from tasks.scoring.verdicts import UNPARSED, of_bounded_text

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
    "math_legacy": math_legacy,
}


def exact_after(marker: str) -> Scorer:
    """`exact_text` of what follows the last `marker`; without one there is no answer."""

    @of_bounded_text
    def exact(text: str, gold: str) -> ItemScore:
        answer = after(text, marker)
        return UNPARSED if answer is None else exact_text(answer, gold)

    return exact


def after(text: str, marker: str) -> str | None:
    """What follows the last `marker`, without surrounding space; None without one."""
    _, found, answer = text.rpartition(marker)
    return answer.strip() if found else None


# --- the task ---


COLUMNS = ("prompt", "target", "gold", "gold_after")  # that a further test set may have other than the task
FURTHER = ("test", "rows", *COLUMNS)


class OwnGeneration(OwnText):
    """Text in, text out.

    prompt: a column, a list of columns (each on a line of its own), or a text with {column} fields, in which
        \\n, \\t and \\\\ are a new line, a tab and a backslash; any other backslash is itself.
    target: the column that is learnt.  gold: the column that answers are scored against; None: target.
    gold_after: the gold answer is what follows the last such text in that column, and so is the answer that `exact`
        takes from what is generated. Rows without any are left out. None: all of the column.
    scorers: names of GENERATION_SCORERS; tables show the first.
    metrics: paths of metrics of the library evaluate, scored besides. They get the generated texts and the golds.
    more: further test sets by name, each {test: files, rows: how many of them, drawn with data_seed; null: all} and, of
        prompt, target, gold and gold_after, those that are other than the task's own.
    stop: the generated text is cut before the first of these.
    gold_after and stop are written as in `prompt`.
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
        gold_after: str | None = None,
        metrics: Sequence[str] | None = None,
        more: Mapping[str, Mapping[str, Any]] | None = None,
        **files: Any,
    ) -> None:
        super().__init__(name=name, **files)
        as_here = {
            "prompt": prompt, "target": target, "gold": gold, "gold_after": gold_after,
            "scorers": scorers, "stop": stop, "metrics": metrics,
        }  # fmt: skip
        self._more = {each: self._further(each, given, as_here) for each, given in (more or {}).items()}
        if gold_after is not None and not (isinstance(gold_after, str) and gold_after.strip()):
            raise ValueError(f"gold_after is the text that answers follow, as '####', or null, not {gold_after!r}")
        gold_after = gold_after and unescaped(gold_after)
        for key, value in (("scorers", scorers), ("stop", stop)):
            if isinstance(value, str):
                raise ValueError(f"{key} is a list, as [{value}], not {value!r}")
        unknown = [scorer for scorer in scorers if scorer not in GENERATION_SCORERS]
        if unknown or not scorers:
            raise ValueError(f"scorers are one or more of {', '.join(GENERATION_SCORERS)}, not {list(scorers)}")
        known = GENERATION_SCORERS | ({"exact": exact_after(gold_after)} if gold_after else {})
        self._answered: dict[str, Scorer] = {scorer: known[scorer] for scorer in scorers}
        self.scorers = self._answered | corpus.own(metrics, beside=scorers)
        self.stop = tuple(map(unescaped, stop))
        self._template = template(prompt)
        self._target = target
        self._gold, self._gold_after = gold or target, gold_after
        self._left_out: list[str] = []

    def _further(self, name: str, given: Mapping[str, Any], as_here: Mapping[str, Any]) -> MoreTests:
        if name == self.name:
            raise ValueError(f"more: a further test set has another name than the task, which is {name!r}")
        if unknown := [key for key in given if key not in FURTHER]:
            raise ValueError(f"more: {name}: {unknown[0]!r} is none of {', '.join(FURTHER)}")
        if not isinstance(given.get("test"), str):
            raise ValueError(f"more: {name} names its files, as {{test: FILE}}")
        columns = as_here | {key: value for key, value in given.items() if key in COLUMNS}
        asked = OwnGeneration(
            name=name, train=given["test"], validation=None, test=None, validation_share=0.1, test_share=0.1,
            data_seed=self.data_seed, limit=self.limit, **columns,
        )  # fmt: skip
        return MoreTests(asked, TableFile(given["test"]), given.get("rows"))

    @property
    def benchmarks(self) -> Mapping[str, Benchmark]:
        return {self.name: self, **self._more}

    def whole(self) -> list[TextExample]:
        """An example of every row of the training table, none held out."""
        return [self.example(f"test-{row.index}", row) for row in self._usable(self._files["train"])]

    def _facts(self) -> list[Any]:
        facts = [self._template, self._target, self._gold, self.stop]
        return facts if self._gold_after is None else [*facts, {"gold_after": self._gold_after}]

    @property
    def notes(self) -> list[str]:
        return super().notes + self._left_out

    def examples(self, split: SplitName) -> list[TextExample]:
        return [self.example(id, row) for id, row in self._kept(split)]

    def _usable(self, file: TableFile) -> list[Row]:
        rows = file.rows()
        for column in [column for _, column in self._template if column is not None] + [self._target, self._gold]:
            if rows and not any(column in row.values for row in rows):
                rows[0].text(column)  # says so of the first, not of whichever is used first
        if self._gold_after is None:
            return rows
        usable = [row for row in rows if after(row.text(self._gold), self._gold_after)]
        without = f"no answer after {self._gold_after!r} in {self._gold!r}"
        if not usable:
            raise DataError(f"{file}: there is {without}; task.source.gold_after says what answers follow")
        if len(usable) < len(rows):
            left = sorted({row.index for row in rows} - {row.index for row in usable})
            self._left_out.append(
                f"{file}: left out {len(left)} of {len(rows):,} rows with {without} (rows {several(left)})"
            )
        return usable

    def questions(self, rows: Sequence[Row]) -> list[TextExample]:
        prompts = map(self._prompt, rows)
        return [TextExample(str(row), prompt, prompt, "", "") for row, prompt in zip(rows, prompts, strict=True)]

    def _prompt(self, row: Row) -> str:
        return "".join(part if column is None else part + row.text(column) for part, column in self._template)

    def example(self, id: str, row: Row) -> TextExample:
        """Raises DataError where a scorer cannot read the gold answer."""
        prompt = self._prompt(row)
        gold = row.filled(self._gold)
        if self._gold_after is not None:
            gold = after(gold, self._gold_after) or ""
        for name, scorer in self._answered.items():
            try:
                scorer("", gold)
            except (ValueError, ZeroDivisionError) as error:
                raise DataError(
                    f"{row}: scorer {name} cannot read {gold!r} as an answer; name a column that holds it alone: "
                    "task.source.gold=COLUMN"
                ) from error
        return TextExample(id, prompt, prompt, row.filled(self._target), gold)


QUOTES = ("'", '"')  # of JSON, more likely than of the name of a column
ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}
_ESCAPE = re.compile(r"\\([nt\\])")


def template(prompt: str | Sequence[str]) -> list[tuple[str, str | None]]:
    """[(literal text, the column after it or None)]; columns alone are put each on a line of its own.

    Raises ValueError where the text has an unbalanced brace ("{{" is a brace), a field is more than a column, and where
    no column is named.
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
        parts = list(string.Formatter().parse(prompt))
    except ValueError as error:
        raise ValueError(f"prompt={prompt!r} has a brace without its other ({error}); {{{{ is a brace") from error
    for _, column, form, conversion in parts:
        if form or conversion or (column and column.strip()[:1] in QUOTES):
            field = f"{column}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}"
            raise ValueError(
                f"prompt={prompt!r}: {{{field}}} is no column; a field is {{column}}, without !r or :format, and a "
                "brace of the text itself is {{ or }}"
            )
    return [(unescaped(literal), column) for literal, column, _, _ in parts]


def unescaped(text: str) -> str:
    """With a new line for \\n, a tab for \\t and a backslash for \\\\, which a command line cannot spell otherwise."""
    return _ESCAPE.sub(lambda found: ESCAPES[found[1]], text)
