"""What a record says of how far a run moved from its base (harness/retention), and the command that adds it."""

import json
import re

import peft
import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.intruders import reduce_intruder_dimension
from safetensors.torch import load_file
from torch import nn

import run
from baselines import SpectralAdapterConfig
from baselines.spectral.modes import MODES
from errors import DataError
from harness import kept
from harness.plan import config
from harness.retention import inputs, layers, measures
from harness.run import command_line
from harness.store import record
from svft import SvftConfig
from tests.conftest import ROOT, TINY
from tests.harness.finished_runs import done

O, I = 12, 20  # noqa: E741
LETTERS = {"U": "up", "D": "down"}
TARGETS = ["up", "down"]
CONFIGS = {
    "LoRA": LoraConfig(r=2, target_modules=TARGETS, init_lora_weights=False),
    "DoRA": LoraConfig(r=2, target_modules=TARGETS, init_lora_weights=False, use_dora=True, lora_dropout=0.5),
    "PiSSA": LoraConfig(r=2, target_modules=TARGETS, init_lora_weights="pissa"),
    "OFT": peft.OFTConfig(oft_block_size=2, target_modules=TARGETS, init_weights=False),
    "VeRA": peft.VeraConfig(r=4, target_modules=TARGETS, init_weights=False),
    "SVFT": SvftConfig(pattern="random", d=1, target_modules=TARGETS),
    "SVFT, W0 dropped": SvftConfig(pattern="banded", d=1, target_modules=TARGETS, keep_weight=False),
    "Spectral": SpectralAdapterConfig(mode="additive", r=2, target_modules=TARGETS),
}


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down, self.classifier = nn.Linear(I, O), nn.Linear(O, I), nn.Linear(I, 3)

    def forward(self, x):
        return self.classifier(self.down(self.up(x)))


def two() -> Two:
    torch.manual_seed(0)
    return Two()


