"""One adapted layer, and the weight that it should have: the formulas of arXiv:2405.13952, dense and in float64."""

import peft
import torch
from torch import nn

from baselines.spectral import SpectralAdapterConfig

SHAPES = [(9, 9), (9, 14), (14, 9)]
BLOCKS = {"top": [0, 1, 2], "bottom": [6, 7, 8], 2: [2, 3, 4]}  # the columns of r = 3 of 9
KINDS = [{"mode": "additive"}, {"mode": "rotation"}, {"mode": "rotation", "scale": True}]


def one_linear(out: int, inp: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """A model whose only layer is `lin`, out x inp without bias."""
    model = nn.Sequential()
    model.add_module("lin", nn.Linear(inp, out, bias=False, dtype=dtype))
    weight = torch.randn(out, inp, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    model.lin.weight.data.copy_(weight)
    return model


def draw(layer: nn.Module, adapter: str = "default", seed: int = 1, size: float = 1.0) -> None:
    """As after training."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in layer.trained(adapter).values():
        tensor.data.normal_(generator=generator).mul_(size)


def adapted(out: int, inp: int, dtype: torch.dtype = torch.float64, drawn: bool = True, **config):
    """(model, its layer)."""
    config = {"r": 3, "target_modules": ["lin"], **config}
    model = peft.get_peft_model(one_linear(out, inp, dtype), SpectralAdapterConfig(**config))
    layer = model.base_model.model.lin
    if drawn:
        draw(layer)
    return model, layer


def svd_like(layer: nn.Module, columns: list[int], adapter: str = "default"):
    """U, s, V (not transposed) of the base weight in float64, with the signs that the adapter's columns have."""
    U, s, Vh = torch.linalg.svd(layer.unmerged_weight().detach().double(), full_matrices=False)
    signs = torch.ones_like(s)
    signs[columns] = (U[:, columns] * layer.basis(adapter).U).sum(0).sign()
    return U * signs, s, (Vh * signs[:, None]).T


def cayley(X: torch.Tensor) -> torch.Tensor:
    K = (X - X.T) / 2
    identity = torch.eye(len(X), dtype=X.dtype)
    return (identity - K) @ torch.linalg.inv(identity + K)


def dense(layer: nn.Module, columns: list[int], trained: dict[str, torch.Tensor], adapter: str = "default"):
    """[U1 + A_U, U2] S [V1 + A_V, V2]^T, or [U1 R_U, U2] S C [V1 R_V, V2]^T, as the paper writes it."""
    U, s, V = svd_like(layer, columns, adapter)
    if "spectral_A_U" in trained:
        left, right = U[:, columns] + trained["spectral_A_U"], V[:, columns] + trained["spectral_A_V"]
    else:
        left, right = U[:, columns] @ cayley(trained["spectral_X_U"]), V[:, columns] @ cayley(trained["spectral_X_V"])
    scale = trained.get("spectral_scale", torch.ones(len(columns), dtype=torch.float64))
    U, V = U.index_copy(1, torch.tensor(columns), left), V.index_copy(1, torch.tensor(columns), right)
    s = s.index_copy(0, torch.tensor(columns), s[columns] * scale)
    return U @ torch.diag(s) @ V.T


def copies(layer: nn.Module, adapter: str = "default") -> dict[str, torch.Tensor]:
    """What is trained, in float64, ready for a gradient."""
    trained = layer.trained(adapter).items()
    return {name: tensor.detach().double().clone().requires_grad_() for name, tensor in trained}
