"""Printed parameter counts against recounted ones, with what may lie behind a count that nothing gives.

m = out features, n = in features, d = off-diagonals on each side, r = rank, or min(m, n) for SVFT.
"""

import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from itertools import combinations
from pathlib import Path

import pandas as pd

from analysis.checks import params
from analysis.checks.findings import FULL_RANK, ROW, Finding, listed, parameters, place, results, rows, spread
from analysis.checks.params import UNITS, verdict
from analysis.load import paper

VISION = ("ViT-B/16", "ViT-L/16")  # where the count of SVFT has the gate of each layer
SETTING = re.compile(r"\b(rank|r|d)=(\d+)")
MOST_D = 32  # up to which another d is tried
Shapes = list[tuple[int, int, int]]  # out, in, blocks


def checks(runs: Path) -> Iterator[Finding]:
    table = params.table(runs)
    yield from printed_counts(table)
    yield from assumptions(runs)
    yield from stated_targets()
    yield from formulas()
    yield from repeated_counts()


# --- counts by closed form -------------------------------------------------------------------------------------------


@cache
def shapes(model: str) -> dict[str, tuple[int, int, int]]:
    """letter -> (out, in, blocks)."""
    frame = paper.reference("layer_shapes.csv")
    lines = frame[frame["model"] == model].itertuples(index=False)
    return {line[1]: (int(line[2]), int(line[3]), int(line[4])) for line in lines}


def closed_form(method: str, variant: str, config: str, layers: Shapes, gate: bool) -> int | None:
    """Trained parameters of adapting `layers`; None of a method without a formula here (BOFT, full fine-tuning)."""
    set_to = {name[0]: int(value) for name, value in SETTING.findall(config)}
    r, d = set_to.get("r"), set_to.get("d", 0)
    formulas = {"SVFT": lambda m, n: min(m, n, r or m) * (2 * d + 1) - d * (d + 1) + gate}
    if r is not None:
        formulas |= {
            "LoRA": lambda m, n: r * (m + n), "DoRA": lambda m, n: r * (m + n) + m, "VeRA": lambda m, n: m + r,
            "LoRA-XS": lambda m, n: r * r, "PSOFT": lambda m, n: r * (r - 1) // 2 + 2 * r,
        }  # fmt: skip
    formula = formulas.get(method)
    return None if formula is None else sum(blocks * formula(m, n) for m, n, blocks in layers)


def counted(model: str, method: str, variant: str, config: str, letters: str) -> int | None:
    """None where the shapes of these layers are not kept, or the method has no formula."""
    known = shapes(model)
    if not known or not set(letters) <= known.keys():
        return None
    return closed_form(method, variant, config, [known[letter] for letter in letters], gate=model in VISION)


# --- counts that nothing gives ---------------------------------------------------------------------------------------


def printed_counts(table: pd.DataFrame) -> Iterator[Finding]:
    known = table.dropna(subset="params_computed")
    for row in known.itertuples():
        label = paper.label(row._asdict())
        where, shown = place(row.table, row.model, f"{label} on {row.target_modules}"), row.params_printed
        slip = _slip(shown, int(row.params_computed))
        if row.match != "no":
            yield Finding("count", where, shown, f"{row.params_computed:,}", f"equal when {row.match}", holds=True)
        else:
            kind = "slip" if slip else "count"
            reasons = [slip] if slip else list(_elsewhere(row, known)) or [*_digit(row), *_subsets(row)]
            yield Finding(kind, where, shown, f"{row.params_computed:,}", "; ".join(reasons) or "nothing else gives it")


def _slip(shown: str, computed: int) -> str:
    """A printed count of the right digits: the point displaced, or rounded twice."""
    digits, unit = Decimal(shown[:-1]), shown[-1]
    for power in (-2, -1, 1, 2):
        moved = f"{digits.scaleb(power):f}{unit}"
        if verdict(moved, computed) != "no":
            return f"the decimal point is displaced: {moved}"
    exact = Decimal(computed) / UNITS[unit]
    once = exact.quantize(digits.scaleb(-1).quantize(Decimal(1).scaleb(digits.as_tuple().exponent - 1)), ROUND_HALF_UP)
    return f"rounded twice: {once}, {digits}" if once.quantize(digits, ROUND_HALF_UP) == digits else ""


