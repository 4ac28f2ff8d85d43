#!/usr/bin/env bash
# Package:  peft 0.21.2 (FourierFT; torch 2.15.0)
# Surprise: whatever FourierFT trains, entry (i, j) of its update is equal to entry (-i, -j), indices modulo the shape of
#           the weight: the update is the real part of an inverse transform of real coefficients, which are cosines alone.
#           So half of all updates are out of reach at any n_frequency, and two coefficients at mirrored places train one
#           number.
# Guess:    with n_frequency = m n every update can be had, and n_frequency numbers are as many directions.
# Hurt:     who compares FourierFT at equal counts with other sparse updates, or raises n_frequency for capacity: outputs i
#           and m - i of a layer cannot be told apart but by the order of its inputs.
# Date:     2026-11-30
# Source:   own observation; the formula is that of the paper (arXiv:2405.03003)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding peft==0.21.2 torch==2.15.0 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from peft import FourierFTConfig, ShiraConfig, get_peft_model

M, N = 12, 16


def layer(config) -> torch.nn.Module:
    torch.manual_seed(0)
    return get_peft_model(torch.nn.Sequential(torch.nn.Linear(N, M)), config).base_model.model[0]


def asymmetry(update: torch.Tensor) -> float:
    mirrored = update.flip(0, 1).roll((1, 1), (0, 1))
    return ((update - mirrored).norm() / update.norm()).item()


def directions(adapted, values: torch.Tensor) -> int:
    """The rank of the map from trained numbers to the update."""
    columns = []
    for i in range(values.numel()):
        with torch.no_grad():
            values.zero_()[i] = 1
            update = adapted.get_delta_weight("default")
            columns.append((update.to_dense() if update.is_sparse else update).flatten().double())
    return torch.linalg.matrix_rank(torch.stack(columns)).item()


fourier = layer(FourierFTConfig(target_modules=["0"], n_frequency=M * N, scaling=float(M * N)))
random = asymmetry(fourier.get_delta_weight("default").detach())
reached = directions(fourier, fourier.fourierft_spectrum["default"])
shira = layer(ShiraConfig(target_modules=["0"], r=6, init_weights=False))
other, of_shira = asymmetry(shira.get_delta_weight("default").detach().to_dense()), directions(shira, shira.shira_weight["default"])
print("Described: the update is its own mirror image, and n_frequency = m n numbers reach half of the m n directions.")
print(f"Seen: FourierFT: asymmetry {random:.1e}; {M * N} numbers, {reached} directions of {M * N}")
print(f"Seen: SHiRA: asymmetry {other:.2f}; {shira.shira_weight['default'].numel()} numbers, {of_shira} directions")
sys.exit(not (random < 1e-5 and reached < 0.52 * M * N and other > 0.5 and of_shira == shira.shira_weight["default"].numel()))
PY
