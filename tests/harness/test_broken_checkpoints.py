"""Checkpoints that are not whole, or not of the model that is named: a sentence, and no run on random weights."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

import run
from errors import ModelError, RoleError
from harness.adapters import adapt
from harness.doctor import needs
from harness.models import bases, pretrained, roles, weights
from harness.plan import config, counting
from harness.run import command_line
from harness.store import provenance, record
from tests.conftest import ROOT, TINY

ASSETS = ROOT / "assets"
SIZES = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 40,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
DISTIL = {"dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 2, "vocab_size": 40, "pad_token_id": 0}
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def chosen(*overrides: str) -> DictConfig:
    """The model section that a run has."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose(overrides=["+seed=0", "+method=lora", *overrides])
    bases.complete(cfg)
    return cfg.model


def loaded(model: DictConfig) -> torch.nn.Module:
    kind = bases.TASK_KIND[model.family]
    return bases.load(model, kind, None if kind == "generation" else 2)


@pytest.fixture
def copied(tmp_path):
    """copied("micro_gemma", change=...) -> a copy of a shipped checkpoint, with the tensors that `change` returns."""

    def copy(source: str, change=None) -> Path:
        folder = tmp_path / source
        shutil.copytree(ASSETS / source, folder)
        if change:
            tensors = change(load_file(folder / weights.SINGLE))
            save_file(tensors, folder / weights.SINGLE, metadata={"format": "pt"})
        return folder

    return copy


def without(*names: str):
    return lambda tensors: {name: t for name, t in tensors.items() if name not in names}


# --- weights ---


@pytest.mark.parametrize("choice", ["decoder", "micro_gemma"])
@pytest.mark.parametrize(
    ("lost", "said"), [(EMBEDDING, HEAD), ("model.layers.1.input_layernorm.weight",) * 2, ("model.norm.weight",) * 2]
)
def test_a_decoder_without_one_of_its_tensors_is_refused(copied, choice, lost, said):
    folder = copied("micro_gemma", without(lost))
    model = chosen(f"+model={choice}", f"model.checkpoint={folder}")
    with pytest.raises(ModelError, match=f"has no {said} of the shape .* or the weights are not whole$"):
        loaded(model)


@pytest.mark.parametrize("change", [
    lambda tensors: without(EMBEDDING)(tensors) | {HEAD: tensors[EMBEDDING]},
    lambda tensors: tensors | {HEAD: tensors[EMBEDDING].clone()},
    lambda tensors: {name.removeprefix("model."): t for name, t in tensors.items()},
])  # fmt: skip
def test_a_tied_matrix_may_have_either_name_or_both_and_the_head_of_the_model_may_be_left_out(copied, change):
    model = loaded(chosen("+model=decoder", f"model.checkpoint={copied('micro_gemma', change)}"))
    expected = load_file(ASSETS / "micro_gemma" / weights.SINGLE)[EMBEDDING].float()
    assert torch.equal(model.lm_head.weight, expected) and torch.equal(model.model.embed_tokens.weight, expected)


def test_an_encoder_without_its_embeddings_is_refused_and_they_are_not_taken_for_a_head(copied):
    folder = copied("micro_deberta", without("embeddings.word_embeddings.weight"))
    model = chosen("+model=encoder", f"model.checkpoint={folder}")
    assert model.head == ["pooler", "classifier"]
    with pytest.raises(ModelError, match=r"has no deberta\.embeddings\.word_embeddings\.weight of the shape"):
        loaded(model)


def test_half_a_pooler_is_damage_and_no_new_pooler(copied):
    folder = copied("micro_deberta", lambda tensors: tensors | {"pooler.dense.bias": torch.zeros(96)})
    model = chosen("+model=encoder", f"model.checkpoint={folder}")
    assert model.head == "classifier"
    with pytest.raises(ModelError, match=r"has no pooler\.dense\.weight .*; what is new .* by model\.head$"):
        loaded(model)


def test_buffers_of_whole_numbers_follow_from_the_configuration_and_others_are_weights():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2))
    info = {"missing_keys": {"0.num_batches_tracked", "0.running_mean", "1.bias"}, "mismatched_keys": [("1.weight",)]}
    assert weights.lacking(model, info, []) == ["0.running_mean", "1.bias", "1.weight"]
    assert weights.lacking(model, info, ["1"]) == ["0.running_mean"]


# --- heads ---


