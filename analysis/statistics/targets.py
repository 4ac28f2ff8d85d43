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
        for measure, frame in MEASURES[bench.kind](bench).items():
            frames.append(pd.DataFrame({
                "measure": measure, "of": frame["method"].str.removesuffix(DROPPED),
                "dropped": frame["method"].str.endswith(DROPPED), "tokens": frame.get("tokens", math.nan),
                "value": frame["value"], "failed": frame.get("failed", ""), **_counts(frame),
            }))  # fmt: skip
    for rows in (bench.rows for bench in benches if bench.kind == "svd"):
        of = rows["shape"] + "/" + rows["dtype"].str.removeprefix("torch.")
        both = {"measure": "svd", "of": of, "tokens": math.nan, "value": rows["faster"], "failed": "", **_counts(rows)}
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


def _of_block(bench: Bench) -> dict[str, pd.DataFrame]:
    """The measures of a block: frames with method, value, and what else of `measurements` there is."""
    steps, methods = bench.steps, bench.methods
    bare = steps.drop(columns=list(COUNTS))
    released = steps[steps["method"] == bench.values["released"]].set_index("tokens")["operations"]
    return {
        "step": steps.assign(value=steps["ratio"]),
        "released": bare.assign(
            value=steps["ratio_released"], counted=bare["operations"] / bare["tokens"].map(released)
        ),
        "saved": bare.assign(value=steps["saved"]),
        "resident": _held_against(methods, methods["base_bytes"]),
        "resident model": _held_against(methods, methods["whole_base_bytes"], "whole_").dropna(subset="value"),
        "linear": bench.linear.assign(value=bench.linear["ratio"]),
    }


def _of_encoder(bench: Bench) -> dict[str, pd.DataFrame]:
    """Bytes are held against the reference's there."""
    reference = bench.methods.set_index("method")["resident_bytes"].get(bench.values["reference"], math.nan)
    return {
        "encoder": bench.steps.assign(value=bench.steps["ratio"]),
        "encoder resident": _held_against(bench.methods, reference),
        "encoder svd": _decompositions(bench),
    }


def _held_against(methods: pd.DataFrame, reference: pd.Series | float, prefix: str = "") -> pd.DataFrame:
    """Resident bytes, and those that were counted, against a reference's."""
    names = {"value": "resident_bytes", "counted": "counted_bytes", "least": "least_bytes"}
    return methods.assign(**{name: methods[prefix + column] / reference for name, column in names.items()})


def _decompositions(bench: Bench) -> pd.DataFrame:
    """Against 100 steps of the smallest batch; of the method that came first, the others found them in the cache."""
    seconds = bench.methods.set_index("method").get("svd_seconds", pd.Series(dtype=float)).dropna()
    first = next((name for name, taken in seconds.items() if taken > 0), None)
    steps = bench.steps[bench.steps["tokens"] == bench.steps["tokens"].min()].query("method == @first")
    return steps[["method"]].assign(value=[seconds[first] / (EPOCH * each) for each in steps["seconds"]])


def _of_runs(bench: Bench) -> dict[str, pd.DataFrame]:
    """Each part of the program is a measure; W0 is kept in all."""
    return dict(iter(bench.rows.groupby("part", sort=False)))


MEASURES = {"block": _of_block, "encoder": _of_encoder, "runs": _of_runs}
EPOCH = 100  # steps: a short first epoch, of 1,600 rows in batches of 16
COUNTS = ("counted", "least")


def _counts(frame: pd.DataFrame) -> dict[str, Any]:
    return {name: frame.get(name, math.nan) for name in COUNTS}


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
    return {f"{weight}_{name}": own[name].iloc[0] if len(own) else math.nan for name in COUNTS}


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
