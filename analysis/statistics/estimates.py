"""How far a contrast of runs is from a bound: one set of test items, then several together.

Seeds and items are crossed: each of S seeds is scored on the same I items. D[s, i] is the contrast of the verdicts of
seed s on item i, and its mean is the estimate. Two-way random effects without replication, mean squares

    MS_S = I Σ_s (D[s,·] - D)² / (S-1)       seeds
    MS_I = S Σ_i (D[·,i] - D)² / (I-1)       items
    MS_E = Σ_si (D[s,i] - D[s,·] - D[·,i] + D)² / ((S-1)(I-1))

    SE² = max(MS_S, MS_I, MS_S + MS_I - MS_E) / (S I)

(Searle, Casella & McCulloch 1992, Variance Components, 4.7; Owen 2007, The pigeonhole bootstrap; Baayen, Davidson &
Bates 2008). Its degrees of freedom are Satterthwaite's (1946), (S I SE²)² / Σ MS²/df, and at least min(S, I) - 1. The
maximum keeps the error from falling below that of seeds or items alone. Without verdicts the seeds alone speak, S - 1.

Several sets: y_c with error s_c, τ² of DerSimonian & Laird (1986), weights w_c = 1 / (s_c² + τ²), mean Σ w y / Σ w, and
the error of Hartung & Knapp (2001) and Sidik & Jonkman (2002), k - 1 degrees of freedom,

    SE² = max(1, Σ w_c (y_c - mean)² / (k-1)) / Σ w_c

where the maximum keeps it from falling below the plain one (Röver, Knapp & Friede 2015).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from analysis.statistics.stats import DECIMALS, LEVEL

POWER = 0.8
STILL = 1e-9  # an error below it is what rounding leaves where nothing varies


@dataclass(frozen=True)
class Estimate:
    """A contrast in rates. error: standard error; df: its degrees of freedom; items: 0 where seeds alone speak."""

    mean: float
    error: float
    df: float
    seeds: int
    items: int = 0

    @property
    def varies(self) -> bool:
        """Without, how far the mean may be off is not known."""
        return self.error > 0

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, two-sided."""
        half = float(t.ppf(1 - LEVEL / 2, self.df)) * self.error
        return self.mean - half, self.mean + half

    @property
    def smallest(self) -> float:
        """The difference that a two-sided test at 5 % finds with a power of 80 %: (t_.975 + t_.8) SE, unadjusted."""
        return float(t.ppf(1 - LEVEL / 2, self.df) + t.ppf(POWER, self.df)) * self.error


@dataclass(frozen=True)
class Summary:
    """Over several sets of items. tau: the standard deviation of the true differences between them."""

    estimate: Estimate
    tau: float
    sets: int


def crossed(differences: np.ndarray) -> Estimate:
    """Of the differences (seeds, items), at least two of each."""
    values = np.asarray(differences, dtype=float)
    S, I = values.shape  # noqa: E741
    mean, of_seeds, of_items = values.mean(), values.mean(axis=1), values.mean(axis=0)
    rest = values - of_seeds[:, None] - of_items[None, :] + mean
    squares = np.array([I * of_seeds.var(ddof=1), S * of_items.var(ddof=1), (rest**2).sum() / ((S - 1) * (I - 1))])
    freedoms = np.array([S - 1, I - 1, (S - 1) * (I - 1)])
    square = max(squares[0], squares[1], squares[0] + squares[1] - squares[2])
    error = math.sqrt(square / (S * I))
    if error < STILL:
        return Estimate(_rounded(mean), 0.0, float(min(S, I) - 1), S, I)
    df = max(float(square**2 / (squares**2 / freedoms).sum()), min(S, I) - 1)
    return Estimate(_rounded(mean), error, df, S, I)


def over_seeds(values: Sequence[float]) -> Estimate:
    """Of the contrast on each seed, at least two."""
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(_rounded(np.mean(values)), error if error > STILL else 0.0, len(values) - 1.0, len(values))


def combined(estimates: Sequence[Estimate]) -> Summary:
    """Of one or more, each of which varies. Of one it is the summary."""
    if len(estimates) == 1:
        return Summary(estimates[0], 0.0, 1)
    y, v = (np.array([getattr(each, name) for each in estimates]) for name in ("mean", "error"))
    tau2 = _tau2(y, v**2)
    w = 1 / (v**2 + tau2)
    mean, k = (w * y).sum() / w.sum(), len(y)
    spread = (w * (y - mean) ** 2).sum() / (k - 1)
    error = math.sqrt(max(1.0, spread) / w.sum())
    seeds, items = (sum(getattr(each, name) for each in estimates) for name in ("seeds", "items"))
    return Summary(Estimate(_rounded(mean), error, k - 1.0, seeds, items), math.sqrt(tau2), k)


def _tau2(y: np.ndarray, v: np.ndarray) -> float:
    """DerSimonian & Laird: (Q - (k-1)) / (Σw - Σw²/Σw) with w = 1/v, at least 0."""
    w = 1 / v
    Q = (w * (y - (w * y).sum() / w.sum()) ** 2).sum()
    return max(0.0, float((Q - (len(y) - 1)) / (w.sum() - (w**2).sum() / w.sum())))


def two_sided_p(estimate: Estimate, bound: float) -> float:
    """Of no difference to the bound."""
    return 2 * float(t.sf(abs(estimate.mean - bound) / estimate.error, estimate.df))


def equivalence_p(estimate: Estimate, bound: float) -> float:
    """Of lying outside ±bound: the larger of two one-sided tests (TOST; Schuirmann 1987)."""
    above, below = (estimate.mean + bound) / estimate.error, (bound - estimate.mean) / estimate.error
    return float(t.sf(min(above, below), estimate.df))


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS)
