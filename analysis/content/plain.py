"""Numbers of pandas and numpy as JSON has them."""

import math
from typing import Any

DIGITS = 10  # as in csv files: the further ones differ between processors


def clean(value: Any) -> Any:
    """None for NaN and pandas' missing values; a float with ten significant digits."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
