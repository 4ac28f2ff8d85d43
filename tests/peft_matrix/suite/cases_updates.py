"""Weight updates in PEFT's tests, each kind once at least."""

from dataclasses import dataclass

from cases import Cases
from tiny_models import TARGETS

from baselines.updates import UpdateConfig

ssl, ssb = {"kind": "ssl"}, {"kind": "ssb"}
flora = {"kind": "flora", "r": 2, "alpha": 4}
loldu = {"kind": "loldu", "pivots": 4, "lu_alpha": 2}
dash = {"kind": "lora_dash", "r": 2, "alpha": 4, "directions": 3}  # which are not chosen in these tests
soda = {"kind": "soda", "rotations": 2}
draw = {"init_weights": False}


@dataclass
class SizedConfig(UpdateConfig):
    def __post_init__(self):
        self.kind = self.kind or "ssb"  # no default: what differs from a default is checked when loading
        super().__post_init__()


CASES = Cases(
    config=UpdateConfig,
    sized=SizedConfig,
    custom=[
        ("inputs", "MLP", {**ssl, "target_modules": "lin0"}),
        ("both sides, and head", "MLP", {**ssb, "target_modules": ["lin0"], "modules_to_save": ["lin1"]}),
        ("both sides, Conv1D", "EmbConv1D", {**ssb, "target_modules": ["conv1d"]}),
        ("core", "MLP2", {**flora, "target_modules": ["lin0", "lin1"]}),
        ("pivots", "MLP_LayerNorm", {**loldu, "save_basis": True, "target_modules": ["lin0"]}),
        ("all pivots", "MLP", {"kind": "loldu", "target_modules": ["lin1"]}),
        ("directions", "MLP", {**dash, "target_modules": ["lin0"]}),
        ("rotation and spectrum", "MLP", {**soda, "target_modules": ["lin0"]}),
    ],
    pairs=[
        ("same layer", {**ssl, **draw, "target_modules": ["lin0"]}, {**ssb, **draw, "target_modules": ["lin0"]}),
        ("two layers", {**ssb, **draw, "target_modules": ["lin0"]}, {**ssl, **draw, "target_modules": ["lin1"]}),
    ],
    transformers=[{**ssb, "target_modules": TARGETS}, {**flora, "target_modules": TARGETS}],
    reseed={"seed": 1},
    left_out={
        "test_only_params_are_updated[directions": "no callback chooses directions, so their coefficients stay",
    },
)
