"""What a training step costs against LoRA: the figures `bench_<device>`, and `bench_<device>_<name>` for a model.

One figure a block or model file of runs/bench. Left: time of a step, median and quartiles over the repeats, against the
tokens in it. Middle: bytes saved for backward. Both as ratios to the reference, a line at 1; above all methods, below
SVFT on an axis of its own. Right: the weights that stay, against those of the base.
"""

import math
from collections.abc import Callable
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from analysis.figures.style import GREY, INK, Drawing, blank, settle
from analysis.load.bench import DROPPED, HALF, Bench, find
from analysis.load.methods import methods, shown_as
from analysis.load.records import Loaded

SVFT = {"plain": ("#F2A36B", "v"), "banded": ("#D55E00", "s"), "random": ("#8C2D04", "o")}  # one hue
PATTERN = "svft_"  # begins the ids of SVFT; what follows is its pattern, or "released"
HOLLOW, LONG, DOTTED = (0, (1, 1.3)), (0, (5, 2)), (0, (6, 1.5, 1.5, 1.5))  # dashes
WIDE = 3.0  # from this ratio of the largest to the smallest value on, an axis is logarithmic
FINE, COARSE = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0)  # ticks of a decade
MARKERS = {"LoRA": "s", "Full-FT": "P", "Head": "X"}  # a curve needs one where a horizontal line does without


def figure(bench: Bench) -> Figure:
    """Of one block or model file."""
    whole = blank(figsize=(11.5, 8.0), dpi=160)
    whole.get_layout_engine().set(w_pad=0.07)
    panels = whole.subplot_mosaic([["ratio", "saved", "bars"], ["near ratio", "near saved", "bars"]],
                                  width_ratios=(1.4, 1.2, 0.75), height_ratios=(1.25, 1))  # fmt: skip
    for value, name in (("ratio", "Time of a training step"), ("saved", "Bytes saved for backward")):
        curves(panels[value], bench, bench.steps, value)
        curves(panels[f"near {value}"], bench, bench.steps[bench.steps["method"].map(_pattern).notna()], value)
        panels[value].set_title(name, loc="left", fontweight="bold")
        panels[f"near {value}"].set_title(f"{name}: SVFT", loc="left", fontweight="bold")
        panels[f"near {value}"].set_xlabel("Tokens in a step")
    for name in ("ratio", "near ratio"):
        panels[name].set_ylabel(f"Ratio to {bench.reference}")
    bars(panels["bars"], bench)
    whole.suptitle(title(bench), x=0.01, ha="left", fontsize=11, fontweight="bold")
    shown = handles(bench)
    whole.legend(handles=shown, loc="outside lower left", ncols=math.ceil(len(shown) / 3), frameon=False, fontsize=8,
                 handlelength=3.2, title=failures(bench), title_fontsize=8, alignment="left")  # fmt: skip
    _settle(whole)
    return whole


def _settle(whole: Figure) -> None:
    """Fix the layout, rounded: the last digits that its solver finds differ from run to run."""
    settle(whole)
    for ax in whole.axes:
        ax.set_position([round(number, 4) for number in ax.get_position().bounds])


def title(bench: Bench) -> str:
    """Block or model, device, type, and below it the shape."""
    values, device = bench.values, bench.values["device"]
    threads = values.get("threads") or device.get("threads")
    on = [device["name"], f"{threads} threads" if device["type"] == "cpu" and threads else "", values["dtype"]]
    shape, layers = values.get("shape") or {}, values.get("layers")
    parts = [f"{name.replace('_', ' ')} {number}" for name, number in shape.items()]
    parts += [f"{layers} layer{'s' if layers > 1 else ''}"] if layers else []
    kind = "A small encoder" if bench.kind == "encoder" else "One block"
    name = values.get("model") or (f"{kind} ({values['name']})" if values.get("name") else kind)
    return f"{name}, {', '.join(filter(None, on))}" + (f"\n{', '.join(parts)}" if parts else "")


def look(method: str) -> dict:
    """Colour, line and marker of a curve: SVFT by its pattern, hollow where W0 is dropped and half filled where U and V
    are in 16 bits; others by their family."""
    pattern, dropped, half = _pattern(method), method.endswith(DROPPED), method.endswith(HALF)
    if pattern:
        colour, marker = SVFT[pattern]
        face, line = "white" if dropped else colour, HOLLOW if dropped else DOTTED if half else "-"
        return {"color": colour, "marker": marker, "linestyle": line, "linewidth": 1.7, "markersize": 5.5,
                "markerfacecolor": face, "markerfacecoloralt": "white", "fillstyle": "left" if half else "full",
                "markeredgecolor": colour, "zorder": 4}  # fmt: skip
    if method.startswith(PATTERN):
        return {"color": INK, "linestyle": LONG, "linewidth": 1.9, "zorder": 3}
    named = [name for name in (method, method.rpartition("_r")[0]) if name in methods().index]  # lora_r32 is LoRA
    own = shown_as(pd.Series(named[:1] or [method])).iloc[0]
    return {"color": own["colour"], "marker": own["marker"] or MARKERS.get(own["family"]), "linestyle": "-",
            "linewidth": 1.1, "markersize": 4.5, "markeredgecolor": "white", "markeredgewidth": 0.5,
            "zorder": 2}  # fmt: skip


