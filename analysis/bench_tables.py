"""What a training step costs, in tables for each device: `bench_<device>_<table>.csv`, `.md`, `.tex`; together: `.md`.

    python -m analysis.bench_tables [--runs runs] [--out analysis/output/tables]

From runs/bench/<name>-<device>.json. `block` and `model` files have steps and linear layers of methods, the others a
table of their own. A block in float32 on a CPU is held against analysis/bench_targets.csv.
What was not measured is empty; what failed says why.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import bench_targets, command, markup
from analysis.bench_files import FOLDER, LINEAR, METHOD, STEP, Bench, find, said
from analysis.tables import OUT, count, size, write
from errors import RecordError
from harness.store.disk import tells_disk_errors
from harness.store.files import write_text


@dataclass(frozen=True)
class Table:
    """Numbers for the CSV, the strings shown, and notes below them."""

    title: str
    numbers: pd.DataFrame
    shown: pd.DataFrame
    notes: list[str]


def tables(benches: Sequence[Bench]) -> dict[str, Table]:
    """By name, in the order of the page, those that have something to say."""
    stepped = [bench for bench in benches if len(bench.methods)]
    made = {}
    if any(bench_targets.is_aimed_at(bench) for bench in benches):
        aims = bench_targets.targets(benches)
        made["targets"] = Table("Targets", aims, bench_targets.targets_text(aims), list(bench_targets.notes(benches)))
    if stepped:
        made |= _stepped(stepped, [said(bench.values, bench.panel) for bench in stepped])
    for kind, (title, text, more) in OTHERS.items():
        own = [bench for bench in benches if bench.kind == kind]
        if own:
            rows = pd.concat([bench.rows for bench in own])
            notes = [note for bench in own for note in more(bench)]
            made[kind] = Table(title, rows, text(rows), [*notes, *(said(bench.values) for bench in own)])
    return made


def _stepped(benches: Sequence[Bench], notes: list[str]) -> dict[str, Table]:
    """The tables of block and model files, the panels of a table below each other."""
    methods, steps, linear = (
        pd.concat([frame.assign(panel=bench.panel) for bench, frame in zip(benches, frames, strict=True)])
        for frames in zip(*[(bench.methods, bench.steps, bench.linear) for bench in benches], strict=True)
    )
    against = " and ".join(dict.fromkeys(bench.reference for bench in benches))
    named = ["panel", "method", "label", "tokens", "failed"]
    ratios, times = [*named, *[name for name in STEP if "ratio" in name]], [*named, "seconds", "tokens_per_second"]
    ratio = f"Ratio to {against} in the same repeat: median and quartiles; T: tokens of a step."
    if (steps["ratio"].notna() & steps["ratio_low"].isna()).any():
        ratio += " Without quartiles: of two medians, each method having been alone on the device."
    saved = f"T: saved for backward at so many tokens, in brackets against {against}. Resident: all weights that stay."
    rates = by_tokens(steps, lambda row: _short(row.tokens_per_second))
    made = {
        "steps": Table(f"Step time against {against}", steps[ratios], by_tokens(steps, _ratio), [ratio, *notes]),
        "throughput": Table("Tokens per second", steps[times], rates, ["T: tokens of a step.", *notes]),
        "memory": Table("Memory", *memory(methods, steps), [saved, *notes]),
    }
    if len(linear):
        counted = (
            "GEMM: the counted matrix products alone, timed. Measured: the adapted layers alone, forward and backward. "
            "Ratio: of the two in the same repeat, median and quartiles."
        )
        made["counted"] = Table("Measured against counted", *counts(linear), [counted, *notes])
    return made


def by_tokens(
    steps: pd.DataFrame, cell: Callable[[Any], str], first: Callable[[Any], dict[str, str]] | None = None
) -> pd.DataFrame:
    """One line a method, below a line with the panel's name where there are several; one column a number of tokens.

    first: what stands before these columns, of a method's first row.
    """
    lines = []
    for panel, rows in steps.groupby("panel", sort=False):
        lines += [{"Method": f"**{panel}**"}] if steps["panel"].nunique() > 1 else []
        for _, own in rows.groupby("method", sort=False):
            stepped = own[own["tokens"].notna()]
            cells = {_tokens(row.tokens): row.failed or cell(row) for row in stepped.itertuples()}
            lines.append({"Method": own["label"].iloc[0], **(first(own.iloc[0]) if first else {}), **cells})
    heads = [name for line in lines for name in line if not name.startswith("T = ")]
    tokens = [_tokens(number) for number in sorted(steps["tokens"].dropna().unique())]
    return pd.DataFrame(lines, columns=[*dict.fromkeys(["Method", *heads]), *tokens]).fillna("")


def _tokens(number: float) -> str:
    return f"T = {int(number):,}"


def _ratio(row) -> str:
    if pd.isna(row.ratio):
        return ""
    return f"{row.ratio:.2f}" + ("" if pd.isna(row.ratio_low) else f" [{row.ratio_low:.2f}, {row.ratio_high:.2f}]")


def memory(methods: pd.DataFrame, steps: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Numbers and strings. A method without a step keeps its line."""
    columns = ["panel", "method", "label", "tokens", "saved_bytes", "saved", "peak_bytes", "failed"]
    frame = methods.merge(steps[columns], on=["panel", "method", "label"], how="left").fillna({"failed": ""})
    frame["resident"] = frame["resident_bytes"] / frame["base_bytes"]
    shown = by_tokens(
        frame,
        lambda row: _with_share(row.saved_bytes, row.saved),
        lambda row: {
            "Trained": count(row["trained"]), "Base": size(row["base_bytes"]), "Resident": size(row["resident_bytes"]),
            "Resident / base": _short(row["resident"], ".2f"),
        },
    )  # fmt: skip
    return frame[[*columns[:3], *METHOD, "resident", *columns[3:]]], shown


