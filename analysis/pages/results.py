"""Tables of results, one for each (task, model): the pages `<task>_<model>`.

Where runs of these names have other data or another base, there is one page for each, with the fingerprint of what
differs in its name.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import pandas as pd

from analysis.load.frames import ordered, runs_frame, scores_frame
from analysis.load.grounds import ground, told_apart
from analysis.load.records import Loaded
from analysis.pages.footnotes import AVERAGE, budget_note, footnotes, said
from analysis.statistics import stats
from analysis.writing import markup
from analysis.writing.numbers import count, nats, percent, size
from analysis.writing.page import Page, Table
from harness.store.record import Record

ENOUGH = 3  # seeds of a row that a table of several seeds shows
ROW = [
    "key",
    "label",
    "method",
    "seeds",
    "adapter_params",
    "head_params",
    "seconds_per_step",
    "crowded",
    "adapter_bytes",
]
CELL = ["key", "benchmark", "scorer", "seeds", "mean", "low", "high", "standard_error", "unparsed", "verdict", "loss"]


@dataclass(frozen=True)
class Results:
    """What one table says: `rows` one a key (columns ROW), in order; `cells` one a key, benchmark and scorer (CELL).

    name: of its files; broken: sentences on records that cannot be read; `notes` has them too.
    """

    name: str
    title: str
    rows: pd.DataFrame
    cells: pd.DataFrame
    notes: list[str]
    broken: list[str]


@lru_cache(maxsize=1)
def results(loaded: Loaded) -> list[Results]:
    """One for each (task, model), also where no record of it can be read; for each data and base, apart."""
    searched = [record for record in loaded.records if record.status == "done"]
    records = [record for record in loaded.records if not _searched(record)]
    frame, scores = runs_frame(records), scores_frame(records)
    places = {(run.task, run.model) for run in frame.itertuples()} | {each.place[:2] for each in loaded.left_out}
    found = []
    for place in sorted(places):
        own = frame[(frame["task"] == place[0]) & (frame["model"] == place[1])]
        alike = [record for record in searched if (record.run["task"], record.run["model"]) == place]
        found += _of_place(place, own, scores, loaded.left_out_of(*place), alike)
    return found


def _of_place(
    place: tuple[str, str], runs: pd.DataFrame, scores: pd.DataFrame, broken: list[str], searched: list[Record]
) -> Iterator[Results]:
    """Of one task and model by name: runs that differ in data or base have nothing in common but these names."""
    apart = told_apart(runs)
    if not apart:
        yield _results(place, "", runs, scores, broken, searched)
        return
    for what, on in apart.items():
        own = runs[(runs["data"] == on["data"]) & (runs["base"] == on["base"])]
        alike = [r for r in searched if ground(r) == on]
        others = [_name(place, other) for other in apart if other != what]
        result = _results(place, what, own, scores, broken, alike)
        yield replace(result, notes=[*result.notes, f"Kept apart, as data or base are others: {', '.join(others)}."])


def _name(place: tuple[str, str], apart: str) -> str:
    end = f"_{markup.file_name(apart)}" if apart else ""
    return markup.file_name("_".join(place))[: markup.LONGEST_NAME - len(end)] + end


def _results(
    place: tuple[str, str], apart: str, runs: pd.DataFrame, scores: pd.DataFrame, broken: list[str],
    searched: list[Record],
) -> Results:  # fmt: skip
    runs, left_out = _with_enough_seeds(runs)
    budget = budget_note([r for r in searched if r.run["label"] in set(runs["label"])])
    not_counted = [*broken, *([f"{left_out} rows of fewer than {ENOUGH} seeds"] if left_out else [])]
    rows = table_rows(runs)
    cells = table_cells(scores[scores["key"].isin(rows["key"])])
    first = runs.iloc[0] if len(runs) else {"task_label": place[0], "model_label": place[1]}
    title = ", ".join(filter(None, [first["task_label"], first["model_label"], apart]))
    notes = [*footnotes(runs, rows, cells, not_counted), *([budget] if budget else [])]
    return Results(_name(place, apart), title, rows, cells, notes, broken)


def _with_enough_seeds(runs: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Where some rows have ENOUGH seeds, the finished rows that have fewer are left out, and their number is given."""
    done = runs["status"] == "done"
    seeds = runs[done].groupby("key")["seed"].nunique()
    if not (seeds >= ENOUGH).any():
        return runs, 0
    few = set(seeds[seeds < ENOUGH].index) - set(runs[~done]["key"])
    return runs[~runs["key"].isin(few)], len(few)


