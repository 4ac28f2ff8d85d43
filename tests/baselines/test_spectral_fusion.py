"""Several Spectral Adapters as one: what adds up, what does not, and what is refused."""

import peft
import pytest
import torch
from torch import nn

from baselines.spectral import SpectralAdapterConfig

from .spectral_cases import KINDS, adapted, dense, draw, on_more_columns, one_linear


@pytest.fixture(autouse=True)
def no_svd_cache(monkeypatch):
    monkeypatch.setenv("SVFT_CACHE_DIR", "off")
    torch.manual_seed(0)


def three_blocks(**kind):
    """Adapters `default` on columns 0-2, `two` on 3-4 and `last` on 7-8 of a 9 x 14 layer."""
    model, layer = adapted(9, 14, **kind)
    model.add_adapter("two", SpectralAdapterConfig(r=2, block=3, target_modules=["lin"], **kind))
    model.add_adapter("last", SpectralAdapterConfig(r=2, block="bottom", target_modules=["lin"], **kind))
    draw(layer, "two", seed=2)
    draw(layer, "last", seed=3)
    return model, layer, ["default", "two", "last"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", [[1, 1, 1], [1 / 3, 1 / 3, 1 / 3], [0.5, -2, 0]])
def test_the_fused_update_is_the_weighted_sum_and_survives_a_reload(kind, weights, tmp_path):
    model, layer, names = three_blocks(**kind)
    model.add_weighted_adapter(names, weights, "fused")
    expected = sum(w * layer.get_delta_weight(name) for name, w in zip(names, weights, strict=True))
    torch.testing.assert_close(layer.get_delta_weight("fused"), expected)
    model.set_adapter("fused")
    x = torch.randn(5, 14, dtype=torch.float64)
    torch.testing.assert_close(model(x), x @ (layer.base_layer.weight + expected).T)
    model.save_pretrained(tmp_path, selected_adapters=["fused"])
    loaded = peft.PeftModel.from_pretrained(one_linear(9, 14), tmp_path / "fused")
    assert loaded.peft_config["default"].columns == [0, 1, 2, 3, 4, -2, -1]
    torch.testing.assert_close(loaded(x), model(x))
    loaded.merge_adapter()
    torch.testing.assert_close(loaded(x), model(x))


@pytest.mark.parametrize("kind", KINDS)
def test_a_fused_adapter_is_the_adapter_that_training_all_the_columns_would_give(kind):
    """The dense formula with all blocks put into one (U, S, V) of the paper."""
    model, layer, names = three_blocks(**kind)
    model.add_weighted_adapter(names, [1, 1, 1], "fused")
    blocks = [layer.trained(name) for name in names]
    places = [[0, 1, 2], [3, 4], [5, 6]]
    whole = {
        key: on_more_columns(key, 7, [(block[key].detach(), at) for block, at in zip(blocks, places, strict=True)])
        for key in blocks[0]
    }
    expected = dense(layer, [0, 1, 2, 3, 4, 7, 8], whole, "fused")
    torch.testing.assert_close(layer.base_layer.weight + layer.get_delta_weight("fused"), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_merging_adapters_on_disjoint_columns_one_after_the_other_gives_the_fused_weight(kind):
    model, layer, names = three_blocks(**kind)
    model.add_weighted_adapter(names, [1, 1, 1], "fused")
    expected = layer.base_layer.weight + layer.get_delta_weight("fused")
    model.merge_adapter(names)
    torch.testing.assert_close(layer.base_layer.weight.data, expected.detach())


def test_updates_of_a_shared_block_put_into_one_do_not_add_up():
    """(U + A1 + A2) S (V + B1 + B2)^T has cross terms A1 S B2^T and A2 S B1^T."""
    model, layer = adapted(9, 14)
    model.add_adapter("other", SpectralAdapterConfig(r=3, target_modules=["lin"]))
    draw(layer, "other", seed=2)
    model.add_weighted_adapter(["default", "other"], [1, 1], "both", combination_type="linear")
    A, B, s = layer.spectral_A_U, layer.spectral_A_V, layer.basis("both").s
    added = layer.get_delta_weight("default") + layer.get_delta_weight("other")
    cross = (A["default"] * s) @ B["other"].T + (A["other"] * s) @ B["default"].T
    assert cross.norm() > 1
    torch.testing.assert_close(layer.get_delta_weight("both") - added, cross)


@pytest.mark.parametrize("kind", KINDS)
def test_factors_added_on_disjoint_columns_are_updates_added(kind):
    model, layer, names = three_blocks(**kind)
    model.add_weighted_adapter(names, [1, 1, 1], "updates")
    model.add_weighted_adapter(names, [1, 1, 1], "factors", combination_type="linear")
    torch.testing.assert_close(layer.get_delta_weight("factors"), layer.get_delta_weight("updates"))


@pytest.mark.parametrize("kind", KINDS)
def test_factors_on_columns_in_part_shared_are_added_where_they_meet(kind, tmp_path):
    """Columns 0-2 and 2-4, half of each: the dense formula on columns 0-4."""
    model, layer = adapted(9, 14, **kind)
    model.add_adapter("near", SpectralAdapterConfig(r=3, block=2, target_modules=["lin"], **kind))
    draw(layer, "near", seed=2)
    model.add_weighted_adapter(["default", "near"], [0.5, 0.5], "both", combination_type="linear")
    first, second = layer.trained("default"), layer.trained("near")
    whole = {}
    for key in first:
        parts = [(first[key].detach(), [0, 1, 2]), (second[key].detach(), [2, 3, 4])]
        start = float("scale" in key)
        whole[key] = on_more_columns(key, 5, [((part - start) / 2 + start, at) for part, at in parts])
    expected = dense(layer, [0, 1, 2, 3, 4], whole, "both")
    torch.testing.assert_close(layer.base_layer.weight + layer.get_delta_weight("both"), expected)
    model.save_pretrained(tmp_path, selected_adapters=["both"])
    loaded = peft.PeftModel.from_pretrained(one_linear(9, 14), tmp_path / "both")
    torch.testing.assert_close(loaded.base_model.model.lin.get_delta_weight("default"), layer.get_delta_weight("both"))


def two_layers() -> nn.Module:
    model = nn.Sequential(nn.Linear(14, 9), nn.Linear(9, 6))
    return model.double()


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_on_different_layers_fuse_into_one_on_all_of_them(kind, tmp_path):
    base = two_layers()
    state = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    model = peft.get_peft_model(base, SpectralAdapterConfig(r=2, target_modules=["0"], **kind))
    model.add_adapter("both", SpectralAdapterConfig(r=2, block="bottom", target_modules=["0", "1"], **kind))
    first, second = base
    for layer, name in ((first, "default"), (first, "both"), (second, "both")):
        draw(layer, name)
    model.add_weighted_adapter(["default", "both"], [2, 3], "fused")
    deltas = [2 * first.get_delta_weight("default") + 3 * first.get_delta_weight("both")]
    deltas.append(3 * second.get_delta_weight("both"))
    for layer, delta in zip(base, deltas, strict=True):
        torch.testing.assert_close(layer.get_delta_weight("fused"), delta)
    model.save_pretrained(tmp_path, selected_adapters=["fused"])
    other = two_layers()
    other.load_state_dict(state)
    loaded = peft.PeftModel.from_pretrained(other, tmp_path / "fused")
    x = torch.randn(5, 14, dtype=torch.float64)
    model.set_adapter("fused")
    torch.testing.assert_close(loaded(x), model(x))


@pytest.mark.parametrize("kind", KINDS)
def test_fused_adapters_fuse_again(kind):
    model, layer, names = three_blocks(**kind)
    model.add_weighted_adapter(names[:2], [0.5, 2], "pair")
    model.add_weighted_adapter(["last", "pair"], [3, -1], "all")
    parts = [layer.get_delta_weight(name) for name in names]
    torch.testing.assert_close(layer.get_delta_weight("all"), -0.5 * parts[0] - 2 * parts[1] + 3 * parts[2])


@pytest.mark.parametrize("kind", KINDS)
def test_fusing_decomposes_nothing_and_leaves_the_parts_alone(kind, monkeypatch):
    model, layer, names = three_blocks(**kind)
    before = {name: layer.get_delta_weight(name) for name in names}
    monkeypatch.setattr("svft.basis.layer.decompose", lambda weight: pytest.fail("decomposed again"))
    model.add_weighted_adapter(names, [1, 2, 3], "fused")
    for tensor in layer.trained("fused").values():
        assert not tensor.requires_grad
        tensor.data.add_(1)
    for name in names:
        assert torch.equal(layer.get_delta_weight(name), before[name])
    assert model.active_adapter == "default"


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_deleted_adapter_nothing_stays_for_the_next_of_its_name(kind):
    model, layer, names = three_blocks(**kind)
    model.add_weighted_adapter(names, [1, 2, 3], "fused")
    for name in ("two", "last", "fused"):
        model.delete_adapter(name)
    model.add_adapter("fused", SpectralAdapterConfig(r=3, block=6, target_modules=["lin"], **kind))
    draw(layer, "fused")
    trained = {name: tensor.detach() for name, tensor in layer.trained("fused").items()}
    expected = dense(layer, [6, 7, 8], trained, "fused")
    torch.testing.assert_close(layer.base_layer.weight + layer.get_delta_weight("fused"), expected)


def test_a_scaled_rotation_fuses_with_an_unscaled_one():
    model, layer = adapted(9, 14, mode="rotation", scale=True)
    model.add_adapter("plain", SpectralAdapterConfig(mode="rotation", r=2, block=4, target_modules=["lin"]))
    draw(layer, "plain")
    model.add_weighted_adapter(["plain", "default"], [2, 1], "fused")
    expected = 2 * layer.get_delta_weight("plain") + layer.get_delta_weight("default")
    torch.testing.assert_close(layer.get_delta_weight("fused"), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (["default", "gone"], [1, 1], "f"),
            "no adapter is named gone; this model has: default, two, last, near, turn",
        ),
        (
            (["default", "near"], [1, 1], "f"),
            r"'default' and 'near' share columns \[2\] of layer 'lin'; only adapters on",
        ),
        ((["default", "turn"], [1, 1], "f"), "adapters of two modes cannot be one adapter: default, turn"),
        ((["default", "default"], [1, 1], "f"), "an adapter is named twice: default, default"),
        ((["default", "two"], [1], "f"), "2 adapters were given with 1 weights"),
        (([], [], "f"), "0 adapters were given with 0 weights"),
        ((["default", "two"], [1, 1], "last"), "there is an adapter 'last' already"),
        ((["default", "two"], [1, 1], "f", "ties"), "combination_type='ties' is not one of cat, linear"),
    ],
)
def test_what_cannot_be_fused_is_refused_and_nothing_is_left_behind(arguments, message):
    model, layer, _ = three_blocks()
    model.add_adapter("near", SpectralAdapterConfig(r=2, block=2, target_modules=["lin"]))
    model.add_adapter("turn", SpectralAdapterConfig(mode="rotation", r=2, block=5, target_modules=["lin"]))
    before = list(model.peft_config)
    with pytest.raises(ValueError, match=message):
        model.add_weighted_adapter(*arguments)
    assert list(model.peft_config) == list(layer.configs) == before


def test_adapters_are_not_fused_while_one_is_merged():
    model, layer, names = three_blocks()
    model.merge_adapter()
    with pytest.raises(ValueError, match="unmerge default before adding an adapter"):
        model.add_weighted_adapter(names, [1, 1, 1], "fused")
    assert "fused" not in layer.configs


def test_the_heads_of_fused_adapters_are_left_out():
    base = two_layers()
    head = base[1].weight.detach().clone()
    config = {"r": 2, "target_modules": ["0"], "modules_to_save": ["1"]}
    model = peft.get_peft_model(base, SpectralAdapterConfig(**config))
    model.add_adapter("two", SpectralAdapterConfig(block=2, **config))
    model.base_model.model[1].modules_to_save["two"].weight.data += 1
    model.add_weighted_adapter(["default", "two"], [1, 1], "fused")
    assert model.peft_config["fused"].modules_to_save is None
    model.set_adapter("fused")
    x = torch.randn(5, 9, dtype=torch.float64)
    torch.testing.assert_close(model.base_model.model[1](x), x @ head.T + base[1].original_module.bias)
