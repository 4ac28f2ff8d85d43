"""The page's plots as files, drawn from the specifications that the page has."""

from collections.abc import Iterator
from typing import Any

from analysis.content.core import Content
from analysis.report import charts
from analysis.statistics import stats

AXES = {"x": "Trained parameters (head apart)"}


def files(content: Content) -> Iterator[tuple[str, bytes]]:
    """Name and bytes: score against trained parameters, for each column of each board that has two points or more."""
    core = content.parts["core"]
    looks = {look["id"]: look for look in core["methods"]}
    for board in core["boards"]:
        for number, column in enumerate(board["columns"]):
            rows = list(_points(board, number, looks, lower=column["lower"]))
            if len(rows) > 1:
                unit = column["unit"]
                drawn = charts.drawn("pareto", rows, {**AXES, "y": f"{column['name']} ({unit})"}, charts.FORMATS)
                name = f"pareto_{board['name']}" + (f"_{number}" if len(board["columns"]) > 1 else "")
                yield from ((f"{name}.{ending}", file) for ending, file in drawn.items())


def _points(board: dict[str, Any], number: int, looks: dict[str, Any], *, lower: bool) -> Iterator[dict[str, Any]]:
    scale = 1 if lower else 100
    for line, outcomes in zip(board["lines"], board["outcomes"], strict=True):
        runs, look = outcomes[number], looks.get(line["method"])
        if not runs or not line["params"] or look is None or look["drawn"] != "point":
            continue
        means = [run[1] for run in runs]
        mean, (low, high) = stats.mean(means), stats.bootstrap_interval(means) or (None, None)
        yield {
            "x": line["params"], "y": scale * mean, "low": scale * (mean if low is None else low),
            "high": scale * (mean if high is None else high), "label": line["label"], "colour": look["colour"],
            "shape": charts.shape(look["marker"]), "front": False,
        }  # fmt: skip
