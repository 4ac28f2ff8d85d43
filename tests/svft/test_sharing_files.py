"""Files of adapters that layers share: each tensor once, and the same function wherever it is loaded."""

import copy
from functools import partial
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

import svft.basis.layer
from baselines import SpectralAdapterConfig, VectorFitConfig
from svft.decomposition import Basis
from tests.lapack import other_lapack
from tests.processes import Forked, ended
from tests.svft.sharing_cases import (
    BLOCKS,
    CONFIGS,
    COUNTS,
    NAMES,
    Model,
    X,
    adapted,
    draw,
    each_config,
    gradients,
    layers_of,
)  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore:pattern='topk'")


def test_the_file_has_each_tensor_once(tmp_path):
    for name, count in COUNTS.items():
        adapted(CONFIGS[name]).save_pretrained(tmp_path / name)
        tensors = load_file(tmp_path / name / "adapter_model.safetensors")
        trained = [tensor for tensor in tensors.values() if tensor.dtype == torch.float64]
        assert sum(tensor.numel() for tensor in trained) == count, name
        assert {tensor.dtype for tensor in tensors.values()} <= {torch.float64, torch.uint8, torch.int32, torch.int64}
        beside = sum(tensor.nbytes for key, tensor in tensors.items() if "basis_print" not in key) - 8 * count
        assert beside <= 4 * count, name  # the positions of top-k, and 16 bytes a group of random


@each_config
def test_an_adapter_is_loaded_as_first_and_as_second_with_and_without_the_meta_device(config, tmp_path):
    model = adapted(config)
    expected = model(X)
    model.save_pretrained(tmp_path)
    for low in (False, True):
        loaded = peft.PeftModel.from_pretrained(Model(), tmp_path, low_cpu_mem_usage=low, is_trainable=True)
        torch.testing.assert_close(loaded(X), expected)
        assert len(gradients(loaded)) == len(gradients(model))
        loaded.load_adapter(tmp_path, "second", low_cpu_mem_usage=low)
        draw(loaded)  # the first alone
        loaded.set_adapter("second")
        torch.testing.assert_close(loaded(X), expected)
        assert not any(tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers()])


def reload(folder: Path) -> None:
    """Writes what each of CONFIGS gives, as it was saved in a folder of its own."""
    outputs = {name: peft.PeftModel.from_pretrained(Model(), folder / name)(X).detach() for name in CONFIGS}
    save_file(outputs, folder / "outputs.safetensors")


def test_another_process_gives_the_same_outputs(tmp_path):
    expected = {}
    for name, config in CONFIGS.items():
        model = adapted(config)
        model.save_pretrained(tmp_path / name)
        expected[name] = model(X)
    done = ended(Forked(partial(reload, tmp_path), environment={"SVFT_CACHE_DIR": "off"}))
    assert done.returncode == 0, done.stderr
    outputs = load_file(tmp_path / "outputs.safetensors")
    for name in CONFIGS:
        torch.testing.assert_close(outputs[name], expected[name], msg=name)


def other_signs(weight: torch.Tensor) -> Basis:
    """Which pairs are turned differs from layer to layer, as the weights do."""
    basis = other_lapack(weight)
    signs = torch.randn(len(basis.s), generator=torch.Generator().manual_seed(int(weight.abs().sum() * 1e6))).sign()
    return basis._replace(U=basis.U * signs, Vh=signs[:, None] * basis.Vh)


@each_config
def test_another_lapack_that_turns_each_layer_in_its_own_way_gives_the_same_function(config, tmp_path, monkeypatch):
    model = adapted(config)
    model.save_pretrained(tmp_path)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(svft.basis.layer, "decompose", other_signs)
        there = peft.PeftModel.from_pretrained(Model(), tmp_path, is_trainable=True)
        torch.testing.assert_close(there(X), model(X))
        for name, gradient in gradients(model).items():  # it would be trained on in the same way
            torch.testing.assert_close(gradients(there)[name], gradient, msg=name)
        turned = [layer for layer in layers_of(there) if "default" in layer.basis_signs]
        assert bool(turned) == layers_of(model)[0].has_signs("default")
        draw(there)
        there.save_pretrained(tmp_path / "there")
        again = peft.PeftModel.from_pretrained(Model(), tmp_path / "there")
        torch.testing.assert_close(again(X), there(X))
        merged = copy.deepcopy(there).merge_and_unload()
        torch.testing.assert_close(merged(X), there(X))
        there.load_adapter(tmp_path, "second")
        there.set_adapter("second")
        torch.testing.assert_close(there(X), model(X))
        there.set_adapter("default")
    back = peft.PeftModel.from_pretrained(Model(), tmp_path / "there")
    torch.testing.assert_close(back(X), there(X))


