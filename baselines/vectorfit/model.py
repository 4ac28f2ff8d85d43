"""VectorFit in a whole model: one SVD for each adapted layer (Hegde et al. 2025, arXiv:2503.19530)."""

from __future__ import annotations

from collections.abc import Iterator

from svft.basis import BasisModel

from .layer import TrainedVector, VectorFitLinear


class VectorFitModel(BasisModel):
    prefix: str = "vectorfit_"
    tuner_layer_cls = VectorFitLinear

    def trained_vectors(self) -> Iterator[TrainedVector]:
        """Those of the active adapters, in the order of the model's layers."""
        for layer in self.model.modules():
            if isinstance(layer, VectorFitLinear):
                for adapter in layer.active_adapters:
                    if adapter in layer.configs:
                        yield from layer.trained_vectors(adapter)
