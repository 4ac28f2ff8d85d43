r"""Do the scorers find the gold answers of a file right when they are said as a model would, and near misses wrong?

python -m tasks.audit FILE_OR_FOLDER... [--near-misses 200] [--listed 5]

`tasks/reading/formats.py` says which files it reads. A row's columns tell what it is:
GSM-8K (question and answer, or query and response, with "####"), MATH (problem, and solution or answer), LLM-Adapters'
commonsense sets (instruction, output, and a label as answer), numbers (answer or gold: MAWPS, SVAMP, your own), GLUE
and other classes (label). Prints a table of verdicts by file, way of saying and scorer, then the rows that a scorer
does not find right, with the reason. Exit status 1 where `strict` calls a gold answer wrong or a near miss right.
"""

import argparse
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import DataError
from tasks.base import ItemScore, Scorer
from tasks.reading.formats import FORMATS, ending
from tasks.reading.tables import TableFile
from tasks.scoring import commonsense
from tasks.scoring.corpus import f1, matthews, pearson, spearman
from tasks.scoring.gsm8k import MARKER, gsm8k_legacy, gsm8k_strict
from tasks.scoring.math_scoring import boxed_answer, math_legacy, math_strict
from tasks.scoring.verdicts import exact_class

ANOTHER = "another gold"  # which may be equal
SEED = 0  # of the golds that near misses are made of

# --- what a row asks ---


@dataclass(frozen=True)
class Said:
    """One way of saying the gold answer, and the scorers that read it."""

    way: str
    prediction: Any
    scorers: Mapping[str, Scorer]


@dataclass(frozen=True)
class Asked:
    """A row as a benchmark has it. strict: for which near misses of `gold` must be wrong; None: of a class."""

    kind: str
    gold: Any
    said: tuple[Said, ...]
    strict: Scorer | None = None


Values = Mapping[str, Any]
NUMBER: Mapping[str, Scorer] = {"strict": gsm8k_strict, "legacy": gsm8k_legacy}
MATH: Mapping[str, Scorer] = {"strict": math_strict, "legacy": math_legacy}


def _plainly(gold: str, scorers: Mapping[str, Scorer]) -> tuple[Said, ...]:
    """`The answer is: X`, as MetaMath's models end, and `\\boxed{X}`, as others do, which legacy does not read."""
    strict = {"strict": scorers["strict"]}
    return (Said(f"{MARKER}X", f"{MARKER}{gold}", scorers), Said("\\boxed{X}", f"Thus $\\boxed{{{gold}}}$.", strict))


def _gsm8k(values: Values) -> Asked | None:
    solution = values.get("answer") if "question" in values else values.get("response") if "query" in values else None
    if not isinstance(solution, str) or "#### " not in solution:
        return None
    gold = solution.rpartition("#### ")[2].strip()
    whole = Said("its solution", solution, {"strict": gsm8k_strict})
    return Asked("GSM-8K", gold, (whole, *_plainly(gold, NUMBER)), gsm8k_strict)


def _math(values: Values) -> Asked | None:
    solution, answer = values.get("solution"), values.get("answer")
    if "problem" not in values or not isinstance(gold := boxed_answer(solution) if solution else answer, str):
        return None
    whole = (Said("its solution", solution, {"strict": math_strict}),) if solution else ()
    return Asked("MATH", gold, (*whole, *_plainly(gold, MATH)), math_strict)


def _commonsense(values: Values) -> Asked | None:
    gold, output = values.get("answer"), values.get("output")
    is_label = any(gold in labels for labels in commonsense.LABELS.values())
    if "instruction" not in values or not is_label or not isinstance(output, str):
        return None
    choice = {"text": output, "likeliest": commonsense.choice(gold)}
    scorers = {"strict": commonsense.strict, "legacy": commonsense.legacy}
    return Asked("commonsense", gold, (Said("its output", choice, scorers),))


