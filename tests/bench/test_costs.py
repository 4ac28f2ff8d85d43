"""What each method costs and keeps, on the first block of micro-ViT; effective weights and bytes against known ones."""

import json
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from bench import memory
from bench.costs import __main__ as costs
from bench.costs import clock, measures, rows, subject, weights
from tests import one_block
from tests.conftest import ROOT

CPU = torch.device("cpu")
ARGUMENTS = ["--models", "micro_vit", "--turns", "1", "--warm-up", "0", "--steps", "2", "--batch", "4"]


MICRO_VIT = (*one_block.settings("micro_vit"), "task=digits")


@pytest.fixture(autouse=True)
def _one_block(monkeypatch):
    one_block.make("micro_vit")
    monkeypatch.setitem(subject.MODELS, "micro_vit", MICRO_VIT)


@pytest.fixture(scope="module")
def model():
    one_block.make("micro_vit")
    return subject.Model(MICRO_VIT, CPU, batch=4, batches=2)


def measured(folder, *arguments: str) -> dict[str, dict]:
    costs.main([*ARGUMENTS, *arguments, "--out", str(folder)])
    (path,) = folder.glob("methods-micro_vit-*.json")
    return {row["method"]: row for row in json.loads(path.read_text())["rows"]}


def test_every_method_of_the_configuration_is_measured_unless_some_are_named():
    there = {path.stem for path in (ROOT / "conf" / "method").glob("*.yaml")}
    assert set(costs.parse([]).methods) == there
    assert costs.parse(["--methods", "dora"]).methods == ["dora"]


def test_a_row_has_every_number_and_one_that_cannot_be_says_why(tmp_path, monkeypatch):
    found = measured(tmp_path, "--methods", "lora,svft_plain,fusion")
    assert list(found) == ["lora", "svft_plain", "fusion"]  # in the order of tables
    assert "parts" in found["fusion"]["failed"]
    lora, svft = found["lora"], found["svft_plain"]
    assert lora["why"] == {} and lora["trained"] == 8 * (4 * 192 + 2 * 480) + 970
    assert lora["resident_bytes"] - lora["base_bytes"] == 4 * lora["trained"]
    assert 1 < lora["file_bytes"] / (4 * lora["trained"]) < 1.1
    for name in ("start_fp32", "start_bf16", "reload_run", "reload_peft", "checkpointing", "repeated"):
        assert lora[name] == 0, name
    assert 0 < lora["merge_fp32"] < 1e-5 < lora["merge_bf16"] < 0.05
    assert lora["load_bf16"] < 0.05
    assert max(lora["rank"].values()) == 8 and set(lora["full_rank"].values()) == {96}
    assert 0 < lora["first_step_tenth"] < lora["first_step"] < lora["update"]
    assert "singular vectors are not those" in svft["why"]["half"]  # of the rounded weight: it refuses
    assert svft["merge_bf16"] < 0.05 and svft["reload_run"] == 0
    monkeypatch.setattr(rows, "measured", lambda *_: pytest.fail("it was measured already"))
    assert measured(tmp_path, "--methods", "lora,svft_plain") == found


