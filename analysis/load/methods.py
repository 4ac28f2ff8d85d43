"""How tables and figures show a method, as `label:` and `plot:` of its conf/method/<name>.yaml say.

name     its label without what a variant adds to it
order    of rows; a method that has no `plot:`, or no yaml there, comes last
family   its name in a legend, where several methods share one
drawn    in plots against trained parameters: `point`, `line` (its parameters are off the axis) or `nowhere`
line     of a horizontal line: `dashed` or `dotted`
colour   of points and lines
marker   matplotlib's, as text or as the list [corners, style, angle]; nothing where only lines are drawn
"""

import re
from functools import cache
from pathlib import Path

import pandas as pd
import yaml

METHODS = Path(__file__).parents[2] / "conf" / "method"
LOOK = ["family", "drawn", "line", "colour", "marker"]
OTHER = {"family": "other", "drawn": "point", "line": "dashed", "colour": "#6b6b6b", "marker": "p"}


@cache
def methods() -> pd.DataFrame:
    """One row a method that says how it is shown, by id and in the order of tables; columns name, order and LOOK."""
    read = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(METHODS.glob("*.yaml"))}
    rows = {
        name: {**OTHER, **values["plot"], "name": re.split(r" \(|\$\{", values["label"])[0]}
        for name, values in read.items()
        if values.get("plot")
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["name", "order", *LOOK])
    frame["marker"] = [tuple(marker) if isinstance(marker, list) else marker for marker in frame["marker"]]
    return frame.sort_values("order")


def shown_as(names: pd.Series) -> pd.DataFrame:
    """Columns LOOK of each of the methods named, index as of `names`; of one that is not known, OTHER's."""
    return methods()[LOOK].reindex(names).fillna(OTHER).set_axis(names.index)
