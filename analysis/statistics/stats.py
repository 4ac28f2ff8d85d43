"""Intervals over seeds, paired tests over items, and Holm's correction."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from statistics import fmean

import numpy as np
from scipy import stats

MIN_SEEDS = 3  # below, no interval over seeds is given
RESAMPLES = 9999
LEVEL, Z = 0.05, 1.96  # two-sided
DECIMALS = 12  # of rates; the further ones are what rounding leaves, and differ between processors


def mean(values: Sequence[float]) -> float:
    """To twelve decimals: means of the same numbers are equal, however they were summed. NaN of none."""
    return round(fmean(values), DECIMALS) if values else math.nan


def bootstrap_interval(values: Sequence[float], confidence: float = 0.95, seed: int = 0) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the mean over seeds, or None below three. With three seeds it is their range."""
    if len(values) < MIN_SEEDS:
        return None
    result = stats.bootstrap(
        (np.asarray(values, dtype=float),), np.mean, confidence_level=confidence, n_resamples=RESAMPLES,
        method="percentile", rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return round(float(result.low), DECIMALS), round(float(result.high), DECIMALS)


def mean_interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Mean over seeds and the ends of its interval, None below three."""
    return mean(values), *(bootstrap_interval(values) or (None, None))


def wilson_interval(share: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share of n items (Wilson 1927), which has a width where the binomial standard error is 0."""
    found = stats.binomtest(round(share * n), n).proportion_ci(confidence, method="wilson")
    return round(float(found.low), DECIMALS), round(float(found.high), DECIMALS)


def share_error(share: float, n: int) -> float:
    """Standard error of a share of n items: the binomial one; at 0 and 1 half of the Wilson interval by 1.96."""
    if 0 < share < 1:
        return math.sqrt(share * (1 - share) / n)
    low, high = wilson_interval(share, n)
    return (high - low) / (2 * Z)


def sign_flip_p(differences: Sequence[int]) -> float:
    """Exact two-sided p of Σ d_i under random signs. With d_i in {-1, 0, 1} this is McNemar's exact test.

    c differences of size k add k (2 Binomial(c, 1/2) - c); the distribution of the sum is the convolution over sizes.
    Eight significant digits: the others depend on the order in which a processor sums.
    """
    counts = Counter(abs(int(d)) for d in differences if d)
    reach = sum(size * count for size, count in counts.items())
    mass = np.ones(1)
    for size, count in counts.items():
        term = np.zeros(2 * size * count + 1)
        term[:: 2 * size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        mass = np.convolve(mass, term)
    sums = np.arange(-reach, reach + 1)
    return min(1.0, float(f"{mass[np.abs(sums) >= abs(sum(differences))].sum():.8g}"))


Verdicts = Mapping[Hashable, str | None]  # "0110...", one character an item, by seed (and data)
Values = Mapping[Hashable, Sequence[float] | None]  # a number an item, by seed (and data)


def paired_p(one: Verdicts, other: Verdicts) -> float | None:
    """p of no difference between two methods; None where nothing can be paired.

    An item's difference is summed over the seeds that both have, and its sign flipped as a whole: items are independent
    of each other, the seeds of one item are not. The p speaks of these trained models on other items, not of other
    trainings.
    """
    seeds = [seed for seed in one if one[seed] and other.get(seed)]
    lengths = {len(items[seed]) for seed in seeds for items in (one, other)}
    if len(lengths) != 1:
        return None
    return sign_flip_p((_total(one, seeds) - _total(other, seeds)).tolist())


def paired_t(one: Values, other: Values) -> float | None:
    """As `paired_p`, of numbers by item (losses): Student's t of the items' differences, summed over shared seeds."""
    seeds = [seed for seed in one if one[seed] and other.get(seed)]
    lengths = {len(values[seed]) for seed in seeds for values in (one, other)}
    if len(lengths) != 1 or lengths == {1}:
        return None
    differences = sum(np.asarray(one[seed], dtype=float) - np.asarray(other[seed], dtype=float) for seed in seeds)
    if np.ptp(differences) == 0:
        return 1.0 if differences[0] == 0 else 0.0
    return float(f"{stats.ttest_1samp(differences, 0).pvalue:.8g}")


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p (Holm 1979): the i-th smallest of m is multiplied by m - i + 1, and the order is kept."""
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, dtype=float)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted.tolist()


def against_best(means: Mapping[str, float], items: Mapping[str, Verdicts]) -> dict[str, str]:
    """For each method "best", "tie" (not distinguishable from the best), "differs" or "untested"."""
    best = max(means, key=means.__getitem__)
    p_values = {name: paired_p(items[name], items[best]) for name in means if name != best}
    tested = [name for name, p in p_values.items() if p is not None]
    adjusted = dict(zip(tested, holm([p_values[name] for name in tested]), strict=True))
    verdicts = {name: "tie" if adjusted[name] > LEVEL else "differs" for name in tested}
    return {name: "best" if name == best else verdicts.get(name, "untested") for name in means}


def _total(items: Verdicts, seeds: Sequence[Hashable]) -> np.ndarray:
    """Number of seeds that got each item right, (items,)."""
    return sum(np.frombuffer(items[seed].encode(), dtype=np.uint8).astype(int) - ord("0") for seed in seeds)
