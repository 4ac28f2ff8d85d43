"""Printed scores against each other: averages, cells printed twice, identical cells, scores that no test set allows."""

from collections.abc import Iterator, Sequence
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_HALF_UP, Decimal
from itertools import combinations
from math import comb, prod

import pandas as pd

from analysis.checks.findings import FULL_RANK, ROW, Finding, listed, place, results, rows, spread
from analysis.load import paper

AVERAGE, DELTA = "Average", "Delta"
BY_CHANCE = 0.1  # expected number of such coincidences in a table, below which one is called unlikely
RUNS = 5  # a score may be the mean of up to so many


def checks() -> Iterator[Finding]:
    yield from averages()
    yield from deltas()
    yield from repeated_scores()
    yield from attainable()
    yield from unreachable()
    yield from identical()
    yield from figure_points()
    yield from camera_ready()


def averages() -> Iterator[Finding]:
    for (table, *row), group in results().groupby(["table", *ROW], sort=False):
        values = {line.metric: Decimal(line.value) for line in group.itertuples()}
        if AVERAGE not in values:
            continue
        shown = values.pop(AVERAGE)
        mean = sum(values.values()) / len(values)
        holds = abs(mean - shown) <= Decimal("0.01")
        how = f"the mean of the {len(values)} printed scores"
        label = paper.label(dict(zip(ROW, row, strict=True)))
        yield Finding("average", place(table, row[0], label), str(shown), f"{mean:.3f}", how, holds)


def deltas() -> Iterator[Finding]:
    for line in results()[results()["metric"] == DELTA].itertuples():
        own = (results()[ROW] == [getattr(line, name) for name in ROW]).all(axis=1)
        row = results()[own & (results()["table"] == line.table)]
        before, after = (Decimal(value) for value in row["value"].iloc[:2])
        holds = after - before == Decimal(line.value)
        yield Finding(
            "average", place(line.table, line.model, line.label), line.value, str(after - before), DELTA, holds
        )


def repeated_scores() -> Iterator[Finding]:
    """The same row and benchmark in two tables."""
    cells: dict[tuple[str, ...], list] = {}
    for line in results().itertuples():
        config = "" if line.config == FULL_RANK else line.config
        row = line.model, line.method, line.variant, config, line.metric
        cells.setdefault(row, []).append(line)
    for (model, *_, metric), lines in cells.items():
        for one, other in combinations(lines, 2):
            where = f"Tables {one.table} and {other.table}, {model}, {one.label}, {metric}"
            holds = Decimal(one.value) == Decimal(other.value)
            yield Finding("repeated", where, one.value, other.value, "one cell, two values", holds)


# --- scores that no test set allows ----------------------------------------------------------------------------------


def attainable() -> Iterator[Finding]:
    """A score of one run over n items is k/n; rounded or cut, that gives gaps between what can be printed."""
    sizes = paper.reference("test_sizes.csv")
    sizes = {line.metric: int(line.items) for line in sizes.itertuples() if line.runs != "3"}
    printed: dict[tuple[str, str, str], list] = {}
    for line in results()[results()["metric"].isin(sizes)].itertuples():
        printed.setdefault((line.model, line.metric, line.value), []).append(line)
    for (model, metric, value), lines in printed.items():
        n = sizes[metric]
        if 100 / n <= 10.0 ** Decimal(value).as_tuple().exponent:
            continue  # every printed value is a possible one
        tables = listed([str(line.table) for line in lines])
        where = f"Table{'s' * (',' in tables)} {tables}, {model}, {listed([line.label for line in lines])}, {metric}"
        near = _near(Decimal(value), n)
        said = " or ".join(f"{k}/{n} = {100 * Decimal(k) / n:.3f}" for k in near)
        if _possible(value, n):
            yield Finding("attainable", where, value, said, f"k/{n}", holds=True)
        elif _possible(value, n, (ROUND_CEILING,)):
            yield Finding("slip", where, value, said, "equal only when rounded up")
        else:
            runs = next((runs for runs in range(2, RUNS + 1) if _possible(value, runs * n)), None)
            how = "no number of right answers of one run gives it"
            more = f"; the mean of {runs} runs could" if runs else f"; nor does a mean of up to {RUNS} runs"
            yield Finding("attainable", where, value, said, how + more)


def _near(value: Decimal, n: int) -> list[int]:
    below = int(value * n / 100)
    return [below, below + 1]


def _possible(value: str, n: int, ways: Sequence[str] = (ROUND_HALF_UP, ROUND_DOWN)) -> bool:
    shown = Decimal(value)
    exact = [100 * Decimal(k) / n for k in _near(shown, n)]
    return any(shown == score.quantize(shown, way) for score in exact for way in ways)


def unreachable() -> Iterator[Finding]:
    """Golds that are wrong as answers: the released script cuts a full stop off the answer, and not off the gold."""
    sizes = {line.metric: int(line.items) for line in paper.reference("test_sizes.csv").itertuples()}
    for (metric, source), group in paper.reference("unreachable_golds.csv").groupby(["metric", "source"]):
        golds, n = [gold for gold in group["gold"] if gold.endswith(".")], sizes[metric]
        highest = f"at most {100 * Decimal(n - len(golds)) / n:.2f} %"
        how = f"eval_math.py cuts one full stop off the answer, and none off the gold: {'; '.join(golds)}"
        yield Finding("gold", f"{metric}, {source}", f"{len(golds)} of {n:,}", highest, how, holds=not golds)


