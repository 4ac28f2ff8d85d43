"""A saved Spectral Adapter gives the same function elsewhere, also as a plain LoRA, or is refused."""

import json
from pathlib import Path

import peft
import pytest
import scipy.linalg
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

import svft
import svft.basis.layer
from baselines.spectral import SpectralAdapterConfig, save_as_lora
from svft.decomposition import Basis, canonical_signs
from tests.processes import script

from .spectral_cases import BLOCKS, KINDS, SHAPES, adapted, draw, one_linear

CONFIGS = {
    "top": {"mode": "additive"},
    "bottom": {"mode": "additive", "block": "bottom"},
    "rotation": {"mode": "rotation", "block": 2},
    "scaled": {"mode": "rotation", "scale": True},
    "columns": {"mode": "rotation", "r": None, "columns": [5, 0, -1, 3], "weights": [1, 0.5, -1, 2]},
    "basis": {"mode": "additive", "save_basis": True},
    "factored": {"mode": "factored", "block": "bottom"},
    "one_sided": {"mode": "one_sided"},
    "one column": {"mode": "one_sided", "r": 1},
    "right": {"mode": "right"},
    "left": {"mode": "left", "block": 2},
}
OTHER_PROCESS = """
import sys
import peft, torch
from safetensors.torch import load_file, save_file
{imports}
folder, outputs = sys.argv[1], {{}}
for name in sys.argv[2:]:
    tensors = load_file(f"{{folder}}/{{name.split('-')[0]}}.safetensors")
    base = torch.nn.Sequential()
    base.add_module("lin", torch.nn.Linear(14, 9, bias=False, dtype=tensors["weight"].dtype))
    base.lin.weight.data = tensors["weight"]
    outputs[name] = peft.PeftModel.from_pretrained(base, f"{{folder}}/{{name}}")(tensors["x"]).detach()
assert not {absent} & {{name.split(".")[0] for name in sys.modules}}
save_file(outputs, f"{{folder}}/outputs.safetensors")
"""


@pytest.fixture(autouse=True)
def no_svd_cache(monkeypatch):
    monkeypatch.setenv("SVFT_CACHE_DIR", "off")
    torch.manual_seed(0)


def same_in_another_process(folder: Path, save, imports: str, absent: set[str]) -> None:
    """Every adapter of CONFIGS, written by save(model, its folder), in fp32 and fp64."""
    expected = {}
    for dtype in (torch.float32, torch.float64):
        kind, x = str(dtype).removeprefix("torch."), torch.randn(5, 14, dtype=dtype)
        for name, config in CONFIGS.items():
            model, layer = adapted(9, 14, dtype, **config)
            save(model, folder / f"{kind}-{name}")
            expected[f"{kind}-{name}"] = model(x)
            assert (model(x) - x @ layer.base_layer.weight.T).norm() > 1
        save_file({"weight": layer.base_layer.weight.data, "x": x}, folder / f"{kind}.safetensors")
    code = OTHER_PROCESS.format(imports=imports, absent=absent)
    script(code, str(folder), *expected)
    outputs = load_file(folder / "outputs.safetensors")
    for name in expected:
        torch.testing.assert_close(outputs[name], expected[name].detach(), msg=name)


def test_another_process_gives_the_same_outputs(tmp_path):
    def save(model, folder):
        model.save_pretrained(folder)

    same_in_another_process(tmp_path, save, "import baselines.spectral", {"hydra", "datasets"})


def test_exported_as_lora_it_needs_peft_alone(tmp_path):
    same_in_another_process(tmp_path, save_as_lora, "", {"svft", "baselines"})


