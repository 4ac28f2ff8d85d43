#!/usr/bin/env bash
# Package:  datasets 5.2.0
# Surprise: shuffle(seed=s).select(range(k)) and train_test_split(test_size=k, seed=s)["test"] are the same k rows, in
#           the same order.
# Guess:    two methods draw two unrelated orders, or at least the one does not end up inside the other.
# Hurt:     who takes a few-shot sample or a small subset for tuning with one method and the held-out rows with the
#           other, and one seed throughout (42): all of the k rows are test rows. Nothing shows but a good score.
# Date:     2026-11-30
# Source:   own observation; both take default_rng(seed).permutation(n), the split its first k as the test rows
#           (datasets/arrow_dataset.py:4954 and 5182)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding datasets==5.2.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6 <<'PY'
import sys

import datasets

table = datasets.Dataset.from_dict({"row": range(1000)})


def sample(k: int, seed: int) -> list[int]:
    return table.shuffle(seed=seed).select(range(k))["row"][:]


def test(k: int | float, seed: int) -> list[int]:
    return table.train_test_split(test_size=k, seed=seed)["test"]["row"][:]


same = [sample(k, seed) == test(k, seed) for k in (1, 16, 100, 500) for seed in (0, 42, 1234)]
inside = len(set(sample(64, 42)) & set(test(0.1, 42)))
other = len(set(sample(64, 42)) & set(test(0.1, 43)))
print("Described: the first k of the shuffled rows are the k test rows, for every k and seed.")
print("Seen: shuffle(seed=42), first 8:           ", *sample(8, 42))
print("Seen: train_test_split(8, seed=42)['test']:", *test(8, 42))
print(f"Seen: equal for 4 sizes and 3 seeds: {sum(same)} of {len(same)}")
print(f"Seen: of a sample of 64, rows in a test part of a tenth: {inside} with one seed, {other} with two seeds")
sys.exit(not (all(same) and inside == 64 and other < 20))
PY
