"""Result files of the benchmarks, runs/bench/<name>-<device>.json, to frames."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from errors import RecordError

FOLDER = "bench"  # below runs/
SCHEMA = 1
DROPPED = "_dropped"  # ends the id of a method whose W0 is not kept
HALF = "_half"  # and of one whose singular vectors are in 16 bits beside it
METHOD = ["trained", "base_bytes", "resident_bytes"]
WHOLE = [f"whole_{name}_bytes" for name in ("base", "resident", "counted", "least")]  # of the model a block is of
STORED = ["counted_bytes", "least_bytes"]
STEP = ["tokens", "seconds", "tokens_per_second", "ratio", "ratio_low", "ratio_high", "ratio_released", "saved_bytes",
        "peak_bytes", "operations", "counted", "least", "kernels", "reference_kernels"]  # fmt: skip
LINEAR = ["tokens", "flops", "gemm_seconds", "coupling_seconds", "measured_seconds", "ratio", "ratio_low", "ratio_high",
          "counted"]  # fmt: skip
SVD = ["seconds", "reference_seconds", "ratio", "ratio_low", "ratio_high", "orthonormality", "reconstruction",
       "reference_orthonormality", "reference_reconstruction", "counted"]  # fmt: skip
GENERATION = ["tokens_per_second", "ratio", "ratio_low", "ratio_high"]
PRECISION = ["logits_rms", "logits_largest", "loss", "loss_difference", "divergence", "agreement"]
FORMS = ["tokens", "regret"]
RUNS = ["value", "low", "high", "cpu_value", "crowded", "runs",
        *(prefix + name for prefix in ("", "reference_") for name in (
            "seconds", "cpu_seconds", "training_seconds", "evaluation_seconds", "rest_seconds"))]  # fmt: skip
COSTS = ["trained", "ratio", "ratio_low", "ratio_high", "share", "saved_bytes", "base_bytes", "resident_bytes",
         "held_bytes", "file_bytes", "start_fp32", "start_bf16", "merge_fp32", "merge_bf16", "reload_run",
         "reload_peft", "checkpointing", "repeated", "load_bf16", "lr", "first_step_tenth", "first_step",
         "update"]  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """One file. Frames in its order; numbers that are not there are NaN, `failed` is "" where nothing did.

    methods  columns method, label, METHOD        steps      method, label, STEP, saved (against the reference), failed
    linear   method, label, forms, LINEAR         rows       of the other kinds
    """

    name: str
    kind: str
    slug: str
    values: dict[str, Any]
    methods: pd.DataFrame
    steps: pd.DataFrame
    linear: pd.DataFrame
    rows: pd.DataFrame

    @property
    def panel(self) -> str:
        return f"{self.name.removeprefix('model-').replace('_', ' ')}, {self.values['dtype']}"

    @property
    def reference(self) -> str:
        """The label of the method that others are compared with; its id where it was not measured."""
        name = self.values["reference"]
        return self.methods.set_index("method")["label"].get(name, name)


def find(runs: Path) -> dict[str, list[Bench]]:
    """The files below runs/bench by device. Raises RecordError where one cannot be used or one is there twice."""
    found: dict[str, list[Bench]] = {}
    for path in sorted((runs / FOLDER).glob("*.json")):
        bench = read(path)
        found.setdefault(bench.slug, []).append(bench)
    for slug, benches in found.items():
        panels = [bench.panel for bench in benches if len(bench.steps)]
        for panel in {panel for panel in panels if panels.count(panel) > 1}:
            raise RecordError(f"{panel} on {slug} is twice below {runs / FOLDER}; move one away")
    return found


def read(path: Path) -> Bench:
    """Raises RecordError, in one line, where the file is truncated, of another schema, or incomplete."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RecordError(f"{path} is not a readable result file: {error}") from error
    if not isinstance(values, dict) or values.get("schema") != SCHEMA or values.get("bench") not in KINDS:
        raise RecordError(f"{path} is not a result file of schema {SCHEMA} and bench {', '.join(KINDS)}")
    slug = path.stem.partition("-")[2].removeprefix(f"{values.get('model')}-")
    if not slug:
        raise RecordError(f"{path} is not named <name>-<device>.json")
    try:
        frames = dict.fromkeys(("methods", "steps", "linear", "rows"), pd.DataFrame())
        frames |= KINDS[values["bench"]](values)
        said(values)  # what every file must say of itself
        if frames["methods"].empty and frames["rows"].empty:
            raise ValueError("it has no rows")
        return Bench(path.stem.removesuffix(f"-{slug}"), values["bench"], slug, values, **frames)
    except KeyError as error:
        raise RecordError(f"{path} is not complete: {error} is missing") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise RecordError(f"{path} is not a result file: {error}") from error