@pytest.mark.parametrize(("kind", "rank"), zip(KINDS, [6, 3, 3, 6, 3, 3, 3], strict=True), ids=str)
def test_the_rank_of_the_lora_is_2r_where_both_sides_are_sums_and_r_elsewhere(tmp_path, kind, rank):
    model, _ = adapted(9, 14, **kind)
    save_as_lora(model, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", rank, rank)
    shapes = {key: tuple(tensor.shape) for key, tensor in load_file(tmp_path / "adapter_model.safetensors").items()}
    lin = "base_model.model.lin"
    assert shapes == {f"{lin}.lora_A.weight": (rank, 14), f"{lin}.lora_B.weight": (9, rank)}


class Net(nn.Module):
    """Two kinds of layer, one of them under a name that is the ending of another's, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = Conv1D(9, 14)
        self.lin = nn.Linear(9, 9)
        self.last_lin = nn.Linear(9, 9)
        self.head = nn.Linear(9, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.last_lin(self.lin(self.conv(x)).tanh()).tanh())


def net() -> nn.Module:
    torch.manual_seed(5)
    return Net().double()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to")  # Conv1D beside Linear, which PEFT sorts out
def test_heads_and_every_kind_of_layer_come_along_into_the_lora(tmp_path, kind):
    config = {"r": 2, "target_modules": ["conv", "lin"], "modules_to_save": ["head"], **kind}
    more = {**config, "target_modules": ["conv", "lin", "last_lin"]}
    model = peft.get_peft_model(net(), SpectralAdapterConfig(**more))
    model.add_adapter("other", SpectralAdapterConfig(**config))
    model.set_adapter("other")
    for name in ("conv", "lin"):
        draw(getattr(model.base_model.model, name), "other")
    model.base_model.model.head.modules_to_save["other"].weight.data.normal_()
    save_as_lora(model, tmp_path, adapter_name="other")
    x = torch.randn(5, 14, dtype=torch.float64)
    assert (model(x) - net()(x)).norm() > 0.1
    loaded = peft.PeftModel.from_pretrained(net(), tmp_path)
    torch.testing.assert_close(loaded(x), model(x))
    with loaded.disable_adapter():
        torch.testing.assert_close(loaded(x), net()(x))  # the base model's own head as well
    torch.testing.assert_close(loaded.merge_and_unload()(x), model(x))
    assert type(peft.PeftModel.from_pretrained(net(), tmp_path).base_model.model.last_lin) is nn.Linear


def test_an_export_of_what_is_no_spectral_adapter_is_refused(tmp_path):
    model, _ = adapted(9, 14)
    with pytest.raises(ValueError, match=r"no Spectral Adapter is named other; this model has: default \(SPECTRAL_A"):
        save_as_lora(model, tmp_path, adapter_name="other")
    lora = peft.get_peft_model(one_linear(9, 14), peft.LoraConfig(target_modules=["lin"]))
    with pytest.raises(ValueError, match=r"no Spectral Adapter is named default; this model has: default \(LORA\)"):
        save_as_lora(lora, tmp_path)
    assert not list(tmp_path.iterdir())


def other_lapack(weight: torch.Tensor) -> Basis:
    """QR iteration where torch divides and conquers, every second pair with the other sign."""
    U, s, Vh = scipy.linalg.svd(weight.double().numpy(), full_matrices=False, lapack_driver="gesvd")
    U, Vh = canonical_signs(torch.from_numpy(U), torch.from_numpy(Vh))
    signs = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(len(s))[: len(s)]
    return Basis(*(part.to(weight.dtype) for part in (U * signs, torch.from_numpy(s), Vh * signs[:, None])))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_another_lapack_gives_the_same_outputs(tmp_path, monkeypatch, config, shape):
    model, _ = adapted(*shape, **config)
    model.save_pretrained(tmp_path)
    monkeypatch.setattr(svft.basis.layer, "decompose", other_lapack)
    loaded = peft.PeftModel.from_pretrained(one_linear(*shape), tmp_path)
    here, there = (each.base_model.model.lin.basis("default").U for each in (loaded, model))
    assert not torch.allclose(here, there, atol=0.1)  # the signs do differ
    x = torch.randn(5, shape[1], dtype=torch.float64)
    torch.testing.assert_close(loaded(x), model(x))
    loaded.save_pretrained(tmp_path / "again")
    again = peft.PeftModel.from_pretrained(one_linear(*shape), tmp_path / "again")
    torch.testing.assert_close(again(x), model(x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
def test_a_reload_without_filling_memory_gives_the_same_outputs(tmp_path, kind, low_cpu_mem_usage):
    model, _ = adapted(9, 14, **kind)
    model.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(one_linear(9, 14), tmp_path, low_cpu_mem_usage=low_cpu_mem_usage)
    x = torch.randn(5, 14, dtype=torch.float64)
    torch.testing.assert_close(loaded(x), model(x))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_on_the_meta_device_has_the_shapes_and_the_count(kind):
    with torch.device("meta"):
        base = one_linear(9, 14)
    model = peft.get_peft_model(base, SpectralAdapterConfig(r=3, target_modules=["lin"], **kind))
    assert model.get_nb_trainable_parameters() == adapted(9, 14, **kind)[0].get_nb_trainable_parameters()
    assert model(torch.empty(5, 14, dtype=torch.float64, device="meta")).shape == (5, 9)


def test_a_changed_base_weight_is_refused_with_the_name_of_the_layer(tmp_path):
    adapted(9, 14)[0].save_pretrained(tmp_path)
    other = one_linear(9, 14)
    other.lin.weight.data += 0.05 * one_linear(9, 14, seed=9).lin.weight.data
    with pytest.raises(ValueError, match=r"layer 'base_model\.model\.lin': the base weight is not the one"):
        peft.PeftModel.from_pretrained(other, tmp_path)


@pytest.mark.parametrize("block", BLOCKS)
def test_columns_other_than_those_it_was_trained_on_are_refused(tmp_path, block):
    adapted(9, 14, block=block)[0].save_pretrained(tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "block": 1}))
    with pytest.raises(
        ValueError, match=r"layer 'base_model\.model\.lin': up to \d of 3 singular vectors are not those"
    ):
        peft.PeftModel.from_pretrained(one_linear(9, 14), tmp_path)


def orthogonal() -> nn.Module:
    model = one_linear(9, 9)
    model.lin.weight.data = torch.linalg.qr(model.lin.weight.data).Q
    return model


def test_equal_singular_values_are_refused_unless_the_basis_is_saved(tmp_path, monkeypatch):
    """An orthogonal W = U V^T has any orthogonal U as left singular vectors."""
    models = {}
    for save_basis in (False, True):
        config = SpectralAdapterConfig(r=3, save_basis=save_basis, target_modules=["lin"])
        models[save_basis] = peft.get_peft_model(orthogonal(), config)
        draw(models[save_basis].base_model.model.lin)
        models[save_basis].save_pretrained(tmp_path / str(save_basis))

    def rotated(weight: torch.Tensor) -> Basis:
        return Basis(torch.eye(9, dtype=weight.dtype), torch.ones(9, dtype=weight.dtype), weight.clone())

    monkeypatch.setattr(svft.basis.layer, "decompose", rotated)
    with pytest.raises(
        ValueError, match=r"layer 'base_model\.model\.lin': up to 3 of 3 singular vectors .* save_basis=True"
    ):
        peft.PeftModel.from_pretrained(orthogonal(), tmp_path / "False")
    x = torch.randn(5, 9, dtype=torch.float64)
    loaded = peft.PeftModel.from_pretrained(orthogonal(), tmp_path / "True", is_trainable=True)
    torch.testing.assert_close(loaded(x), models[True](x))
    loaded.save_pretrained(tmp_path / "again")
    again = peft.PeftModel.from_pretrained(orthogonal(), tmp_path / "again")
    torch.testing.assert_close(again(x), models[True](x))

    # A new adapter takes what the base weight gives here, or it could not be loaded again here.
    layer = loaded.base_model.model.lin
    loaded.add_adapter("new", SpectralAdapterConfig(r=3, target_modules=["lin"]))
    assert torch.equal(layer.basis("new").U, torch.eye(9, dtype=torch.float64)[:, :3])
    # A fused one keeps the columns of its parts.
    loaded.add_adapter("next", SpectralAdapterConfig(r=2, block=3, target_modules=["lin"]))
    draw(layer, "next")
    loaded.add_weighted_adapter(["default", "next"], [1, 2], "fused")
    expected = layer.get_delta_weight("default") + 2 * layer.get_delta_weight("next")
    torch.testing.assert_close(layer.get_delta_weight("fused"), expected)
    loaded.delete_adapter("new")
    loaded.add_adapter("fresh", SpectralAdapterConfig(r=4, target_modules=["lin"]))
    assert torch.equal(layer.basis("fresh").U, torch.eye(9, dtype=torch.float64)[:, :4])
    loaded.set_adapter("fused")
    loaded.save_pretrained(tmp_path, selected_adapters=["fused"])
    again = peft.PeftModel.from_pretrained(orthogonal(), tmp_path / "fused")
    torch.testing.assert_close(again(x), loaded(x))


def test_an_adapter_file_holds_no_basis(tmp_path):
    """r (out + in) floats, and for every two columns a byte of signs."""
    adapted(256, 256, torch.float32)[0].save_pretrained(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").stat().st_size < 3 * (256 + 256) * 4 + 30 + 500
