"""Numbers as tables and figures show them; what is missing is an empty string, never 0."""

import pandas as pd


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


def estimate(cell) -> str:
    """`47.8 [46.9, 48.6]`: mean, and its interval over seeds or its standard error; a row of statistics/cells.py."""
    said = percent(cell.reproduced)
    if not pd.isna(cell.low):
        return f"{said} [{percent(cell.low)}, {percent(cell.high)}]"
    return said if pd.isna(cell.error) else f"{said} ± {percent(cell.error)}"


def with_interval(mean: float, low: float | None, high: float | None) -> str:
    """`+3.2 [+1.0, +5.1]`: points, and their interval over seeds where there is one."""
    return signed(mean) if pd.isna(low) else f"{signed(mean)} [{signed(low)}, {signed(high)}]"


def signed(rate: float) -> str:
    """Points with their sign; what rounds to zero has none."""
    text = f"{100 * rate:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text
