"""What stands below a reproduced table of the paper: how rows are set, what marks mean, what is missing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.load.frames import runs_frame
from analysis.load.paper import SVFT, label
from analysis.pages.footnotes import bracket_notes, head_rate_notes, left_out_notes
from analysis.statistics.experiments import Experiment
from analysis.statistics.stats import MIN_SEEDS

Setting = tuple[str, str, str, dict[str, Any]]  # model, label, metric, settings
RUN = ("recipe", "kept", "base", "data")  # settings that a record knows and a manifest does not
NOISE = (
    "Marks: = inside noise, > higher, < lower than printed. Inside noise: the difference is at most 1.96 standard "
    "errors, which combine that of the printed value, taken as one run (binomial over the test items; of Matthews and "
    "Pearson the reproduced run's own), with that of the reproduced mean (bootstrap over seeds from three seeds on, "
    "else over items). The two share their test items, which makes the rule lenient."
)


def notes(experiment: Experiment) -> Iterator[str]:
    cells = experiment.cells
    yield from _source_notes(experiment)
    yield from _target_notes(experiment)
    yield from _setting_notes(experiment)
    yield from statistics_notes(cells)
    yield from record_notes(experiment)


def _source_notes(experiment: Experiment) -> Iterator[str]:
    if experiment.twin:
        whose = "" if experiment.paper == SVFT else f" of {experiment.paper}"
        what = "its rows on a small model and small data; nothing is printed."
        printed = f"Table {experiment.table}" if experiment.table else f"Figure {experiment.figure}"
        yield f"Micro twin of {printed}{whose}: {what}"
    else:
        yield f"Printed: {experiment.paper}, per cent. Beside it what was reproduced; empty: not run."
    yield from experiment.manifest.get("notes", ())
    missing = experiment.cells.groupby(["model", "label"], sort=False)["printed"].count()
    absent = [f"{model} {name}" for (model, name), count in missing.items() if count == 0]
    if absent and not experiment.twin:
        yield f"Not in the printed table: {', '.join(absent)}."


def _target_notes(experiment: Experiment) -> Iterator[str]:
    rows = [(row["model"], label(row), "", {"targets": row["targets"]}) for row in experiment.manifest["rows"]]
    for text in _said(rows, "targets"):
        yield f"Target modules: {text}."


def _setting_notes(experiment: Experiment) -> Iterator[str]:
    """For each preset what all cells share, then each setting that varies; of later presets what differs alone."""
    presets: dict[str, list[Setting]] = {}
    for row in experiment.manifest["rows"]:
        for metric, cell in row["cells"].items():
            for preset, settings in cell.get("settings", {}).items():
                presets.setdefault(preset, []).append((row["model"], label(row), metric, settings))
    first: dict[Any, dict[str, Any]] = {}
    for preset, cells in presets.items():
        names = dict.fromkeys(name for *_, settings in cells for name in settings)
        if first:
            names = [name for name in names if any(first.get(c[:3], {}).get(name) != c[3].get(name) for c in cells)]
        shared = [name for name in names if all(c[3].get(name) == cells[0][3].get(name) for c in cells)]
        said = ", ".join(f"{_plain(name)} {_word(cells[0][3][name])}" for name in shared)
        where = f"Recipe {preset}" + (", where it differs" if first else "")
        if said:
            yield f"{where}, all cells: {said}."
        for name in names:
            if name not in shared:
                yield from (f"{where}, {_plain(name)}: {text}." for text in _said(cells, name))
        if first and not names:
            yield f"Recipe {preset}: no difference."
        first = first or {cell[:3]: cell[3] for cell in cells}


def _said(cells: Sequence[Setting], name: str) -> Iterator[str]:
    """`0.05 SVFT-P; 0.001 SVFT-R (d=16)`: each value with whom it belongs to, in as few words as determine it."""
    groups: dict[str, list[str]] = {}
    for who, value in _owners(cells, name):
        if value is not None and value != "":
            groups.setdefault(_word(value), []).append(who)
    if groups:
        yield "; ".join(f"{value} {', '.join(filter(None, who))}".rstrip() for value, who in groups.items())


def _owners(cells: Sequence[Setting], name: str, ways: Sequence[int] = (0, 1, 2)) -> Iterator[tuple[str, Any]]:
    """Whom a value belongs to and the value. ways: what cells may be split by, 0 the model, 1 the row, 2 the metric."""
    if len({_word(cell[3].get(name)) for cell in cells}) == 1 or not ways:
        yield "", cells[0][3].get(name)
        return
    way = next((way for way in ways if _determines(cells, name, way)), 1 if 1 in ways else ways[0])
    for part in dict.fromkeys(cell[way] for cell in cells):
        rest = [other for other in ways if other != way]
        for who, value in _owners([cell for cell in cells if cell[way] == part], name, rest):
            yield f"{part}{' on ' if way == 1 and who else ' ' if who else ''}{who}", value


def _determines(cells: Sequence[Setting], name: str, way: int) -> bool:
    pairs = {(cell[way], _word(cell[3].get(name))) for cell in cells}
    return len(pairs) == len({part for part, _ in pairs})


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(name: str) -> str:
    return name.replace("_", " ")


def statistics_notes(cells: pd.DataFrame) -> Iterator[str]:
    """What brackets and marks mean; cells: columns as of statistics/cells.py."""
    ran = cells[cells["seeds"] > 0]
    if ran.empty:
        return
    yield from bracket_notes(ran)
    if (ran["seeds"] < MIN_SEEDS).any():
        yield "Fewer than three seeds: ± the standard error over the test items; between seeds it is unknown."
    if ran["verdict"].notna().any():
        yield f"In parentheses: reproduced less printed, in points. {NOISE}"
    if ran["best_dev"].notna().any():
        yield (
            "best: the highest score of any epoch on the same data, as is customary for this benchmark and "
            "probably printed; the score before it is of the run's own selection and is the one compared."
        )
    if ran["majority"].notna().any():
        yield "Majority class: the share of the most frequent gold answer, which needs no model."
    unparsed = ran[ran["unparsed"].fillna(0) > 0]
    if len(unparsed):
        worst = unparsed.loc[unparsed["unparsed"].idxmax()]
        most = f"{100 * worst['unparsed']:.1f} % ({worst['model']} {worst['label']}, {worst['metric']})"
        yield f"Answers that could not be parsed count as wrong; at most {most}."


def record_notes(experiment: Experiment) -> Iterator[str]:
    """What its finished runs share, their seeds, and those that did not finish."""
    frame = runs_frame(experiment.records)
    done = frame[frame["status"] == "done"]
    if len(done):
        trained = done[~done["untrained"].astype(bool)] if not done["untrained"].all() else done
        cells = [(run.model_label, run.label, run.task_label, _kept(run.settings)) for run in trained.itertuples()]
        said = {name: list(_owners(cells, name)) for name in RUN}
        shared = [f"{name} {owners[0][1]}" for name, owners in said.items() if len(owners) == 1 and owners[0][1]]
        if shared:
            yield f"All runs: {', '.join(shared)}."
        for name in RUN:
            if len(said[name]) > 1:
                yield from (f"Runs, {name}: {text}." for text in _said(cells, name))
        yield from head_rate_notes(done)
    planned = set(experiment.manifest.get("seeds", []))
    seeds = sorted(set(done["seed"]))
    if seeds:
        said = ", ".join(str(seed) for seed in seeds)
        yield f"Seeds: {said}" + (
            f"; planned: {', '.join(map(str, sorted(planned)))}." if planned - set(seeds) else "."
        )
    for run in frame[frame["status"] != "done"].itertuples():
        reason = f": {run.failure['reason']}" if run.failure else ""
        yield f"Not counted: {run.model_label} {run.label}, seed {run.seed}, {run.status}{reason}."
    yield from left_out_notes(experiment.left_out)


def _kept(settings: Mapping[str, str]) -> dict[str, str]:
    return {name: settings[name] for name in RUN if name in settings}
