"""What each method costs and keeps: `methods_<model>_<device>`, and `methods_<device>` with all models of a device.

A cell is empty where nothing was measured, and "no" where a method cannot do it; the notes say why. Marks: † of a step
measured while others had the processor, whose time is then the process's own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import pandas as pd

from analysis.load import bench, paper
from analysis.load.bench import Bench
from analysis.load.records import Loaded
from analysis.writing import markup
from analysis.writing.numbers import count
from analysis.writing.page import Page, Table, Text

KIND = "methods"  # of the files in runs/bench
NOTES = "method_notes.csv"  # in analysis/reference
EXACT, ROUNDED = 0.0, 1e-5  # distances: of the same bits; of fp32's rounding, from which on a row is worth a look
# Columns of errors: their heads, and the measure that may have failed.
ERRORS = {
    "start_fp32": ("Start", "start"), "start_bf16": ("Start, bf16", "start"), "merge_fp32": ("Merged", "merge"),
    "merge_bf16": ("Merged, bf16", "merge_half"), "reload_run": ("Reloaded", "reload"),
    "reload_peft": ("Reloaded by PEFT", "reload"), "checkpointing": ("Checkpointing", "checkpointing"),
    "load_bf16": ("fp32 to bf16", "half"),
}  # fmt: skip
TITLES = {
    "start": "Start", "kept": "Bytes", "step_time": "Step time", "training": "Training",
    "checkpointing": "Gradient checkpointing", "file": "Saving", "reload": "Loading in another process",
    "half": "Loading an adapter of fp32 on a base in bf16", "merge_half": "Merging in bf16", "merge": "Merging",
}  # fmt: skip
HALF = 5  # times what bf16 does to the base: what is more is not its rounding
STUCK = 0.5  # of the first step that is left at a tenth of the rate


def page(one: Bench, notes: pd.DataFrame) -> Table:
    """Of one model. notes: columns method, note, package, version, source."""
    frame = one.rows
    numbered = _numbered(frame, notes)
    half = HALF * one.values["base"]["bf16"]
    shown = pd.DataFrame([_line(row, numbered, half) for row in frame.to_dict("records")]).fillna("")
    ranks = {f"rank_{letter}": [row.get(letter) for row in frame["rank"]] for letter in _letters(frame)}
    numbers = frame[["method", "label", "failed", "loaded", *bench.COSTS, "saved", "resident", "file"]].assign(**ranks)
    return Table(numbers, shown, list(_notes(one, numbered)), f"What each method costs: {_model(one)}")


def _model(one: Bench) -> str:
    return one.values["model"].replace("_", "-")


def _line(row: Mapping, numbered: Mapping[str, list[tuple[int, str]]], half: float) -> dict[str, str]:
    """half: an error on a base in bf16 from which on it is more than rounding."""
    name = {"Method": row["label"], "Trained": count(row["trained"])}
    if row["failed"]:
        return name | {"Step": "not measured"}
    ratio = f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]" if pd.notna(row["ratio"]) else ""
    return {
        **name,
        "Step": ratio + ("†" if row["loaded"] else ""),
        "Saved": _share(row["saved"]), "Resident": _share(row["resident"]), "File": _share(row["file"]),
        **{head: _error(row, column, measure, half) for column, (head, measure) in ERRORS.items()},
        "Rate": _rate(row["lr"]), "First step": _size(row["first_step"]), "Update": _size(row["update"]),
        "Rank": ", ".join(f"{letter} {row['rank'][letter]}" for letter in _shown_letters(row)),
        "Notes": ", ".join(str(number) for number, _ in numbered.get(row["method"], ())),
    }  # fmt: skip


def _share(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3g}" if value >= 10 else f"{value:.2f}"


def _size(value: float) -> str:
    return "" if pd.isna(value) else "0" if value == 0 else f"{value:.1e}" if value < 1e-3 else f"{value:.2g}"


def _rate(value: float) -> str:
    return "" if pd.isna(value) else f"{value:g}"


def _error(row: Mapping, column: str, measure: str, half: float) -> str:
    """0 where every bit is the same; "no" where it failed or is refused."""
    if measure in row["why"] or (row["cannot_merge"] and column.startswith("merge")):
        return "no"
    value = row[column]
    said = "" if pd.isna(value) else "0" if value == EXACT else f"{value:.0e}"
    return f"**{said}**" if value > (half if column.endswith("bf16") else ROUNDED) else said


def _letters(frame: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(letter for row in frame["rank"] for letter in row))


def _shown_letters(row: Mapping) -> list[str]:
    """The first, and an MLP's."""
    return [letter for place, letter in enumerate(row["rank"]) if place == 0 or letter == "U"]