def _searched(value: Record) -> bool:
    """A run that was not to see test data: part of a learning-rate search, which has a table of its own."""
    planned = value.config.get("evaluate", {}).get("splits", ["test"])
    return "test" not in planned and not any("test" in splits for splits in value.scores.values())


# --- numbers ---------------------------------------------------------------------------------------------------------


def table_rows(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a key; costs are those of its finished seeds. A key without one keeps its row."""
    rows = []
    for key, group in runs.groupby("key", sort=False):
        done, first = group[group["status"] == "done"], group.iloc[0]
        rows.append({
            "key": key, "label": first["label"], "method": first["method"], "seeds": len(done),
            **{name: group[name].dropna().max() for name in ("adapter_params", "head_params")},
            **_step(done), "adapter_bytes": done["adapter_bytes"].mean(),
            "settings": first["settings"],
        })  # fmt: skip
    frame = ordered(pd.DataFrame(rows, columns=[*ROW, "settings"]))
    frame["label"] = _distinct(frame)
    return frame[ROW].reset_index(drop=True)


def _step(done: pd.DataFrame) -> dict[str, Any]:
    """The median over seeds of a step's seconds: of those that trained undisturbed, where there are any."""
    quiet = done[~done["crowded"].astype(bool)]
    of = done if quiet.empty else quiet
    return {"seconds_per_step": of["seconds_per_step"].median(), "crowded": bool(len(done)) and quiet.empty}


def _distinct(rows: pd.DataFrame) -> list[str]:
    """Labels; where two rows share one, with the settings in which they differ, or else the key."""
    labels = []
    for row in rows.itertuples():
        twins = rows[rows["label"] == row.label]["settings"].tolist()
        differing = {k: v for k, v in row.settings.items() if any(twin.get(k) != v for twin in twins)}
        more = said(differing) or row.key[:8]
        labels.append(f"{row.label}, {more}" if len(twins) > 1 else row.label)
    return labels


def table_cells(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean and interval of each (key, benchmark, scorer), and its verdict against the best of its column."""
    cells = []
    for (benchmark, scorer), column in scores.groupby(["benchmark", "scorer"], sort=False):
        by_key = dict(list(column.groupby("key", sort=False)))
        means = {key: _mean(group["mean"]) for key, group in by_key.items()}
        items = {key: _verdicts(group) for key, group in by_key.items()}
        ranked = {key: -mean for key, mean in means.items()} if column["loss"].any() else means
        verdicts = stats.against_best(ranked, items) if len(means) > 1 else {}
        cells += [_cell(key, benchmark, scorer, group, verdicts.get(key)) for key, group in by_key.items()]
    averages = average(scores)
    for (key, scorer), group in averages.groupby(["key", "scorer"], sort=False):
        cells.append(_cell(key, AVERAGE, scorer, group, None))
    return pd.DataFrame(cells, columns=CELL)


def _verdicts(scores: pd.DataFrame) -> stats.Verdicts:
    """By data and seed; "" for a metric that is no mean of verdicts, so that it is tested against nothing."""
    runs = zip(scores["data"], scores["seed"], scores["items"], strict=True)
    return {(data, seed): items if isinstance(items, str) else "" for data, seed, items in runs}


def average(scores: pd.DataFrame) -> pd.DataFrame:
    """Unweighted mean over three benchmarks or more, by key, scorer and seed; a seed that lacks one has none."""
    benchmarks = scores["benchmark"].nunique()
    by_seed = scores[scores["whole"].astype(bool)].groupby(["key", "scorer", "seed"], sort=False, as_index=False)
    means = by_seed.agg(
        mean=("mean", "mean"), unparsed=("unparsed", "mean"), benchmarks=("benchmark", "nunique"), loss=("loss", "any")
    )
    return means[(means["benchmarks"] == benchmarks) & (benchmarks >= 3)].assign(standard_error=None)


def _cell(key: str, benchmark: str, scorer: str, seeds: pd.DataFrame, verdict: str | None) -> dict:
    low, high, error = _noise(seeds)
    return {
        "key": key, "benchmark": benchmark, "scorer": scorer, "seeds": len(seeds), "mean": _mean(seeds["mean"]),
        "low": low, "high": high, "standard_error": error, "unparsed": _mean(seeds["unparsed"]), "verdict": verdict,
        "loss": bool(seeds["loss"].any()),
    }  # fmt: skip


def _mean(values: pd.Series) -> float:
    return stats.mean(values.dropna().tolist())


def _noise(seeds: pd.DataFrame) -> tuple[float | None, float | None, float | None]:
    """low, high, standard error: the last of one seed, the others of several, or of one with all or no items right."""
    if len(seeds) > 1:
        return *(stats.bootstrap_interval(seeds["mean"].tolist()) or (None, None)), None
    one = seeds.iloc[0]
    if isinstance(one.get("items"), str) and one["mean"] in (0, 1):
        return *stats.wilson_interval(one["mean"], len(one["items"])), None
    return None, None, one["standard_error"] or None


def wide(result: Results) -> pd.DataFrame:
    """All numbers unrounded, one row a method: the CSV."""
    frame = result.rows.set_index("key")
    for (benchmark, scorer), column in result.cells.groupby(["benchmark", "scorer"], sort=False):
        values = column.set_index("key").drop(columns=["benchmark", "scorer", "loss"])
        frame = frame.join(values.add_prefix(f"{benchmark}_{scorer}_"))
    return frame.reset_index()


# --- text ------------------------------------------------------------------------------------------------------------


def text(result: Results) -> pd.DataFrame:
    """The table as strings; a missing value is an empty string. Several benchmarks: the first scorer of each alone."""
    rows, cells = result.rows, result.cells
    frame = pd.DataFrame({"Method": rows["label"], "Trained": [count(n) for n in rows["adapter_params"]]})
    if rows["head_params"].fillna(0).any():
        frame["Head"] = [count(n) for n in rows["head_params"]]
    frame["Seeds"] = rows["seeds"].astype(str)
    columns = list(cells.groupby(["benchmark", "scorer"], sort=False))
    if cells["benchmark"].nunique() > 1:
        columns = [columns[place] for place in _first_scorers([name for name, _ in columns])]
    for (benchmark, scorer), column in columns:
        by_key = {cell.key: cell for cell in column.itertuples()}
        name = scorer if cells["benchmark"].nunique() == 1 else benchmark
        frame[f"{name} ({'nats' if column['loss'].any() else '%'})"] = [score(by_key.get(key)) for key in rows["key"]]
    if cells["benchmark"].nunique() == 1 and cells["unparsed"].fillna(0).any():
        unparsed = columns[0][1].set_index("key")["unparsed"]
        frame["Unparsed (%)"] = [percent(unparsed.get(key)) for key in rows["key"]]
    frame["Step (s)"] = [
        "" if pd.isna(s) else f"{s:.3g}{' (busy)' if crowded else ''}"
        for s, crowded in zip(rows["seconds_per_step"], rows["crowded"], strict=True)
    ]
    frame["Saved"] = [size(n) for n in rows["adapter_bytes"]]
    return frame


def _first_scorers(names: list[tuple[str, str]]) -> list[int]:
    benchmarks = [benchmark for benchmark, _ in names]
    return [benchmarks.index(benchmark) for benchmark in dict.fromkeys(benchmarks)]


def score(cell) -> str:
    """`**47.8** [46.9, 48.6]`: mean and interval over seeds; of one seed, the binomial standard error."""
    if cell is None or pd.isna(cell.mean):
        return ""
    shown = nats if cell.loss else percent
    mean = shown(cell.mean)
    marked = {"best": f"**{mean}**", "tie": f"{mean}†"}.get(cell.verdict, mean)
    if cell.seeds == 1 and pd.isna(cell.low):
        error = "" if pd.isna(cell.standard_error) else f" ± {shown(cell.standard_error)}"
        return f"{marked}{error}"
    return marked if pd.isna(cell.low) else f"{marked} [{shown(cell.low)}, {shown(cell.high)}]"


def makers(loaded: Loaded) -> dict[str, Callable[[], Page]]:
    return {each.name: partial(_page, each) for each in results(loaded)}


def _page(result: Results) -> Page:
    return Table(wide(result), text(result), result.notes, result.title)
