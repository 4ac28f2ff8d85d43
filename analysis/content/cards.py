"""A card for each method: its formula, what it trains, where it is from, when to use it and when not."""

import json
from functools import cache
from typing import Any

import yaml

from analysis.load.manifests import PATTERNS
from analysis.load.methods import methods
from analysis.load.paper import REFERENCE
from analysis.load.records import Loaded

PATH = REFERENCE / "methods.yaml"
FIELDS = ("formula", "count", "source", "use", "avoid")
PATTERN_OF = {"svft_plain": "plain", "svft_banded": "banded", "svft_random": "random", "svft_topk": "topk"}


@cache
def read() -> dict[str, dict[str, str]]:
    """By the method's id, in the order of tables. Raises ValueError where a card lacks a field."""
    cards = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    for name, card in cards.items():
        if missing := [field for field in FIELDS if not card.get(field)]:
            raise ValueError(f"{PATH}: the card of {name} lacks {', '.join(missing)}")
    order = {name: place for place, name in enumerate(methods().index)}
    return dict(sorted(cards.items(), key=lambda card: order.get(card[0], len(order))))


def cards(loaded: Loaded) -> dict[str, dict[str, Any]]:
    """As in the file; `pattern`: that of M in a small layer, where M has one and the file of patterns is there."""
    path = loaded.runs / PATTERNS
    patterns = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {name: {**card, "pattern": _pattern(patterns, name)} for name, card in read().items()}


def _pattern(patterns: dict[str, Any], name: str) -> dict[str, Any] | None:
    found = patterns.get(PATTERN_OF.get(name, ""))
    if found is None:
        return None
    rows, columns = found["shape"]
    return {"rows": rows, "columns": columns, "ones": found["entries"]}


def looks() -> list[dict[str, Any]]:
    """How each method is drawn, in the order of tables."""
    frame = methods().reset_index(names="id").drop(columns="order")
    return [{**row, "marker": _marker(row["marker"])} for row in frame.to_dict("records")]


def _marker(marker: Any) -> str:
    return marker if isinstance(marker, str) else "-".join(map(str, marker))