# --- identical cells -------------------------------------------------------------------------------------------------


def identical() -> Iterator[Finding]:
    """Two rows of a table that share a score to the last digit, with how many such pairs chance would bring.

    Chance: with scores spread evenly over the range of a column, two rows meet with (step / range); a pair of rows of a
    table that meets in k of its columns is expected (pairs) x (columns over k) x (product of step / range) times.
    """
    steps = {line.metric: 100 / int(line.items) / int(line.runs or 1)
             for line in paper.reference("test_sizes.csv").itertuples()}  # fmt: skip
    for table in _whole_tables():
        frame = results()[(results()["table"] == table) & ~results()["metric"].isin([AVERAGE, DELTA])]
        chances = _chances(frame, steps)
        labels = max((group["label"].unique() for _, group in frame.groupby("model")), key=len)
        meetings: dict[tuple[str, str], list] = {}
        for column, group in frame.groupby(["model", "metric"], sort=False):
            for one, other in combinations(group.itertuples(), 2):
                if Decimal(one.value) == Decimal(other.value):
                    meetings.setdefault((one.label, other.label), []).append((*column, one.value))
        for pair, cells in meetings.items():
            columns = [cell[:2] for cell in cells]
            expected = comb(len(labels), 2) * comb(len(chances), len(cells)) * prod(chances[c] for c in columns)
            said = "; ".join(f"{model} {metric} {value}" for model, metric, value in cells)
            how = f"were scores spread evenly over their column, a table would have {expected:.2g} such pairs"
            kind = "identical" if expected < BY_CHANCE else "coincidence"
            where = f"Table {table}, {pair[0]} and {pair[1]}"
            yield Finding(kind, where, said, "identical", how, expected >= 1)


def _chances(frame: pd.DataFrame, steps: dict[str, float]) -> dict[tuple[str, str], float]:
    """(model, metric) -> the chance that two rows have one score."""
    chances = {}
    for column, group in frame.groupby(["model", "metric"], sort=False):
        values = group["value"].astype(float)
        chances[column] = max(0.01, steps.get(column[1], 0.01)) / max(values.max() - values.min(), 0.01)
    return chances


def _whole_tables() -> list[int]:
    """Tables that are no part of another."""
    cells = {
        table: set(map(tuple, group[[*ROW, "metric"]].to_numpy().tolist()))
        for table, group in results().groupby("table", sort=False)
    }
    return [table for table, own in cells.items() if not any(own < other for other in cells.values())]


# --- figures and the later version -----------------------------------------------------------------------------------


def figure_points() -> Iterator[Finding]:
    """A point of a figure whose value a table prints under another variant."""
    points = paper.reference("figure_points.csv")
    scores = results()[results()["metric"] == "GSM-8K"]
    for point in points[points["value"] != ""].itertuples():
        same = scores[(scores["model"] == point.model) & (scores["method"] == point.method)]
        same = same[(same["config"] == point.config) & (same["value"] == point.value)]
        others = same[same["variant"] != point.variant]
        if len(same) and point.metric == "GSM-8K":
            where = f"Figure {point.figure[1:].replace('-', ', ')}, {point.model}, {paper.label(point._asdict())}"
            tables = listed([f"{line.label} in Table {line.table}" for line in others.itertuples()])
            yield Finding("label", where, point.value, tables, "one value, two names", holds=others.empty)


def camera_ready() -> Iterator[Finding]:
    """Cells of the first version that the NeurIPS version prints otherwise."""
    for line in paper.reference("camera_ready.csv").itertuples():
        row = rows()[rows()["model"].eq(line.model) & rows()["method"].eq(line.method)]
        row = row[row["variant"].eq(line.variant) & row["config"].eq(line.config)]
        label = paper.label(line._asdict())
        source = f"Table {line.camera_table} of the NeurIPS version" if line.camera_table else "the NeurIPS version"
        if line.metric == "params":
            for printed in row.itertuples():
                (low, high), (low2, high2) = spread(printed.params_printed), spread(line.value)
                where = f"{place(printed.table, line.model, label)}, parameters"
                yield Finding("version", where, printed.params_printed, line.value, source, low < high2 and low2 < high)
            continue
        cells = results()[results()["model"].eq(line.model) & results()["metric"].eq(line.metric)]
        own = cells[cells["label"] == label]
        named = cells[cells["value"].eq(line.value) & cells["method"].eq(line.method) & cells["label"].ne(label)]
        where = f"{line.model}, {label}, {line.metric}"
        if len(own):
            shown, holds = own["value"].iloc[0], bool(own["value"].eq(line.value).any())
            yield Finding("version", where, shown, line.value, source, holds)
        elif len(named):
            shown = f"{line.value} as {named['label'].iloc[0]}"
            yield Finding("version", where, shown, f"{line.value} as {label}", source)
