"""What all figures share: colours, fonts and sizes, a figure that waits to be drawn, and how it is written."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

INK, GREY = "#222222", "#6b6b6b"
LINES = {"dashed": (0, (5, 3)), "dotted": (0, (1, 2))}
SIZE = 6.5  # of a marker, in points
SIZES = {"*": 9.5, (4, 1, 0): 9.5, (6, 1, 0): 9.0, "P": 8.0, "X": 8.0}  # those that have less ink than a square
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GREY,
    "xtick.color": GREY, "ytick.color": GREY, "axes.spines.top": False, "axes.spines.right": False,
    "svg.hashsalt": "svft-bench", "svg.fonttype": "path",
    "text.parse_math": False,  # labels are the user's
}  # fmt: skip
NOTE_WIDTH = 16  # characters of a note in an inch


class OnceDrawn(Figure):
    """A figure that is drawn once when it is saved. Matplotlib draws it twice, the first time for its layout alone."""

    def draw(self, renderer) -> None:
        engine = self.get_layout_engine()
        if isinstance(engine, ConstrainedLayoutEngine):  # which is taken away before the figure is written
            engine.execute(self)
        else:
            super().draw(renderer)


def blank(**options) -> Figure:
    """A figure without axes, whose layout is found by itself. options: of Figure."""
    figure = OnceDrawn(layout="constrained", **options)
    FigureCanvasAgg(figure)  # measures texts with one renderer; without it matplotlib makes a new one for each text
    return figure


def settle(figure: Figure) -> None:
    """Find the layout now and keep it, so that texts can be measured in the figure's pixels."""
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine(None)


@dataclass(frozen=True)
class Drawing:
    """A figure that is drawn when it is asked for.

    left_out: sentences on what is not counted in it, which stand below it; formulas: are "$" in its text formulas?
    """

    draw: Callable[[], Figure]
    left_out: Sequence[str] = ()
    formulas: bool = False
    folder: str = "figures"  # below analysis/output

    def files(self, endings: Sequence[str] = ("svg", "png")) -> dict[str, bytes]:
        """Contents by their endings, without a date: the same records give the same bytes."""
        with matplotlib.rc_context(STYLE | {"text.parse_math": self.formulas}):
            figure = self.draw()
            cut = {"bbox_inches": "tight"} if self.left_out else {}
            if self.left_out:
                _note(figure, self.left_out)
            return {ending: _saved(figure, ending, **cut) for ending in endings}


def _saved(figure: Figure, ending: str, **options) -> bytes:
    drawn = BytesIO()
    metadata = {"svg": {"Date": None}, "png": {"Software": None}}[ending]
    figure.savefig(drawn, format=ending, metadata=metadata, **options)
    return drawn.getvalue()


def _note(figure: Figure, sentences: Sequence[str]) -> None:
    """Below the figure, which grows by it."""
    width = int(NOTE_WIDTH * figure.get_figwidth())
    lines = [line for sentence in sentences for line in textwrap.wrap(f"Not counted: {sentence}.", width)]
    figure.text(0.01, -0.01, "\n".join(lines), va="top", fontsize=7, color=GREY, parse_math=False, in_layout=False)
