"""How many coefficients there are, against the paper's printed numbers; and configurations that make no sense."""

import peft
import pytest
import torch
from omegaconf import OmegaConf
from transformers import AutoConfig, AutoModelForCausalLM

import svft.basis.layer
import svft.layer
from svft import PRESETS, SvftConfig

UDOG = ["up_proj", "down_proj", "o_proj", "gate_proj"]
QKVUDOG = ["q_proj", "k_proj", "v_proj", *UDOG]


def sizes(hidden: int, mlp: int, layers: int, heads: int, kv_heads: int, head: int) -> dict[str, int]:
    return {
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head,
    }


MODELS = {
    "gemma-2b": ("gemma", sizes(2048, 16384, 18, 8, 1, 256)),
    "gemma-7b": ("gemma", sizes(3072, 24576, 28, 16, 16, 256)),
    "llama-3-8b": ("llama", sizes(4096, 14336, 32, 32, 8, 128)),
}


@pytest.mark.parametrize("shape", [(12, 12), (12, 20), (20, 12)])
@pytest.mark.parametrize(
    ("pattern", "d"),
    [("plain", None), ("banded", 0), ("banded", 2), ("random", 3), ("topk", 3), ("gradient", 3), ("banded", 99)],
)
@pytest.mark.parametrize("rank", [None, 5])
@pytest.mark.filterwarnings("ignore:pattern='topk'")
def test_number_of_coefficients_is_that_of_a_band(adapt, shape, pattern, d, rank):
    model, layer = adapt(*shape, pattern=pattern, d=d, rank=rank)
    r = rank or 12
    width = 0 if d is None else d
    in_the_band = sum(abs(i - j) <= width for i in range(r) for j in range(r))
    assert model.get_nb_trainable_parameters()[0] == layer.svft_m["default"].numel() == in_the_band
    if (index := layer.index("default")) is not None:
        assert len(index) == len(index.unique()) == in_the_band
        assert index.dtype == torch.int32
        assert index.min() >= 0
        assert index.max() < r * r


def test_the_gate_counts_as_one_parameter_of_each_layer(adapt):
    model, _ = adapt(12, 20, preset="authors_code")
    assert model.get_nb_trainable_parameters()[0] == 13


@pytest.mark.parametrize(
    ("name", "modules", "config", "printed"),
    [
        ("gemma-2b", QKVUDOG, {"pattern": "plain"}, 193_536),
        ("gemma-2b", QKVUDOG, {"pattern": "random", "d": 16}, 6_352_416),
        ("gemma-2b", QKVUDOG, {"pattern": "topk", "d": 8}, 3_281_040),
        ("gemma-2b", QKVUDOG, {"pattern": "plain", "preset": "authors_code"}, 193_536 + 126),
        ("gemma-7b", QKVUDOG, {"pattern": "random", "d": 16}, 19_816_384),
        ("llama-3-8b", UDOG, {"pattern": "banded", "d": 12}, 13_087_232),
    ],
)
@pytest.mark.filterwarnings("ignore:pattern='topk'")
def test_counts_on_the_meta_device_are_the_papers_and_take_no_svd(monkeypatch, name, modules, config, printed):
    for function in ("cached", "decompose"):
        monkeypatch.setattr(svft.basis.layer, function, lambda *_: pytest.fail("decomposed a weight on meta"))
    for function in ("banded", "random", "topk"):
        monkeypatch.setattr(
            svft.layer.patterns, function, lambda *_: pytest.fail("listed positions on the meta device")
        )
    kind, fields = MODELS[name]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, vocab_size=64, **fields))
    model = peft.get_peft_model(model, SvftConfig(target_modules=modules, **config))
    assert model.get_nb_trainable_parameters()[0] == printed
    assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()] if tensor.numel() > 256)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pattern": "bandd"}, "pattern='bandd' is not one of plain, banded, random, topk"),
        ({"preset": "paper"}, "preset='paper' is not one of clean, authors_code"),
        ({"init": "ones"}, "init='ones' is not one of zeros, kaiming"),
        ({"topk_score": "dot"}, "topk_score='dot' is not one of alignment, released"),
        ({"bias": "lora_only"}, "bias='lora_only' is not one of none, all, svft_only"),
        ({"pattern": "plain", "d": 2}, "takes no d=2"),
        ({"pattern": "random"}, "pattern='random' needs d"),
        ({"pattern": "banded", "d": -1}, "not -1"),
        ({"pattern": "block"}, "takes either d .* not d=None with rank=None"),
        ({"pattern": "block", "d": 2, "rank": 4}, "takes either d .* not d=2 with rank=4"),
        ({"pattern": "block", "d": -1}, "not -1"),
        ({"scaled": "no"}, "scaled='no'"),
        ({"pattern": "banded", "d": 1.5}, "not 1.5"),
        ({"rank": 0}, "rank=0"),
        ({"seed": "a"}, "seed='a'"),
        (
            {"pattern": "topk", "d": 1, "preset": "authors_code", "rank": 4},
            "topk_score='released' is not defined with rank=4",
        ),
    ],
)
def test_a_value_that_makes_no_sense_is_named_with_its_choices(fields, words):
    with pytest.raises(ValueError, match=words):
        SvftConfig(**fields)


def test_presets_fill_only_what_is_left_open():
    config = SvftConfig(preset="authors_code", gate=False, init="zeros")
    assert (config.gate, config.init) == (False, "zeros")
    assert (config.replacement, config.topk_score, config.truncate_base) == (True, "released", True)
    assert {name: getattr(SvftConfig(), name) for name in PRESETS["clean"]} == PRESETS["clean"]


def test_omegaconf_lists_are_taken_and_written_as_json(tmp_path):
    values = OmegaConf.create({"targets": ["q_proj", "v_proj"], "blocks": [0, 1]})
    config = SvftConfig(
        target_modules=values.targets, layers_to_transform=values.blocks, modules_to_save=values.targets
    )
    config.save_pretrained(tmp_path)
    loaded = peft.PeftConfig.from_pretrained(tmp_path)
    assert type(loaded) is SvftConfig
    assert set(loaded.target_modules) == {"q_proj", "v_proj"}
    assert loaded.layers_to_transform == [0, 1]
    assert loaded.modules_to_save == ["q_proj", "v_proj"]
    assert SvftConfig(target_modules=".*q_proj").target_modules == ".*q_proj"