def _with_share(number: float, share: float) -> str:
    return size(number) + ("" if pd.isna(share) else f" ({share:.2f})")


def counts(linear: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measured against counted, numbers and strings; times shown in milliseconds."""
    forms = [", ".join(_times(form, n) for form, n in Counter(each).items()) for each in linear["forms"]]
    frame = linear.assign(forms=forms)[["panel", "method", "label", "forms", *LINEAR]]
    panels = frame["panel"].nunique() > 1
    return frame, pd.DataFrame([{
        "Method": f"{row.label} ({row.panel})" if panels else row.label, "T": count(row.tokens), "Forms": row.forms,
        "GFLOP": _short(row.flops / 1e9), "GEMM (ms)": _short(1e3 * row.gemm_seconds),
        "Measured (ms)": _short(1e3 * row.measured_seconds), "Ratio": _ratio(row),
    } for row in frame.itertuples()])  # fmt: skip


def _times(form: str, n: int) -> str:
    return form if n == 1 else f"{n} × {form}"


def _short(number: float, places: str = ".3g") -> str:
    """Three digits; 1234.5 is 1,234, never 1.23e+03."""
    if pd.isna(number):
        return ""
    return f"{number:,.0f}" if places == ".3g" and abs(number) >= 1000 else f"{number:{places}}"


def _svd_text(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([{
        "Shape": row.shape.replace("x", " × "), "torch.linalg.svd in": row.dtype,
        "Its seconds": _short(row.reference_seconds), "Seconds": _short(row.seconds),
        "Times faster": _short(row.faster, ".2f"),
        "Orthonormality": _exact(row.orthonormality, row.reference_orthonormality),
        "Reconstruction": _exact(row.reconstruction, row.reference_reconstruction),
    } for row in rows.itertuples()])  # fmt: skip


def _exact(error: float, reference: float) -> str:
    return _short(error, ".1e") + ("" if pd.isna(reference) else f" ({reference:.1e})")


def _generation_text(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([{
        "Engine": row.engine, "Method": row.label, "Merged": _yes(row.merged),
        "Tokens per second": row.failed or _short(row.tokens_per_second),
        "Against plain generate": _ratio(row), "Identical": _yes(row.identical),
    } for row in rows.itertuples()])  # fmt: skip


def _precision_text(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([{
        "Model": row.model, "Case": row.case, "Logits, rms": _short(row.logits_rms, ".1e"),
        "Logits, largest": _short(row.logits_largest, ".1e"), "Loss": _short(row.loss, ".4f"),
        "Difference": _short(row.loss_difference, "+.4f"), "KL": _short(row.divergence, ".1e"),
        "Same likeliest token": f"{100 * row.agreement:.1f} %",
    } for row in rows.itertuples()])  # fmt: skip


def _precision_notes(bench: Bench) -> Iterator[str]:
    yield (
        f"Before the first step, against the plain model in {bench.values['dtype']}, on the answers' tokens. Logits: "
        "difference over their root mean square."
    )
    for matrix in bench.values["matrices"]:
        shape = " × ".join(map(str, matrix["shape"]))
        yield (
            f"A Gaussian matrix {shape}: rounding it to {bench.values['dtype']} moves it by {matrix['storing']:.1e} of "
            f"its norm, the product of its rounded factors by {matrix['dropping']:.1e} more."
        )
    trained = pd.DataFrame(bench.values["training"])
    for case, runs in trained.groupby("case", sort=False) if len(trained) else ():
        ends = [sum(loss for _, loss in curve[-5:]) / len(curve[-5:]) for curve in runs["loss"]]
        yield (
            f"Trained, {case}: loss at the end {_range(ends, '.3f')}, validation score "
            f"{_range([100 * score for score in runs['score']], '.1f')} (mean and range of {len(runs)} seeds)."
        )


def _range(values: Sequence[float], places: str) -> str:
    return f"{sum(values) / len(values):{places}} [{min(values):{places}}, {max(values):{places}}]"


def _forms_text(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([{
        "Pattern": pattern, "W0": "kept" if kept else "dropped", "Choices": count(len(own)),
        "The fastest": count((own["regret"] <= 0).sum()), "Within 5 %": count((own["regret"] <= 0.05).sum()),
        "Largest regret": f"{100 * max(own['regret'].max(), 0):.1f} %",
    } for (pattern, kept), own in rows.groupby(["pattern", "keep_weight"], sort=False)])  # fmt: skip


def _yes(value: bool | None) -> str:
    return "" if pd.isna(value) else "yes" if value else "no"


# Title, strings, and notes of the kinds that have one table each.
OTHERS: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame], Callable[[Bench], Iterable[str]]]] = {
    "svd": (
        "Decomposition", _svd_text, lambda _: ["Errors of the decomposition, in brackets those of torch.linalg.svd."],
    ),
    "forms": (
        "Choice of the form", _forms_text,
        lambda _: ["Regret: time of the form that the count chooses over the fastest one's, less 1; median of turns."],
    ),
    "generation": (
        "Generation", _generation_text, lambda _: ["Against plain generate: times faster. Identical: to its text."],
    ),
    "precision": ("Precision at the start", _precision_text, _precision_notes),
}  # fmt: skip


def page(made: Mapping[str, Table]) -> str:
    """All tables of a device below each other."""
    tables_of_it = ((markup.md(table.title), markup.markdown(table.shown, table.notes)) for table in made.values())
    return "\n".join(f"### {title}\n\n{text}" for title, text in tables_of_it)


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser("analysis.bench_tables", __doc__, OUT, "tables")
    options = command.parsed(parser, arguments)
    try:
        made = {slug: tables(benches) for slug, benches in find(options.runs).items()}
    except RecordError as error:
        sys.exit(str(error))
    if not made:
        print(f"no result file below {options.runs / FOLDER}", file=sys.stderr)
    for slug, own in made.items():
        for name, table in own.items():
            write(options.out, f"bench_{slug}_{name}", table.numbers, table.shown, table.notes)
        write_text(options.out / f"bench_{slug}.md", page(own))
        print(f"{options.out}/bench_{slug}.md, and its tables one by one: {', '.join(own)}")


if __name__ == "__main__":
    main()
