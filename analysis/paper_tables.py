"""The paper's tables with printed and reproduced values side by side: `<experiment>.csv`, `.md` and `.tex`.

    python -m analysis.paper_tables [--runs runs] [--out analysis/output/tables]

One for each experiment below runs/experiments that reproduces a table or is a micro twin of one.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis import command, markup
from analysis.paper import SVFT, Experiment, experiments
from analysis.paper_notes import notes
from analysis.tables import OUT, count, percent
from errors import RecordError
from harness.store import record
from harness.store.disk import tells_disk_errors
from harness.store.files import write_text

MARKS = {"inside noise": "=", "higher": ">", "lower": "<"}


def text(experiment: Experiment) -> pd.DataFrame:
    """The table as strings, in the order of the manifest; a line with the model's name begins its rows."""
    cells, twin = experiment.cells, experiment.twin
    metrics = [column["metric"] for column in experiment.manifest["columns"]]
    models = list(dict.fromkeys(cells["model"]))
    lines = []
    for model, rows in cells.groupby("model", sort=False):
        if len(models) > 1:
            lines.append({"Method": f"**{model}**"})
        lines += [_line(row, metrics, twin) for _, row in rows.groupby(["label", "targets"], sort=False)]
    if cells["majority"].notna().any():
        lines.append({"Method": "Majority class", **_majority(cells)})
    frame = pd.DataFrame(lines, columns=_columns(metrics, twin)).fillna("")
    return frame.rename(columns={"Method": models[0]}) if len(models) == 1 else frame


def _columns(metrics: Sequence[str], twin: bool) -> list[str]:
    head = ["Method", *([] if twin else ["Params printed"]), "Params counted", "Seeds"]
    return [*head, *[name for metric in metrics for name in ([metric] if twin else [metric, f"{metric} printed"])]]


def _line(row: pd.DataFrame, metrics: Sequence[str], twin: bool) -> dict[str, str]:
    first, by_metric = row.iloc[0], {cell.metric: cell for cell in row.itertuples()}
    line = {
        "Method": first["label"], "Params printed": _string(first["params_printed"]),
        "Params counted": count(first["params"]), "Seeds": seeds_said(row["seeds"]),
    }  # fmt: skip
    for metric in metrics:
        cell = by_metric.get(metric)
        line[metric] = "" if cell is None else reproduced(cell)
        line[f"{metric} printed"] = "" if cell is None else _string(cell.printed)
    return line if not twin else {name: value for name, value in line.items() if "printed" not in name}


def reproduced(cell) -> str:
    """`47.8 [46.9, 48.6] (-1.2, =)`: mean, its interval or standard error, difference in points and verdict."""
    if cell.seeds == 0:
        return ""
    said = estimate(cell)
    if not pd.isna(cell.best_dev):
        said += f"; best {percent(cell.best_dev)}"
    if pd.isna(cell.difference):
        return said
    difference = f"{cell.difference:+.1f}".replace("-0.0", "+0.0")
    return f"{said} ({difference}{'' if pd.isna(cell.verdict) else f', {MARKS[cell.verdict]}'})"


def estimate(cell) -> str:
    """`47.8 [46.9, 48.6]`: mean, and its interval over seeds or its standard error."""
    said = percent(cell.reproduced)
    if not pd.isna(cell.low):
        return f"{said} [{percent(cell.low)}, {percent(cell.high)}]"
    return said if pd.isna(cell.error) else f"{said} ± {percent(cell.error)}"


def _string(value: str | None) -> str:
    return "" if pd.isna(value) else value


def seeds_said(seeds: pd.Series) -> str:
    """`3`, or `1 to 5` where cells of a row have different numbers of seeds; those without any apart."""
    ran = seeds[seeds > 0]
    if ran.empty:
        return ""
    return str(ran.max()) if ran.min() == ran.max() else f"{ran.min()} to {ran.max()}"


def _majority(cells: pd.DataFrame) -> dict[str, str]:
    known = cells.dropna(subset="majority").groupby("metric", sort=False)["majority"].first()
    return {metric: percent(share) for metric, share in known.items()}


def caption(experiment: Experiment) -> str:
    whose = "" if experiment.paper == SVFT else f" of {experiment.paper}"
    number = "" if experiment.twin else f"Table {experiment.table}{whose}. "
    return f"{number}{experiment.manifest['title'].rstrip('.')}."


def write(experiment: Experiment, folder: Path) -> None:
    shown, below, title = text(experiment), list(notes(experiment)), caption(experiment)
    numbers = experiment.cells.astype({"items": "Int64", "params": "Int64", "table": "Int64"})
    write_text(folder / f"{experiment.name}.csv", markup.csv(numbers))
    markdown = f"**{markup.md(title)}**\n\n{markup.markdown(shown, below)}"
    write_text(folder / f"{experiment.name}.md", markdown)
    latex = f"\\textbf{{{markup.tex(title)}}}\\par\n{markup.latex(shown, below)}"
    write_text(folder / f"{experiment.name}.tex", latex)


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser("analysis.paper_tables", __doc__, OUT, "tables")
    options = command.parsed(parser, arguments)
    records, broken = record.find(options.runs)
    for sentence in broken:
        print(f"not counted: {sentence}", file=sys.stderr)
    try:
        found = [each for each in experiments(options.runs, records) if each.table]
    except RecordError as error:
        sys.exit(str(error))
    if not found:
        print(f"no experiment of a table below {options.runs}/experiments", file=sys.stderr)
    for each in found:
        write(each, options.out)
        print(f"{options.out}/{each.name}.{{csv,md,tex}}")


if __name__ == "__main__":
    main()
