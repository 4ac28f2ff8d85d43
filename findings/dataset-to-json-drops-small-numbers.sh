#!/usr/bin/env bash
# Package:  datasets 5.2.0 (with pandas 3.1.1)
# Surprise: Dataset.to_json writes 10 decimals: 3e-12 comes back as 0.0 and 1.23456e-07 as 1.235e-07, without a warning.
#           Numbers below 1e-15 are written in full again.
# Guess:    JSON Lines hold what the data set holds, as json.dumps writes it and as to_parquet and to_csv do.
# Hurt:     who passes probabilities, p-values, learning rates, logits or embeddings on in JSON: small ones are 0 (their
#           logarithm is -inf), rows that differed become ties, and a data set read back is not the one written.
# Date:     2026-11-30
# Source:   own observation; datasets/io/json.py:150 leaves double_precision at pandas' 10 (15 is the most). The odd
#           range is known of pandas, open since 2018: https://github.com/pandas-dev/pandas/issues/23328
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding datasets==5.2.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6 <<'PY'
import json
import sys
from pathlib import Path

import datasets

datasets.disable_progress_bars()
values = [1 / 3, 1.23456e-7, 3e-12, 4e-14, 5e-17]
table = datasets.Dataset.from_dict({"value": values})
table.to_json("numbers.jsonl")
table.to_csv("numbers.csv")
table.to_parquet("numbers.parquet")
from_json = [json.loads(line)["value"] for line in Path("numbers.jsonl").read_text().splitlines()]
from_csv = [float(line) for line in Path("numbers.csv").read_text().splitlines()[1:]]
from_parquet = datasets.Dataset.from_parquet("numbers.parquet", cache_dir="cache")["value"][:]
print("Described: JSON rounds to 10 decimals all but numbers below 1e-15; CSV and Parquet keep every number.")
print("Seen: written:     ", *values)
print("Seen: from JSON:   ", *from_json)
print("Seen: from CSV:    ", *from_csv)
print("Seen: from Parquet:", *from_parquet)
rounded = [round(value, 10) for value in values[:4]]
sys.exit(not (from_csv == from_parquet == values and from_json == [*rounded, values[4]] and rounded[2:] == [0, 0]))
PY