def test_one_measure_that_fails_leaves_the_others(model, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("no such luck")

    of = {"kept": broken, "start": measures.start, "file": measures.file}
    monkeypatch.setattr(measures, "all_of", lambda one, *_: {name: lambda f=f: f(one) for name, f in of.items()})
    reference = measures.Subject(model, subject.REFERENCE, 1, tmp_path)
    row = rows.measured(model, "ia3", rows.configured(model, "ia3"), reference, turns=1, warm_up=0)
    assert row["why"] == {"kept": "RuntimeError: no such luck"}
    assert row["start_fp32"] == 0 and row["file_bytes"] > 4 * row["trained"] and "resident_bytes" not in row


def test_a_row_of_other_settings_or_another_configuration_is_not_taken_for_this_one(model, tmp_path):
    settings = {"batch": 4, "turns": 1, "warm_up": 0, "steps": 2}
    first, other = (rows.Results(tmp_path, "micro_vit", CPU, {**settings, "steps": steps}) for steps in (2, 3))
    one, two = model.composed("method=lora"), model.composed("method=lora", "method.adapter.r=4")
    first.put({"method": "lora", "key": first.key(one, "lora")}, ["lora"])
    again = rows.Results(tmp_path, "micro_vit", CPU, settings)
    assert again.has("lora", again.key(one, "lora"))
    assert not again.has("lora", again.key(two, "lora"))
    assert not again.has("lora", other.key(one, "lora"))


def test_the_batches_are_not_of_one_class_and_callbacks_that_ask_for_them_see_each_before_the_first_step(model):
    assert all(len(batch["labels"].unique()) > 1 for batch in model.training)
    cfg, seen = model.composed("method=lora"), []
    training = subject.Training(model.adapted(cfg).model, cfg, model.head, 1, model.training)
    asks = SimpleNamespace(calibrate=lambda net, steps: seen.extend([list(losses) for losses in steps]))
    training.handler.callbacks = [asks]
    training._tell = lambda event: seen.append(event)
    with training:
        pass
    *losses, begin, end = seen
    assert [len(of_step) for of_step in losses] == [1, 1] and (begin, end) == ("on_train_begin", "on_train_end")


def test_effective_weights_are_those_that_peft_merges_and_their_change_has_the_rank_of_the_update():
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("lin", nn.Linear(6, 5))
    layers, before = {"Q": ["lin"]}, net.lin.weight.detach().clone()
    config = LoraConfig(r=2, lora_alpha=4, init_lora_weights=False, target_modules=["lin"])
    model = get_peft_model(net, config)
    found = weights.effective(model, layers)
    merged = model.merge_and_unload().lin.weight
    torch.testing.assert_close(found["lin"], merged, rtol=1e-5, atol=1e-6)
    moved = (merged - before).norm() / before.norm()
    assert weights.change(found, {"lin": before}) == pytest.approx(moved.item(), rel=1e-4)
    assert weights.rank(found["lin"], before) == 2
    assert weights.rank(before * (1 + 1e-8), before) == 0  # rounding has no rank


def test_tensors_beside_parameters_and_buffers_are_found_and_not_saved_for_backward():
    net = nn.Linear(3, 3, bias=False)
    net.indices = {"default": [torch.zeros(4, dtype=torch.int64)]}
    net.scale = torch.full((2, 3), 2.0)
    assert memory.distinct_bytes(memory.held(net)) == 4 * 8 + 6 * 4
    x = torch.randn(2, 3, requires_grad=True)
    for standing, expected in (((), 24), (memory.held(net), 0)):
        with memory.SavedForBackward(net, standing) as kept:
            (x * net.scale).sum()
        assert kept.total == expected


def test_a_sparse_matrix_that_is_saved_for_backward_has_the_bytes_of_its_indices_and_values():
    values = torch.ones(3, requires_grad=True)
    with memory.SavedForBackward(nn.Module()) as kept:
        indices = torch.tensor([[0, 1, 1], [2, 0, 2]])
        sparse = torch.sparse_coo_tensor(indices, values, (2, 3), is_coalesced=True, check_invariants=True)
        torch.sparse.mm(sparse, torch.ones(3, 2, requires_grad=True)).sum()
    assert kept.total == 3 * 2 * 8 + 3 * 4 + 4 * 6  # indices, values, and the dense factor


def test_a_step_that_did_not_have_the_processor_is_marked_and_its_own_time_counts():
    def waits() -> None:
        time.sleep(0.05)

    found = clock.beside(waits, waits, turns=3, warm_up=0, device=CPU)
    assert found["loaded"] and found["share"] < 0.5
    assert found["seconds"] < 0.025  # not the 0.05 of the wall


def test_a_reason_names_no_folder_of_the_machine():
    folder = Path(tempfile.gettempdir()) / "svft-bench-ab_12"
    assert rows._sentence(ValueError(f"{folder}: this adapter\n is another")) == "ValueError: this adapter is another"
    assert rows._sentence(ValueError()) == "ValueError"


@pytest.mark.parametrize("error", [AttributeError("no weight"), ValueError("a bug of a library")])
def test_a_merge_that_a_bug_stops_is_no_refusal(monkeypatch, error):
    def stop(net):
        raise error

    net = get_peft_model(nn.Sequential(nn.Linear(4, 4)), LoraConfig(r=1, target_modules=["0"]))
    one = SimpleNamespace(net=net, model=SimpleNamespace(held_out=None))
    monkeypatch.setattr(measures.subject, "logits", lambda *_: None)
    monkeypatch.setattr(measures.merging, "merged_for_good", stop)
    with pytest.raises(type(error)):
        measures.merge(one)
