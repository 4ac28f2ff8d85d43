"""SVFT in PEFT's tests."""

from cases import Cases
from tiny_models import TARGETS

from svft import SvftConfig

random = {"pattern": "random", "d": 2}
draw = {**random, "init_weights": False}

CASES = Cases(
    config=SvftConfig,
    sized=SvftConfig,
    custom=[
        ("plain", "MLP", {"target_modules": "lin0"}),
        ("banded two layers", "MLP", {"pattern": "banded", "d": 2, "target_modules": ["lin0", "lin1"]}),
        ("random and head", "MLP", {**random, "target_modules": ["lin0"], "modules_to_save": ["lin1"]}),
        ("topk", "MLP", {"pattern": "topk", "d": 1, "target_modules": ["lin0"]}),
        ("authors random", "MLP2", {**random, "preset": "authors_code", "target_modules": ["lin0"]}),
        (
            "authors topk",
            "MLP_LayerNorm",
            {"pattern": "topk", "d": 1, "preset": "authors_code", "target_modules": ["lin0"]},
        ),
        (
            "rank, gate, basis",
            "MLP",
            {**random, "rank": 5, "gate": True, "save_basis": True, "target_modules": ["lin0"]},
        ),
        ("block, scaled", "MLP", {"pattern": "block", "rank": 5, "scaled": True, "target_modules": ["lin0"]}),
        ("gradient", "MLP", {"pattern": "gradient", "d": 1, "target_modules": ["lin0"]}),
        ("Conv1D", "EmbConv1D", {**random, "target_modules": ["conv1d"]}),
    ],
    pairs=[
        ("same layer", {**draw, "target_modules": ["lin0"]}, {**draw, "seed": 1, "target_modules": ["lin0"]}),
        ("two layers", {**draw, "target_modules": ["lin0"]}, {**draw, "target_modules": ["lin1"]}),
    ],
    transformers=[
        {**random, "target_modules": TARGETS},
        {"pattern": "topk", "d": 1, "preset": "authors_code", "share": "role", "target_modules": TARGETS},
    ],
    reseed={"seed": 1},
    left_out={
        "test_disable_adapters[authors": "asks for an identity at the start, which authors_code is not",
        "test_disable_adapters_with_merging[authors": "the same, merged",
        "layer_indexing[SvftConfig-config_kwargs1": "one block trains as many numbers as all blocks",
    },
)