def _number(values: Values) -> Asked | None:
    gold = str(values.get("gold", values.get("answer", "")))
    try:
        gsm8k_strict("", gold)
    except ValueError:
        return None
    target = values.get("target")
    whole = (Said("its target", target, {"strict": gsm8k_strict}),) if isinstance(target, str) else ()
    return Asked("number", gold, (*whole, *_plainly(gold, NUMBER)), gsm8k_strict)


def _label(values: Values) -> Asked | None:
    label = values.get("label")
    if not isinstance(label, int | float):
        return None
    return Asked("label", label, (Said("its label", label, {"exact": exact_class}),))


KINDS: Sequence[Callable[[Values], Asked | None]] = (_gsm8k, _math, _commonsense, _number, _label)


def asked(values: Values) -> Asked | None:
    return next((found for kind in KINDS if (found := kind(values))), None)


# --- near misses: answers that differ little from a gold answer and are wrong, which a scorer must not take for it ---

_PAIR = re.compile(r"\(([^(),]+),([^(),]+)\)")
_FACTOR = re.compile(r"^(?:\d+(?=\s*(?:\\sqrt|\\pi|[a-z]))|\\sqrt(?=\{\d+\}$))|(?<=\d)\s*\\pi$")


def near_misses(gold: str) -> Iterator[tuple[str, str]]:
    r"""(what was changed, the wrong answer): a digit, the sign, the order of a pair, a factor such as `\pi`."""
    yield from ((how, wrong) for how, wrong in _changes(gold) if wrong != gold)


def _changes(gold: str) -> Iterator[tuple[str, str]]:
    digit = re.search(r"\d", gold)
    if digit:
        yield "first digit", gold[: digit.start()] + str(int(digit[0]) % 9 + 1) + gold[digit.end() :]
    if re.search(r"[1-9]", gold) and not re.search(r"[,=<>]|\\(?:pm|cup|in\b|text)|[A-Za-z]{4}", gold):
        yield "sign", gold[1:] if gold.startswith("-") else f"-{gold}"
    pair = _PAIR.fullmatch(gold.replace("\\left", "").replace("\\right", ""))
    if pair and pair[1].strip() != pair[2].strip():
        yield "order", f"({pair[2].strip()}, {pair[1].strip()})"
    if _FACTOR.search(gold) and not gold.startswith("1\\"):
        yield "factor", _FACTOR.sub("", gold, count=1).strip()


# --- verdicts ---


@dataclass
class Audit:
    """counts: (kind, way, scorer) -> verdict -> rows.  lines: sentences on what is not right."""

    file: str
    counts: dict[tuple[str, str, str], Counter] = field(default_factory=lambda: defaultdict(Counter))
    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    fails: bool = False


def audit(path: Path, tries: int) -> Audit:
    """Raises DataError where the file cannot be read or no row of it is known."""
    made, found = Audit(str(path)), []
    for row in TableFile(str(path)).rows():
        if one := asked(row.values):
            found.append(one)
            _judge(made, row.number, one)
    if not found:
        raise DataError(f"{path}: no row has columns that are known here; see `python -m tasks.audit --help`")
    _judge_labels(made, [one.gold for one in found if one.kind == "label"])
    _judge_near_misses(made, [one for one in found if one.strict], tries)
    return made


def _judge(made: Audit, number: int, one: Asked) -> None:
    for said in one.said:
        for name, scorer in said.scorers.items():
            verdict, reason = _verdict(name, scorer, said.prediction, one.gold)
            made.counts[one.kind, said.way, name][verdict] += 1
            if verdict != "right":
                made.lines[f"{said.way}, {name}, {verdict}: {reason}"].append(f"row {number} {str(one.gold)!r}")
                made.fails |= name != "legacy"


def _verdict(name: str, scorer: Scorer, prediction: Any, gold: Any) -> tuple[str, str]:
    try:
        score = scorer(prediction, gold)
    except ValueError as error:
        return "refused", f"no gold for this scorer ({type(error).__name__})"
    if score.correct:
        return "right", ""
    return ("wrong" if score.parsed else "unparsed"), _reason(name, score, str(gold))


