"""The page's plots as files, drawn from the specifications that the page has."""

from collections.abc import Iterator, Mapping
from typing import Any

from analysis.content.core import Content
from analysis.load.methods import OTHER
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
        means, look = [run[1] for run in outcomes[number] or () if run[1] is not None], _look(line["method"], looks)
        if not means or not line["params"] or look["drawn"] != "point":
            continue
        mean, (low, high) = stats.mean(means), stats.bootstrap_interval(means) or (None, None)
        yield {
            "x": line["params"], "y": scale * mean, "low": scale * (mean if low is None else low),
            "high": scale * (mean if high is None else high), "label": line["label"], "colour": look["colour"],
            "shape": charts.shape(look["marker"]), "front": False,
        }  # fmt: skip


def _look(method: str, looks: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A variant as "lora_r1" is drawn as its method is."""
    parts = method.split("_")
    names = ("_".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((looks[name] for name in names if name in looks), OTHER)
