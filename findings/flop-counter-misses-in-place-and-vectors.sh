#!/usr/bin/env bash
# Package:  torch 2.15.0
# Surprise: FlopCounterMode counts nothing for a product that is added in place (`addmm_`, `baddbmm_`) or that is one of a
#           matrix and a vector (`a @ v`, `addmv`), and all of it for the same product out of place or as `einsum`.
# Guess:    a product is counted by its shapes, however it is written; only products in kernels of one's own are missed.
# Hurt:     who compares methods by counted operations: a layer that adds its update in place looks free.
# Date:     2026-11-30
# Source:   own observation; torch/utils/flop_counter.py has no formula for these operators
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding torch==2.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from torch.utils.flop_counter import FlopCounterMode

a, b, v = torch.randn(64, 32), torch.randn(32, 16), torch.randn(32)
sums, many = torch.zeros(64, 16), torch.randn(4, 8, 8)


def counted(product):
    with FlopCounterMode(display=False) as counter:
        product()
    return counter.get_total_flops()


matrix, batch, vector = 2 * 64 * 32 * 16, 2 * 4 * 8 * 8 * 8, 2 * 64 * 32
cases = {
    "sums + a @ b, addmm": (lambda: torch.addmm(sums, a, b), matrix, matrix),
    "sums + a @ b, addmm_": (lambda: sums.addmm_(a, b), matrix, 0),
    "a batch, baddbmm": (lambda: torch.baddbmm(many, many, many), batch, batch),
    "a batch, baddbmm_": (lambda: torch.zeros(4, 8, 8).baddbmm_(many, many), batch, 0),
    "a @ v, einsum": (lambda: torch.einsum("ij,j->i", a, v), vector, vector),
    "a @ v, matmul": (lambda: a @ v, vector, 0),
    "0 + a @ v, addmv": (lambda: torch.addmv(torch.zeros(64), a, v), vector, 0),
}
print("Described: in place, or with a vector, the same product counts 0.")
same = True
for name, (product, takes, expected) in cases.items():
    seen = counted(product)
    print(f"Seen: {name}: takes {takes:,} operations, counted {seen:,}")
    same &= seen == expected
sys.exit(not same)
PY
