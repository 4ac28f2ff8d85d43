#!/usr/bin/env bash
# Package:  torchmetrics 1.9.0 (torch 2.15.0; scikit-learn 1.9.1 for comparison)
# Surprise: R2Score and ExplainedVariance of float32 targets far from zero are noise: at a mean of 20 000 and a spread
#           of 5 both are 0.0 where they are 0.68 (of another draw, the explained variance was 1.29). The variance is a
#           difference of two sums of squares, in float32.
# Guess:    R2 does not change when a constant is added to targets and predictions; sklearn's, of the same float32
#           numbers, does not.
# Hurt:     who regresses years, prices, temperatures in kelvin or positions: a model is called useless, or better than
#           it is; at a mean of 2000 they are off by less than 0.01, which is easily missed.
# Date:     2026-12-01
# Source:   https://github.com/Lightning-AI/torchmetrics/issues/1573 (R2 above 1 of nearly constant targets) and 3077
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding torchmetrics==1.9.0 torch==2.15.0 scikit-learn==1.9.1 numpy==2.4.6 <<'PY'
import sys

import torch
from sklearn.metrics import explained_variance_score, r2_score
from torchmetrics.regression import ExplainedVariance, R2Score

torch.manual_seed(0)
spread, error = 5 * torch.randn(2000), 3 * torch.randn(2000)
found = {}
print("Described: far from zero both numbers of torchmetrics are off; sklearn's, of the same float32, are not.")
for mean in (0, 2000, 20_000):
    target = mean + spread
    prediction = target + error
    ours = [metric(prediction, target).item() for metric in (R2Score(), ExplainedVariance())]
    theirs = [f(target.numpy(), prediction.numpy()) for f in (r2_score, explained_variance_score)]
    found[mean] = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    r2, variance = (f"torchmetrics {a:.4f}, sklearn {b:.4f}" for a, b in zip(ours, theirs, strict=True))
    print(f"Seen: mean {mean:>6}: R2: {r2}; explained variance: {variance}")
sys.exit(not (max(found[0]) < 1e-4 and min(found[2000]) > 1e-4 and min(found[20_000]) > 0.1))
PY
