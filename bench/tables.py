"""Results on the terminal. A hyphen is what was not measured."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.targets import Target

ABSENT = "-"
WIDTH = 146  # characters of the widest table; a narrower terminal folds its lines
COLUMNS = (
    "method",
    "tokens",
    "ms",
    "tokens/s",
    "ratio",
    "quartiles",
    "/released",
    "saved MB",
    "peak MB",
    "counted",
    "kernels",
)


def wide_console(width: int = WIDTH) -> Console:
    console = Console()
    console.width = max(console.width, width)
    return console


def show(result: dict[str, Any], targets: Sequence[Target] = ()) -> None:
    console = wide_console()
    console.print(_rows(result))
    if result["linear"]:
        console.print(_linear(result))
    if targets:
        console.print(of_targets(targets))


def _table(title: str, columns: Sequence[str], words: int) -> Table:
    """The first `words` columns to the left, numbers to the right."""
    table = Table(title=title, title_justify="left")
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place < words else "right", no_wrap=True)
    return table


def _number(value: float | None, form: str, scale: float = 1) -> str:
    return ABSENT if value is None else format(value * scale, form)


def _rows(result: dict[str, Any]) -> Table:
    title = f"{result['bench']} on {result['device']['name']}, {result['dtype']}; ratio to {result['reference']}"
    table = _table(title, COLUMNS, words=1)
    for tokens in dict.fromkeys(row["tokens"] for row in result["rows"]):
        table.add_section()
        for row in (row for row in result["rows"] if row["tokens"] == tokens):
            table.add_row(result["methods"][row["method"]]["label"], str(tokens), *_cells(row))
    return table


def _cells(row: dict[str, Any]) -> list[str]:
    if row.get("failed"):
        return [row["failed"], *[ABSENT] * (len(COLUMNS) - 3)]
    ends = f"{_number(row['ratio_low'], '.2f')} to {_number(row['ratio_high'], '.2f')}"
    return [
        _number(row["seconds"], ".1f", 1e3),
        _number(row["tokens_per_second"], ",.0f"),
        _number(row["ratio"], ".2f"),
        ABSENT if row["ratio_low"] is None else ends,
        _number(row["ratio_released"], ".2f"),
        _number(row["saved_bytes"], ",.1f", 1e-6),
        _number(row["peak_bytes"], ",.1f", 1e-6),
        _number(row.get("counted"), ".2f"),
        _number(row.get("kernels"), "d"),
    ]


def _linear(result: dict[str, Any]) -> Table:
    columns = ("method", "tokens", "forms", "measured ms", "products ms", "M ms", "ratio", "GFLOP")
    table = _table("adapted linear layers against the matrix products they are counted at", columns, words=3)
    for row in result["linear"]:
        table.add_row(
            result["methods"][row["method"]]["label"],
            str(row["tokens"]),
            ", ".join(dict.fromkeys(row["forms"])),
            _number(row["measured_seconds"], ".1f", 1e3),
            _number(row["gemm_seconds"], ".1f", 1e3),
            _number(row.get("coupling_seconds"), ".1f", 1e3),
            _number(row["ratio"], ".2f"),
            _number(row["flops"], ".1f", 1e-9),
        )
    return table


def of_targets(targets: Sequence[Target]) -> Table:
    table = _table("targets", ("what", "wanted", "W0 kept", "W0 dropped"), words=2)
    for target in targets:
        table.add_row(
            target.what,
            f"{target.bound} {target.wanted:g}",
            *(_verdict(target, weight) for weight in ("kept", "dropped")),
        )
    return table


def _verdict(target: Target, weight: str) -> str:
    return _number(getattr(target, weight), ".3f") + (" missed" if target.is_missed(weight) else "")
