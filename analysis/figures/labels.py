"""Labels beside their points, without covering anything drawn."""

import math
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

# Where a label may stand about its point: the direction, and the side of the text that faces the point.
SIDES = ((1, 0, "left", "center"), (0, 1, "center", "bottom"), (0, -1, "center", "top"), (-1, 0, "right", "center"),
         (0.8, 0.8, "left", "bottom"), (0.8, -0.8, "left", "top"), (-0.8, 0.8, "right", "bottom"),
         (-0.8, -0.8, "right", "top"))  # fmt: skip
DISTANCES = (6, 9, 14, 20, 28, 38, 50)
LEADER = 12  # from this distance on a thin line joins a label to its point


def place(ax: Axes, dots: pd.DataFrame, levels: list[float]) -> None:
    """Write each point's label beside it; where points crowd, in a list on the right, each joined to its point.

    dots: method, label, colour, x, score, low, high. levels: heights of the horizontal lines, which no label crosses.
    """
    dots = dots.sort_values("score", ascending=False)
    texts, crowded = _beside(ax, dots, levels)
    if not crowded:
        return
    widest = max(_width(ax, row) for row in crowded)
    for text in texts:
        text.remove()
    box, whole = ax.get_position(), ax.figure.bbox.width
    ax.set_position((box.x0, box.y0, 0.99 - box.x0 - (widest / whole + 0.03), box.height))
    _listed(ax, _beside(ax, dots, levels)[1])


def _beside(ax: Axes, dots: pd.DataFrame, levels: list[float]) -> tuple[list[Annotation], list]:
    """The labels that found a free place near their points, and the rows that found none."""
    taken = [*_boxes(ax, dots), *[text.get_window_extent() for text in ax.texts]]
    lines = [ax.transData.transform((1, level))[1] for level in levels]
    texts, crowded = [], []
    for row in dots.itertuples():
        others = ax.transData.transform(dots[dots["label"] != row.label][["x", "score"]])
        text = _label(ax, row)
        for distance, side in product(DISTANCES, SIDES):
            _move(text, distance, side)
            box = text.get_window_extent().padded(1.5)
            near = distance < LEADER and _nearest(box, ax, row, others)
            if _free(box, taken, lines, ax.get_window_extent()) and (near or _reached(box, ax, row, taken, distance)):
                texts += [text, *_leader(ax, row, distance, side)]
                taken.append(box)
                break
        else:
            text.remove()
            crowded.append(row)
    return texts, crowded


def _listed(ax: Axes, rows: list) -> None:
    """Labels under each other right of the axes, from the highest score, each at its height or just below the last."""
    height = ax.get_window_extent().height
    gap = 12 * ax.figure.dpi / 72 / height
    heights: list[float] = []
    for row in rows:
        wished = ax.transAxes.inverted().transform(ax.transData.transform((row.x, row.score)))[1]
        heights.append(min(wished, heights[-1] - gap) if heights else min(wished + gap * len(rows) / 4, 1))
    lift = max(0.0, -heights[-1]) if heights else 0.0
    for row, y in zip(rows, heights, strict=True):
        leader = {"arrowstyle": "-", "color": row.colour, "linewidth": 0.6, "alpha": 0.8,
                  "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)}  # fmt: skip
        ax.annotate(row.label, (row.x, row.score), xytext=(1.03, y + lift), textcoords="axes fraction", va="center",
                    fontsize=8, color=_dark(row.colour), arrowprops=leader, zorder=1.5)  # fmt: skip


def _width(ax: Axes, row) -> float:
    text = _label(ax, row)
    width = text.get_window_extent().width
    text.remove()
    return width


def _label(ax: Axes, row) -> Annotation:
    text = ax.annotate(row.label, (row.x, row.score), xytext=(0, 0), textcoords="offset points", fontsize=8, zorder=4)
    text.set(color=_dark(row.colour), path_effects=[withStroke(linewidth=2, foreground="white")])
    return text


def _move(text: Annotation, distance: float, side: tuple) -> None:
    x, y, horizontal, vertical = side
    text.set_position((distance * x, distance * y))
    text.set(ha=horizontal, va=vertical)


def _free(box: Bbox, taken: list[Bbox], lines: list[float], frame: Bbox) -> bool:
    """Inside the axes, over nothing drawn, and not across a horizontal line."""
    inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
    return inside and not box.count_overlaps(taken) and not any(box.y0 < y < box.y1 for y in lines)


def _nearest(box: Bbox, ax: Axes, row, others: np.ndarray) -> bool:
    """Is the label nearer to its own point than to any other, by half?"""
    own = _gap(box, ax.transData.transform((row.x, row.score)))
    return all(1.5 * own < _gap(box, other) for other in others)


def _reached(box: Bbox, ax: Axes, row, taken: list[Bbox], distance: float) -> bool:
    """May a leader join this far label to its point without touching anything else?"""
    if distance < LEADER:
        return False
    x, y = point = ax.transData.transform((row.x, row.score))
    end = np.array([np.clip(x, box.x0, box.x1), np.clip(y, box.y0, box.y1)])
    start = point + (end - point) * min(1, 7 * ax.figure.dpi / 72 / max(1, np.hypot(*(end - point))))
    return not any(step.count_overlaps(taken) for step in _along(np.array([start, end])))


def _leader(ax: Axes, row, distance: float, side: tuple) -> list[Annotation]:
    if distance < LEADER:
        return []
    line = {"arrowstyle": "-", "color": row.colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
    offset = (distance * side[0], distance * side[1])
    return [ax.annotate("", (row.x, row.score), xytext=offset, textcoords="offset points", arrowprops=line, zorder=1.5)]


def _gap(box: Bbox, point: np.ndarray) -> float:
    """Pixels between a box and a point."""
    x, y = point
    return math.hypot(max(box.x0 - x, 0, x - box.x1), max(box.y0 - y, 0, y - box.y1))


def _dark(colour: str) -> tuple[float, ...]:
    """A shade darker: thin letters need more contrast than a marker."""
    return tuple(0.78 * part for part in to_rgb(colour))


def _boxes(ax: Axes, dots: pd.DataFrame) -> list[Bbox]:
    """Markers, error bars and the lines that join a method's points, in pixels."""
    radius = 4 * ax.figure.dpi / 72
    boxes = [box for _, path in dots.groupby("method") for box in _along(ax.transData.transform(path[["x", "score"]]))]
    for row in dots.itertuples():
        x, y = ax.transData.transform((row.x, row.score))
        boxes.append(Bbox.from_extents(x - radius, y - radius, x + radius, y + radius))
        if not pd.isna(row.low):
            low, high = (ax.transData.transform((row.x, value))[1] for value in (row.low, row.high))
            boxes.append(Bbox.from_extents(x - 2, low, x + 2, high))
    return boxes


def _along(path: np.ndarray) -> list[Bbox]:
    """Boxes of 4 pixels every 6 pixels along a line through the points `path`, (points, 2)."""
    boxes = []
    for start, end in zip(path[:-1], path[1:], strict=True):
        steps = max(2, int(np.hypot(*(end - start)) / 6))
        centres = start + np.linspace(0, 1, steps)[:, None] * (end - start)
        boxes += [Bbox.from_extents(x - 2, y - 2, x + 2, y + 2) for x, y in centres]
    return boxes