def test_the_head_of_a_deberta_of_ones_own_is_that_of_the_shipped_one():
    own = chosen("+model=encoder", f"model.checkpoint={ASSETS / 'micro_deberta'}")
    assert own.head == chosen("+model=micro_deberta").head == ["pooler", "classifier"]


def test_a_pooler_and_a_classifier_that_were_trained_are_loaded(copied):
    torch.manual_seed(0)
    trained = {"pooler.dense.weight": torch.randn(96, 96), "pooler.dense.bias": torch.randn(96)}
    trained |= {"classifier.weight": torch.randn(2, 96), "classifier.bias": torch.randn(2)}
    unused = {"lm_predictions.lm_head.dense.weight": torch.randn(2, 2), "mask_predictions.dense.bias": torch.randn(2)}
    model = chosen("+model=encoder", f"model.checkpoint={copied('micro_deberta', lambda t: t | trained | unused)}")
    assert model.head == "classifier"
    states = loaded(model).state_dict()
    assert all(torch.equal(states[name], tensor) for name, tensor in trained.items())


@pytest.mark.parametrize(
    ("model_type", "sizes", "saved_as", "head"),
    [
        ("bert", SIZES, "AutoModelForPreTraining", "classifier"),  # as Google's, with a pooler
        ("bert", SIZES, "AutoModelForMaskedLM", ["bert.pooler", "classifier"]),
        ("roberta", SIZES, "AutoModelForMaskedLM", "classifier"),
        ("distilbert", DISTIL, "AutoModelForMaskedLM", ["pre_classifier", "classifier"]),
        ("distilbert", DISTIL, "AutoModelForSequenceClassification", "classifier"),
    ],
)
def test_a_head_is_all_that_the_checkpoint_does_not_hold_and_all_of_it_is_trained(
    tmp_path, model_type, sizes, saved_as, head
):
    torch.manual_seed(0)
    source = getattr(transformers, saved_as).from_config(AutoConfig.for_model(model_type, **sizes))
    source.save_pretrained(tmp_path)
    model = chosen("+model=encoder", f"model.checkpoint={tmp_path}")
    assert model.head == head
    kept = {name.partition(".")[2]: tensor for name, tensor in source.base_model.named_parameters(model_type)}
    built = loaded(model)
    drawn = [name for name, p in built.named_parameters() if not torch.equal(p, kept.get(name.partition(".")[2], p))]
    assert drawn == []
    parameters = dict(built.named_parameters())
    new = {n for n in parameters if n.startswith(tuple(f"{module}." for module in adapt.head_modules(head)))}
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        lora = compose(overrides=["+seed=0", "+method=lora"]).method.adapter
    lora.target_modules = roles.path_pattern(model.roles, "QV", "")
    adapted = adapt.adapt(built, config.instantiate(lora), model.head)
    assert adapted.parameters["head"] == sum(parameters[name].numel() for name in new) > 0


@pytest.mark.parametrize(
    ("head", "error", "said"),
    [
        ("nope", RoleError, "no module of encoder is named 'nope'; it has classifier, deberta, pooler$"),
        ("[pooler,classifier,dropout]", RoleError, "no module of encoder is named 'dropout'; it has"),
        ("3", RoleError, r"model\.head=3 of encoder is no name of a module, nor a list of names$"),
        ("null", ModelError, r"has no classifier\.bias .* named by model\.head$"),
        ("pooler", ModelError, r"has no classifier\.bias .* named by model\.head$"),
    ],
)
def test_a_head_that_would_stay_random_is_refused(head, error, said):
    model = chosen("+model=encoder", f"model.checkpoint={ASSETS / 'micro_deberta'}", f"model.head={head}")
    with pytest.raises(error, match=said):
        loaded(model)


@pytest.mark.parametrize(("head", "said"), [("nope", "is named 'nope'; it has head, vit$"), (None, "has no head.bias")])
def test_a_head_of_timms_model_that_would_stay_random_is_refused(tmp_path, head, said):
    import timm

    sizes = {"img_size": 8, "patch_size": 4, "depth": 2, "embed_dim": 12}
    states = timm.create_model("vit_tiny_patch16_224", num_classes=2, **sizes).state_dict()
    save_file(states, tmp_path / weights.SINGLE)
    architecture = {"library": "timm", "name": "vit_tiny_patch16_224", **sizes}
    changes = {"checkpoint": str(tmp_path), "blocks": 2, "architecture": architecture, "head": head}
    model = OmegaConf.merge(OmegaConf.load(ROOT / "conf" / "model" / "vit_b16_timm.yaml"), changes)
    with pytest.raises((ModelError, RoleError), match=said):
        loaded(model)