def _block(values: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    methods = _frame([{"method": name, **each} for name, each in values["methods"].items()], ["method"],
                     METHOD + STORED + WHOLE)  # fmt: skip
    methods["label"] = [_label(row) for row in methods.to_dict("records")]
    labels = methods.set_index("method")["label"]
    rows = [{**row, "failed": _failure(row.get("failed"))} for row in values["rows"]]
    steps, linear = _frame(rows, ["method"], STEP), _frame(values.get("linear", []), ["method", "forms"], LINEAR)
    places = {method: place for place, method in enumerate(labels.index)}
    for frame in (steps, linear):
        frame["label"] = [labels[method] for method in frame["method"]]
    reference = steps[steps["method"] == values["reference"]].set_index("tokens")["saved_bytes"]
    steps["saved"] = steps["saved_bytes"] / steps["tokens"].map(reference)
    steps, linear = (
        frame.sort_values("method", key=lambda names: names.map(places), kind="stable") for frame in (steps, linear)
    )
    return {"methods": methods, "steps": steps, "linear": linear}


def _svd(values: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    frame = _frame(values["rows"], ["shape", "dtype"], SVD)
    frame["shape"] = ["x".join(str(int(number)) for number in shape) for shape in frame["shape"]]
    return {"rows": frame.assign(faster=1 / frame["ratio"])}  # ratio: ours over the reference, turn by turn


def _generation(values: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    rows = [
        {"label": row.get("method"), "merged": None, "identical": None, **row, "failed": _failure(row.get("failed"))}
        for row in values["rows"]
    ]
    return {"rows": _frame(rows, ["engine", "method"], GENERATION)}


def _precision(values: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    return {"rows": _frame(values["starts"], ["model", "case"], PRECISION)}


def _forms(values: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    return {"rows": _frame(values["rows"], ["layers", "pattern", "keep_weight", "chosen", "fastest"], FORMS)}


def _runs(values: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    return {"rows": _frame(values["rows"], ["part", "method", "case", "reference", "unit", "same_scores"], RUNS)}


def _costs(values: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """With the columns saved (against the reference), resident (against the base), file (against 4 x trained)."""
    absent = {"rank": {}, "full_rank": {}, "why": {}, "loaded": False, "failed": "", "cannot_merge": ""}
    frame = _frame([{**absent, **row} for row in values["rows"]], ["method", "label", *absent], COSTS)
    frame["saved"] = frame["saved_bytes"] / values["base"]["saved_bytes"]
    frame["resident"] = (frame["resident_bytes"] + frame["held_bytes"]) / frame["base_bytes"]
    frame["file"] = frame["file_bytes"] / (4 * frame["trained"])
    return {"rows": frame}


KINDS = {"block": _block, "encoder": _block, "model": _block, "svd": _svd, "generation": _generation,
         "precision": _precision, "forms": _forms, "runs": _runs, "methods": _costs}  # fmt: skip


def _frame(rows: Sequence[Mapping[str, Any]], names: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """One line a row. Raises KeyError where a name is missing, ValueError where a number is none; null is NaN."""
    if missing := [name for row in rows for name in names if name not in row]:
        raise KeyError(missing[0])
    frame = pd.DataFrame(list(rows), columns=None if rows else list(names))
    for name in numbers:
        frame[name] = pd.to_numeric(frame.get(name, pd.Series(math.nan, index=frame.index)))
    return frame.reindex(columns=[*dict.fromkeys([*names, *frame])])


def _label(row: Mapping[str, Any]) -> str:
    """A method's own, which also says where W0 is dropped."""
    told = not row["method"].endswith(DROPPED) or "dropped" in row["label"]
    return row["label"] if told else f"{row['label']}, W0 dropped"


def _failure(said: str | bool | None) -> str:
    """What a row says of its failure: `"failed": "out of memory"`, or true alone."""
    return said if isinstance(said, str) else "out of memory" if said else ""


def said(values: Mapping[str, Any], panel: str | None = None) -> str:
    """Where and with what a file was measured; panel: its name, which has the type already."""
    device, threads = values["device"], values.get("threads") or values["device"].get("threads")
    on = [device["name"], f"{threads} threads" if device["type"] == "cpu" and threads else "",
          "" if panel else values["dtype"], f"torch {values.get('torch') or values['packages']['torch']}"]  # fmt: skip
    commit = f"commit {values['commit'][:8]}{', changed' if values['dirty'] else ''}" if values["commit"] else ""
    repeats = f"{values['repeats']} repeats" if values.get("repeats") else ""
    shape = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in (values.get("shape") or {}).items())
    words = "; ".join(filter(None, [", ".join(filter(None, on)), shape, repeats, commit]))
    return f"{panel[0].upper()}{panel[1:]}: {words}." if panel else f"{words}."
