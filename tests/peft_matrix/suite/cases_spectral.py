"""Spectral Adapter in PEFT's tests: every mode, and all that can be chosen with one of the first two."""

from dataclasses import dataclass

from cases import Cases
from tiny_models import TARGETS

from baselines.spectral import SpectralAdapterConfig

additive = {"mode": "additive", "r": 2, "block": "top", "scale": False}
rotation = {**additive, "mode": "rotation"}
draw = {"init_weights": False}


@dataclass
class SizedConfig(SpectralAdapterConfig):
    r: int = 2


CASES = Cases(
    config=SpectralAdapterConfig,
    sized=SizedConfig,
    custom=[
        ("additive", "MLP", {**additive, "target_modules": "lin0"}),
        ("bottom, two layers", "MLP", {**additive, "r": 1, "block": "bottom", "target_modules": ["lin0", "lin1"]}),
        (
            "inner columns and head",
            "MLP",
            {**additive, "block": 3, "target_modules": ["lin0"], "modules_to_save": ["lin1"]},
        ),
        ("rotation", "MLP", {**rotation, "r": 3, "target_modules": ["lin0"]}),
        (
            "rotation of inner columns, scaled",
            "MLP2",
            {**rotation, "block": 5, "scale": True, "target_modules": ["lin0"]},
        ),
        (
            "rotation, basis",
            "MLP_LayerNorm",
            {**rotation, "block": "bottom", "save_basis": True, "target_modules": ["lin0"]},
        ),
        ("Conv1D", "EmbConv1D", {**additive, "r": 1, "target_modules": ["conv1d"]}),
        ("factored", "MLP", {**additive, "mode": "factored", "block": "bottom", "target_modules": ["lin0"]}),
        ("one side turned", "MLP", {**additive, "mode": "one_sided", "r": 3, "target_modules": ["lin0"]}),
        ("right", "MLP2", {**additive, "mode": "right", "target_modules": ["lin0"]}),
        ("left", "MLP", {**additive, "mode": "left", "target_modules": ["lin0"]}),
    ],
    pairs=[
        (
            "same layer",
            {**additive, **draw, "target_modules": ["lin0"]},
            {**rotation, **draw, "block": 2, "target_modules": ["lin0"]},
        ),
        (
            "two layers",
            {**rotation, **draw, "target_modules": ["lin0"]},
            {**additive, **draw, "target_modules": ["lin1"]},
        ),
    ],
    transformers=[
        {**additive, "target_modules": TARGETS},
        {**rotation, "scale": True, "share": "role", "target_modules": TARGETS},
    ],
    reseed={},
    left_out={
        "layer_indexing[SpectralAdapterConfig-config_kwargs1": "one block trains as many numbers as all blocks",
    },
)
