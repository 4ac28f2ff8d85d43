#!/usr/bin/env bash
# Package:  datasets 5.2.0
# Surprise: class_encode_column on integer labels numbers classes in the order of their text: of 11 classes (0 to 10)
#           10 becomes 2, 2 becomes 3 and so on. With 10 classes every label stays.
# Guess:    integers that are class numbers already stay; the call, which stratify_by_column asks for, names their type.
# Hurt:     who prepares a data set of more than 10 classes with integer labels: a model trained on the column before, a
#           list of class names, or a split that was not encoded, no longer fits. Splits encoded one by one differ if
#           one lacks a class. The accuracy of a good model falls, and nothing is raised.
# Date:     2026-11-30
# Source:   datasets/arrow_dataset.py:2296 (sorted(str(sample) ...)); not in the docstring. Met before by
#           https://github.com/flairNLP/fabricator/issues/51
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding datasets==5.2.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6 <<'PY'
import sys

import datasets

datasets.disable_progress_bars()


def encoded(labels: list[int]) -> list[int]:
    return datasets.Dataset.from_dict({"label": labels}).class_encode_column("label")["label"][:]


ten, eleven, apart = encoded(list(range(10))), encoded(list(range(11))), encoded([0, 2, 3])
print("Described: 10 labels stay as they are; of 11 all but 0 and 1 change; with a class missing the numbers close up.")
print("Seen: 0 to  9 become", *ten)
print("Seen: 0 to 10 become", *eleven)
print("Seen: 0 2 3 become", *apart)
sys.exit(not (ten == list(range(10)) and eleven == [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 2] and apart == [0, 1, 2]))
PY
