"""What the paper says in words, in captions and in its tables of hyper-parameters, against its tables and scripts."""

from collections.abc import Iterator
from decimal import Decimal

import pandas as pd

from analysis.checks.counts import closed_form, shapes
from analysis.checks.findings import ROW, Finding, agrees, cell, listed, place, results, rows
from analysis.load import paper

SETTINGS_OF = {11: (3,), 12: (1, 5), 13: (2, 8), 14: (4, 9)}  # hyper-parameters -> the results they are those of
MEASURES = {
    "share": lambda one, other: 100 * one / other,
    "gain": lambda one, other: 100 * (one / other - 1),
    "saving": lambda one, other: 100 * (1 - one / other),
    "ratio": lambda one, other: one / other,
    "exceeds": lambda one, other: one - other,
    "millions": lambda one, other: one / 10**6,
}
OVER = {"": "", "max": "the highest ", "mean": "the mean "}


def checks() -> Iterator[Finding]:
    yield from claims()
    yield from scripts()
    yield from settings_without_results()
    yield from results_without_settings()


# --- claims ----------------------------------------------------------------------------------------------------------


def claims() -> Iterator[Finding]:
    for line in paper.reference("claims.csv").itertuples():
        if line.measure == "row":
            yield _row_claim(line)
            continue
        ones, others = line.one.split(";"), line.other.split(";")
        pairs = list(zip(ones, others * (len(ones) // len(others)), strict=True))
        measure = MEASURES[line.measure]
        values = [measure(cell(one), cell(other) if other else Decimal(0)) for one, other in pairs]
        value = {"max": max(values), "mean": sum(values) / len(values)}.get(line.over, values[0])
        shown = f"{value:.{_decimals(line.printed)}f} {line.unit}".rstrip()
        how = f"{OVER[line.over]}{line.measure}: {_parts(pairs, values)}"
        yield Finding("claim", f"{line.where}: {line.claim}", f"{line.printed} {line.unit}".rstrip(), shown, how,
                      _holds(line, value))  # fmt: skip


def _holds(line, value: Decimal) -> bool:
    if line.measure == "exceeds":
        return value > 0
    return value <= Decimal(line.printed) if line.bound == "at most" else agrees(line.printed, value)


def _decimals(printed: str) -> int:
    """One more than printed."""
    known = printed.replace(".", "").isdigit()
    return 1 - Decimal(printed).as_tuple().exponent if known else 2


def _parts(pairs: list[tuple[str, str]], values: list[Decimal]) -> str:
    said = [
        f"{_said(one)} {'/' if other else ''} {_said(other) if other else ''}".strip()
        + (f" = {value:.2f}" if len(pairs) > 1 else "")
        for (one, other), value in zip(pairs, values, strict=True)
    ]
    return "; ".join(said)


def _said(name: str) -> str:
    """`SVFT-P MATH 14.38 (Table 1, Gemma-2B)`."""
    table, model, method, variant, config, metric = name.split("|")
    label = paper.label({"method": method, "variant": variant, "config": config})
    value = cell(name)
    return f"{label} {metric} {value if metric != 'params' else f'{value:,.0f}'} (Table {table}, {model})"


def _row_claim(line) -> Finding:
    """Is there such a row, or such a point of a figure?"""
    table, model, method, variant, config = line.one.split("|")
    points = paper.reference("figure_points.csv")
    frame = results() if table.isdigit() else points.assign(label=[paper.label(p) for p in points.to_dict("records")])
    frame = frame[(frame["table"].astype(str) if table.isdigit() else frame["figure"]) == table]
    frame = frame[(frame["model"] == model) & (frame["method"] == method)]
    holds = bool(((frame["variant"] == variant) & (frame["config"] == config)).any())
    how = f"the {method} rows or points there"
    return Finding("claim", f"{line.where}: {line.claim}", line.printed, listed(frame["label"]), how, holds)


# --- hyper-parameters ------------------------------------------------------------------------------------------------


def scripts() -> Iterator[Finding]:
    """A setting of the released scripts against what the paper prints for the row."""
    for line in paper.reference("script_settings.csv").itertuples():
        shown = _printed_setting(line)
        same = _same(line.setting, shown, line.script)
        where = f"{place(line.table, line.model, paper.label(line._asdict()))}, {line.setting.replace('_', ' ')}"
        how = f"{line.file}{_consequence(line)}"
        yield Finding("script", where, shown or "not stated", line.script, how, same)


def _printed_setting(line) -> str:
    if line.setting in ("variant", "config"):
        return getattr(line, line.setting)
    frame = paper.table(int(line.table))
    frame = frame[(frame["model"] == line.model) & (frame["method"] == line.method)]
    own = frame[(frame["variant"] == line.variant) & (frame["config"] == line.config)]
    if line.setting == "target_modules":
        return own["target_modules"].iloc[0]
    values = pd.concat([own, frame[frame["variant"] == "all"]])
    return values[values["metric"] == line.setting]["value"].iloc[0]


def _same(setting: str, shown: str, script: str) -> bool:
    if setting == "target_modules":
        return set(shown) == set(script)
    try:
        return Decimal(shown) == Decimal(script)
    except ArithmeticError:  # words
        return shown == script


def _consequence(line) -> str:
    """Where the scripts' d is another than the row's: the count that d gives."""
    if line.setting != "config" or line.table not in ("6",):
        return ""
    count = closed_form(line.method, line.variant, line.script, list(shapes(line.model).values()), gate=False)
    shown = rows()[(rows()["table"] == int(line.table)) & (rows()["method"] == line.method)]["params_printed"].iloc[0]
    return f"; on all linear layers that gives {count:,}, printed is {shown}"


def _svft(tables: tuple[int, ...]) -> pd.DataFrame:
    frame = pd.concat([paper.table(number) for number in tables])
    frame = frame[(frame["method"] == "SVFT") & (frame["variant"] != "all")]
    return frame.drop_duplicates(["table", *ROW])


def settings_without_results() -> Iterator[Finding]:
    for number, tables in SETTINGS_OF.items():
        reported = set(map(tuple, _svft(tables)[ROW].to_numpy().tolist()))
        for line in _svft((number,)).to_dict("records"):
            holds = tuple(line[name] for name in ROW) in reported
            where = place(number, line["model"], paper.label(line))
            said = f"Table{'s' if len(tables) > 1 else ''} {' and '.join(map(str, tables))}"
            yield Finding("settings", where, "hyper-parameters", "no result", f"no such row in {said}", holds)


def results_without_settings() -> Iterator[Finding]:
    for number, tables in SETTINGS_OF.items():
        given = set(map(tuple, _svft((number,))[ROW].to_numpy().tolist()))
        for line in _svft(tables).to_dict("records"):
            holds = tuple(line[name] for name in ROW) in given
            where = place(line["table"], line["model"], paper.label(line))
            yield Finding("settings", where, "a result", "no hyper-parameters", f"no such row in Table {number}", holds)