def test_a_plan_refuses_a_head_that_names_nothing():
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("config", overrides=["model=micro_deberta", "task=micro_sst2", "model.head=nope"])
    with pytest.raises(RoleError, match="is named 'nope'"):
        counting.trained_and_memory(cfg)


# --- files ---

CONFIGS = {
    '{"model_type": "gemma", "hidden_size": "big"}': "Field 'hidden_size' expected int, got str",
    '{"model_type": "gemma", "hidden_size": -4}': "RuntimeError: Trying to create tensor with negative dimension -4",
    '{"model_type": "gemma", "num_attention_heads": 0}': "ZeroDivisionError: ",
    '{"model_type": "gemma", "hidden_act": "nope"}': "KeyError: 'nope'",
    "3": "TypeError: argument of type 'int' is not iterable",
    "{": "is not a valid JSON file",
}
INDICES = {
    '{"weight_map": {"a": "b"}}': "KeyError: 'metadata'",
    '{"metadata": {}}': "KeyError: 'weight_map'",
    "[]": "TypeError: ",
    '{"metadata": {}, "weight_map": {}}': "IndexError: ",
    '{"metadata": {}, "weight_map": {"a": "1.safetensors"}}': "No such file or directory: .*/1.safetensors",
    "{": "Expecting property name",
}


@pytest.mark.parametrize("choice", ["decoder", "micro_gemma"])
@pytest.mark.parametrize("content", CONFIGS)
def test_a_configuration_that_is_none_is_answered_by_a_sentence(copied, content, choice):
    folder = copied("micro_gemma")
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelError, match=rf"could not be loaded \(.*{CONFIGS[content]}.*\); name another"):
        loaded(chosen(f"+model={choice}", f"model.checkpoint={folder}"))


@pytest.mark.parametrize("content", INDICES)
def test_an_index_that_is_none_is_answered_by_a_sentence(copied, content):
    folder = copied("micro_gemma")
    (folder / weights.SINGLE).unlink()
    (folder / weights.INDEX).write_text(content)
    with pytest.raises(ModelError, match=rf"could not be loaded \({INDICES[content]}.*\); name another"):
        loaded(chosen("+model=micro_gemma", f"model.checkpoint={folder}"))


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (weights.INDEX, lambda path: path.write_text('{"weight_map": []}'), "no weight_map from tensors to files"),
        (weights.SINGLE, lambda path: path.write_bytes(b"\1" * 99), "are truncated or damaged"),
    ],
)
def test_damaged_weights_are_told_of_where_a_head_is_looked_for_in_them(copied, file, change, said):
    folder = copied("micro_deberta")
    (folder / weights.SINGLE).unlink()
    change(folder / file)
    with pytest.raises(ModelError, match=said):
        chosen("+model=encoder", f"model.checkpoint={folder}")


def test_a_folder_in_the_place_of_a_file_is_answered_by_a_sentence(copied):
    folder = copied("micro_gemma")
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    with pytest.raises(ModelError, match="could not be loaded .*Is a directory.*; name another folder"):
        pretrained.fingerprint(OmegaConf.create({"checkpoint": str(folder), "name": "mine"}))


@pytest.mark.parametrize("model", ["micro_gemma", "micro_deberta", "micro_vit"])
def test_the_fingerprint_of_a_model_is_that_of_committed_records(model):
    committed = next((ROOT / "runs").glob(f"*/{model}/lora/*/seed=0/{record.FILE}"))
    assert record.read(committed).fingerprints["model"] == pretrained.fingerprint(chosen(f"+model={model}"))


def test_a_plan_for_a_checkpoint_that_is_not_there_says_so():
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("config", overrides=["model=micro_pythia", "model.step=7"])
    with pytest.raises(ModelError, match="^there is no folder 'assets/micro_pythia/step7'; model.checkpoint of"):
        counting.trained_and_memory(cfg)


# --- tokenizers ---


