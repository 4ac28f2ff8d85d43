"""One adapted layer, and the weight that it should have: the formulas of arXiv:2405.13952 (additive, rotation),
2406.09044 (factored), 2509.02830 (one_sided) and 2505.20211 (right, left), dense and in float64."""

import peft
import torch
from torch import nn

from baselines.spectral import SpectralAdapterConfig

SHAPES = [(9, 9), (9, 14), (14, 9)]
BLOCKS = {"top": [0, 1, 2], "bottom": [6, 7, 8], 2: [2, 3, 4]}  # the columns of r = 3 of 9
KINDS = [
    {"mode": "additive"},
    {"mode": "rotation"},
    {"mode": "rotation", "scale": True},
    {"mode": "factored"},
    {"mode": "one_sided"},
    {"mode": "right"},
    {"mode": "left"},
]


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


def turned(numbers: torch.Tensor, r: int) -> torch.Tensor:
    """The rotation of r(r - 1)/2 numbers, those of K above its diagonal row by row."""
    X = torch.zeros(r, r, dtype=torch.float64)
    X[*torch.triu_indices(r, r, 1)] = 2 * numbers
    return cayley(X)


def dense(layer: nn.Module, columns: list[int], trained: dict[str, torch.Tensor], adapter: str = "default"):
    """The whole weight, with its columns U1, s1, V1 as the papers change them."""
    U, s, V = svd_like(layer, columns, adapter)
    U1, s1, V1 = U[:, columns], s[columns], V[:, columns]
    rest = U @ torch.diag(s) @ V.T - U1 @ torch.diag(s1) @ V1.T
    scale = trained.get("spectral_scale", torch.ones_like(s1))
    match trained:
        case {"spectral_A_U": A_U, "spectral_A_V": A_V}:
            return rest + (U1 + A_U) @ torch.diag(s1) @ (V1 + A_V).T
        case {"spectral_X_U": X_U, "spectral_X_V": X_V}:
            return rest + U1 @ cayley(X_U) @ torch.diag(s1 * scale) @ (V1 @ cayley(X_V)).T
        case {"spectral_D_B": D_B, "spectral_D_A": D_A}:
            return rest + (U1 @ torch.diag(s1.sqrt()) + D_B) @ (torch.diag(s1.sqrt()) @ V1.T + D_A.T)
        case {"spectral_K": K, "spectral_D_S": D_S}:
            return rest + U1 @ torch.diag(s1 + D_S) @ turned(K, len(s1)) @ V1.T
        case {"spectral_M_U": M}:
            return rest + (U1 @ torch.diag(s1) + M) @ V1.T
        case {"spectral_M_V": M}:
            return rest + U1 @ (torch.diag(s1) @ V1.T + M.T)


def on_more_columns(key: str, r: int, parts: list[tuple[torch.Tensor, list[int]]]) -> torch.Tensor:
    """What is trained of one name on r columns where its parts were trained at these places, added where they meet."""
    start, whole = float(key == "spectral_scale"), 0
    for part, places in parts:
        at = torch.eye(r, dtype=torch.float64)[:, places]  # (r, columns of the part)
        if key == "spectral_K":
            X = torch.zeros(len(places), len(places), dtype=torch.float64)
            X[*torch.triu_indices(*X.shape, 1)] = part
            whole += (at @ (X - X.T) @ at.T)[*torch.triu_indices(r, r, 1)]
        elif "_X_" in key:
            whole += at @ part @ at.T
        else:
            whole += (part - start) @ at.T
    return whole + start


def copies(layer: nn.Module, adapter: str = "default") -> dict[str, torch.Tensor]:
    """What is trained, in float64, ready for a gradient."""
    trained = layer.trained(adapter).items()
    return {name: tensor.detach().double().clone().requires_grad_() for name, tensor in trained}