def test_a_basis_that_is_stored_is_the_one_that_the_shared_tensors_go_with(tmp_path, monkeypatch):
    model = adapted(CONFIGS["basis"])
    model.save_pretrained(tmp_path / "here")
    monkeypatch.setattr(svft.basis.layer, "decompose", other_signs)
    there = peft.PeftModel.from_pretrained(Model(), tmp_path / "here")
    assert any("default" in layer.basis_signs for layer in layers_of(there))
    there.save_pretrained(tmp_path / "there")
    stored = (load_file(tmp_path / place / "adapter_model.safetensors") for place in ("here", "there"))
    here, there = ({key: tensor for key, tensor in file.items() if "basis_stored" in key} for file in stored)
    assert len(here) == 27
    for key, tensor in here.items():
        torch.testing.assert_close(there[key], tensor, msg=key)


def test_a_file_that_is_loaded_over_another_brings_its_own_signs(tmp_path, monkeypatch):
    adapted(CONFIGS["random"]).save_pretrained(tmp_path / "here")
    monkeypatch.setattr(svft.basis.layer, "decompose", other_signs)
    native = draw(adapted(CONFIGS["random"]), seed=7)
    native.save_pretrained(tmp_path / "there")
    model = peft.PeftModel.from_pretrained(Model(), tmp_path / "here")
    assert any("default" in layer.basis_signs for layer in layers_of(model))
    model.load_adapter(tmp_path / "there", "default")
    torch.testing.assert_close(model(X), native(X))


def test_what_one_layer_alone_shares_is_not_loaded_as_its_own(tmp_path):
    adapted(lambda **more: VectorFitConfig(target_modules=["layers.0.q"], **more)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="the adapter is of another configuration"):
        peft.PeftModel.from_pretrained(Model(), tmp_path, config=VectorFitConfig(target_modules=["layers.0.q"]))


def test_an_adapter_that_shares_nothing_is_not_loaded_as_one_that_does(tmp_path):
    peft.get_peft_model(Model(), CONFIGS["plain"]()).save_pretrained(tmp_path)
    config = CONFIGS["plain"](share="role")
    with pytest.raises(ValueError, match=r"has svft_m|another configuration"):
        peft.PeftModel.from_pretrained(Model(), tmp_path, config=config)


@pytest.mark.parametrize("mode", ["additive", "rotation"])
def test_shared_adapters_fuse_into_a_shared_one_and_with_others_into_one_that_is_not(mode, tmp_path, monkeypatch):
    def config(block: int, **more):
        return SpectralAdapterConfig(mode=mode, r=2, block=block, target_modules=NAMES, **more)

    def in_its_layers(model, *names: str) -> torch.Tensor:
        layer = layers_of(model)[-1]
        return sum(layer.delta_weight(name) for name in names)

    draw(peft.get_peft_model(Model(), config(0, share="role"))).save_pretrained(tmp_path)
    monkeypatch.setattr(svft.basis.layer, "decompose", other_signs)
    model = peft.PeftModel.from_pretrained(Model(), tmp_path, is_trainable=True)
    for name, each in (("second", config(2, share="role")), ("own", config(4))):
        model.add_adapter(name, each)
        model.set_adapter(name)
        draw(model, seed=len(name))
    for parts, shared in ((["default", "second"], True), (["default", "own"], False)):
        fused = "-".join(parts)
        model.base_model.add_weighted_adapter(parts, [1.0, 1.0], fused)
        torch.testing.assert_close(in_its_layers(model, fused), in_its_layers(model, *parts))
        assert model.peft_config[fused].share == ("role" if shared else None)
        count = sum(p.numel() for name, p in model.named_parameters() if name.endswith(f".{fused}"))
        one = sum(p.numel() for name, p in model.named_parameters() if name.endswith(".default"))
        assert count == (2 if mode == "additive" else 4) * one * (1 if shared else BLOCKS)
        model.save_pretrained(tmp_path, selected_adapters=[fused])
        loaded = peft.PeftModel.from_pretrained(Model(), tmp_path / fused)
        torch.testing.assert_close(layers_of(loaded)[-1].delta_weight("default"), in_its_layers(model, fused))


def test_weights_are_saved_by_name_of_the_first_layer_and_state_is_that_of_a_whole_model(tmp_path):
    model = adapted(CONFIGS["random"])
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(state, tmp_path / "whole.safetensors")
    other = adapted(CONFIGS["random"], drawn=False)
    other.load_state_dict(load_file(tmp_path / "whole.safetensors"), assign=True)
    torch.testing.assert_close(other(X), model(X))
    assert len(gradients(other)) == 6
