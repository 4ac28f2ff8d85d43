"""An adapter file gives the same function in another process and on another LAPACK, or is refused."""

import json
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

import svft.basis.layer
from svft import SvftConfig
from svft.decomposition import Basis, canonical_signs, decompose
from tests.lapack import other_lapack
from tests.processes import script

CONFIGS = {
    "plain": {"pattern": "plain"},
    "banded": {"pattern": "banded", "d": 2, "rank": 6},
    "random": {"pattern": "random", "d": 2, "seed": 5},
    "topk": {"pattern": "topk", "d": 2},
    "block": {"pattern": "block", "rank": 4, "scaled": True},
    "gradient": {"pattern": "gradient", "d": 2, "rank": 6},
    "authors_random": {"pattern": "random", "d": 3, "preset": "authors_code"},
    "authors_topk": {"pattern": "topk", "d": 1, "preset": "authors_code"},
    "authors_rank": {"pattern": "banded", "d": 1, "rank": 4, "preset": "authors_code"},
    "basis": {"pattern": "random", "d": 2, "save_basis": True},
    "scaled_basis": {"pattern": "random", "d": 2, "scaled": True, "save_basis": True},
}
pytestmark = pytest.mark.filterwarnings("ignore:pattern='topk'")
SECOND_PROCESS = """
import sys
import peft, torch
from safetensors.torch import load_file, save_file
import svft
assert not {"hydra", "omegaconf", "timm", "datasets"} & set(sys.modules)
folder, outputs = sys.argv[1], {}
tensors = load_file(f"{folder}/base.safetensors")
for name in sys.argv[2:]:
    base = torch.nn.Sequential()
    base.add_module("lin", torch.nn.Linear(14, 9, bias=False))
    base.lin.weight.data = tensors["weight"].clone()
    outputs[name] = peft.PeftModel.from_pretrained(base, f"{folder}/{name}")(tensors["x"]).detach()
save_file(outputs, f"{folder}/outputs.safetensors")
"""


def test_another_process_gives_the_same_outputs(adapt, tmp_path):
    x, expected = torch.randn(5, 14), {}
    for name, config in CONFIGS.items():
        model, layer = adapt(9, 14, torch.float32, **config)
        model.save_pretrained(tmp_path / name)
        expected[name] = model(x)
    save_file({"weight": layer.base_layer.weight.data, "x": x}, tmp_path / "base.safetensors")
    script(SECOND_PROCESS, str(tmp_path), *CONFIGS)
    outputs = load_file(tmp_path / "outputs.safetensors")
    for name in CONFIGS:
        torch.testing.assert_close(outputs[name], expected[name], msg=name)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("shape", [(9, 9), (9, 14), (14, 9)])
def test_another_lapack_gives_the_same_outputs(adapt, base, tmp_path, monkeypatch, config, shape):
    model, _ = adapt(*shape, **config)
    model.save_pretrained(tmp_path)
    monkeypatch.setattr(svft.basis.layer, "decompose", other_lapack)
    loaded = peft.PeftModel.from_pretrained(base(*shape), tmp_path)
    here, there = (m.base_model.model.lin.basis("default").U for m in (loaded, model))
    assert not torch.allclose(here, there, atol=0.1)  # the signs do differ
    x = torch.randn(5, shape[1], dtype=torch.float64)
    torch.testing.assert_close(loaded(x), model(x))
    loaded.save_pretrained(tmp_path / "again")  # what is written now belongs to the basis here
    again = peft.PeftModel.from_pretrained(base(*shape), tmp_path / "again")
    torch.testing.assert_close(again(x), model(x))


def test_the_sign_convention_makes_two_lapack_paths_agree(base):
    W = base(30, 20).lin.weight.detach()
    U, _, Vh = other_lapack(W)
    mine, theirs = decompose(W), canonical_signs(U, Vh)
    torch.testing.assert_close(mine.U, theirs[0], atol=1e-9, rtol=0)
    torch.testing.assert_close(mine.Vh, theirs[1], atol=1e-9, rtol=0)
    largest = mine.U.abs().argmax(0)
    assert (mine.U[largest, torch.arange(20)] > 0).all()


def test_a_changed_base_weight_is_refused_with_the_name_of_the_layer(adapt, base, tmp_path):
    adapt(9, 14, pattern="random", d=2)[0].save_pretrained(tmp_path)
    for change in (0.05, 1.0):
        other = base(9, 14)
        other.lin.weight.data += change * base(9, 14, seed=9).lin.weight.data
        with pytest.raises(ValueError, match=r"layer 'base_model\.model\.lin': the base weight is not the one"):
            peft.PeftModel.from_pretrained(other, tmp_path)


