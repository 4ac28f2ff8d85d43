"""What a training step costs: the pages `bench_<device>_<table>` of each device, and `bench_<device>` with all of them.

`block` and `model` files of runs/bench have steps and linear layers of methods, the others a table of their own. A
block in float32 on a CPU is held against analysis/bench_targets.csv. What was not measured is empty; what failed says
why.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.load.bench import LINEAR, METHOD, STEP, STORED, WHOLE, Bench, find, said
from analysis.load.records import Loaded
from analysis.statistics.targets import is_aimed_at, targets
from analysis.writing import markup
from analysis.writing.numbers import count, digits, mean_and_range, size
from analysis.writing.page import Page, Table, Text


def tables(benches: Sequence[Bench]) -> dict[str, Table]:
    """By name, in the order of the page, those that have something to say."""
    stepped = [bench for bench in benches if len(bench.methods)]
    made = {}
    if any(is_aimed_at(bench) for bench in benches):
        aims = targets(benches)
        made["targets"] = Table(aims, _targets_text(aims), list(_targets_notes(benches)), "Targets")
    if stepped:
        made |= _stepped(stepped, [said(bench.values, bench.panel) for bench in stepped])
    for kind, (title, text, more) in OTHERS.items():
        own = [bench for bench in benches if bench.kind == kind]
        if own:
            rows = pd.concat([bench.rows for bench in own])
            notes = [note for bench in own for note in more(bench)]
            made[kind] = Table(rows, text(rows), [*notes, *(said(bench.values) for bench in own)], title)
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
    rates = by_tokens(steps, lambda row: digits(row.tokens_per_second))
    made = {
        "steps": Table(steps[ratios], by_tokens(steps, _ratio), [ratio, *notes], f"Step time against {against}"),
        "throughput": Table(steps[times], rates, ["T: tokens of a step.", *notes], "Tokens per second"),
        "memory": Table(*memory(methods, steps), [saved, *notes], "Memory"),
    }
    if steps["counted"].notna().any():
        products = (
            f"Operations of the whole step against those of {against}: as taken, in brackets the fewest of any known "
            "order of products with a diagonal M; then how many kernels run, and how many of the reference's step."
        )
        named += ["operations", "counted", "least", "kernels", "reference_kernels"]
        made["products"] = Table(steps[named], by_tokens(steps, _products), [products, *notes], "Products and kernels")
    if len(linear):
        counted = (
            "GEMM: the counted matrix products alone, timed. M: what M computes entry by entry, which is none of them. "
            "Measured: the adapted layers alone, forward and backward. Ratio: of measured to GEMM in the same repeat, "
            "median and quartiles."
        )
        made["counted"] = Table(*counts(linear), [counted, *notes], "Measured against counted")
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


def _products(row) -> str:
    if pd.isna(row.counted):
        return ""
    return f"{row.counted:.2f} ({row.least:.2f}); {row.kernels:.0f} / {row.reference_kernels:.0f}"


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
            "Resident / base": digits(row["resident"], ".2f"),
        },
    )  # fmt: skip
    there = [name for name in (*STORED, *WHOLE) if frame[name].notna().any()]
    return frame[[*columns[:3], *METHOD, *there, "resident", *columns[3:]]], shown


def _with_share(number: float, share: float) -> str:
    return size(number) + ("" if pd.isna(share) else f" ({share:.2f})")


def counts(linear: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measured against counted, numbers and strings; times shown in milliseconds."""
    forms = [", ".join(_times(form, n) for form, n in Counter(each).items()) for each in linear["forms"]]
    frame = linear.assign(forms=forms)[["panel", "method", "label", "forms", *LINEAR]]
    panels = frame["panel"].nunique() > 1
    shown = pd.DataFrame([{
        "Method": f"{row.label} ({row.panel})" if panels else row.label, "T": count(row.tokens), "Forms": row.forms,
        "GFLOP": digits(row.flops / 1e9), "GEMM (ms)": digits(1e3 * row.gemm_seconds),
        "M (ms)": digits(1e3 * row.coupling_seconds),
        "Measured (ms)": digits(1e3 * row.measured_seconds), "Ratio": _ratio(row),
    } for row in frame.itertuples()])  # fmt: skip
    return frame, shown if shown["M (ms)"].any() else shown.drop(columns="M (ms)")


def _times(form: str, n: int) -> str:
    return form if n == 1 else f"{n} × {form}"


def _svd_text(rows: pd.DataFrame) -> pd.DataFrame:
    shown = pd.DataFrame([{
        "Shape": row.shape.replace("x", " × "), "torch.linalg.svd in": row.dtype,
        "Its seconds": digits(row.reference_seconds), "Seconds": digits(row.seconds),
        "Times faster": digits(row.faster, ".2f"), "Bound": digits(row.counted, ".2f"),
        "Orthonormality": _exact(row.orthonormality, row.reference_orthonormality),
        "Reconstruction": _exact(row.reconstruction, row.reference_reconstruction),
    } for row in rows.itertuples()])  # fmt: skip
    return shown if shown["Bound"].any() else shown.drop(columns="Bound")


def _exact(error: float, reference: float) -> str:
    return digits(error, ".1e") + ("" if pd.isna(reference) else f" ({reference:.1e})")


