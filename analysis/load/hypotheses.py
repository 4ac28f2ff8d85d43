"""Claims and the comparisons that decide them, as analysis/reference/hypotheses.csv has them.

id, where, claim, note    what is claimed, and by whom
kind         above: each contrast exceeds `bound`; within: each lies inside ±`bound`
contrasts    separated by ";", all of which must be true: `[SVFT-R (d=8)] - 0.96 [Full-FT] - 0.04 [Head]`. In brackets
             a row's label as tables print it, and after "@" its adapted layers; without, the row on all linear layers
bound        in points (per cent); 0 where empty
fewer        `SVFT-P < LoRA (r=1)`: which row must train fewer parameters, heads apart, for the claim to hold
columns      metrics that it speaks of, separated by ";"; all where empty
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from analysis.load.paper import REFERENCE
from errors import RecordError

PATH = REFERENCE / "hypotheses.csv"
FIELDS = ("id", "where", "claim", "kind", "contrasts", "bound", "fewer", "columns", "note")
KINDS = ("above", "within")
TERM = re.compile(r"\s*(?P<sign>[+-]?)\s*(?P<weight>\d+(?:\.\d+)?)?\s*\[(?P<row>[^\[\]]+)\]\s*")


@dataclass(frozen=True)
class Row:
    """A row by its label. targets: its adapted layers as tables print them; empty: all linear layers."""

    label: str
    targets: str = ""

    def __str__(self) -> str:
        return f"{self.label} on {self.targets}" if self.targets else self.label


@dataclass(frozen=True)
class Contrast:
    """Σ weight · score of a row."""

    terms: tuple[tuple[float, Row], ...]

    @property
    def balanced(self) -> bool:
        """Do the weights sum to 0, so that it is the same whatever is added to all scores?"""
        return abs(sum(weight for weight, _ in self.terms)) < 1e-9

    def __str__(self) -> str:
        said = [f"{'-' if w < 0 else '+'} {'' if abs(w) == 1 else f'{abs(w):g} '}{row}" for w, row in self.terms]
        return " ".join(said).removeprefix("+ ")


@dataclass(frozen=True)
class Hypothesis:
    """One claim. bound: a rate, so a hundredth of what the file says; columns: metrics, none where all are meant."""

    id: str
    where: str
    claim: str
    kind: Literal["above", "within"]
    contrasts: tuple[Contrast, ...]
    bound: float
    fewer: tuple[Row, Row] | None
    columns: tuple[str, ...]
    note: str

    @property
    def rows(self) -> tuple[Row, ...]:
        """All that it speaks of, each once."""
        compared = [row for contrast in self.contrasts for _, row in contrast.terms]
        return tuple(dict.fromkeys([*compared, *(self.fewer or ())]))


def read(path: Path | None = None) -> list[Hypothesis]:
    """In the file's order (default: PATH). Raises RecordError with file, id and what is wrong."""
    path = path or PATH
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise RecordError(f"{path.name} is not in {path.parent}, so no claim can be judged") from None
    missing = [name for name in FIELDS if name not in frame.columns]
    if missing:
        raise RecordError(f"{path.name} lacks the columns {', '.join(missing)}; there are: {', '.join(frame.columns)}")
    found = [_hypothesis(line, path.name) for line in frame.to_dict("records")]
    ids = [each.id for each in found]
    twice = next((each for each in ids if ids.count(each) > 1), None)
    if twice is not None:
        raise RecordError(f"{path.name}, {twice}: two claims have this id; each needs one of its own")
    return found


def fault(hypothesis: Hypothesis, what: str) -> RecordError:
    """Of a claim that was read, but does not fit what there is."""
    return RecordError(f"{PATH.name}, {hypothesis.id}: {what}")


def _hypothesis(line: dict[str, Any], file: str) -> Hypothesis:
    at = f"{file}, {line['id'] or 'a line without an id'}"
    if line["kind"] not in KINDS:
        raise RecordError(f"{at}: kind is {line['kind']!r}; it can be {' or '.join(KINDS)}")
    bound = _bound(line["bound"], at)
    if line["kind"] == "within" and bound <= 0:
        raise RecordError(f"{at}: bound is {line['bound']!r}; a claim of kind 'within' needs one above 0, in points")
    return Hypothesis(
        line["id"], line["where"], line["claim"], line["kind"],
        tuple(_contrast(part, at) for part in _parts(line["contrasts"])), bound, _fewer(line["fewer"], at),
        tuple(_parts(line["columns"])), line["note"],
    )  # fmt: skip


def _parts(text: str) -> Iterator[str]:
    return filter(None, (part.strip() for part in text.split(";")))


def _bound(text: str, at: str) -> float:
    try:
        return float(text or 0) / 100
    except ValueError:
        raise RecordError(f"{at}: bound is {text!r}; it is a number of points, or empty for 0") from None


def _contrast(text: str, at: str) -> Contrast:
    terms, place = [], 0
    while place < len(text):
        found = TERM.match(text, place)
        if not found or (terms and not found["sign"]):
            raise RecordError(
                f"{at}: {text!r} cannot be read from {text[place:].strip()!r} on; a contrast is a sum of rows in "
                "brackets with or without weights, as [SVFT-P] - 0.96 [Full-FT], and a constant stands in `bound`"
            )
        terms.append(((-1 if found["sign"] == "-" else 1) * float(found["weight"] or 1), _row(found["row"])))
        place = found.end()
    return Contrast(tuple(terms))


def _row(text: str) -> Row:
    label, _, targets = text.partition("@")
    return Row(label.strip(), targets.strip())


def _fewer(text: str, at: str) -> tuple[Row, Row] | None:
    if not text.strip():
        return None
    labels = [part.strip().removeprefix("[").removesuffix("]") for part in text.split("<")]
    if len(labels) != 2 or not all(labels):
        raise RecordError(f"{at}: fewer is {text!r}; it is two labels, as SVFT-P < LoRA (r=1), or empty")
    return _row(labels[0]), _row(labels[1])
