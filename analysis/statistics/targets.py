"""What analysis/bench_targets.csv wants of what is measured in float32 on a CPU, against what was measured."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.load.bench import DROPPED, Bench

TARGETS = Path(__file__).parents[1] / "bench_targets.csv"


def measurements(benches: Sequence[Bench]) -> pd.DataFrame:
    """All that a target may be about, one a line: measure, of, dropped, tokens, value, failed.

    A decomposition is there twice, being the same whether W0 is kept or dropped.
    """
    columns = ["measure", "of", "dropped", "tokens", "value", "failed", "counted", "least"]
    frames = []
    for bench in filter(is_aimed_at, benches):
        for measure, frame, value in MEASURES[bench.kind](bench):
            frames.append(pd.DataFrame({
                "measure": measure, "of": frame["method"].str.removesuffix(DROPPED),
                "dropped": frame["method"].str.endswith(DROPPED), "tokens": frame.get("tokens", math.nan),
                "value": frame[value], "failed": frame.get("failed", ""), **_counts(measure, frame),
            }))  # fmt: skip
    for rows in (bench.rows for bench in benches if bench.kind == "svd"):
        of = rows["shape"] + "/" + rows["dtype"].str.removeprefix("torch.")
        both = {"measure": "svd", "of": of, "tokens": math.nan, "value": rows["faster"], "failed": ""}
        both |= _counts("svd", rows)
        frames += [pd.DataFrame({**both, "dropped": dropped}) for dropped in (False, True)]
    frames = [frame for frame in frames if len(frame)]
    return pd.concat(frames)[columns] if frames else pd.DataFrame(columns=columns)


def targets(benches: Sequence[Bench]) -> pd.DataFrame:
    """One line a target: what is wanted, and of W0 kept and dropped the value, verdict, failure and counts.

    counted, least: operations against the reference's, as taken and at least, of the method that has the worst value.
    verdict: met, missed, or None where something that it needs was not measured or nothing is wanted.
    """
    measured, lines = measurements(benches), []
    for target in pd.read_csv(TARGETS, keep_default_na=False).to_dict("records"):
        line = {name: target[name] for name in ("target", "tokens", "bound", "wanted")}
        for weight, dropped in (("kept", False), ("dropped", True)):
            value, verdict, failed = _held(target, measured, dropped)
            wanted = target["weight"] in ("either", weight)
            line |= {weight: value, f"{weight}_verdict": verdict if wanted else None, f"{weight}_failed": failed}
            line |= _counts_of_worst(target, measured, dropped, value, weight)
        lines.append(line)
    return pd.DataFrame(lines)


def _of_block(bench: Bench) -> list[tuple[str, pd.DataFrame, str]]:
    """The measures of a block: name, frame, column."""
    resident = bench.methods.assign(value=bench.methods["resident_bytes"] / bench.methods["base_bytes"])
    steps = [("step", "ratio"), ("released", "ratio_released"), ("saved", "saved")]
    return [*((measure, bench.steps, column) for measure, column in steps), ("resident", resident, "value"),
            ("linear", bench.linear, "ratio")]  # fmt: skip


def _of_encoder(bench: Bench) -> list[tuple[str, pd.DataFrame, str]]:
    """Bytes are held against the reference's there."""
    reference = bench.methods.set_index("method")["resident_bytes"].get(bench.values["reference"], math.nan)
    resident = bench.methods.assign(value=bench.methods["resident_bytes"] / reference)
    return [("encoder", bench.steps, "ratio"), ("encoder resident", resident, "value")]


def _of_runs(bench: Bench) -> list[tuple[str, pd.DataFrame, str]]:
    """Each part of the program is a measure; W0 is kept in all."""
    return [(part, rows, "value") for part, rows in bench.rows.groupby("part", sort=False)]


MEASURES = {"block": _of_block, "encoder": _of_encoder, "runs": _of_runs}
COUNTED = ("step", "encoder")  # measures of steps beside the reference's, whose operations are counted too


def _counts(measure: str, frame: pd.DataFrame) -> dict[str, Any]:
    return {name: frame[name] if measure in COUNTED else math.nan for name in ("counted", "least")}


def is_aimed_at(bench: Bench) -> bool:
    """`block` is the block of the usual shape; one of another is named `block_<shape>`."""
    return bench.name in MEASURES and bench.values["dtype"] == "float32" and bench.values["device"]["type"] == "cpu"


def _counts_of_worst(
    target: Mapping[str, Any], measured: pd.DataFrame, dropped: bool, value: float | None, weight: str
) -> dict[str, float]:
    own = measured[(measured["measure"] == target["measure"]) & (measured["dropped"] == dropped)]
    if target["tokens"]:
        own = own[own["tokens"] == int(target["tokens"])]
    own = own[own["of"].isin(target["of"].split()) & (own["value"] == value)]
    return {f"{weight}_{name}": own[name].iloc[0] if len(own) else math.nan for name in ("counted", "least")}


def _held(target: Mapping[str, Any], measured: pd.DataFrame, dropped: bool) -> tuple[float | None, str | None, str]:
    """The worst value, the verdict, and the failure that stands in its way.

    Met only where every method of the target has a value at each number of tokens that the target, or else the file,
    has; missed as soon as one value is, or one step failed.
    """
    measured = measured[measured["measure"] == target["measure"]]
    if target["tokens"]:
        measured = measured[measured["tokens"] == int(target["tokens"])]
    methods, tokens = target["of"].split(), measured["tokens"].nunique(dropna=False)
    own = measured[measured["of"].isin(methods) & (measured["dropped"] == dropped)]
    values, failed = own["value"].dropna().astype(float), next(filter(None, own["failed"]), "")
    if values.empty:
        return None, "missed" if failed else None, failed
    at_most = target["bound"] == "at most"
    worst = values.max() if at_most else values.min()
    if failed or (worst > target["wanted"] if at_most else worst < target["wanted"]):
        return worst, "missed", failed
    covered = own.dropna(subset="value")[["of", "tokens"]].drop_duplicates()
    return worst, "met" if len(covered) == len(methods) * tokens else None, failed
