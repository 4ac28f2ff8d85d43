"""`share="role"`: layers of one role train one set of tensors, each in the singular basis of its own weight."""

import copy

import peft
import pytest
import torch
from torch import nn

from svft import SvftConfig, patterns, select_by_gradient
from svft.basis.sharing import role
from tests.svft.sharing_cases import (
    CONFIGS,
    COUNTS,
    NAMES,
    D,
    Model,
    X,
    adapted,
    draw,
    each_config,
    gradients,
    layers_of,
    unshared,
)  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore:pattern='topk'")


@each_config
def test_the_gradient_of_what_is_shared_is_the_sum_of_those_of_the_copies(config):
    model = adapted(config)
    own = unshared(config, model)
    torch.testing.assert_close(own(X), model(X), rtol=1e-10, atol=1e-10)
    sums = {}
    for name, gradient in gradients(own).items():
        sums[role(name)] = sums.get(role(name), 0) + gradient
    found = gradients(model)
    assert {role(name) for name in found} == sums.keys() and len(found) == len(sums)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, sums[role(name)], rtol=1e-9, atol=1e-10, msg=name)


@pytest.mark.parametrize("name", COUNTS)
def test_what_is_shared_is_counted_once_with_weights_and_without(name):
    model = adapted(CONFIGS[name])
    with torch.device("meta"):
        empty = peft.get_peft_model(Model(), CONFIGS[name](share="role"))
    for each in (model, empty):
        assert each.get_nb_trainable_parameters()[0] == COUNTS[name]
        assert sum(p.numel() for p in each.parameters() if p.requires_grad) == COUNTS[name]


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "released"])  # which starts from a draw
def test_training_starts_at_the_pre_trained_function(name):
    torch.testing.assert_close(adapted(CONFIGS[name], drawn=False)(X), Model()(X), rtol=1e-10, atol=1e-10)


@each_config
def test_merged_disabled_deleted_and_copied_it_is_as_any_other_adapter(config):
    model = adapted(config)
    expected, start = model(X), Model()(X)
    model.add_adapter("own", config())
    model.set_adapter("own")
    draw(model, seed=5)
    by_own = model(X)
    model.set_adapter("default")
    torch.testing.assert_close(model(X), expected)
    with model.disable_adapter():
        torch.testing.assert_close(model(X), start)
    model.merge_adapter()
    torch.testing.assert_close(model(X), expected)
    model.unmerge_adapter()
    torch.testing.assert_close(model(X), expected)
    rows = model.eval()(X, adapter_names=["own", "default", "__base__"])
    torch.testing.assert_close(rows, torch.stack([by_own[0], expected[1], start[2]]))

    twin = copy.deepcopy(model.train())
    draw(twin)
    assert not torch.allclose(twin(X), expected)
    torch.testing.assert_close(model(X), expected)
    assert len(gradients(twin)) == len(gradients(model)) > 0
    peft.get_layer_status(model)

    model.delete_adapter("default")
    torch.testing.assert_close(model(X), by_own)
    assert not any("default" in name for name, _ in [*model.named_parameters(), *model.named_buffers()])
    model.add_adapter("default", config(share="role"))
    torch.testing.assert_close(model.merge_and_unload(adapter_names=["own"])(X), by_own)


@each_config
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_is_cast_keeps_one_set_of_tensors(config, dtype):
    model = adapted(config)
    names, own = sorted(gradients(model)), unshared(config, model).to(dtype)
    found, expected = model.to(dtype)(X.to(dtype)), own(X.to(dtype))
    assert found.dtype == dtype
    assert (found - expected).norm() <= (1e-5 if dtype == torch.float32 else 0.03) * expected.norm()
    found.sum().backward()
    assert sorted(name for name, p in model.named_parameters() if p.grad is not None) == names


