"""W0 = U diag(s) V^T: the decomposition, its cache on disk, and what tells one basis from another."""

from .svd import Basis, basis_dtype, canonical_signs, decompose, placeholder, wide_dtype

__all__ = ["Basis", "basis_dtype", "canonical_signs", "decompose", "placeholder", "wide_dtype"]
