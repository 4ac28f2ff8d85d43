"""Labels beside their points, without covering anything drawn.

Boxes are arrays of (left, bottom, right, top) in pixels.
"""

import math
from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation

# Where a label may stand about its point: the direction, and the side of the text that faces the point.
SIDES = ((1, 0, "left", "center"), (0, 1, "center", "bottom"), (0, -1, "center", "top"), (-1, 0, "right", "center"),
         (0.8, 0.8, "left", "bottom"), (0.8, -0.8, "left", "top"), (-0.8, 0.8, "right", "bottom"),
         (-0.8, -0.8, "right", "top"))  # fmt: skip
FACING = {"left": 0.0, "bottom": 0.0, "center": 0.5, "right": 1.0, "top": 1.0}  # share of the text before its anchor
DISTANCES = (6, 9, 14, 20, 28, 38, 50)
LEADER = 12  # from this distance on a thin line joins a label to its point
ROOM = 1.5  # pixels around a label that stay free

Box = np.ndarray  # (4,)


def place(ax: Axes, dots: pd.DataFrame, levels: list[float]) -> None:
    """Write each point's label beside it; where points crowd, in a list on the right, each joined to its point.

    dots: method, label, colour, x, score, low, high. levels: heights of the horizontal lines, which no label crosses.
    The layout of the figure must be fixed, since labels are measured in its pixels.
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


def overlaps(box: Box, taken: np.ndarray) -> bool:
    """Does a box overlap any of the boxes, (boxes, 4)? Boxes that touch do not."""
    apart = (taken[:, 2] <= box[0]) | (taken[:, 3] <= box[1]) | (taken[:, 0] >= box[2]) | (taken[:, 1] >= box[3])
    return not apart.all()


def _beside(ax: Axes, dots: pd.DataFrame, levels: list[float]) -> tuple[list[Annotation], list]:
    """The labels that found a free place near their points, and the rows that found none."""
    taken = np.array([*_boxes(ax, dots), *[text.get_window_extent().extents for text in ax.texts]]).reshape(-1, 4)
    lines = np.array([ax.transData.transform((1, level))[1] for level in levels])
    frame, points = ax.get_window_extent().extents, ax.transData.transform(dots[["x", "score"]])
    names = dots["label"].to_numpy()
    texts, crowded = [], []
    for row, point in zip(dots.itertuples(), points, strict=True):
        others = points[names != row.label]
        text = _label(ax, row)
        size = text.get_window_extent().size
        for distance, side in product(DISTANCES, SIDES):
            box = _box(ax, point, size, distance, side)
            near = distance < LEADER and _nearest(box, point, others)
            if _free(box, taken, lines, frame) and (near or _reached(ax, box, point, taken, distance)):
                _move(text, distance, side)
                texts += [text, *_leader(ax, row, distance, side)]
                taken = np.vstack([taken, box])
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


def _box(ax: Axes, point: np.ndarray, size: np.ndarray, distance: float, side: tuple) -> Box:
    """Where a text of this size will be after `_move`, and the room around it. Nothing is drawn to find out."""
    x, y, *facing = side
    offset = np.array([x, y]) * distance * ax.figure.dpi / 72
    low = point + offset - np.array([FACING[each] for each in facing]) * size
    return np.concatenate([low - ROOM, low + size + ROOM])


def _free(box: Box, taken: np.ndarray, lines: np.ndarray, frame: Box) -> bool:
    """Inside the axes, over nothing drawn, and not across a horizontal line."""
    inside = (frame[:2] <= box[:2]).all() and (box[2:] <= frame[2:]).all()
    return inside and not overlaps(box, taken) and not ((box[1] < lines) & (lines < box[3])).any()


def _nearest(box: Box, own: np.ndarray, others: np.ndarray) -> bool:
    """Is the label nearer to its own point than to any other, by half?"""
    return all(1.5 * _gap(box, own) < _gap(box, other) for other in others)


def _reached(ax: Axes, box: Box, point: np.ndarray, taken: np.ndarray, distance: float) -> bool:
    """May a leader join this far label to its point without touching anything else?"""
    if distance < LEADER:
        return False
    end = np.clip(point, box[:2], box[2:])
    start = point + (end - point) * min(1, 7 * ax.figure.dpi / 72 / max(1, np.hypot(*(end - point))))
    return not any(overlaps(step, taken) for step in _along(np.array([start, end])))


def _leader(ax: Axes, row, distance: float, side: tuple) -> list[Annotation]:
    if distance < LEADER:
        return []
    line = {"arrowstyle": "-", "color": row.colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
    offset = (distance * side[0], distance * side[1])
    return [ax.annotate("", (row.x, row.score), xytext=offset, textcoords="offset points", arrowprops=line, zorder=1.5)]


def _gap(box: Box, point: np.ndarray) -> float:
    """Pixels between a box and a point."""
    x, y = point
    return math.hypot(max(box[0] - x, 0, x - box[2]), max(box[1] - y, 0, y - box[3]))


def _dark(colour: str) -> tuple[float, ...]:
    """A shade darker: thin letters need more contrast than a marker."""
    return tuple(0.78 * part for part in to_rgb(colour))


def _boxes(ax: Axes, dots: pd.DataFrame) -> list[Box]:
    """Markers, error bars and the lines that join a method's points."""
    radius = 4 * ax.figure.dpi / 72
    boxes = [box for _, path in dots.groupby("method") for box in _along(ax.transData.transform(path[["x", "score"]]))]
    for row in dots.itertuples():
        x, y = ax.transData.transform((row.x, row.score))
        boxes.append(np.array([x - radius, y - radius, x + radius, y + radius]))
        if not pd.isna(row.low):
            low, high = (ax.transData.transform((row.x, value))[1] for value in (row.low, row.high))
            boxes.append(np.array([x - 2, low, x + 2, high]))
        if not pd.isna(getattr(row, "near", None)):
            near, far = (ax.transData.transform((value, row.score))[0] for value in (row.near, row.far))
            boxes.append(np.array([near, y - 2, far, y + 2]))
    return boxes


def _along(path: np.ndarray) -> Sequence[Box]:
    """Boxes of 4 pixels every 6 pixels along a line through the points `path`, (points, 2)."""
    boxes: list[Box] = []
    for start, end in pairwise(path):
        steps = max(2, int(np.hypot(*(end - start)) / 6))
        centres = start + np.linspace(0, 1, steps)[:, None] * (end - start)
        boxes += list(np.hstack([centres - 2, centres + 2]))
    return boxes
