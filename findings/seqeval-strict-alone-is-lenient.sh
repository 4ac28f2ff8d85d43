#!/usr/bin/env bash
# Package:  seqeval 1.2.2
# Surprise: mode="strict" without a scheme is strict in classification_report and lenient in f1_score, precision_score
#           and recall_score, which drop it without a word: the report says 0, and the score 1. A scheme without
#           mode="strict" is dropped by all.
# Guess:    the functions of one module agree: strict needs no scheme (it is detected), or raises without one.
# Hurt:     who wants entities that are bounded exactly: f1_score takes an I- tag for a beginning, so that the F1 that
#           picks a checkpoint is not that of the report printed under it.
# Date:     2026-12-01
# Source:   own observation (seqeval/metrics/sequence_labeling.py: "if mode == 'strict' and scheme" in the scores, and
#           "if mode == 'strict'" in the report)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding seqeval==1.2.2 scikit-learn==1.9.1 numpy==2.4.6 <<'PY'
import sys

from seqeval.metrics import classification_report, f1_score
from seqeval.scheme import IOB2

true = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-ORG"]]
found = [["I-PER", "I-PER", "O", "I-LOC"], ["O", "I-ORG"]]  # no entity has a beginning
print("Described: of tags without a beginning, f1_score with mode='strict' is 1 and the strict report says 0.")
seen = {}
for name, settings in (
    ("mode='strict'", {"mode": "strict"}),
    ("scheme=IOB2", {"scheme": IOB2}),
    ("mode='strict', scheme=IOB2", {"mode": "strict", "scheme": IOB2}),
):
    report = classification_report(true, found, output_dict=True, zero_division=0, **settings)
    seen[name] = f1_score(true, found, zero_division=0, **settings), float(report["micro avg"]["f1-score"])
    print(f"Seen: {name + ':':<27} f1_score {seen[name][0]}, classification_report {seen[name][1]}")
sys.exit(list(seen.values()) != [(1, 0), (1, 1), (0, 0)])
PY