def trained(name: str) -> nn.Module:
    """The adapter, whose trained numbers are drawn."""
    model = get_peft_model(two(), CONFIGS[name])
    for parameter in model.parameters():
        if parameter.requires_grad and name != "PiSSA":
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("name", CONFIGS)
def test_the_weight_of_an_adapted_layer_is_the_one_that_merging_gives(name):
    model = trained(name)
    found = {change.name: change.after for change in layers.changes(two(), model, LETTERS, "two")}
    merged = model.double().merge_and_unload()
    assert found.keys() == {"up", "down"}
    for layer, weight in found.items():
        torch.testing.assert_close(weight, merged.get_submodule(layer).weight.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_the_weight_of_a_layer_that_shares_is_the_one_that_merging_gives(mode):
    def base() -> nn.Module:
        torch.manual_seed(0)
        return nn.ModuleList(nn.ModuleDict({"up": nn.Linear(I, O)}) for _ in range(2))

    config = SpectralAdapterConfig(mode=mode, r=2, share="role", init_weights=False, target_modules=["up"])
    model = get_peft_model(base(), config)
    found = {change.name: change.after for change in layers.changes(base(), model, {"U": "*.up"}, "two")}
    merged = model.double().merge_and_unload()
    assert found.keys() == {"0.up", "1.up"}
    for layer, weight in found.items():
        torch.testing.assert_close(weight, merged.get_submodule(layer).weight.detach(), rtol=1e-5, atol=1e-6)


def test_pissa_is_compared_with_the_checkpoint_and_not_with_the_weights_that_it_left():
    base = {change.name: change for change in layers.changes(two(), trained("PiSSA"), LETTERS, "two")}
    left = trained("PiSSA").base_model.model.up.base_layer.weight
    torch.testing.assert_close(base["up"].before, two().up.weight.double())
    assert base["up"].update.norm() < 1e-5 < (left - two().up.weight).norm()


def test_of_full_fine_tuning_letters_alone_count_and_of_nothing_trained_nothing():
    model = two()
    assert list(layers.changes(two(), model, LETTERS, "two")) == []
    for layer in (model.up, model.classifier):
        layer.weight.data += 1
    (change,) = layers.changes(two(), model, {"U": "up", "D": "down"}, "two")
    assert (change.role, change.update.mean().item()) == ("U", pytest.approx(1))


def test_a_layer_that_is_no_matrix_is_not_taken_for_one():
    model = trained("LoRA")
    model.base_model.model.up.register_forward_hook(lambda layer, arguments, output: output.square())
    with pytest.raises(layers.NotLinear):
        list(layers.changes(two(), model, LETTERS, "two"))


@pytest.mark.parametrize("scale", [0.2, 3.0])
def test_intruders_are_those_that_peft_counts(scale):
    model = trained("LoRA")
    for layer in (model.base_model.model.up, model.base_model.model.down):
        layer.lora_B["default"].weight.data *= scale / layer.get_delta_weight("default").norm()
        layer.lora_B["default"].weight.data *= layer.base_layer.weight.norm()
    changes = list(layers.changes(two(), model, LETTERS, "two"))
    said = []
    reduce_intruder_dimension(model, logging_sink=said.append)
    counted = dict(re.findall(r"([a-z]+): (?:Intruders: )?(\w+)", "\n".join(said)))
    expected = {
        name: 0 if number == "No" else int(number) for name, number in counted.items() if name in LETTERS.values()
    }
    assert {change.name: measures.intruders(change.before, change.after) for change in changes} == expected
    assert (sum(expected.values()) > 0) == (scale > 1)


@pytest.mark.parametrize("shape", [(O, I), (I, O)])
def test_left_vectors_are_those_of_the_singular_value_decomposition(shape):
    matrix = torch.randn(shape, dtype=torch.float64)
    U = torch.linalg.svd(matrix, full_matrices=False).U
    found = measures.left_vectors(matrix, 5)
    torch.testing.assert_close((found.T @ U[:, :5]).abs(), torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-9)


def test_what_a_change_does_to_inputs_is_its_share_of_the_second_moment():
    before, update = torch.randn(2, O, I, dtype=torch.float64)
    h = torch.randn(50, I, dtype=torch.float64)
    C = h.T @ h / len(h)
    share = torch.trace(update @ C @ update.T) / torch.trace(before @ C @ before.T)
    assert measures.moved(update, before, h) == pytest.approx(share.item())


# --- of runs ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def measured(folder):
    """method -> the record of a run, and its folder."""
    paths = {method: done(folder, *TINY, f"method={method}", "evaluate.splits=[test]") for method in ("lora", "full")}
    return {method: (record.read(path / record.FILE), path) for method, path in paths.items()}


def test_a_record_has_the_retention_of_every_letter_and_the_loss_of_the_base(measured):
    found, _ = measured["lora"]
    retention = found.retention
    assert list(retention["roles"]) == list("QKVOGUD") and retention["inputs"]["from"] == "held_out"
    for letter in retention["roles"].values():
        assert letter["layers"] == 1 and 0 < letter["update"] < letter["base"] and letter["moved"] > 0
    assert retention["loss"]["after"] != retention["loss"]["before"] > 0


def test_full_fine_tuning_has_moved_by_what_its_file_differs_from_the_checkpoint(measured):
    found, path = measured["full"]
    before = load_file(ROOT / found.config["model"]["checkpoint"] / "model.safetensors")
    after = load_file(path / "adapter" / "trained.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    squares = (after[name].double() - before[name].double()).square().sum().item()
    assert found.retention["roles"]["Q"]["update"] == pytest.approx(squares, rel=1e-6)


def test_the_command_adds_to_an_older_record_what_the_run_itself_measures(measured, capsys):
    now, path = measured["lora"]
    older = record.read(path / record.FILE)
    older.retention = {}
    record.write(path / record.FILE, older)
    assert kept.main([str(path.parent)]) == 0
    assert record.read(path / record.FILE) == now
    assert kept.main([str(path)]) == 0 and "1 measured before" in capsys.readouterr().out


def test_the_command_refuses_a_run_without_its_adapter_and_leaves_its_record(measured, tmp_path, capsys):
    found, _ = measured["lora"]
    found.retention, kept_before = {}, found.retention
    record.write(tmp_path / "runs" / record.FILE, found)
    found.retention = kept_before
    assert kept.main([str(tmp_path)]) == 1
    assert "has no adapter" in capsys.readouterr().err
    assert record.read(tmp_path / "runs" / record.FILE).retention == {}


def test_nothing_is_measured_where_it_is_not_asked_for_and_the_key_stays(measured, tmp_path):
    path = done(tmp_path, *TINY, "method=lora", "evaluate.splits=[test]", "evaluate.retention=false")
    found = record.read(path / record.FILE)
    assert found.retention == {} and found.key == measured["lora"][0].key


def test_a_file_of_inputs_that_is_not_there_is_told_before_the_training(composed, tmp_path):
    command_line.failures.clear()
    run.main(composed(*TINY, f"runs_dir={tmp_path}", "model.held_out=nowhere.jsonl", "wandb.mode=disabled"))
    (said,) = command_line.failures
    command_line.failures.clear()
    assert said.startswith("there is no file and no folder model.held_out=nowhere.jsonl") and not list(
        tmp_path.iterdir()
    )


@pytest.mark.parametrize("line", ["", "no json", '{"words": "a"}', '["a"]'])
def test_a_file_that_holds_no_texts_is_told(line, tmp_path):
    (tmp_path / "texts.jsonl").write_text(f"{line}\n" if line else "")
    with pytest.raises(DataError, match=r"null measures on the task's inputs$"):
        inputs._texts(tmp_path / "texts.jsonl")


def test_padding_reaches_no_layer_and_inputs_do_not_depend_on_the_batch(composed):
    cfg = composed(*TINY)
    from harness.modality import modalities

    modality = modalities.choose(cfg, config.instantiate(cfg.task.source))
    base, given = modality.load_model(), inputs.of(modality)
    few = inputs.Inputs(given.source, given.rows[:5], modality)
    alone, together = (inputs.at_layers(base, ["model.layers.0.mlp.up_proj"], few, size) for size in (1, 5))
    (one,), (other,) = alone.values(), together.values()
    assert len(one) == sum(len(row["input_ids"]) for row in few.rows)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_texts_that_are_shipped_are_those_that_the_program_makes(tmp_path):
    from assets import make_held_out

    make_held_out.write_texts(tmp_path)
    for name in make_held_out.TEXTS:
        lines = (ROOT / "assets" / "held_out" / f"{name}.jsonl").read_text()
        assert (tmp_path / f"{name}.jsonl").read_text() == lines
        assert len({json.loads(line)["text"] for line in lines.splitlines()}) >= inputs.ROWS - 4
