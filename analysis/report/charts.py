"""The page's figures as Vega-Lite specifications, without their data.

Each reads a data set called `rows`; the browser puts it in, and so does `drawn` for files. Titles of axes are fields of
`usermeta`, by channel, and may be replaced. Colours and shapes are those of conf/method: fields `colour` and `shape`.

    pareto   rows {x, y, low, high, label, colour, shape, front}
    curve    rows {step, loss, label, colour}
    forest   rows {claim, column, mean, low, high, verdict}
    cost     rows {tokens, value, low, high, label, colour, shape}
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert

DATA = "rows"
SHORT = alt.Axis(format="~s", labelOverlap="greedy")
INK = "currentColor"  # of the page, light or dark
CROSS = "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z"
SHAPES = {
    "o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down", "P": "cross",
    "<": "triangle-left", ">": "triangle-right", "X": CROSS,
}  # fmt: skip
STAR = "M0,-1L.23,-.31L.95,-.31L.36,.12L.59,.81L0,.38L-.59,.81L-.36,.12L-.95,-.31L-.23,-.31Z"
HEXAGON = "M0,-1L.87,-.5L.87,.5L0,1L-.87,.5L-.87,-.5Z"
VERDICTS = {"holds": "#0072B2", "fails": "#D55E00", "not told apart": "#6b6b6b"}


def shape(marker: str) -> str:
    """Vega's name or path for a marker of matplotlib; a hexagon where it has none."""
    return SHAPES.get(marker, STAR if marker == "*" else HEXAGON)


def specifications() -> dict[str, dict[str, Any]]:
    """By name, as dictionaries that JSON can hold."""
    charts = {"pareto": _pareto(), "curve": _curve(), "forest": _forest(), "cost": _cost()}
    return {name: _finished(chart) for name, chart in charts.items()}


def _pareto() -> alt.Chart:
    base = alt.Chart(alt.NamedData(DATA))
    x = alt.X(
        "x:Q", title="Trained parameters (head apart)", scale=alt.Scale(type="log", nice=False, padding=28), axis=SHORT
    )
    y = alt.Y("y:Q", title="Score (%)", scale=alt.Scale(zero=False))
    bars = base.mark_rule(strokeWidth=1.2, opacity=0.8).encode(
        x=x, y=alt.Y("low:Q", title="Score (%)"), y2="high:Q", color=_own("colour")
    )
    front = base.transform_filter("datum.front").mark_line(
        interpolate="step-after", strokeDash=[3, 3], color=INK, opacity=0.5
    )
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=x, y=y, color=_own("colour"), shape=_own("shape", alt.Shape),
        tooltip=["label:N", "x:Q", "y:Q", "low:Q", "high:Q"],
    )  # fmt: skip
    names = base.mark_text(align="left", dx=8, dy=-7, fontSize=10, color=INK).encode(x=x, y=y, text="label:N")
    return alt.layer(front.encode(x=x, y=y), bars, dots, names)


def _curve() -> alt.Chart:
    return (
        alt.Chart(alt.NamedData(DATA))
        .mark_line(strokeWidth=1.4)
        .encode(
            x=alt.X("step:Q", title="Step"),
            y=alt.Y("loss:Q", title="Training loss (nats)", scale=alt.Scale(zero=False)),
            color=_own("colour"), detail="label:N", tooltip=["label:N", "step:Q", "loss:Q"],
        )
    )  # fmt: skip


def _forest() -> alt.Chart:
    base = alt.Chart(alt.NamedData(DATA)).encode(
        y=alt.Y("column:N", title=None, sort=None),
        color=alt.Color(
            "verdict:N", title="Verdict", scale=alt.Scale(domain=list(VERDICTS), range=list(VERDICTS.values()))
        ),
    )
    zero = alt.Chart(alt.NamedData(DATA)).mark_rule(color=INK, opacity=0.4).encode(x=alt.datum(0))
    bars = base.mark_rule(strokeWidth=1.6).encode(x=alt.X("low:Q", title="Points"), x2="high:Q")
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=alt.X("mean:Q", title="Points"), tooltip=["claim:N", "column:N", "mean:Q", "low:Q", "high:Q", "verdict:N"]
    )
    return alt.layer(zero, bars, dots)


def _cost() -> alt.Chart:
    base = alt.Chart(alt.NamedData(DATA))
    x = alt.X(
        "tokens:Q", title="Tokens a step", scale=alt.Scale(type="log", base=2, nice=False, padding=14), axis=SHORT
    )
    y = alt.Y("value:Q", title="Step time over LoRA's", scale=alt.Scale(zero=False))
    lines = base.mark_line(strokeWidth=1.3).encode(x=x, y=y, color=_own("colour"), detail="label:N")
    bars = base.mark_rule(strokeWidth=1.2, opacity=0.8).encode(
        x=x, y=alt.Y("low:Q", title="Step time over LoRA's"), y2="high:Q", color=_own("colour")
    )
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=x, y=y, color=_own("colour"), shape=_own("shape", alt.Shape), tooltip=["label:N", "tokens:Q", "value:Q"],
    )  # fmt: skip
    return alt.layer(lines, bars, dots)


def _own(field: str, channel: type = alt.Color) -> Any:
    """A field that says itself what is drawn."""
    return channel(f"{field}:N", scale=None, legend=None)


def _finished(chart: alt.Chart) -> dict[str, Any]:
    text = {
        "labelColor": INK,
        "titleColor": INK,
        "domainColor": INK,
        "tickColor": INK,
        "gridColor": INK,
        "gridOpacity": 0.12,
    }
    return (
        chart.properties(width="container", height=360, background="transparent")
        .configure_axis(
            **text, labelFontSize=11, titleFontSize=11, titleFontWeight="normal", domainOpacity=0.4, tickOpacity=0.4
        )
        .configure_legend(labelColor=INK, titleColor=INK, orient="top", titleFontWeight="normal")
        .configure_view(stroke=None)
        .to_dict(validate=True)
    )


# --- files -----------------------------------------------------------------------------------------------------------

FORMATS = {
    "svg": lambda spec: vl_convert.vegalite_to_svg(spec).encode(),
    "png": lambda spec: vl_convert.vegalite_to_png(spec, scale=2),
    "pdf": vl_convert.vegalite_to_pdf,
}


def drawn(
    name: str, rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str], formats: Iterable[str]
) -> dict[str, bytes]:
    """A figure with its data, as files by their endings. titles: of the axes `x` and `y`."""
    spec = copy.deepcopy(specifications()[name])
    spec = _replaced(spec, titles)
    spec |= {"datasets": {DATA: list(rows)}, "width": 560, "background": "white"}
    return {ending: FORMATS[ending](spec) for ending in formats}


def _replaced(value: Any, titles: Mapping[str, str]) -> Any:
    """On paper ink is black. An encoding's channels that have a title get the one given."""
    if isinstance(value, list):
        return [_replaced(each, titles) for each in value]
    if not isinstance(value, dict):
        return "#222222" if value == INK else value
    found = {name: _replaced(each, titles) for name, each in value.items()}
    for channel, title in titles.items():
        if isinstance(found.get(channel), dict) and found[channel].get("title"):
            found[channel]["title"] = title
    return found
