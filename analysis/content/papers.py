"""The papers beside the runs: printed tables and figures, other papers' rows, claims and their verdicts, errata."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from analysis.checks import errata, others_pages, params
from analysis.checks import verdicts as verdict_pages
from analysis.content import rows
from analysis.load.paper import SVFT
from analysis.load.records import Loaded
from analysis.pages import paper_notes
from analysis.statistics.evidence import evidence
from analysis.statistics.experiments import Experiment, experiments, identified
from analysis.statistics.verdicts import Judged, judged
from analysis.writing.numbers import clean
from analysis.writing.page import Table

COLUMN = ("benchmark", "split", "scorer")  # of a manifest's column, which says what is scored
CELL = ("reproduced", "low", "high", "seeds", "difference", "noise", "verdict")


def papers(loaded: Loaded) -> list[dict[str, Any]]:
    """Each experiment that reproduces a printed table or figure or is a twin of one, printed ones first."""
    wanted = [each for each in experiments(loaded).values() if each.table or each.figure]
    return [_paper(loaded, each) for each in sorted(wanted, key=_place)]


def _place(experiment: Experiment) -> tuple:
    return experiment.twin, experiment.paper, experiment.table is None, experiment.table or 0, experiment.name


def _paper(loaded: Loaded, experiment: Experiment) -> dict[str, Any]:
    manifest = experiment.manifest
    metrics = [column["metric"] for column in manifest["columns"]]
    commands = {
        cell["identity"]: f"python run.py {cell['overrides']}"
        for row in manifest["rows"]
        for cell in row["cells"].values()
    }
    found = identified(experiment.records)
    places = {own: rows.places(loaded)[next(iter(runs.values())).key] for own, runs in found.items() if runs}
    lines: dict[tuple, dict[str, Any]] = {}
    for cell in experiment.cells.to_dict("records"):
        cell = {name: clean(value) for name, value in cell.items()}
        name = cell["panel"], cell["model"], cell["label"], cell["targets"]
        line = lines.setdefault(name, {
            **{key: cell[key] for key in ("panel", "model", "label", "method", "targets", "params_printed", "params")},
            "cells": [None] * len(metrics),
        })  # fmt: skip
        line["cells"][metrics.index(cell["metric"])] = {
            "printed": None if cell["printed"] is None else float(cell["printed"]) / 100,
            **{key: cell[key] for key in CELL}, "row": places.get(cell["identity"]),
            **{key: manifest["columns"][metrics.index(cell["metric"])].get(key) for key in COLUMN},
            "command": commands.get(cell["identity"]),
        }  # fmt: skip
    number = experiment.table or experiment.figure
    misprints = [
        {"where": each.where, "text": f"printed {each.printed}; {each.how}: {each.computed}"}
        for each in (_findings(loaded) if not experiment.twin and experiment.paper == SVFT else [])
        if each.where.startswith(f"{'Table' if experiment.table else 'Figure'} {number},")
    ]
    return {
        "name": experiment.name, "kind": "table" if experiment.table else "figure", "number": number,
        "paper": experiment.paper, "title": manifest["title"], "twin_of": manifest.get("twin_of"), "metrics": metrics,
        "notes": list(paper_notes.notes(experiment)), "lines": list(lines.values()), "misprints": misprints,
    }  # fmt: skip


def _findings(loaded: Loaded) -> Sequence[Any]:
    return [each for each in _checks(loaded) if not each.holds]


@cache
def _checks(loaded: Loaded) -> Sequence[Any]:
    return errata.findings(loaded.runs) if (loaded.runs / params.COUNTS).exists() else []


def misprints(loaded: Loaded) -> dict[str, Any] | None:
    """All checks of the paper against itself, its scripts and counts; None where the counts were not made."""
    made = _checks(loaded)
    if not made:
        return None
    lines = [
        {"severity": errata.SEVERITIES[errata.KINDS[each.kind][0]], "kind": errata.KINDS[each.kind][1],
         "place": each.where, "printed": each.printed, "computed": each.computed, "text": each.how}
        for each in made if not each.holds
    ]  # fmt: skip
    return {"checks": len(made), "failed": len(lines), "lines": lines}


def others(loaded: Loaded) -> list[dict[str, Any]]:
    """SVFT as other papers print it: the pages of `checks.others_pages`, as text."""
    return [_text(name, make()) for name, make in others_pages.makers(loaded).items()]


def _text(name: str, page: Table) -> dict[str, Any]:
    return {
        "name": name, "title": page.title, "columns": list(page.shown.columns),
        "lines": page.shown.astype(str).to_numpy().tolist(), "notes": list(page.notes),
    }  # fmt: skip


# --- claims ----------------------------------------------------------------------------------------------------------


def claims(loaded: Loaded) -> dict[str, Any]:
    """Claims that were written down before the runs, with their verdicts; none where no experiment is evidence."""
    if not evidence(loaded):
        return {"rules": [], "lines": []}
    return {"rules": list(verdict_pages.RULES), "lines": [_claim(own) for own in judged(loaded).values()]}


def _claim(own: Sequence[Judged]) -> dict[str, Any]:
    claim, summary = own[0].claim, own[-1]
    return {
        "id": claim.id, "claim": claim.claim, "where": claim.where, "note": claim.note, "verdict": summary.verdict,
        "reason": summary.reason, "p": clean(summary.p), "fewer": summary.fewer,
        "over": [_column(each) for each in own[:-1] if each.parts and each.column.summed],
        "parts": [part for each in own for part in _parts(each)],
    }  # fmt: skip


def _column(each: Judged) -> str:
    return f"{each.column.model}, {each.column.metric}"


def _parts(each: Judged) -> Iterator[Mapping[str, Any]]:
    said = {
        "column": _column(each) if each.column else "all",
        "summed": bool(each.column and each.column.summed), "lower": bool(each.column and each.column.lower),
        "p": clean(each.p), "verdict": each.verdict, "reason": each.reason,
    }  # fmt: skip
    if not each.parts:
        yield {**said, "contrast": None}
    for part in each.parts:
        low, high = part.estimate.interval
        numbers = {"mean": part.estimate.mean, "low": low, "high": high, "smallest": part.estimate.smallest}
        yield {
            **said, "contrast": str(part.contrast), **{name: clean(value) for name, value in numbers.items()},
            "seeds": part.estimate.seeds, "items": part.estimate.items, "columns": part.sets,
            "bound": each.claim.bound, "kind": each.claim.kind,
        }  # fmt: skip
