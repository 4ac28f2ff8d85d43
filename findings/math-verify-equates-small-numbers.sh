#!/usr/bin/env bash
# Package:  math-verify 0.9.0 (latex2sympy2_extended 1.11.0, sympy 1.14.0)
# Surprise: 1/2004! and 1/2005! are verified as equal, and so are any two closed forms below about 1e-15: their
#           difference is evaluated with chop=True, which makes absolutely small numbers zero.
# Guess:    exact expressions are compared exactly, or at least relative to their size; 1/12! and 1/13! are told apart.
# Hurt:     who scores or rewards answers that are small probabilities (1/n!, 2^-n) or constants of physics: wrong ones
#           pass.
# Date:     2026-11-30
# Source:   own observation; 1/2004! and 1/2006!: https://github.com/huggingface/Math-Verify/issues/14
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding math-verify==0.9.0 latex2sympy2_extended==1.11.0 antlr4-python3-runtime==4.9.3 sympy==1.14.0 <<'PY'
import sys

from math_verify import parse, verify

described = {
    ("$1/2004!$", "$1/2005!$"): True,
    (r"$\frac{1}{2^{99}}$", r"$\frac{1}{2^{98}}$"): True,
    (r"$6.6 \times 10^{-34}$", r"$9.1 \times 10^{-31}$"): True,
    ("$1/12!$", "$1/13!$"): False,
    ("$1/2004!$", "$1/2004!$"): True,
}
print("Described: unequal numbers are verified as equal where both are tiny; larger ones are told apart.")
seen = {pair: verify(parse(pair[0]), parse(pair[1])) for pair in described}
for (gold, answer), verdict in seen.items():
    print(f"Seen: {gold} and {answer}: {verdict}")
sys.exit(seen != described)
PY
