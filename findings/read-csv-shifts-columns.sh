#!/usr/bin/env bash
# Package:  pandas 3.1.1
# Surprise: if the first row has one field more than the header (a comma at its end is enough), read_csv makes the first
#           column the index and puts every value under its left neighbour's name, in all rows, without a warning.
# Guess:    an error, as for a row too long anywhere else in the file, or an unnamed last column.
# Hurt:     who averages results from CSV files that a script wrote with a comma at line ends: the column `seed` is
#           averaged as `accuracy`, and nothing tells of it.
# Date:     2026-11-30
# Source:   own observation; https://github.com/pandas-dev/pandas/issues/33037 (documented under index_col)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding pandas==3.1.1 numpy==2.4.6 <<'PY'
import io
import sys
import warnings

import pandas

warnings.simplefilter("error")
header = "rank,accuracy,seed\n"
rows = ["8,81.5,1", "16,82.5,2"]


def read(*lines: str) -> pandas.DataFrame:
    return pandas.read_csv(io.StringIO(header + "\n".join(lines) + "\n"))


plain = read(*rows)
every = read(*(row + "," for row in rows))
first = read(rows[0] + ",", rows[1])
try:
    last = f"{read(rows[0], rows[1] + ',')}"
except pandas.errors.ParserError as error:
    last = f"ParserError: {error}".strip()
print("Described: a comma after the first row shifts all columns by one; after a later row alone it is an error.")
for name, frame in {"no comma": plain, "after every row": every, "after the first": first}.items():
    means = frame[["rank", "accuracy"]].mean().to_dict()
    print(f"Seen: {name}: means {means}, index {list(frame.index)}")
print("Seen: after the last:", last)
shifted = all(list(f["rank"]) == [81.5, 82.5] and list(f["accuracy"]) == [1, 2] for f in (every, first))
sys.exit(not (shifted and list(plain["accuracy"]) == [81.5, 82.5] and last.startswith("ParserError")))
PY
