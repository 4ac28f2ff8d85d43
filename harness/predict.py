"""Predictions of a finished run for rows of a file, or for images: classes by name, numbers, or text.

    python -m harness.predict runs/classification/encoder/lora/r8-QKVOUD-1a2b3c4d/seed=0 new.csv --out predictions.csv
    python -m harness.predict runs/image_folder/vision/lora/r8-QKVOUD-1a2b3c4d/seed=0 photos/ more/cat.jpg

A file has the columns that the run was trained on; those with answers may be missing. Prompts and preprocessing are
those of the run, so its own test rows get the predictions that are stored with it.
"""

import csv
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from errors import DataError, NotFinite, SettingError
from harness.finished import finished_run
from harness.finished.finished_run import Finished
from harness.run import command_line
from harness.store import files, provenance
from tasks.base import ImageExample, Task
from tasks.reading import class_folders, pictures
from tasks.reading.tables import TableFile

Row = dict[str, Any]
DIGITS = 6  # of a probability


def predict(run: Finished, inputs: Sequence[Path]) -> list[Row]:
    """One row of output for each row of the file or each image, in their order.

    Of texts {row: its number in the file, from 1, ...}, of images {file, ...}; then {class, probability} where classes
    are predicted, {value} of a number, {text} of text that is generated, and {likeliest, text} of a question that has
    choices, without text where the task ranks them alone. Raises DataError and SettingError.
    """
    places, examples = (_images if run.task.kind == "image_classification" else _texts)(run.task, inputs)
    return [place | answer for place, answer in zip(places, _answers(run, examples), strict=True)]


def _texts(task: Task, inputs: Sequence[Path]) -> tuple[list[Row], list[Any]]:
    if len(inputs) != 1:
        raise SettingError(f"a run on texts takes one file of rows, not {len(inputs)}")
    file = TableFile(str(inputs[0]))
    rows = file.rows()
    for note in file.notes:  # a blank line is no row, by which rows of the output are counted
        print(f"data: {note}", file=sys.stderr)
    return [{"row": row.index} for row in rows], task.questions(rows)


def _images(task: Task, inputs: Sequence[Path]) -> tuple[list[Row], list[ImageExample]]:
    paths = [path for given in inputs for path in _files(given)]
    read = partial(pictures.opened, background=task.background)
    return [{"file": str(path)} for path in paths], [ImageExample(str(p), partial(read, p), 0) for p in paths]


def _files(given: Path) -> list[Path]:
    """The image, or all those in a folder and below it."""
    if not given.exists():
        raise DataError(f"there is no image and no folder {given}")
    found = [given] if given.is_file() else sorted(filter(class_folders.is_image, given.rglob("*")))
    if not found:
        raise DataError(f"{given} holds no image; an image ends in {', '.join(class_folders.SUFFIXES)}")
    return found


def _answers(run: Finished, examples: Sequence[Any]) -> list[Row]:
    modality, batch_size, label = run.modality, run.cfg.evaluate.batch_size, "rows"
    if modality.num_labels is None:
        benchmark = next(iter(run.task.benchmarks.values()))
        answers, _ = modality.predict(run.model, benchmark, examples, batch_size, label)
        return list(map(_said, answers))
    logits = modality.logits(run.model, examples, batch_size, label)
    if not np.isfinite(logits).all():
        raise NotFinite("a prediction is not a finite number")
    predictions = modality.predictions_of(logits)
    if modality.num_labels == 1:
        return [{"value": value} for value in predictions]
    names = run.class_names or list(range(modality.num_labels))
    probabilities = _softmax(logits).max(-1)  # (examples,)
    return [
        {"class": names[index], "probability": round(float(p), DIGITS)}
        for index, p in zip(predictions, probabilities, strict=True)
    ]


def _said(answer: str | Mapping[str, Any] | float) -> Row:
    """Generated text; of a question with choices, the likeliest of them before it."""
    if isinstance(answer, float):  # a likelihood that is no number
        raise NotFinite("a prediction is not a finite number")
    if isinstance(answer, str):
        return {"text": answer}
    return {name: answer[name] for name in ("likeliest", "text") if name in answer}


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Of each row of (examples, K)."""
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def as_csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)  # some questions have choices, others none
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def as_jsonl(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


FORMATS: Mapping[str, Callable[[Sequence[Row]], str]] = {".csv": as_csv, ".jsonl": as_jsonl}


def main(arguments: list[str] | None = None) -> int:
    options = command_line.parser("harness.predict", __doc__)
    command_line.add_run(options)
    options.add_argument("input", type=Path, nargs="+", help="a file of rows; or images and folders of them")
    options.add_argument("--out", type=Path, help=f"a file ({' or '.join(FORMATS)}); without it, csv is printed")
    chosen = options.parse_args(arguments)
    return command_line.exit_code(lambda: _run(chosen.run, chosen.input, chosen.out))


def _run(run: Path, inputs: Sequence[Path], out: Path | None) -> None:
    if out is not None and out.suffix not in FORMATS:
        raise SettingError(f"--out {out} is of no known format; its name ends in {' or '.join(FORMATS)}")
    command_line.quiet()
    rows = predict(finished_run.opened(run, provenance.set_up("auto", None)), inputs)
    if out is None:
        print(as_csv(rows), end="")
        return
    files.write_text(out, FORMATS[out.suffix](rows))
    print(f"{out}: {len(rows)} rows", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