def _digit(row) -> Iterator[str]:
    """Printed and computed, at the printed number of decimals, differ in one digit."""
    shown, unit = row.params_printed[:-1], row.params_printed[-1]
    right = str((Decimal(int(row.params_computed)) / UNITS[unit]).quantize(Decimal(shown), ROUND_HALF_UP))
    if len(right) == len(shown) and sum(a != b for a, b in zip(shown, right, strict=True)) == 1:
        yield f"one digit differs from {right}{unit}"


def _elsewhere(row, table: pd.DataFrame) -> Iterator[str]:
    """The same row of another model, or another row of the same model and layers, has the printed count."""
    fits = table[[verdict(row.params_printed, int(count)) != "no" for count in table["params_computed"]]]
    named = (fits["method"] == row.method) & (fits["config"] == row.config) & (fits["variant"] == row.variant)
    other = fits[named & (fits["model"] != row.model)].drop_duplicates("model")
    yield from (f"it is the count of {line.model} ({line.params_computed:,})" for line in other.itertuples())
    same = fits[(fits["model"] == row.model) & (fits["target_modules"] == row.target_modules)]
    for line in same.drop_duplicates(ROW).itertuples():
        yield f"it is the count of {paper.label(line._asdict())} on the same layers ({line.params_computed:,})"


def _subsets(row) -> Iterator[str]:
    """Which sets of the model's layers give the printed count with the row's method."""
    letters = "".join(shapes(row.model))
    sets = ["".join(chosen) for size in range(1, len(letters) + 1) for chosen in combinations(letters, size)]
    counts = {chosen: counted(row.model, row.method, row.variant, row.config, chosen) for chosen in sets}
    if not counts or None in counts.values():
        return
    usual = {"".join(sorted(name)) for name in results()["target_modules"]}
    sets.sort(key=lambda chosen: "".join(sorted(chosen)) not in usual)  # of several, one that a table has
    fits = [chosen for chosen in sets if verdict(row.params_printed, counts[chosen]) != "no"]
    if not fits:
        close = min(sets, key=lambda chosen: abs(counts[chosen] - parameters(row.params_printed)))
        yield f"none of the {len(sets)} sets of layers gives it; the nearest is {close} with {counts[close]:,}"
        yield from _other_d(row, sets)
    elif _all_of_size(fits, letters):
        yield f"any {len(fits[0])} of the {len(letters)} layers of a block give it, as {fits[0]} ({counts[fits[0]]:,})"
    else:
        others = f" and {len(fits) - 1} others give" if len(fits) > 1 else " alone gives"
        yield f"of the {len(sets)} sets of layers {fits[0]}{others} it ({counts[fits[0]]:,})"


def _other_d(row, sets: list[str]) -> Iterator[str]:
    if not row.config.startswith("d="):
        return
    counts = {
        (chosen, d): counted(row.model, row.method, row.variant, f"d={d}", chosen)
        for chosen in sets for d in range(1, MOST_D + 1)
    }  # fmt: skip
    close, d = min(counts, key=lambda name: abs(counts[name] - parameters(row.params_printed)))
    gives = verdict(row.params_printed, counts[close, d]) != "no"
    nearest = f"{close} at d={d} with {counts[close, d]:,}"
    yield f"{nearest} gives it" if gives else f"nor at another d up to {MOST_D}; the nearest is {nearest}"


def _all_of_size(fits: list[str], letters: str) -> bool:
    size = len(fits[0])
    return size > 1 and set(fits) == {"".join(chosen) for chosen in combinations(letters, size)}


# --- what the counts take for granted --------------------------------------------------------------------------------


def assumptions(runs: Path) -> Iterator[Finding]:
    """Readings that the paper does not state, or states otherwise, with the rows whose count needs them."""
    frame = pd.read_json(runs / params.COUNTS, dtype=False)
    for reading, group in frame[frame["reading"] != ""].groupby("reading", sort=False):
        tables = listed([str(table) for table in group["table"]])
        where = f"Table{'s' if ',' in tables else ''} {tables}: {listed(map(paper.label, group.to_dict('records')))}"
        yield Finding("assumption", where, "not stated", reading, f"in {len(group)} count{'s' * (len(group) > 1)}")


