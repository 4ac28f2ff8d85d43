#!/usr/bin/env bash
# Package:  math-verify 0.9.0 (latex2sympy2_extended 1.11.0, antlr4-python3-runtime 4.9.3)
# Surprise: `12\,000`, LaTeX's usual thousands separator, is read as 12 * 000 = 0 (and 1\,234 as 1 * 234 plus 1, 235):
#           the right 12000 is refused and 0 is verified.
# Guess:    it is 12000, as `12,000` and `12{,}000` are.
# Hurt:     who scores mathematics: gold answers with \, or a blank mark right answers wrong, and models that write
#           numbers so score lower for their typography.
# Date:     2026-11-30
# Source:   own observation
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding math-verify==0.9.0 latex2sympy2_extended==1.11.0 antlr4-python3-runtime==4.9.3 sympy==1.14.0 <<'PY'
import sys

from math_verify import parse, verify

print(r"Described: 12\,000 and 12 000 are 0, 1\,234 is 235; 12,000 and 12{,}000 are 12000.")
seen = {}
for gold, answers in {
    r"$12\,000$": ("$12000$", "$0$"),
    "$12 000$": ("$12000$", "$0$"),
    r"$1\,234$": ("$1234$", "$235$"),
    "$12,000$": ("$12000$", "$0$"),
    "$12{,}000$": ("$12000$", "$0$"),
}.items():
    seen[gold] = [verify(parse(gold), parse(answer)) for answer in answers]
    print(f"Seen: {gold} is read as {parse(gold)[0]}; verified against", dict(zip(answers, seen[gold])))
wrong = [seen[gold] == [False, True] for gold in (r"$12\,000$", "$12 000$", r"$1\,234$")]
right = [seen[gold] == [True, False] for gold in ("$12,000$", "$12{,}000$")]
sys.exit(not all(wrong + right))
PY
