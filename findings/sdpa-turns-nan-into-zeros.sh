#!/usr/bin/env bash
# Package:  torch 2.15.0 (CPU)
# Surprise: F.scaled_dot_product_attention of a query of NaN returns zeros where there are fewer keys than the CPU's
#           vectors hold floats (8 with AVX2, 16 with AVX-512), and NaN for longer sequences or under SDPBackend.MATH.
# Guess:    NaN in, NaN out, whatever the length and the kernel.
# Hurt:     who looks for a diverged run by NaN in the outputs or the loss: on short sequences (tests, tiny models,
#           first tokens of a generation) a broken layer reads as a plausible one.
# Date:     2026-11-30
# Source:   own observation; zeros (at 16 keys) in torch 2.5: https://github.com/pytorch/pytorch/issues/141128
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding torch==2.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

torch.manual_seed(0)


def attention(length: int) -> torch.Tensor:
    query = torch.full((1, 1, length, 8), float("nan"))
    key, value = torch.randn(2, 1, 1, length, 8)
    return scaled_dot_product_attention(query, key, value)


lengths = range(1, 65)
zeros = [n for n in lengths if (attention(n) == 0).all()]
nans = [n for n in lengths if attention(n).isnan().all()]
with sdpa_kernel(SDPBackend.MATH):
    exact = [n for n in lengths if attention(n).isnan().all()]
print("Described: zeros for few keys, NaN for more; NaN at every length under SDPBackend.MATH.")
print("CPU capability:", torch.backends.cpu.get_cpu_capability())
print(f"Seen: 4 keys, default kernel: {attention(4)[0, 0, 0].tolist()}")
print(f"Seen: default: zeros at lengths {zeros}")
print(f"Seen: default: NaN from {min(nans)} to {max(nans)}; SDPBackend.MATH: NaN from {min(exact)} to {max(exact)}")
sys.exit(not (4 in zeros and 64 in nans and len(zeros) + len(nans) == 64 and exact == list(lengths)))
PY
