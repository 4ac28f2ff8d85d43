#!/usr/bin/env bash
# Package:  torchmetrics 1.9.0 (torch 2.15.0)
# Surprise: a MetricCollection looks after the first batch which metrics hold equal numbers, and from then on updates
#           only one of them. Accuracy at threshold 0.5 and at 0.9 agree on a first batch of sure predictions: ever
#           after, both are the accuracy at 0.5.
# Guess:    a collection gives each metric's own value; metrics share their work only where they are set up alike.
# Hurt:     who collects a metric at several thresholds, orders or filters: a wrong number under the right name, which
#           comes and goes with the order of the batches (a small or easy first batch is enough).
# Date:     2026-12-01
# Source:   https://github.com/Lightning-AI/torchmetrics/issues/2596 and 2916 (closed); compute_groups=False ends it
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding torchmetrics==1.9.0 torch==2.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAccuracy

sure = torch.tensor([0.95, 0.05]), torch.tensor([1, 0])
unsure = torch.full((98,), 0.7), torch.ones(98, dtype=torch.long)


def values(batches, **settings) -> list[float]:
    """The accuracies at thresholds 0.5 and 0.9."""
    metrics = MetricCollection({"at50": BinaryAccuracy(0.5), "at90": BinaryAccuracy(0.9)}, **settings)
    for probabilities, labels in batches:
        metrics.update(probabilities, labels)
    return [round(value.item(), 2) for value in metrics.compute().values()]


right = values([sure, unsure], compute_groups=False)
easy_first = values([sure, unsure])
hard_first = values([unsure, sure])
print("Described: after a first batch on which both agree, the accuracy at 0.9 is that at 0.5.")
print("Seen: accuracy at 0.5 and 0.9, each by itself:              ", *right)
print("Seen: accuracy at 0.5 and 0.9, collection, easy batch first:", *easy_first)
print("Seen: accuracy at 0.5 and 0.9, collection, hard batch first:", *hard_first)
sys.exit(not (right == hard_first == [1.0, 0.02] and easy_first == [1.0, 1.0]))
PY
