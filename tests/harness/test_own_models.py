"""Models of one's own: tiny checkpoints of many architectures, from a folder to an attached adapter."""

import json
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
)

from errors import ModelError, RoleError
from harness import convert
from harness.adapters import adapt
from harness.layers import linear
from harness.models import architectures, bases
from harness.plan import config
from tests.conftest import ROOT

BLOCKS, WIDTH, INNER = 3, 16, 24
SIZES = {"hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": BLOCKS, "num_attention_heads": 2}
TEXT = {**SIZES, "vocab_size": 40, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
GROUPED = {**TEXT, "num_key_value_heads": 1, "head_dim": 8}
IMAGES = {**SIZES, "image_size": 8, "patch_size": 4}
DISTIL = {"dim": WIDTH, "hidden_dim": INNER, "n_layers": BLOCKS, "n_heads": 2, "vocab_size": 40, "pad_token_id": 0}
DEBERTA = {**TEXT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0}

AUTO = {
    "decoder": AutoModelForCausalLM,
    "encoder": AutoModelForSequenceClassification,
    "vision": AutoModelForImageClassification,
}
LLAMA = {letter: f"model.layers.*.self_attn.{letter.lower()}_proj" for letter in "QKVO"} | {
    "U": "model.layers.*.mlp.up_proj", "D": "model.layers.*.mlp.down_proj", "G": "model.layers.*.mlp.gate_proj",
}  # fmt: skip


def bert(prefix: str, q: str, k: str, v: str) -> dict[str, str]:
    return {
        "Q": f"{prefix}.encoder.layer.*.attention.self.{q}", "K": f"{prefix}.encoder.layer.*.attention.self.{k}",
        "V": f"{prefix}.encoder.layer.*.attention.self.{v}", "O": f"{prefix}.encoder.layer.*.attention.output.dense",
        "U": f"{prefix}.encoder.layer.*.intermediate.dense", "D": f"{prefix}.encoder.layer.*.output.dense",
    }  # fmt: skip


def vit(prefix: str) -> dict[str, str]:
    letters = {letter: f"{prefix}.*.attention.{letter.lower()}_proj" for letter in "QKVO"}
    return letters | {"U": f"{prefix}.*.mlp.fc1", "D": f"{prefix}.*.mlp.fc2"}


# model type: (family, configuration, letters as this release of transformers names the layers)
KNOWN = {
    "llama": ("decoder", GROUPED, LLAMA),
    "gemma": ("decoder", GROUPED, LLAMA),
    "mistral": ("decoder", GROUPED, LLAMA),
    "qwen2": ("decoder", GROUPED, LLAMA),
    "phi": ("decoder", TEXT, {
        **{letter: LLAMA[letter] for letter in "QKV"}, "O": "model.layers.*.self_attn.dense",
        "U": "model.layers.*.mlp.fc1", "D": "model.layers.*.mlp.fc2",
    }),
    "gpt_neox": ("decoder", TEXT, {
        "A": "gpt_neox.layers.*.attention.query_key_value", "O": "gpt_neox.layers.*.attention.dense",
        "U": "gpt_neox.layers.*.mlp.dense_h_to_4h", "D": "gpt_neox.layers.*.mlp.dense_4h_to_h",
    }),
    "phi3": ("decoder", TEXT, {
        "A": "model.layers.*.self_attn.qkv_proj", "O": "model.layers.*.self_attn.o_proj",
        "D": "model.layers.*.mlp.down_proj", "F": "model.layers.*.mlp.gate_up_proj",
    }),
    "gpt2": ("decoder", {"n_embd": WIDTH, "n_layer": BLOCKS, "n_head": 2, "vocab_size": 40}, {
        "A": "transformer.h.*.attn.c_attn", "O": "transformer.h.*.attn.c_proj",
        "U": "transformer.h.*.mlp.c_fc", "D": "transformer.h.*.mlp.c_proj",
    }),
    "bert": ("encoder", TEXT, bert("bert", "query", "key", "value")),
    "roberta": ("encoder", TEXT, bert("roberta", "query", "key", "value")),
    "mpnet": ("encoder", TEXT | {"max_position_embeddings": 20}, {
        **{letter: f"mpnet.encoder.layer.*.attention.attn.{letter.lower()}" for letter in "QKVO"},
        "U": "mpnet.encoder.layer.*.intermediate.dense", "D": "mpnet.encoder.layer.*.output.dense",
    }),
    "deberta-v2": ("encoder", DEBERTA, bert("deberta", "query_proj", "key_proj", "value_proj")),
    "distilbert": ("encoder", DISTIL, {
        **{letter: f"distilbert.transformer.layer.*.attention.{letter.lower()}_lin" for letter in "QKV"},
        "O": "distilbert.transformer.layer.*.attention.out_lin",
        "U": "distilbert.transformer.layer.*.ffn.lin1", "D": "distilbert.transformer.layer.*.ffn.lin2",
    }),
    "modernbert": ("encoder", TEXT | {"cls_token_id": 1, "sep_token_id": 2}, {
        "A": "model.layers.*.attn.Wqkv", "O": "model.layers.*.attn.Wo", "D": "model.layers.*.mlp.Wo",
        "F": "model.layers.*.mlp.Wi",
    }),
    "vit": ("vision", IMAGES, vit("vit.layers")),
    "dinov2": ("vision", IMAGES, vit("dinov2.encoder.layer")),
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """checkpoints("llama") -> a folder with a tiny model of that type, as save_pretrained writes it."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def save(model_type: str, family: str, sizes: dict) -> str:
        path = folder / model_type
        if not path.exists():
            torch.manual_seed(0)
            model = AUTO[family].from_config(AutoConfig.for_model(model_type, **sizes))
            model.save_pretrained(path)
        return str(path)

    return save


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(overrides=["+seed=0", *overrides])


def own(family: str, checkpoint: str, *overrides: str) -> DictConfig:
    return composed(f"+model={family}", f"model.checkpoint={checkpoint}", "+method=lora", *overrides)


@pytest.mark.parametrize("model_type", KNOWN)
def test_letters_blocks_and_head_are_found_and_lora_is_attached_to_all_of_them(checkpoints, model_type):
    family, sizes, letters = KNOWN[model_type]
    cfg = own(family, checkpoints(model_type, family, sizes))
    bases.complete(cfg)
    assert cfg.model.roles == letters
    assert cfg.model.blocks == BLOCKS
    assert set(cfg.model.linear) == set(letters)
    assert cfg.model.head == (None if family == "decoder" else "classifier")
    assert not OmegaConf.missing_keys(cfg) and config.resolve(cfg)["model"]["label"] == model_type
    classes = 5 if cfg.model.head else None
    model = bases.load(cfg.model, bases.TASK_KIND[family], classes)
    modules = dict(model.named_modules())
    adapted = adapt.adapt(model, config.instantiate(cfg.method.adapter), cfg.model.head)
    assert len(adapted.layers) == BLOCKS * len(letters)
    named = [path.replace("*", str(block)) for path in letters.values() for block in range(BLOCKS)]
    assert sorted(adapted.layers) == sorted(named)
    trained = sum(p.numel() for name, p in adapted.model.named_parameters() if "lora_" in name and p.requires_grad)
    assert trained == sum(8 * sum(linear.matrix(modules[name]).shape) for name in named)


# Of the checkpoints as their pages state them. MPNet's has a pooler, which its model for classification has not.
POOLER, HEAD = 768 * 768 + 768, 768 * 768 + 768 + 2 * 768 + 2


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [("mpnet_base", 2, 109_486_464 - POOLER + HEAD), ("smollm2_135m", None, 134_515_008)],
)
def test_a_model_is_counted_without_weights_and_its_letters_name_all_linear_layers_of_its_blocks(
    name, classes, parameters
):
    cfg = composed(f"+model={name}").model
    model = bases.build(cfg, classes)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert architectures.find_roles(model, name) == dict(cfg.roles)
    assert set(cfg.roles) == set(cfg.linear)


def test_a_bfloat16_decoder_of_ones_own_is_loaded_in_that_dtype(checkpoints):
    cfg = own("decoder", checkpoints("llama", *KNOWN["llama"][:2]), "model.dtype=bfloat16")
    bases.complete(cfg)
    assert {p.dtype for p in bases.load(cfg.model, "generation").parameters()} == {torch.bfloat16}
    cfg.model.dtype = "bf16"
    with pytest.raises(ModelError, match="model.dtype='bf16' is none of float32, bfloat16, float16"):
        bases.load(cfg.model, "generation")


def test_letters_given_by_hand_are_kept_and_their_blocks_counted(checkpoints):
    checkpoint = checkpoints("llama", *KNOWN["llama"][:2])
    cfg = own("decoder", checkpoint, "model.roles={Q: model.layers.*.self_attn.q_proj, X: model.layers.*.mlp.up_proj}")
    bases.complete(cfg)
    assert (cfg.model.linear, cfg.model.blocks) == ("QX", BLOCKS)
    adapted = adapt.adapt(bases.load(cfg.model, "generation"), config.instantiate(cfg.method.adapter), None)
    assert len(adapted.layers) == 2 * BLOCKS


def test_values_given_on_the_command_line_are_kept(checkpoints):
    checkpoint = checkpoints("dinov2", *KNOWN["dinov2"][:2])
    cfg = own("vision", checkpoint, "model.linear=QV", "model.image.size=12", "model.image.mean=[0.4, 0.5, 0.6]")
    bases.complete(cfg)
    assert cfg.model.linear == "QV"
    assert cfg.model.image == {"size": 12, "channels": 3, "mean": [0.4, 0.5, 0.6], "std": 0.5}


@pytest.mark.parametrize(
    ("preprocessor", "mean", "std"),
    [
        (
            {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
            [0.485, 0.456, 0.406],
            [0.229, 0.224, 0.225],
        ),
        ({"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}, 0.5, 0.25),
        ({"do_normalize": False, "image_mean": [0.5, 0.5, 0.5]}, 0.0, 1.0),
        (None, 0.5, 0.5),
    ],
)
def test_images_are_normalised_as_the_checkpoint_says(checkpoints, tmp_path, preprocessor, mean, std):
    source = checkpoints("vit", *KNOWN["vit"][:2])
    folder = tmp_path / "vit"
    folder.mkdir()
    (folder / "config.json").write_text((Path(source) / "config.json").read_text())
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    cfg = own("vision", str(folder))
    bases.complete(cfg)  # no weights are there, and none are needed
    assert cfg.model.image == {"size": 8, "channels": 3, "mean": mean, "std": std}


def test_an_image_size_is_found_where_all_else_is_given(checkpoints):
    given = [
        "model.head=classifier",
        f"model.blocks={BLOCKS}",
        "model.linear=Q",
        "model.image.mean=0",
        "model.image.std=1",
    ]
    cfg = own("vision", checkpoints("vit", *KNOWN["vit"][:2]), "model.roles={Q: vit.layers.*.attention.q_proj}", *given)
    bases.complete(cfg)
    assert cfg.model.image == {"size": 8, "channels": 3, "mean": 0, "std": 1}


def test_a_stated_model_is_left_as_it_is():
    cfg = composed("+model=gemma2b", "+method=lora")
    before = OmegaConf.to_container(cfg)
    bases.complete(cfg)
    assert OmegaConf.to_container(cfg) == before


def test_a_checkpoint_that_is_nowhere_names_the_remedy():
    with pytest.raises(
        ModelError, match="'nobody/nothing' of model decoder could not be loaded .* model.checkpoint=PATH"
    ):
        bases.complete(own("decoder", "nobody/nothing"))


def test_a_mixture_of_experts_is_refused_unless_letters_are_given(checkpoints):
    sizes = {**GROUPED, "num_local_experts": 2, "num_experts_per_tok": 1}
    checkpoint = checkpoints("mixtral", "decoder", sizes)
    with pytest.raises(RoleError, match=r"mlp\.experts of decoder is a MixtralExperts"):
        bases.complete(own("decoder", checkpoint))
    cfg = own("decoder", checkpoint, "model.roles={Q: model.layers.*.self_attn.q_proj}")
    bases.complete(cfg)
    assert cfg.model.blocks == BLOCKS


def test_an_architecture_of_another_family_is_refused(checkpoints):
    with pytest.raises(ModelError, match="is no model of family decoder"):
        bases.complete(own("decoder", checkpoints("vit", *KNOWN["vit"][:2])))


# --- pickles ---


def pickled(folder, source: str, files: dict[str, list[str]]) -> str:
    """The checkpoint `source` as pickles, its tensors spread over `files`."""
    tensors = load_file(f"{source}/model.safetensors")
    folder.mkdir()
    for file, names in files.items():
        torch.save({name: tensors[name] for name in names}, folder / file)
    (folder / "config.json").write_text((Path(source) / "config.json").read_text())
    return str(folder)


@pytest.fixture
def tensors(checkpoints):
    source = checkpoints("bert", *KNOWN["bert"][:2])
    return source, load_file(f"{source}/model.safetensors")


def test_a_checkpoint_of_pickles_is_refused_with_the_command_that_converts_it(tensors, tmp_path):
    folder = pickled(tmp_path / "pickles", tensors[0], {"pytorch_model.bin": list(tensors[1])})
    cfg = own("encoder", folder)
    bases.complete(cfg)
    with pytest.raises(
        ModelError,
        match=r"`python -m harness\.convert .*/pickles OUT` converts it \(then model\.checkpoint=OUT\)$",
    ):
        bases.load(cfg.model, "text_classification", 2)


@pytest.mark.parametrize("shards", [1, 2])
def test_what_was_converted_loads_with_the_same_weights(tensors, tmp_path, shards):
    source, expected = tensors
    names = sorted(expected)
    if shards == 1:
        folder = pickled(tmp_path / "pickles", source, {"pytorch_model.bin": names})
    else:
        files = {"pytorch_model-00001-of-00002.bin": names[:9], "pytorch_model-00002-of-00002.bin": names[9:]}
        folder = pickled(tmp_path / "pickles", source, files)
        index = {"metadata": {}, "weight_map": {name: file for file, held in files.items() for name in held}}
        (tmp_path / "pickles" / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert convert.main([folder, str(tmp_path / "out" / "model")]) == 0
    cfg = own("encoder", str(tmp_path / "out" / "model"))
    bases.complete(cfg)
    states = bases.load(cfg.model, "text_classification", 2).state_dict()
    assert states.keys() == expected.keys()
    assert all(torch.equal(states[name], expected[name]) for name in expected)


def test_tied_and_half_precision_tensors_are_converted_as_they_are(tmp_path):
    (tmp_path / "in").mkdir()
    weight = torch.randn(3, 2, dtype=torch.float16)
    torch.save({"embed": weight, "lm_head": weight, "view": weight.t()}, tmp_path / "in" / "pytorch_model.bin")
    convert.convert(str(tmp_path / "in"), tmp_path / "out")
    saved = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(saved["embed"], weight) and torch.equal(saved["lm_head"], weight)
    assert torch.equal(saved["view"], weight.t()) and saved["view"].dtype == torch.float16


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle ran code')",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    torch.save({"weight": Evil()}, tmp_path / "in" / "pytorch_model.bin")
    assert convert.main([str(tmp_path / "in"), str(tmp_path / "out")]) == 1
    assert "pytorch_model.bin is damaged or holds more than tensors" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("present", "message"), [("out", "is there already"), ("in", "has no pytorch_model")])
def test_nothing_is_overwritten_and_an_empty_folder_is_refused(tmp_path, present, message):
    (tmp_path / present).mkdir()
    (tmp_path / "in").mkdir(exist_ok=True)
    with pytest.raises(ModelError, match=message):
        convert.convert(str(tmp_path / "in"), tmp_path / "out")
