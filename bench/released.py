"""The layer that SVFT's authors released: y = x W_eff^T, with W_eff = U (diag(s) + sigmoid(gate) S) V^T in every pass.

A reference for what that formula costs, written anew after github.com/VijayLingam95/SVFT, svft/svft_layers.py.
Shapes: T tokens (any leading dims), O out_features, I in_features, K = min(O, I), k = K(2d+1) - d(d+1) coefficients,
N distinct positions of those and of the diagonal.

As released: the original weight is dropped; U, s and V^T are float32, as the scripts load every model, and 16 bits come
from autocast alone; S is joined with diag(s) in every forward pass, meets V^T in a sparse product, which autocast
leaves alone, and U in a dense one; autograd keeps the dense W_eff and forms its dense gradient; positions are drawn
with replacement and add up; m starts at N(0, 2 / k), the gate at 0.

Different: the sparse product is torch's, not the torch_sparse package's, and the gradient of S is read from a dense
K x K product, as torch does it, where theirs computes k sampled ones; positions are sorted and joined once, not in
every pass. (torch.sparse.mm on a COO matrix would do both, but finds the positions again one by one in backward, which
on a CPU takes longer than the products.) Frozen tensors are buffers; the singular vectors are those of svft; the random
numbers come from a generator; layers are named by a regular expression of whole paths.
"""

import math
import re
from dataclasses import dataclass
from typing import Self

import torch
from omegaconf import DictConfig
from torch import nn

from svft.decomposition import decompose
from svft.decomposition.cache import cached


class SparseProduct(torch.autograd.Function):
    """A V^T for a sparse A (K, K) with trained values (N,) and a frozen V^T (K, I)."""

    @staticmethod
    def forward(ctx, values, rows, columns, starts, Vh):
        ctx.save_for_backward(rows, columns, Vh)
        A = torch.sparse_csr_tensor(starts, columns, values, (len(Vh), len(Vh)), check_invariants=False)
        return A @ Vh  # (K, I)

    @staticmethod
    def backward(ctx, gradient):
        rows, columns, Vh = ctx.saved_tensors
        return (gradient @ Vh.T)[rows, columns], None, None, None, None  # (K, K) at N positions


class ReleasedLinear(nn.Module):
    """In the place of `linear`; a bias stays as it is."""

    def __init__(self, linear: nn.Linear, *, d: int, generator: torch.Generator):
        super().__init__()
        U, s, Vh = cached(linear.weight.detach(), decompose)
        K, d = len(s), min(d, len(s) - 1)
        k = K * (2 * d + 1) - d * (d + 1)
        drawn = torch.randint(K * K, (k,), generator=generator)  # row K + column
        positions, place = torch.cat([torch.arange(K) * (K + 1), drawn]).unique(return_inverse=True)
        frozen = {
            "U": U.to(s.dtype),  # (O, K)
            "s": s,
            "Vh": Vh.to(s.dtype),  # (K, I)
            "place": place,  # (K + k,): where singular values and coefficients stand among the positions
            "rows": positions // K,
            "columns": positions % K,
            "starts": torch.searchsorted(positions, torch.arange(K + 1) * K),
        }
        for name, tensor in frozen.items():
            self.register_buffer(name, tensor.to(s.device))
        self.bias = linear.bias
        self.m = nn.Parameter((torch.randn(k, generator=generator) * math.sqrt(2 / k)).to(s))
        self.gate = nn.Parameter(torch.zeros_like(s[:1]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = torch.cat([self.s, torch.sigmoid(self.gate) * self.m])
        joined = values.new_zeros(len(self.rows)).index_add(0, self.place, values)  # (N,)
        with torch.autocast(x.device.type, enabled=False):
            scaled = SparseProduct.apply(joined, self.rows, self.columns, self.starts, self.Vh)  # (K, I)
        y = x @ (scaled.T @ self.U.T)  # (T, I) @ (I, O)
        return y if self.bias is None else y + self.bias


@dataclass(frozen=True)
class Released:
    """The released layer with the random pattern, for `harness.adapters.adapt`."""

    d: int
    seed: int
    target_modules: str

    @classmethod
    def like(cls, adapter: DictConfig) -> Self:
        """With the size, seed and layers that a method's yaml gives to svft.SvftConfig."""
        return cls(d=adapter.d, seed=adapter.seed, target_modules=adapter.target_modules)

    def attach(self, model: nn.Module, head: list[str]) -> nn.Module:
        model.requires_grad_(False)
        generator = torch.Generator().manual_seed(self.seed)
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.Linear) and re.fullmatch(self.target_modules, name):
                model.set_submodule(name, ReleasedLinear(module, d=self.d, generator=generator))
        return model
