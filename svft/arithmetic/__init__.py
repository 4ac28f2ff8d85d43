"""The products of U (Sigma + M) V^T with activations, their gradients, and what they cost."""

from .products import delta_weight, product

__all__ = ["delta_weight", "product"]