def test_a_base_weight_of_another_scale_is_refused(adapt, base, tmp_path):
    adapt(9, 14)[0].save_pretrained(tmp_path)
    other = base(9, 14)
    other.lin.weight.data *= 1.1
    with pytest.raises(ValueError, match="the base weight is not the one"):
        peft.PeftModel.from_pretrained(other, tmp_path)


@pytest.mark.parametrize(("trained", "loaded"), [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32)])
def test_the_same_weight_in_another_dtype_is_accepted(base, tmp_path, trained, loaded):
    """As a bf16 checkpoint read as fp32: equal values, and outputs equal to the rounding of the basis."""
    config = SvftConfig(pattern="random", d=2, init="kaiming", target_modules=["lin"])
    model = peft.get_peft_model(base(64, 64, torch.bfloat16).to(trained), config)
    model.save_pretrained(tmp_path)
    other = peft.PeftModel.from_pretrained(base(64, 64, torch.bfloat16).to(loaded), tmp_path)
    deltas = [each.base_model.model.lin.get_delta_weight("default") for each in (model, other)]
    assert (deltas[0] - deltas[1]).norm() < 5e-3 * deltas[0].norm()


def test_a_weight_rounded_to_bf16_has_other_singular_vectors_and_needs_a_saved_basis(adapt, base, tmp_path):
    """Not a bf16 checkpoint read as fp32: rounding turns neighbouring singular vectors, by more than the tolerance."""
    for save_basis in (False, True):
        config = {"pattern": "random", "d": 2, "save_basis": save_basis}
        model, layer = adapt(128, 128, torch.float32, **config)
        model.save_pretrained(tmp_path / str(save_basis))
    rounded = base(128, 128, torch.bfloat16)
    with pytest.raises(
        ValueError, match=r"layer 'base_model\.model\.lin': up to \d+ of 128 singular vectors .* save_basis=True"
    ):
        peft.PeftModel.from_pretrained(rounded, tmp_path / "False")
    loaded = peft.PeftModel.from_pretrained(base(128, 128, torch.bfloat16), tmp_path / "True")
    difference = loaded.base_model.model.lin.get_delta_weight("default") - layer.get_delta_weight("default")
    assert difference.abs().max() < 1e-5
    assert loaded(torch.randn(3, 128, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_an_adapter_of_an_fp32_base_is_used_in_16_bits_as_the_refusal_says(adapt, base, tmp_path):
    model, layer = adapt(128, 128, torch.float32, pattern="random", d=2)
    model.save_pretrained(tmp_path)
    remedy = r"load base and adapter in float32 and convert both then, with model\.to\(torch\.bfloat16\), which rounds"
    with pytest.raises(ValueError, match=remedy):
        peft.PeftModel.from_pretrained(base(128, 128, torch.bfloat16), tmp_path)
    loaded = peft.PeftModel.from_pretrained(base(128, 128, torch.float32), tmp_path).to(torch.bfloat16)
    x = torch.randn(5, 128, generator=torch.Generator().manual_seed(3))
    delta = torch.nn.functional.linear(x, layer.get_delta_weight("default"))
    with loaded.disable_adapter():
        without = loaded(x.bfloat16())
    assert (loaded(x.bfloat16()) - without - delta).norm() < 0.03 * delta.norm()


def orthogonal(base):
    model = base(9, 9)
    model.lin.weight.data = torch.linalg.qr(model.lin.weight.data).Q
    return model


def test_equal_singular_values_are_refused_unless_the_basis_is_saved(base, tmp_path, monkeypatch):
    """An orthogonal W = U V^T has any orthogonal U as left singular vectors."""
    models = {}
    for save_basis in (False, True):
        config = SvftConfig(pattern="random", d=2, init="kaiming", save_basis=save_basis, target_modules=["lin"])
        models[save_basis] = peft.get_peft_model(orthogonal(base), config)
        models[save_basis].save_pretrained(tmp_path / str(save_basis))

    def rotated(weight: torch.Tensor) -> Basis:
        return Basis(torch.eye(9, dtype=weight.dtype), torch.ones(9, dtype=weight.dtype), weight.clone())

    monkeypatch.setattr(svft.basis.layer, "decompose", rotated)
    with pytest.raises(
        ValueError, match=r"layer 'base_model\.model\.lin': up to 9 of 9 singular vectors .* save_basis=True"
    ):
        peft.PeftModel.from_pretrained(orthogonal(base), tmp_path / "False")
    x = torch.randn(5, 9, dtype=torch.float64)
    loaded = peft.PeftModel.from_pretrained(orthogonal(base), tmp_path / "True", is_trainable=True)
    torch.testing.assert_close(loaded(x), models[True](x))
    loaded.add_adapter("other", SvftConfig(pattern="plain", target_modules=["lin"]))
    assert torch.equal(loaded.base_model.model.lin.basis("other").U, torch.eye(9, dtype=torch.float64))
    loaded.save_pretrained(tmp_path / "again", selected_adapters=["default"])
    again = peft.PeftModel.from_pretrained(orthogonal(base), tmp_path / "again")
    torch.testing.assert_close(again(x), models[True](x))

    local = peft.get_peft_model(orthogonal(base), models[True].peft_config["default"])
    peft.set_peft_model_state_dict(again, peft.get_peft_model_state_dict(local))
    assert torch.equal(again.base_model.model.lin.basis("default").U, torch.eye(9, dtype=torch.float64))
    torch.testing.assert_close(again(x), local(x))


def test_a_random_pattern_follows_the_adapter_to_a_layer_of_another_name(adapt, base):
    model, layer = adapt(9, 14, pattern="random", d=2)
    state = {key.replace("lin", "proj"): tensor for key, tensor in peft.get_peft_model_state_dict(model).items()}
    renamed = torch.nn.Sequential()
    renamed.add_module("proj", base(9, 14).lin)
    other = peft.get_peft_model(renamed, SvftConfig(pattern="random", d=2, target_modules=["proj"]))
    moved = other.base_model.model.proj
    assert not torch.equal(moved.index("default"), layer.index("default"))
    peft.set_peft_model_state_dict(other, state)
    torch.testing.assert_close(moved.get_delta_weight("default"), layer.get_delta_weight("default"))


def changed_on_purpose(folder: Path) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    del config["weights_sha256"]
    (folder / "adapter_config.json").write_text(json.dumps(config))


def test_a_pattern_that_is_not_the_stored_one_is_refused(adapt, base, tmp_path):
    adapt(9, 14, pattern="random", d=2)[0].save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors["base_model.model.lin.svft_omega"][1] += 1
    save_file(tensors, file)
    changed_on_purpose(tmp_path)
    with pytest.raises(ValueError, match="layer 'lin': the random pattern"):
        peft.PeftModel.from_pretrained(base(9, 14), tmp_path)


def test_topk_positions_come_from_the_file(adapt, base, tmp_path):
    model, layer = adapt(9, 9, pattern="topk", d=1)
    layer.svft_topk["default"][0] = int(set(range(81)).difference(layer.index("default").tolist()).pop())
    model.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(base(9, 9), tmp_path)
    assert torch.equal(loaded.base_model.model.lin.index("default"), layer.index("default"))
    x = torch.randn(5, 9, dtype=torch.float64)
    torch.testing.assert_close(loaded(x), model(x))


def test_an_adapter_file_is_small(adapt, tmp_path):
    """Per coefficient 4 bytes; a basis of 2 * 256 * 256 floats would be 500 kB."""
    adapt(256, 256, torch.float32)[0].save_pretrained(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").stat().st_size < 256 * 4 + 500


def test_casting_the_model_leaves_the_print_alone(adapt, base, tmp_path):
    model, _ = adapt(9, 14, torch.float32, pattern="random", d=1)
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(base(9, 14, torch.float32), tmp_path)
    expected = model.base_model.model.lin.get_delta_weight("default").float()
    difference = loaded.base_model.model.lin.get_delta_weight("default") - expected
    assert difference.norm() < 0.02 * expected.norm()


def test_weights_that_are_not_those_saved_with_the_config_are_refused(adapt, base, tmp_path):
    model, _ = adapt(9, 14, torch.float32, pattern="banded", d=2)
    model.save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-4]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"adapter_model\.safetensors is damaged, or is not the file .* saved"):
            peft.PeftModel.from_pretrained(base(9, 14), tmp_path)
    path.write_bytes(whole)
    again = peft.PeftModel.from_pretrained(base(9, 14), tmp_path, is_trainable=True)
    with torch.no_grad():
        again.base_model.model.lin.svft_m["default"].add_(1)
    again.save_pretrained(tmp_path)
    assert path.read_bytes() != whole
    peft.PeftModel.from_pretrained(base(9, 14), tmp_path)


def test_a_file_with_layers_that_the_config_does_not_name_is_refused(adapt, tmp_path):
    def two() -> torch.nn.Sequential:
        torch.manual_seed(0)
        model = torch.nn.Sequential()
        for name in "ab":
            model.add_module(name, torch.nn.Linear(6, 6))
        return model

    peft.get_peft_model(two(), SvftConfig(target_modules=["a", "b"])).save_pretrained(tmp_path)
    peft.PeftModel.from_pretrained(two(), tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(path.read_text().replace('"b"', '"c"'))
    with pytest.raises(ValueError, match=r"the adapter file has layer 'b' \(1 in all\), which is not adapted here"):
        peft.PeftModel.from_pretrained(two(), tmp_path)


def test_a_folder_in_the_place_of_the_weights_is_named(adapt, base, tmp_path):
    adapt(9, 14)[0].save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors is not a file"):
        peft.PeftModel.from_pretrained(base(9, 14), tmp_path)
