"""Weight updates in a whole model."""

from __future__ import annotations

from svft.basis import BasisModel

from .layer import UpdateLinear


class UpdateModel(BasisModel):
    prefix: str = "updates_"
    tuner_layer_cls = UpdateLinear