def _numbered(frame: pd.DataFrame, notes: pd.DataFrame) -> dict[str, list[tuple[int, str]]]:
    """Notes of the methods that are in the table, numbered from 1 in its order."""
    found, number = {}, 0
    for method in frame.loc[frame["failed"] == "", "method"]:
        for note in notes[notes["method"] == method].itertuples():
            number += 1
            found.setdefault(method, []).append((number, f"{note.note} ({note.package} {note.version}, {note.source})"))
    return found


def _notes(one: Bench, numbered: Mapping[str, list[tuple[int, str]]]) -> Iterator[str]:
    values, frame = one.values, one.rows
    yield (
        "Trained: numbers, those of the task's head among them. Step: time of a training step (forward, backward, "
        f"clipping, AdamW) against {values['reference']}, turn by turn in one process: median and quartiles. Saved: "
        "bytes that autograd keeps for backward, against the same. Resident: parameters, buffers and other tensors "
        "that modules hold, against the base. File: bytes of the saved adapter and head against four times the trained "
        "numbers."
    )
    yield (
        "Errors are relative distances of logits, 0: every bit is the same. Start: from the base before training. "
        "Merged: from the adapter beside the weights, in one precision. Reloaded: in another process, by this project "
        "and by PEFT. Checkpointing: of the gradients. fp32 to bf16: an adapter trained in fp32 on a base in bf16, "
        f"from what it was in fp32 ({values['base']['bf16']:.0e} is what bf16 does to the base itself). Bold: more "
        f"than rounding, on a base in bf16 {HALF} times that."
    )
    yield (
        "Rate: the learning rate that a run takes on this model, searched on validation data where the comparison has "
        "the method, else the method's own. First step: change of the effective weights of all linear layers over "
        f"their norm, at that rate. Update: the same after {values['steps']} steps at that constant rate. Rank: of the "
        f"update in block {_block(values)} by role letter, singular values above 1/1000 of the largest."
    )
    if frame["loaded"].any():
        yield (
            "†: others had the processor meanwhile (the process had "
            f"{100 * frame.loc[frame['loaded'].astype(bool), 'share'].min():.0f} % of the wall time or more), so the "
            "ratio is of the process's own time."
        )
    yield from _found(frame)
    yield from (f"{number}. {note}" for own in numbered.values() for number, note in own)
    yield bench.said(values)


def _block(values: Mapping) -> int:
    return next((row["block"] for row in values["rows"] if "block" in row), 0) + 1


def _found(frame: pd.DataFrame) -> Iterator[str]:
    """What the numbers say of single methods, and why others have none."""
    stuck = frame[frame["first_step_tenth"] > STUCK * frame["first_step"]]
    if len(stuck):
        yield f"The first step is hardly smaller at a tenth of the learning rate: {', '.join(stuck['label'])}."
    drawn = frame[frame["repeated"] > ROUNDED]
    if len(drawn):
        yield f"Gradients differ between two passes with one seed, too: {', '.join(drawn['label'])}."
    beside = frame[frame["held_bytes"] > 0]
    if len(beside):
        said = ", ".join(
            f"{row.label} ({row.held_bytes / row.base_bytes:.2f} of the base)" for row in beside.itertuples()
        )
        yield f"Holds tensors that are neither parameters nor buffers, and are counted here: {said}."
    for measure, title in TITLES.items():
        reasons = {row.label: row.why[measure] for row in frame.itertuples() if measure in row.why}
        if reasons:
            yield f"{title} failed or is refused, {', '.join(reasons)}: {next(iter(reasons.values()))}"
    for row in frame[frame["cannot_merge"] != ""].itertuples():
        yield f"Merging is refused, {row.label}: {row.cannot_merge}"
    for row in frame[frame["failed"] != ""].itertuples():
        yield f"Not measured: {row.label}: {row.failed}"


def found(loaded: Loaded) -> dict[str, list[Bench]]:
    """The files of methods by device."""
    every = {slug: [one for one in benches if one.kind == KIND] for slug, benches in bench.find(loaded.runs).items()}
    return {slug: benches for slug, benches in every.items() if benches}


def name(one: Bench) -> str:
    return f"methods_{one.values['model']}_{one.slug}"


def makers(loaded: Loaded) -> dict[str, Callable[[], Page]]:
    made: dict[str, Callable[[], Page]] = {}
    for slug, benches in found(loaded).items():
        made |= {name(one): partial(page, one, paper.reference(NOTES)) for one in benches}
        made[f"methods_{slug}"] = partial(together, benches)
    return made


def together(benches: Sequence[Bench]) -> Text:
    tables = [page(one, paper.reference(NOTES)) for one in benches]
    parts = (f"### {markup.md(each.title)}\n\n{markup.markdown(each.shown, each.notes)}" for each in tables)
    return Text({"md": "\n".join(parts)})
