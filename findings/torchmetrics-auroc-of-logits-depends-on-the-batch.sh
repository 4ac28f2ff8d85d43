#!/usr/bin/env bash
# Package:  torchmetrics 1.9.0 (torch 2.15.0; scikit-learn 1.9.1 for comparison)
# Surprise: whether scores are logits is decided batch by batch: one whose logits all happen to lie in [0, 1] is taken
#           for probabilities and kept, the others go through a sigmoid, and AUROC ranks the mixture. Of 256 logits it
#           is 0.82 in batches of 64, and 0.74 in batches of one.
# Guess:    AUROC depends on the order of the scores alone: the same however they are batched, logits or not.
# Hurt:     who evaluates in batches of one or two, or sees a small last batch: wrong AUROC, average precision and (with
#           a threshold of 0.5 put to a logit) accuracy, which get better with the batch size.
# Date:     2026-12-01
# Source:   https://github.com/Lightning-AI/torchmetrics/issues/2195 (open)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding torchmetrics==1.9.0 torch==2.15.0 scikit-learn==1.9.1 numpy==2.4.6 <<'PY'
import sys

import torch
from sklearn.metrics import roc_auc_score
from torchmetrics.classification import BinaryAUROC

torch.manual_seed(0)
logits = torch.randn(256)
labels = (torch.rand(256) < torch.sigmoid(2 * logits)).long()


def auroc(scores: torch.Tensor, size: int) -> float:
    metric = BinaryAUROC()
    for batch in zip(scores.split(size), labels.split(size), strict=True):
        metric.update(*batch)
    return round(metric.compute().item(), 4)


right = round(roc_auc_score(labels, logits), 4)
print("Described: AUROC of the same logits falls with the batch size; that of their sigmoids does not.")
print("Seen: sklearn:", right)
found = {}
for size in (64, 2, 1):
    found[size] = auroc(logits, size), auroc(logits.sigmoid(), size)
    print(f"Seen: batches of {size:>2}: of logits {found[size][0]}, of probabilities {found[size][1]}")
falls = found[64][0] - found[2][0] > 0.01 and found[2][0] - found[1][0] > 0.01
steady = [found[64][0], *(pair[1] for pair in found.values())]
sys.exit(not (falls and max(abs(value - right) for value in steady) < 1e-3))
PY