def test_random_draws_one_pattern_for_a_role_whichever_block_comes_first():
    model = peft.get_peft_model(Model(), CONFIGS["random"](share="role"))
    last = SvftConfig(pattern="random", d=2, seed=3, share="role", target_modules=r"layers\.2\..*")
    later = peft.get_peft_model(Model(), last)
    of_roles = {role(layer.name): layer.index("default") for layer in layers_of(later)}
    for layer in layers_of(model):
        assert torch.equal(layer.index("default"), of_roles[role(layer.name)])
    assert not torch.equal(of_roles["layers.*.q"], of_roles["layers.*.up"])


def test_gradients_select_what_pulls_on_the_coefficients_that_layers_share():
    model = peft.get_peft_model(Model(), CONFIGS["gradient"](share="role"))
    every = peft.get_peft_model(Model(), SvftConfig(pattern="block", rank=D, share="role", target_modules=NAMES))
    scored = dict.fromkeys(("q", "up", "down"), 0)
    for batch in (X, X.flip(0) ** 2):
        every.zero_grad()
        every(batch).square().sum().backward()
        for layer in layers_of(every)[:3]:
            scored[layer.name.rpartition(".")[2]] += layer.svft_m["default"].grad.square()
    held = select_by_gradient(model, [X, X.flip(0) ** 2], lambda model, batch: model(batch).square().sum())
    assert set(held) == {f"layers.*.{name}" for name in NAMES}
    for layer in layers_of(model):
        scores = scored[layer.name.rpartition(".")[2]]
        expected = scores.argsort(descending=True)[: patterns.num_coefficients(D, 1)].sort().values
        assert torch.equal(layer.index("default").long(), expected)


def test_topk_of_a_role_is_that_of_the_sum_of_its_layers_scores():
    model = peft.get_peft_model(Model(), CONFIGS["topk"](share="role"))
    layers = [layer for layer in layers_of(model) if layer.name.endswith("q")]
    total = sum((layer.basis("default").U.T @ layer.basis("default").Vh.T).abs() for layer in layers)
    expected = total.flatten().argsort(descending=True)[: patterns.num_coefficients(D, 1)].sort().values
    for layer in layers:
        assert torch.equal(layer.index("default").long(), expected)


@pytest.mark.parametrize(("name", "expected"), [
    ("model.layers.3.self_attn.q_proj", "model.layers.*.self_attn.q_proj"),
    ("stages.0.blocks.11.qkv", "stages.*.blocks.*.qkv"),
    ("3.lin", "*.lin"),
    ("layers.0.1.lin", "layers.*.*.lin"),
    ("layers.0.mlp.2", "layers.*.mlp.2"),
    ("block2.lin", "block2.lin"),
    ("lin", "lin"),
])  # fmt: skip
def test_a_role_is_a_name_without_the_numbers_of_blocks(name, expected):
    assert role(name) == expected


def test_layers_of_one_role_and_two_shapes_are_two_groups():
    model = Model()
    model.layers[2].up, model.layers[2].down = nn.Linear(D, 6).double(), nn.Linear(6, D).double()
    model = peft.get_peft_model(model, SvftConfig(share="role", target_modules=["up"]))
    assert model.get_nb_trainable_parameters()[0] == D + 6
    holders = [layer.holders.get("default", layer).name for layer in layers_of(model)]
    assert holders == ["layers.0.up", "layers.0.up", "layers.2.up"]


def test_any_other_word_is_refused():
    with pytest.raises(ValueError, match="share='layer' is neither None nor 'role'"):
        SvftConfig(share="layer")


def test_adaptive_freezing_sees_each_shared_vector_once_under_the_name_of_its_role():
    model = adapted(CONFIGS["vectorfit"])
    vectors = list(model.base_model.trained_vectors())
    assert [vector.name for vector in vectors] == [
        f"layers.*.{name} {what}" for name in NAMES for what in ("sigma", "bias")
    ]
    assert len({id(vector.parameter) for vector in vectors}) == 6
    assert not any(vector.start.any() for vector in vectors)


def test_gradient_checkpointing_gives_the_same_gradients():
    model = adapted(CONFIGS["random"])
    expected = gradients(model)
    for layer in model.base_model.model.layers:
        forward = layer.forward
        layer.forward = lambda x, forward=forward: torch.utils.checkpoint.checkpoint(forward, x, use_reentrant=False)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)
