"""How far a change of one weight goes: its size, what it does to the base's own inputs, and intruder dimensions.

Shapes: W0 (O, I), Delta W = W - W0 (O, I), K = min(O, I), T inputs h (T, I).
"""

import torch

# Algorithm 1 of Shuttleworth et al. 2024 (arXiv:2410.21228): of the first k left singular vectors of W, those whose
# cosine with every one of W0 is below epsilon. k and epsilon are PEFT's (peft.tuners.lora.intruders, 0.21.2), and as
# there cosines are taken without their sign, since a singular vector has none.
TOP = 10
THRESHOLD = 0.5

# Of the squared singular values, relative to the largest: below it a vector is what rounding makes of it.
NOTHING = 1e-20


def squared_norm(matrix: torch.Tensor) -> float:
    return matrix.square().sum().item()


def moved(update: torch.Tensor, before: torch.Tensor, inputs: torch.Tensor) -> float:
    """E ||Delta W h||^2 / E ||W0 h||^2 over the inputs h (T, I)."""
    inputs = inputs.to(update)
    return ((inputs @ update.T).square().sum() / (inputs @ before.T).square().sum()).item()


def intruders(before: torch.Tensor, after: torch.Tensor, top: int = TOP, threshold: float = THRESHOLD) -> int:
    """How many of the first `top` left singular vectors of W are like none of W0."""
    of_base = left_vectors(before)  # (O, at most K)
    cosines = (left_vectors(after, top).T @ of_base).abs().amax(1)  # (top,)
    return int((cosines < threshold).sum())


def left_vectors(matrix: torch.Tensor, top: int | None = None) -> torch.Tensor:
    """(O, at most K): left singular vectors, that of the largest singular value first.

    From the Gram matrix of the short side, in float64 many times faster than a whole decomposition. Where O > I, those
    of singular values that are nothing are left out.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    squares, vectors = torch.linalg.eigh(matrix @ matrix.T if wide else matrix.T @ matrix)  # (K,), (K, K), rising
    squares, vectors = squares.flip(0)[:top], vectors.flip(1)[:, :top]
    if wide:
        return vectors
    kept = squares > NOTHING * squares[0]
    return (matrix @ vectors[:, kept]) / squares[kept].sqrt()
