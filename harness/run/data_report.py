"""A report on a run's data, printed before it trains: the numbers of examples and classes, what reading left out, and
how many test examples are training examples too.

The report is the section `data` of the record:

    {examples: {"train" or "<benchmark> <split>": number}, classes: {class: number of training examples},
     also_trained_on: {"<benchmark> <split>": number}, notes: sentences on files, missing: {benchmark: why}}

Notes are of splits with one label, too.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks.base import Benchmark, ClassExample, Task, TextExample
from tasks.reading.content import several

Report = dict[str, Any]
_CLASSES_TOLD = 12


def of(task: Task, wanted: Sequence[tuple[Benchmark, str]], missing: Mapping[str, str]) -> Report:
    train = task.examples("train")
    trained_on = set(map(_asked, train)) - {None}
    examples, both, alike = {"train": len(train)}, {}, []
    for benchmark, split in wanted:
        asked = benchmark.examples(split)
        examples[f"{benchmark.name} {split}"] = len(asked)
        if again := sum(_asked(example) in trained_on for example in asked):
            both[f"{benchmark.name} {split}"] = again
        alike += _alike(task, asked, f"{benchmark.name} {split}")
    files = [task, *(benchmark for benchmark, _ in wanted)]
    notes = list(dict.fromkeys(note for owner in files for note in owner.notes))
    return {
        "examples": examples, "classes": _classes(task, train), "also_trained_on": both,
        "notes": notes + alike,
        "missing": dict(missing),
    }  # fmt: skip


def _asked(example: Any) -> Any:
    """What a model is shown of an example; None of an image, which is not opened for this."""
    if isinstance(example, ClassExample):
        return example.text, example.pair
    return example.prompt if isinstance(example, TextExample) else None


def _alike(task: Task, asked: Sequence[Any], where: str) -> list[str]:
    """Of examples with one label, which no score tells from a constant answer."""
    labels = set() if task.num_classes is None else {example.label for example in asked}
    if len(labels) != 1:
        return []
    (label,) = labels
    if task.num_classes == 1:
        return [f"the examples of {where} are all of the value {label:g}, with which nothing correlates"]
    name = task.class_names[label] if task.class_names else label
    return [f"the examples of {where} are all of class {name}, which a constant answer gets right"]


def _classes(task: Task, train: Iterable[Any]) -> dict[str, int]:
    """Training examples by class, in the order of classes; none of regression and of generated text."""
    number = task.num_classes
    if number is None or number == 1:
        return {}
    counts = Counter(example.label for example in train)
    names = task.class_names or range(number)
    return {str(name): counts[index] for index, name in enumerate(names)}


def sentences(report: Report) -> list[str]:
    """For the terminal."""
    examples, classes = report["examples"], report["classes"]
    unlearnt = [name for name, number in classes.items() if number == 0]
    scored = ", ".join(f"{number:,} of {where}" for where, number in examples.items() if where != "train")
    return [
        f"data: {examples['train']:,} training examples; {scored}",
        *([f"data: training examples by class: {_told(classes)}"] if classes else []),
        *([f"data: no training example is of class {several(unlearnt)}, which cannot be learnt"] if unlearnt else []),
        *(
            f"data: {again:,} of the {examples[where]:,} examples of {where} are training examples too"
            for where, again in report["also_trained_on"].items()
        ),
        *(f"data: {note}" for note in report["notes"]),
    ]


def _told(classes: Mapping[str, int]) -> str:
    if len(classes) <= _CLASSES_TOLD:
        return ", ".join(f"{name} ({number:,})" for name, number in classes.items())
    least, most = min(classes, key=classes.__getitem__), max(classes, key=classes.__getitem__)
    return f"{len(classes)} classes, from {least} ({classes[least]:,}) to {most} ({classes[most]:,})"
