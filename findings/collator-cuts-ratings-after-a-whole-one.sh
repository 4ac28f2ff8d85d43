#!/usr/bin/env bash
# Package:  transformers 5.23.0 (torch 2.15.0)
# Surprise: the default data collator takes the type of a batch's labels from its first row. Of the ratings 4, 2.75, 0.5
#           it makes 4, 2, 0, and of 2.75, 4, 0.5 what they are. So it depends on the shuffling which targets are cut,
#           and they are others in each epoch.
# Guess:    numbers that are floats in any row make a batch of floats, as torch.tensor makes of them, or an error.
# Hurt:     who trains a regression (similarity, ratings) on rows from JSON or Python, where whole ratings are ints: a
#           part of the targets is cut, in evaluation too, and the loss of the cut batches is that of another task. A
#           column of a Dataset has one type, so it is safe; so is the key "labels" in the place of "label".
# Date:     2026-11-30
# Source:   own observation; transformers/data/data_collator.py:133
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding transformers==5.23.0 torch==2.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from transformers import default_data_collator


def collated(key: str, ratings: list[float]) -> list[float]:
    return default_data_collator([{"x": 0.0, key: rating} for rating in ratings])["labels"].tolist()


orders = [[4, 2.75, 0.5], [2.75, 4, 0.5], [0.5, 2.75, 4]]
found = [collated("label", ratings) for ratings in orders]
print("Described: a batch whose first label is an int has its other labels cut to whole numbers; torch.tensor and the key")
print('"labels" keep them.')
for ratings, made in zip(orders, found, strict=True):
    print(f"Seen: label {ratings} -> {made}; labels -> {collated('labels', ratings)}")
kept = all(collated("labels", each) == torch.tensor(each).tolist() == [float(one) for one in each] for each in orders)
sys.exit(not (kept and found == [[4, 2, 0], [2.75, 4.0, 0.5], [0.5, 2.75, 4.0]]))
PY
