"""VectorFit, SVF and DiTASK in PEFT's tests."""

from cases import Cases
from tiny_models import TARGETS

from baselines.vectorfit import VectorFitConfig

svf = {"train_bias": False, "multiplicative": True}
draw = {"init_weights": False}

CASES = Cases(
    config=VectorFitConfig,
    sized=VectorFitConfig,
    custom=[
        ("values and bias", "MLP", {"target_modules": "lin0"}),
        ("values", "MLP", {"train_bias": False, "target_modules": ["lin0", "lin1"]}),
        ("multiplicative", "MLP2", {**svf, "target_modules": ["lin0"]}),
        ("multiplicative and bias", "MLP_LayerNorm", {"multiplicative": True, "target_modules": ["lin0"]}),
        ("bias and head", "MLP", {"target_modules": ["lin0"], "modules_to_save": ["lin1"]}),
        ("basis", "MLP", {"save_basis": True, "target_modules": ["lin0"]}),
        ("Conv1D", "EmbConv1D", {"target_modules": ["conv1d"]}),
        ("cells", "MLP", {"train_bias": False, "cells": 6, "target_modules": ["lin0"]}),
    ],
    pairs=[
        ("same layer", {**draw, "target_modules": ["lin0"]}, {**draw, **svf, "target_modules": ["lin0"]}),
        ("two layers", {**draw, "target_modules": ["lin0"]}, {**draw, "target_modules": ["lin1"]}),
    ],
    transformers=[{"target_modules": TARGETS}, {**svf, "share": "role", "target_modules": TARGETS}],
    reseed={},
    left_out={
        "layer_indexing[VectorFitConfig-config_kwargs1": "one block trains as many numbers as all blocks",
    },
)
