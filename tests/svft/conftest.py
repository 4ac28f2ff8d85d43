"""No test touches the cache of the one who runs it, and none goes online."""

import os
from collections import OrderedDict

import peft
import pytest
import torch
from torch import nn

from svft import SvftConfig, reference

os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def no_svd_cache(monkeypatch):
    monkeypatch.setenv("SVFT_CACHE_DIR", "off")


def one_linear(out: int, inp: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """A model whose only layer is `lin`, out x inp without bias."""
    weight = torch.randn(out, inp, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    model = nn.Sequential(OrderedDict(lin=nn.Linear(inp, out, bias=False, dtype=dtype)))
    model.lin.weight.data.copy_(weight)
    return model


@pytest.fixture
def base():
    return one_linear


@pytest.fixture
def adapt():
    """One out x inp layer with an adapter whose coefficients, and Ω of gradient, are drawn: (model, its layer)."""

    def build(out: int, inp: int, dtype: torch.dtype = torch.float64, draw: bool = True, **config):
        model = peft.get_peft_model(one_linear(out, inp, dtype), SvftConfig(target_modules=["lin"], **config))
        layer = model.base_model.model.lin
        generator = torch.Generator().manual_seed(1)
        for parameter in model.parameters():
            if draw and parameter.requires_grad:
                parameter.data.normal_(generator=generator)
        for index in layer.svft_selected.values() if draw else ():
            drawn = torch.randperm(layer.directions("default") ** 2, generator=generator)[: len(index)]
            index.copy_(drawn.sort().values)
        return model, layer

    return build


@pytest.fixture
def dense_weight():
    """U (Sigma + M) V^T of a layer's adapter without a gate, by the reference, from the layer's base weight."""

    def build(layer, adapter: str = "default"):
        basis = reference.decomposed(layer.base_layer.weight.detach(), like=layer.basis(adapter).U)
        C, K, m = layer.directions(adapter), len(basis.s), layer.svft_m[adapter].detach().double()
        index = layer.index(adapter)
        return reference.weight(basis, reference.matrix(m, torch.arange(C) * (C + 1) if index is None else index, C, K))

    return build