def of_deberta(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(ASSETS / "micro_deberta" / name, folder / name)


def with_one_id_more(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    token = {**content["added_tokens"][0], "id": 148, "content": "<one more>"}
    path.write_text(json.dumps(content | {"added_tokens": [*content["added_tokens"], token]}), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of_deberta, "has no eos_token, which a model of family decoder needs; name it in tokenizer_config.json"),
        (with_one_id_more, "has ids up to 148, and the model has embeddings up to 147: they are of different models"),
    ],
)
def test_the_tokenizer_of_another_model_is_refused_before_there_is_a_record(
    copied, composed, tmp_path, capsys, change, said
):
    folder = copied("micro_gemma")
    change(folder)
    command_line.failures.clear()
    run.main(composed(*TINY, "method=lora", f"model.checkpoint={folder}", f"runs_dir={tmp_path}/runs"))
    assert said in capsys.readouterr().err and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("name", "content"), [
    ("tokenizer.json", "{}"), ("tokenizer.json", "[]"), ("tokenizer_config.json", "[]"),
    ("tokenizer_config.json", '{"eos_token": 3}'),
])  # fmt: skip
def test_a_tokenizer_that_is_none_is_answered_by_a_sentence(copied, name, content):
    folder = copied("micro_gemma")
    (folder / name).write_text(content)
    with pytest.raises(ModelError, match=r"could not be loaded \(.*Error: .*\); name another folder"):
        bases.load_tokenizer(chosen("+model=micro_gemma", f"model.checkpoint={folder}"))


# --- doctor ---


def findings(folder: Path, choice: str = "micro_gemma") -> list[tuple[str, str, str]]:
    cfg = OmegaConf.create({"model": chosen(f"+model={choice}", f"model.checkpoint={folder}")})
    return [(found.verdict, found.what, found.remedy) for found in needs.checkpoint(cfg)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer$"),
        (lambda folder: (folder / weights.SINGLE).rename(folder / "a.safetensors"), "has no model.safetensors or"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json$"),
    ],
)
def test_the_page_of_a_machine_names_what_a_folder_lacks(copied, change, said):
    import re

    folder = copied("micro_gemma")
    change(folder)
    [(verdict, what, remedy)] = findings(folder)
    assert verdict == "problem" and re.search(said, what) and remedy == "model.checkpoint=PATH"


def test_the_page_of_a_machine_reads_the_index_of_a_folder(copied):
    folder = copied("micro_gemma")
    (folder / "MANIFEST.json").unlink()
    (folder / weights.SINGLE).rename(folder / "1.safetensors")
    index = folder / weights.INDEX
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}))
    [(verdict, what, _)] = findings(folder)
    assert verdict == "problem" and what.endswith("has no 2.safetensors")
    index.write_text("{")
    [(verdict, what, _)] = findings(folder)
    assert verdict == "problem" and "cannot be read: Expecting property name" in what
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": "1.safetensors"}}))
    assert [verdict for verdict, *_ in findings(folder)] == ["ok"]


def test_the_page_of_a_machine_asks_no_tokenizer_of_a_model_of_images():
    assert [verdict for verdict, *_ in findings(ASSETS / "micro_vit", "micro_vit")] == ["ok"]


def test_a_model_in_the_hubs_cache_without_its_tokenizer_is_a_problem(tmp_path, monkeypatch, composed):
    there = {"config.json", "model.safetensors"}
    monkeypatch.setattr(pretrained, "try_to_load_from_cache", lambda _, name, revision: name if name in there else None)
    [found] = needs.checkpoint(composed("model=deberta_v3_base", "task=glue_sst2"))
    assert found.verdict == "problem" and found.what.endswith("is cached without tokenizer")
    assert found.remedy.startswith("hf download microsoft/deberta-v3-base")
    there.add("spm.model")
    assert [f.verdict for f in needs.checkpoint(composed("model=deberta_v3_base", "task=glue_sst2"))] == ["ok"]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout")
def test_git_is_the_remedy_for_files_of_this_checkout_alone(copied, monkeypatch):
    folder = copied("micro_gemma")
    (folder / "training_log.jsonl").write_text("")
    [(_, what, remedy)] = findings(folder)
    assert "training_log.jsonl in" in what and "git" not in remedy
    assert provenance.is_tracked(ASSETS / "micro_gemma" / "MANIFEST.json")
    monkeypatch.setattr(needs, "_sha256", lambda path: "")
    [(_, _, remedy)] = findings(ASSETS / "micro_gemma")
    assert remedy == f"git checkout -- {ASSETS / 'micro_gemma'}"