def _reason(name: str, score: ItemScore, gold: str) -> str:
    if name == "legacy" and gold.rstrip().endswith("."):
        return "a full stop at the end is cut off the answer, and not off the gold"
    if name == "legacy" and gold.startswith(("\\boxed", "\\fbox")):
        return "the released script cannot open the box, and has no gold"
    if name == "legacy" and gold.count(",") > 1:
        return "the released script stops at the second thousands separator"
    return "read as something else" if score.parsed else "not read"


def _judge_labels(made: Audit, labels: Sequence[float]) -> None:
    """Metrics of all rows together, of the labels against themselves."""
    if len(set(labels)) < 2:
        return
    is_value = any(label != int(label) for label in labels)
    metrics = {"pearson": pearson, "spearman": spearman} if is_value else {}
    metrics |= {"matthews": matthews, "f1": f1} if set(labels) == {0, 1} else {}
    for name, metric in metrics.items():
        is_right = abs(metric(labels, labels) - 1) < 1e-12
        made.counts["label", "all labels", name]["right" if is_right else "wrong"] += 1
        made.fails |= not is_right


def _judge_near_misses(made: Audit, golds: Sequence[Asked], tries: int) -> None:
    """Of a sample of golds: changed ones, and other golds of the file, must be wrong; equal ones are told by no one."""
    rng = random.Random(SEED)
    for one in rng.sample(golds, min(tries, len(golds))):
        others = [*near_misses(one.gold), (ANOTHER, rng.choice(golds).gold)]
        for how, wrong in others:
            if wrong == one.gold:
                continue
            is_right = one.strict(f"{MARKER}{wrong}", one.gold).correct
            made.counts[one.kind, f"near miss: {how}", "strict"]["right" if is_right else "wrong"] += 1
            if is_right:
                made.lines[f"near miss, strict, right: {how}"].append(f"{wrong!r} for {one.gold!r}")
                made.fails |= how != ANOTHER


# --- the program ---

VERDICTS = ("right", "wrong", "unparsed", "refused")


def table(audits: Sequence[Audit]) -> str:
    """In Markdown: a line for each file, kind, way of saying and scorer."""
    lines = [f"| File | Rows of | Said as | Scorer | Rows | {' | '.join(map(str.capitalize, VERDICTS))} |"]
    lines.append("|" + " :-- |" * 4 + " --: |" * (1 + len(VERDICTS)))
    for made in audits:
        for key, counts in made.counts.items():
            numbers = [counts.total(), *(counts[verdict] for verdict in VERDICTS)]
            lines.append("| " + " | ".join(map(str, (made.file, *key, *numbers))) + " |")
    return "\n".join(lines)


def reasons(audits: Sequence[Audit], listed: int) -> Iterator[str]:
    """What is not as it should be, and the first `listed` rows of each."""
    for made in audits:
        for reason, rows in made.lines.items():
            more = f"; and {len(rows) - listed} more" if len(rows) > listed else ""
            yield f"{made.file}: {reason} ({len(rows)}): {'; '.join(rows[:listed])}{more}"


def files(paths: Sequence[str]) -> Iterator[Path]:
    """Files as they are given, and those of a folder that can be read. Raises DataError where there is none."""
    for path in map(Path, paths):
        found = sorted(file for file in path.rglob("*") if ending(file) in FORMATS) if path.is_dir() else [path]
        if not found:
            raise DataError(f"{path} holds no file of the formats {', '.join(FORMATS)}")
        yield from found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "python -m tasks.audit", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("paths", nargs="+", metavar="FILE_OR_FOLDER")
    parser.add_argument("--near-misses", type=int, default=200, help="golds of a file that near misses are made of")
    parser.add_argument("--listed", type=int, default=5, help="rows that are named for each reason")
    options = parser.parse_args(arguments)
    audits = []
    try:
        for path in files(options.paths):
            audits.append(audit(path, options.near_misses))
    except DataError as error:
        sys.exit(f"error: {error}")
    print(table(audits))
    print("\nA near miss that is right is equal to the gold, or an error of the scorer.\n")
    print("\n".join(reasons(audits, options.listed)))
    sys.exit(any(made.fails for made in audits))


if __name__ == "__main__":
    main()
