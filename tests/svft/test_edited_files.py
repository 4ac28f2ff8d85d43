"""An adapter file beside a configuration that is not its own, or that lacks layers of it, is refused."""

import json
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from baselines import SpectralAdapterConfig, UpdateConfig, VectorFitConfig
from svft import SvftConfig
from tests.svft.test_prints import in_the_old_layout

SHAPES = {"square": (9, 9), "wide": (9, 14)}
# What was saved, and what adapter_config.json says afterwards.
EDITS = {
    "banded to topk": (SvftConfig(pattern="banded", d=2), {"pattern": "topk"}),
    "random to topk": (SvftConfig(pattern="random", d=2), {"pattern": "topk"}),
    "random to banded": (SvftConfig(pattern="random", d=2), {"pattern": "banded"}),
    "banded to random": (SvftConfig(pattern="banded", d=2), {"pattern": "random"}),
    "topk to random": (SvftConfig(pattern="topk", d=2), {"pattern": "random"}),
    "topk to banded": (SvftConfig(pattern="topk", d=2), {"pattern": "banded"}),
    "no gate": (SvftConfig(gate=True, init="kaiming"), {"gate": False}),
    "a gate": (SvftConfig(init="kaiming"), {"gate": True}),
    "not truncated": (SvftConfig(rank=4, truncate_base=True), {"truncate_base": False}),
    "truncated": (SvftConfig(rank=4), {"truncate_base": True}),
    "other draws": (SvftConfig(pattern="random", d=2), {"replacement": True}),
    "rotation": (SpectralAdapterConfig(r=3), {"mode": "rotation"}),
    "a scale": (SpectralAdapterConfig(r=3, mode="rotation"), {"scale": True}),
    "other weights": (SpectralAdapterConfig(columns=[0, 2], weights=[1, 2]), {"weights": [2, 1]}),
    "multiplicative": (VectorFitConfig(), {"multiplicative": True}),
    "no bias": (VectorFitConfig(), {"train_bias": False}),
}
# Of these the tensors alone, without a print, do not tell.
NOT_IN_THE_TENSORS = {"not truncated", "truncated", "other weights"}
pytestmark = pytest.mark.filterwarnings("ignore:pattern='topk'")


def base(out: int, inp: int) -> torch.nn.Module:
    torch.manual_seed(0)
    model = torch.nn.Sequential()
    model.add_module("one", torch.nn.Linear(inp, out, dtype=torch.float64))
    return model


