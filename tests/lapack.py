"""A decomposition as another machine would give it."""

import numpy as np
import scipy.linalg
import torch

from svft.decomposition import Basis


def other_lapack(weight: torch.Tensor) -> Basis:
    """QR iteration where torch divides and conquers, with signs at random instead of by the convention."""
    U, s, Vh = scipy.linalg.svd(weight.double().numpy(), full_matrices=False, lapack_driver="gesvd")
    sign = np.sign(np.random.RandomState(0).standard_normal(len(s)))
    return Basis(*(torch.from_numpy(part).to(weight.dtype) for part in (U * sign, s, Vh * sign[:, None])))