def _pattern(method: str) -> str | None:
    """A key of SVFT, or None for the released formula and for other methods."""
    name = method.removeprefix(PATTERN).removesuffix(DROPPED).removesuffix(HALF)
    return name if method.startswith(PATTERN) and name in SVFT else None


def curves(ax: Axes, bench: Bench, steps: pd.DataFrame, value: str) -> None:
    """A curve a method but the reference, which is the line at 1. A band from `<value>_low` to `_high`, if they exist.

    steps: those of the methods to draw.
    """
    reference = bench.values["reference"]
    ax.axhline(1, color=look(reference)["color"], linewidth=1.2, zorder=1.5)
    shown = steps[(steps["method"] != reference) & (steps[value] > 0)]
    for method, own in shown.groupby("method", sort=False):
        own = own.sort_values("tokens")
        ax.plot(own["tokens"], own[value], **look(method))
        if f"{value}_low" in own:
            band, colour = (own["tokens"], own[f"{value}_low"], own[f"{value}_high"]), look(method)["color"]
            if len(own) > 1:
                ax.fill_between(*band, color=colour, alpha=0.12, linewidth=0, zorder=1)
            else:  # a band of no width
                ax.vlines(*band, color=colour, linewidth=1, zorder=1)
    _tokens(ax, bench.steps["tokens"])
    _ratios(ax, pd.concat([shown[name] for name in (value, f"{value}_low", f"{value}_high") if name in shown]))
    ax.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    ax.set_axisbelow(True)


def _tokens(ax: Axes, tokens: pd.Series) -> None:
    ticks = sorted(int(number) for number in tokens.dropna().unique())
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [str(number) for number in ticks])
    ax.xaxis.set_minor_locator(NullLocator())


def _ratios(ax: Axes, values: pd.Series) -> None:
    """An axis around all values and 1; logarithmic where they are far apart."""
    values = pd.concat([values[values > 0], pd.Series([1.0])])
    low, high = values.min(), values.max()
    if high / low < WIDE:
        room = max(0.07 * (high - low), 0.02)
        ax.set_ylim(low - room, high + room)
        ax.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    else:
        ax.set_yscale("log")
        ax.set_ylim(low / 1.12, 1.12 * high)
        ax.yaxis.set_major_locator(LogLocator(subs=FINE if high / low < 12 else COARSE, numticks=20))
        ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def bars(ax: Axes, bench: Bench) -> None:
    """Resident over base weights, one bar a method in the order of the file, from the top."""
    frame = bench.methods[bench.methods["base_bytes"] > 0]
    shares = frame["resident_bytes"] / frame["base_bytes"]
    for place, (method, share) in enumerate(zip(frame["method"], shares, strict=True)):
        colour, full = look(method)["color"], not method.endswith((DROPPED, HALF))
        if pd.notna(share):
            ax.barh(place, share, height=0.68, color=colour if full else "white", edgecolor=colour, linewidth=1.1,
                    hatch="////" if method.endswith(HALF) else None)  # fmt: skip
            ax.annotate(f"{share:.2f}", (share, place), xytext=(3, 0), textcoords="offset points", fontsize=7.5,
                        va="center", color=INK)  # fmt: skip
    ax.axvline(1, color=GREY, linewidth=0.8, zorder=3)
    ax.set_yticks(range(len(frame)), frame["label"], fontsize=7.5)
    ax.set_ylim(len(frame) - 0.4, -0.6)
    ax.set_xlim(0, 1.18 * max(shares.max(), 1) if shares.notna().any() else 1)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("Ratio to the base")
    ax.set_title("Resident weights", loc="left", fontweight="bold")


def handles(bench: Bench) -> list[Line2D]:
    """One a method, in the order of the file; the reference is the line at 1."""
    made = {row.method: Line2D([], [], label=row.label, **look(row.method)) for row in bench.methods.itertuples()}
    if line := made.get(bench.values["reference"]):
        line.set(marker="None", linewidth=1.2, label=f"{line.get_label()}, the line at 1")
    return list(made.values())


def failures(bench: Bench) -> str | None:
    """What is not drawn, and why; None where all is."""
    failed = bench.steps[bench.steps["failed"] != ""]
    said = [f"{row.label} at {int(row.tokens)} tokens, {row.failed}" for row in failed.itertuples()]
    nothing = bench.steps[bench.steps["saved_bytes"] == 0]["label"].unique()
    said += [f"bytes saved by {label}, which are none" for label in nothing]
    return f"Not drawn: {'; '.join(said)}." if said else None


def makers(loaded: Loaded) -> dict[str, Callable[[], Drawing]]:
    found = [bench for benches in find(loaded.runs).values() for bench in benches if len(bench.steps)]
    return {file_name(bench): partial(Drawing, partial(figure, bench)) for bench in found}


def file_name(bench: Bench) -> str:
    """Of the block of the usual shape the device alone; of `model-gemma2b` with gemma2b."""
    return f"bench_{bench.slug}" if bench.name == "block" else f"bench_{bench.slug}_{bench.name.removeprefix('model-')}"
