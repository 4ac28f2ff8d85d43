"""The claims as a forest plot: the figure `verdicts`, a line a claim that was tested.

Points with 95 % intervals are columns, a diamond is the summary over them, a short vertical line the bound of the claim
(two and a band where it is of being within it). Of a claim of several contrasts that is drawn which is farthest from
holding. What lies beyond the axis is an arrow at its end, with its value.
"""

import textwrap
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import ceil

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.checks.verdicts import WORDS, heading, said
from analysis.figures.style import GREY, INK, Drawing, blank
from analysis.load.hypotheses import Hypothesis
from analysis.load.records import Loaded
from analysis.statistics.evidence import evidence
from analysis.statistics.verdicts import Judged, Part, judged

REACH = 12  # points to each side of 0 that the axis may show
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D")
MARKERS = ("o", "s", "^", "v", "P", "X", "<")
VERDICTS = {"holds": "#00704f", "fails": "#b34700", "not told apart": GREY, "not tested": "#9a9a9a"}
LETTERS, NAME_POINTS = 58, 256  # of a claim in a line, and how wide they are
LINE, ROOM, LEAST = 0.105, 0.17, 0.40  # inches: of an interval, around those of a claim, of a claim

Look = tuple[str, str]  # colour, marker


def points(loaded: Loaded) -> pd.DataFrame:
    """One line a tested claim and column, in points: id, column (empty: the summary), mean, low, high.

    Without losses, which are in other units.
    """
    lines = []
    for own in judged(loaded).values():
        for each in own:
            if each.parts and not (each.column and each.column.lower):
                part = drawn(each.claim, each.parts)
                values = part.estimate.mean, *part.estimate.interval
                scaled = dict(zip(("mean", "low", "high"), (100 * value for value in values), strict=True))
                lines.append({"id": each.claim.id, "column": heading(each.column) if each.column else "", **scaled})
    return pd.DataFrame(lines, columns=["id", "column", "mean", "low", "high"])


def drawn(claim: Hypothesis, parts: Sequence[Part]) -> Part:
    """The contrast that is farthest from holding."""
    if claim.kind == "within":
        return max(parts, key=lambda part: abs(part.estimate.mean))
    return min(parts, key=lambda part: part.estimate.mean)


def figure(loaded: Loaded) -> Figure:
    found = points(loaded)
    claims = [own[-1] for own in judged(loaded).values() if own[-1].claim.id in set(found["id"])]
    names = [name for name in dict.fromkeys(found["column"]) if name]
    looks = {name: (COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)]) for n, name in enumerate(names)}
    heights = [max(LEAST, ROOM + LINE * (found["id"] == each.claim.id).sum()) for each in claims]
    whole = blank(figsize=(9.4, 1.1 + 0.24 * ceil(len(looks) / 3) + sum(heights)), dpi=200)
    ax = whole.subplots()
    reach = min(REACH, max(1.0, 1.08 * found[["low", "high"]].abs().max(axis=None)))
    _axes(ax, reach, sum(heights))
    for place, (each, top, height) in enumerate(zip(claims, accumulate([0.0, *heights]), heights, strict=False)):
        _claim(ax, each, top, height, shaded=bool(place % 2))
        rows = found[found["id"] == each.claim.id]
        first = top + (height - LINE * (len(rows) - 1)) / 2
        for line, row in enumerate(rows.itertuples()):
            _interval(ax, row, first + line * LINE, reach, looks.get(row.column))
    handles = [Line2D([], [], color=colour, marker=marker, label=name) for name, (colour, marker) in looks.items()]
    handles.append(Line2D([], [], color=INK, marker="D", markersize=6, label="All"))
    whole.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return whole


def _axes(ax: Axes, reach: float, height: float) -> None:
    """Heights are in inches from above."""
    ax.set_xlim(-reach, reach)
    ax.set_ylim(height, 0)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.axvline(0, color="#c8c8c8", linewidth=0.8, zorder=0)
    ax.set_xlabel("Contrast of the claim in points, 95 % intervals")


def _claim(ax: Axes, each: Judged, top: float, height: float, shaded: bool) -> None:
    """Its words, its verdict, and its bound between them."""
    middle, bottom, bound = top + height / 2, top + height, 100 * each.claim.bound
    if shaded:
        ax.axhspan(top, bottom, color="#f5f5f5", zorder=-2, linewidth=0)
    text = "\n".join(textwrap.wrap(said(each.claim), LETTERS, break_on_hyphens=False))
    ax.annotate(text, (0, middle), xycoords=ax.get_yaxis_transform(), xytext=(-NAME_POINTS, 0),
                textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    weight = "bold" if each.verdict in ("holds", "fails") else "normal"
    verdict = f"{each.verdict}:\n{each.reason}" if each.reason else each.verdict
    ax.text(1.01, middle, verdict, transform=ax.get_yaxis_transform(), va="center", fontsize=8,
            color=VERDICTS[each.verdict], fontweight=weight)  # fmt: skip
    within = each.claim.kind == "within"
    if within:
        ax.fill_betweenx([top, bottom], -bound, bound, color="#e9e4f2", zorder=-1, linewidth=0)
    for at in (-bound, bound) if within else (bound,):
        ax.plot([at, at], [top + 0.03, bottom - 0.03], color=INK, linewidth=1.1, zorder=1)


def _interval(ax: Axes, row, y: float, reach: float, look: Look | None) -> None:
    """look: of a column; None of the summary. Whose middle is beyond the axis is an arrow at its end."""
    colour, marker = look or (INK, "D")
    if abs(row.mean) > reach:
        _beyond(ax, row, y, reach, colour)
        return
    ax.plot(
        [max(row.low, -reach), min(row.high, reach)], [y, y], color=colour, linewidth=1.2 if look else 1.8, zorder=2
    )
    ax.plot(row.mean, y, color=colour, marker=marker, markersize=4 if look else 5.5, zorder=3)


def _beyond(ax: Axes, row, y: float, reach: float, colour: str) -> None:
    side = 1 if row.mean > 0 else -1
    ax.plot(side * reach * 0.985, y, color=colour, marker=5 if side > 0 else 4, markersize=6, zorder=3)
    ax.text(side * reach * 0.955, y, f"{row.mean:+.0f}", va="center", ha="right" if side > 0 else "left",
            fontsize=7, color=colour)  # fmt: skip


def makers(loaded: Loaded) -> dict[str, Callable[[], Drawing]]:
    """Once a claim is tested."""
    own = evidence(loaded)
    if not own or points(loaded).empty:
        return {}
    left_out = list(dict.fromkeys(sentence for each in own for sentence in each.left_out))
    return {WORDS: lambda: Drawing(lambda: figure(loaded), left_out)}