def stated_targets() -> Iterator[Finding]:
    """The layers that a caption names, where the table's counts need others."""
    for said in paper.reference("stated_targets.csv").itertuples():
        lines = rows()[rows()["table"].astype(str) == said.table]
        lines = lines[(lines["method"] == said.method) & (lines["variant"] == said.variant)]
        stated = [counted(row.model, row.method, row.variant, row.config, said.stated) for row in lines.itertuples()]
        printed = lines["params_printed"].tolist()
        holds = [verdict(shown, count) != "no" for shown, count in zip(printed, stated, strict=True)]
        where = f"Table {said.table}, {said.method}{'-' * bool(said.variant)}{said.variant}"
        computed = ", ".join(f"{count:,}" for count in stated)
        how = f"{said.stated} as the caption says; {_mended(lines)}"
        yield Finding("targets", where, ", ".join(printed), computed, how, all(holds))


def _mended(lines: pd.DataFrame) -> str:
    """How many rows have their count from the layers that the reference gives them."""
    fits = [
        verdict(row.params_printed, counted(row.model, row.method, row.variant, row.config, row.target_modules)) != "no"
        for row in lines.itertuples()
    ]
    return f"{listed(lines['target_modules'])} gives {sum(fits)} of {len(fits)}"


def formulas() -> Iterator[Finding]:
    """Table 7's formulas, which suppose square layers of the hidden size, put to Gemma-2B."""
    known = shapes("Gemma-2B")
    hidden = known["Q"][1]
    chosen = rows()[(rows()["model"] == "Gemma-2B") & rows()["table"].isin([1, 8])].drop_duplicates(ROW)
    for line in paper.table(7).itertuples():
        for row in chosen[(chosen["method"] == line.method) & (chosen["variant"] == line.variant)].itertuples():
            layers = sum(known[letter][2] for letter in row.target_modules)
            count = evaluated(line.value, layers, hidden, row.config)
            holds = verdict(row.params_printed, count) != "no"
            how = f"{line.value} with L_tuned = {layers}, D_model = {hidden}: supposes square layers"
            where = place(row.table, row.model, row.label)
            yield Finding("formula", where, row.params_printed, f"{count:,}", how, holds)


def evaluated(formula: str, layers: int, hidden: int, config: str) -> int:
    """A formula of Table 7, in which `2r` and `)(` are products, at the rank or d of `config`."""
    value = int(config.partition("=")[2] or 0)
    names = {"L_tuned": layers, "D_model": hidden, "r": value, "k": value}
    return int(pd.eval(formula.replace("2r", "2*r").replace(")(", ")*("), local_dict=names, engine="python"))


def repeated_counts() -> Iterator[Finding]:
    """Rows that several tables print: can one number be printed both ways?"""
    frame = rows()[rows()["params_printed"] != "-"]
    frame = frame.assign(config=frame["config"].replace(FULL_RANK, ""))
    for (model, method, variant, config), group in frame.groupby(ROW, sort=False):
        for one, other in combinations(group.itertuples(), 2):
            label = paper.label({"method": method, "variant": variant, "config": config})
            where = f"Tables {one.table} and {other.table}, {model}, {label}"
            (low, high), (low2, high2) = spread(one.params_printed), spread(other.params_printed)
            overlap = low < high2 and low2 < high
            alike = parameters(one.params_printed) == parameters(other.params_printed)
            same_digits = _digits(one.params_printed) == _digits(other.params_printed)
            kind = "slip" if overlap else "repeated"
            how = "one number cut and rounded could give both" if overlap else "one row, two counts"
            holds = alike or (overlap and not same_digits)
            yield Finding(kind, where, one.params_printed, other.params_printed, how, holds)


def _digits(printed: str) -> tuple[int, str]:
    """Decimals and unit."""
    return Decimal(printed[:-1]).as_tuple().exponent, printed[-1]