def saved(config, folder: Path, shape: tuple[int, int], old: bool = False) -> None:
    config.target_modules = {"one"}
    model = peft.get_peft_model(base(*shape), config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_()
    model.save_pretrained(folder)
    if old:
        save_file(in_the_old_layout(model), folder / "adapter_model.safetensors", {"format": "pt"})
        edit(folder, weights_sha256=None)


def edit(folder: Path, **fields) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def told_by_tensors(name: str, shape: str) -> bool:
    """In a file without prints, too. A band stands in for topk where W is no square."""
    config, fields = EDITS[name]
    alike = {getattr(config, "pattern", None), fields.get("pattern")} == {"banded", "topk"} and shape != "square"
    return name not in NOT_IN_THE_TENSORS and not alike


CASES = [(name, shape, False) for name in EDITS for shape in SHAPES]
CASES += [(name, shape, True) for name, shape, _ in CASES if told_by_tensors(name, shape)]


@pytest.mark.parametrize(("name", "shape", "old"), CASES)
def test_a_configuration_that_gives_the_tensors_another_meaning_is_refused(tmp_path, name, shape, old):
    (config, fields), shape = EDITS[name], SHAPES[shape]
    saved(config, tmp_path, shape, old)
    peft.PeftModel.from_pretrained(base(*shape), tmp_path)
    edit(tmp_path, **fields)
    sentence = (
        r"layer '.*one': (adapter_config\.json is not the one|the adapter file .*adapter_config|the random pattern)"
    )
    with pytest.raises(ValueError, match=sentence):
        peft.PeftModel.from_pretrained(base(*shape), tmp_path)


def test_what_changes_no_function_may_be_edited(tmp_path):
    config = SvftConfig(pattern="random", d=2)
    saved(config, tmp_path, (9, 9))
    expected = peft.PeftModel.from_pretrained(base(9, 9), tmp_path)(torch.ones(1, 9, dtype=torch.float64))
    edit(tmp_path, seed=7, form="folded", keep_weight=False, init="kaiming", preset="authors_code", bias="all")
    loaded = peft.PeftModel.from_pretrained(base(9, 9), tmp_path)
    torch.testing.assert_close(loaded(torch.ones(1, 9, dtype=torch.float64)), expected)


def test_a_field_that_comes_later_leaves_what_is_checked_of_a_configuration_alone():
    """Files of today have no such field, and are to be read."""
    assert SvftConfig().settings() == {"gate": False, "replacement": False, "topk_score": "alignment",
                                       "truncate_base": False}  # fmt: skip
    assert VectorFitConfig().settings() == SpectralAdapterConfig(r=1).settings() == {}


# -- layers


def blocks(count: int = 2) -> torch.nn.Module:
    torch.manual_seed(0)
    model = torch.nn.Sequential()
    model.add_module("layers", torch.nn.Sequential(*(torch.nn.Linear(6, 6) for _ in range(count))))
    return model


CONFIGS = {
    "svft": SvftConfig(),
    "spectral": SpectralAdapterConfig(r=2),
    "vectorfit": VectorFitConfig(),
    "update": UpdateConfig(kind="ssb"),
}
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


@each_config
@pytest.mark.parametrize("what", ["all of a layer", "one tensor"])
def test_a_file_that_lacks_what_the_configuration_names_is_refused(tmp_path, config, what):
    config.target_modules = r"layers\.\d"
    peft.get_peft_model(blocks(), config).save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    state = load_file(path)
    of_layer = sorted(key for key in state if ".layers.1." in key)
    dropped = of_layer if what == "all of a layer" else of_layer[-1:]
    save_file({key: tensor for key, tensor in state.items() if key not in dropped}, path, {"format": "pt"})
    edit(tmp_path, weights_sha256=None)
    lacks = r"the adapter file lacks layer 'layers\.1' \(1 in all\)" if len(dropped) > 1 else (
        r"layer 'base_model\.model\.layers\.1': the adapter file lacks " + dropped[0].rpartition(".")[2]
    )  # fmt: skip
    with pytest.raises(ValueError, match=lacks):
        peft.PeftModel.from_pretrained(blocks(), tmp_path)


@each_config
def test_an_adapter_is_not_saved_where_peft_would_leave_out_layers_of_it(tmp_path, config):
    """Those whose path has another adapter's name in it."""
    config.target_modules = r"layers\.\d+"
    model = peft.get_peft_model(blocks(12), config, adapter_name="0")
    model.save_pretrained(tmp_path / "alone")
    state = load_file(tmp_path / "alone" / "0" / "adapter_model.safetensors")
    assert {int(key.split(".")[3]) for key in state} == set(range(12))
    loaded = peft.PeftModel.from_pretrained(blocks(12), tmp_path / "alone" / "0")  # as "default"
    torch.testing.assert_close(loaded(torch.ones(1, 6)), model(torch.ones(1, 6)))
    model.add_adapter("1", config)
    for adapter, other in (("0", "1"), ("1", "0")):
        sentence = rf"adapter '{adapter}' cannot be saved while another .* '{other}': .* 'layers\.{other}' \(1 in all"
        with pytest.raises(ValueError, match=sentence):
            model.save_pretrained(tmp_path / "both", selected_adapters=[adapter])
    assert not list((tmp_path / "both").rglob("*.safetensors"))