def _generation_text(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([{
        "Engine": row.engine, "Method": row.label, "Merged": _yes(row.merged),
        "Tokens per second": row.failed or digits(row.tokens_per_second),
        "Against plain generate": _ratio(row), "Identical": _yes(row.identical),
    } for row in rows.itertuples()])  # fmt: skip


def _precision_text(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([{
        "Model": row.model, "Case": row.case, "Logits, rms": digits(row.logits_rms, ".1e"),
        "Logits, largest": digits(row.logits_largest, ".1e"), "Loss": digits(row.loss, ".4f"),
        "Difference": digits(row.loss_difference, "+.4f"), "KL": digits(row.divergence, ".1e"),
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
            f"Trained, {case}: loss at the end {mean_and_range(ends, '.3f')}, validation score "
            f"{mean_and_range([100 * score for score in runs['score']], '.1f')} (mean and range of {len(runs)} seeds)."
        )


def _forms_text(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([{
        "Pattern": pattern, "W0": "kept" if kept else "dropped", "Choices": count(len(own)),
        "The fastest": count((own["regret"] <= 0).sum()), "Within 5 %": count((own["regret"] <= 0.05).sum()),
        "Largest regret": f"{100 * max(own['regret'].max(), 0):.1f} %",
    } for (pattern, kept), own in rows.groupby(["pattern", "keep_weight"], sort=False)])  # fmt: skip


def _runs_text(rows: pd.DataFrame) -> pd.DataFrame:
    times = {"Seconds": "seconds", "Steps": "training_seconds", "Evaluation": "evaluation_seconds"}
    return pd.DataFrame([{
        "Part": row["part"], "Method": row["method"], "What": row["case"], "Against": row["reference"],
        "Value": f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}] {row['unit']}".strip(),
        "By CPU": f"{row['cpu_value']:.2f} {row['unit']}".strip(),
        **{head: f"{row[name]:.1f} / {row[f'reference_{name}']:.1f}" for head, name in times.items()},
        "Same scores": _yes(row["same_scores"]), "Crowded": f"{row['crowded']:.0f} of {row['runs']:.0f} runs",
    } for row in rows.to_dict("records")])  # fmt: skip


def _targets_text(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([{
        "Target": row["target"] + (f", T = {row['tokens']}" if row["tokens"] else ""),
        "Wanted": f"{row['bound']} {row['wanted']:g}",
        "W0 kept": _verdict(row, "kept"), "W0 dropped": _verdict(row, "dropped"),
    } for row in frame.to_dict("records")])  # fmt: skip


def _verdict(row: Mapping[str, Any], weight: str) -> str:
    verdict, failed = row[f"{weight}_verdict"], row[f"{weight}_failed"]
    value = failed or ("" if pd.isna(row[weight]) else f"{row[weight]:.3f}")
    marked = "" if pd.isna(verdict) else {"missed": "**missed**"}.get(verdict, verdict)
    counted, least = row[f"{weight}_counted"], row[f"{weight}_least"]
    counts = [f"{name} {number:.2f}" for name, number in (("counted", counted), ("least", least)) if pd.notna(number)]
    why = f"({', '.join(counts)})" if verdict == "missed" and counts else ""
    return f"{value} {marked} {why}".strip()


def _targets_notes(benches: Sequence[Bench]) -> Iterator[str]:
    yield "Medians; worst: over the patterns and, where none is named, the numbers of tokens T. In float32 on a CPU."
    yield (
        "Counted: operations of the whole step against the reference's, as the layer takes them; least: if each layer "
        "took the fewest of any known order of products, with a diagonal M. Of linear layers: products and what M "
        "computes entry by entry, over products. Of resident bytes: W0 and the singular vectors; least: with one "
        "factor beside each W0. Of a decomposition: what one eigh in float32 and one product would reach."
    )
    yield "No verdict: something was not measured, or nothing is wanted of it. The decomposition is the same for both."
    for bench in benches:
        if is_aimed_at(bench):
            yield said(bench.values, bench.panel)


def _yes(value: bool | None) -> str:
    return "" if pd.isna(value) else "yes" if value else "no"


RUNS_NOTE = (
    "Processes in turns. Value: ratio of wall times, or seconds of one more run without its steps; median, quartiles. "
    "Seconds: of a process, and the sums of its runs' steps and evaluation, each against the other's. "
    "Crowded: other processes held the cores."
)
# Title, strings, and notes of the kinds that have one table each.
OTHERS: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame], Callable[[Bench], Iterable[str]]]] = {
    "svd": (
        "Decomposition", _svd_text,
        lambda bench: [
            "Errors of the decomposition, in brackets those of torch.linalg.svd.",
            *(["Bound: one eigh of W Wᵀ in float32 and one product with it."] if bench.rows["counted"].any() else []),
        ],
    ),
    "forms": (
        "Choice of the form", _forms_text,
        lambda _: ["Regret: time of the form that the count chooses over the fastest one's, less 1; median of turns."],
    ),
    "generation": (
        "Generation", _generation_text, lambda _: ["Against plain generate: times faster. Identical: to its text."],
    ),
    "precision": ("Precision at the start", _precision_text, _precision_notes),
    "runs": ("Whole runs", _runs_text, lambda _: [RUNS_NOTE]),
}  # fmt: skip


def makers(loaded: Loaded) -> dict[str, Callable[[], Page]]:
    """Of each device its tables one by one, and `bench_<device>` with all of them."""
    found = {}
    for slug, benches in find(loaded.runs).items():
        made = tables(benches)
        if not made:  # of methods alone, which have pages of their own
            continue
        found |= {f"bench_{slug}_{name}": lambda table=table: table for name, table in made.items()}
        found[f"bench_{slug}"] = lambda made=made: page(made)
    return found


def page(made: Mapping[str, Table]) -> Text:
    """All tables of a device below each other."""
    parts = ((markup.md(table.title), markup.markdown(table.shown, table.notes)) for table in made.values())
    return Text({"md": "\n".join(f"### {title}\n\n{text}" for title, text in parts)})
