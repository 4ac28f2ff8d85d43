"""Numbers as tables and figures show them; what is missing is an empty string, never 0."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

DIGITS = 10  # of a number that is kept and not shown, as in csv files: the further ones differ between processors


def percent(rate: float | None) -> str:
    return "" if pd.isna(rate) else f"{100 * rate:.1f}"


def nats(loss: float | None) -> str:
    return "" if pd.isna(loss) else f"{loss:.3f}"


def count(number: float) -> str:
    return "" if pd.isna(number) else f"{int(number):,}"


def size(number: float) -> str:
    """Bytes: 26247168 -> 26.2 MB."""
    if pd.isna(number):
        return ""
    power = min((len(str(int(number))) - 1) // 3, 4)
    return f"{number / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def short(number: float) -> str:
    """1550 -> 1.55K, 26247168 -> 26.2M."""
    power = max(0, min((len(str(int(number))) - 1) // 3, 3))
    return f"{number / 1000**power:.3g}{('', 'K', 'M', 'B')[power]}"


def digits(number: float, places: str = ".3g") -> str:
    """Three digits; 1234.5 is 1,234, never 1.23e+03. NaN is empty."""
    if pd.isna(number):
        return ""
    return f"{number:,.0f}" if places == ".3g" and abs(number) >= 1000 else f"{number:{places}}"


def mean_and_range(values: Sequence[float], places: str) -> str:
    return f"{sum(values) / len(values):{places}} [{min(values):{places}}, {max(values):{places}}]"


def estimate(cell, shown: Callable[[float], str] = percent) -> str:
    """`47.8 [46.9, 48.6]`: mean, and its interval over seeds or its standard error; a row of statistics/cells.py."""
    said = shown(cell.reproduced)
    if not pd.isna(cell.low):
        return f"{said} [{shown(cell.low)}, {shown(cell.high)}]"
    return said if pd.isna(cell.error) else f"{said} ± {shown(cell.error)}"


def with_interval(mean: float, low: float | None, high: float | None, *, in_nats: bool = False) -> str:
    """`+3.2 [+1.0, +5.1]`: points, or nats, and their interval over seeds where there is one."""
    shown = signed_nats if in_nats else signed
    return shown(mean) if pd.isna(low) else f"{shown(mean)} [{shown(low)}, {shown(high)}]"


def signed(rate: float) -> str:
    """Points with their sign; what rounds to zero has none."""
    return _unsigned_zero(f"{100 * rate:+.1f}")


def signed_nats(loss: float) -> str:
    return _unsigned_zero(f"{loss:+.3f}")


def _unsigned_zero(text: str) -> str:
    return text[1:] if float(text) == 0 else text


def clean(value: Any) -> Any:
    """None for NaN and pandas' missing values; a float with ten significant digits."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
