"""One layer with a Spectral Adapter against the dense formulas in float64, and what the paper says about them."""

import peft
import pytest
import torch
from transformers.pytorch_utils import Conv1D

from baselines.spectral import SpectralAdapterConfig
from baselines.spectral.modes import rotation_less_identity

from .spectral_cases import BLOCKS, KINDS, SHAPES, adapted, cayley, copies, dense, draw, one_linear, svd_like


@pytest.fixture(autouse=True)
def no_svd_cache(monkeypatch):
    monkeypatch.setenv("SVFT_CACHE_DIR", "off")
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", BLOCKS)
def test_output_update_and_merged_weight_are_those_of_the_dense_formula(shape, kind, block):
    model, layer = adapted(*shape, block=block, **kind)
    W, x = dense(layer, BLOCKS[block], copies(layer)).detach(), torch.randn(3, 5, shape[1], dtype=torch.float64)
    W0 = layer.base_layer.weight.detach().clone()
    torch.testing.assert_close(model(x), x @ W.T, atol=1e-10, rtol=0)
    torch.testing.assert_close(W0 + layer.get_delta_weight("default"), W, atol=1e-10, rtol=0)
    model.merge_adapter(safe_merge=True)
    torch.testing.assert_close(layer.base_layer.weight, W, atol=1e-10, rtol=0)
    torch.testing.assert_close(model(x), x @ W.T, atol=1e-10, rtol=0)
    model.unmerge_adapter()
    torch.testing.assert_close(layer.base_layer.weight, W0, atol=1e-10, rtol=0)
    torch.testing.assert_close(model.merge_and_unload()(x), x @ W.T, atol=1e-10, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("drawn", [False, True])
def test_gradients_are_those_of_the_dense_formula(shape, kind, drawn):
    model, layer = adapted(*shape, block=2, drawn=drawn, **kind)
    x, g = torch.randn(6, shape[1], dtype=torch.float64), torch.randn(6, shape[0], dtype=torch.float64)
    (model(x) * g).sum().backward()
    trained = copies(layer)
    ((x @ dense(layer, BLOCKS[2], trained).T) * g).sum().backward()
    for name, tensor in layer.trained("default").items():
        assert tensor.grad.norm() > 1e-3, name  # also at the start
        torch.testing.assert_close(tensor.grad, trained[name].grad, atol=1e-10, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_starts_at_the_pre_trained_function_bit_for_bit(kind, dtype):
    model, layer = adapted(9, 14, dtype, drawn=False, **kind)
    x = torch.randn(5, 14, dtype=dtype)
    assert torch.equal(model(x), one_linear(9, 14, dtype)(x))
    assert not layer.get_delta_weight("default").any()


COUNTS = [3 * (9 + 14), 2 * 3 * 3, 2 * 3 * 3 + 3, 3 * (9 + 14), 3 * 4 // 2, 3 * 9, 3 * 14]


@pytest.mark.parametrize(("kind", "count"), zip(KINDS, COUNTS, strict=True), ids=str)
def test_number_of_trained_parameters(kind, count):
    model, _ = adapted(9, 14, **kind)
    assert model.get_nb_trainable_parameters()[0] == count
    model(torch.randn(5, 14, dtype=torch.float64)).square().sum().backward()
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.grad is not None) == count


def test_the_additive_update_has_rank_2r():
    _, layer = adapted(12, 20)
    assert torch.linalg.matrix_rank(layer.get_delta_weight("default")) == 6


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind["mode"] in ("rotation", "one_sided")])
def test_the_update_of_a_rotation_has_rank_r_and_stays_in_the_columns(kind):
    _, layer = adapted(12, 20, r=4, **kind)
    delta, U = layer.get_delta_weight("default"), layer.basis("default").U
    assert torch.linalg.matrix_rank(delta) == 4
    torch.testing.assert_close(U @ (U.T @ delta), delta)


def test_rank_capacity_is_2r_where_that_of_lora_is_r():
    """The ranks that a tuned 12 x 20 weight can take: from 6 with r = 3, from 9 with LoRA of the same size."""
    model, layer = adapted(12, 20)
    columns, (U, s, V) = [0, 1, 2], svd_like(layer, [0, 1, 2])
    # Three other terms of the sum s_i u_i v_i^T are taken away in place of the first three.
    layer.spectral_A_U["default"].data = -U[:, 3:6] * s[3:6] / s[columns] - U[:, columns]
    layer.spectral_A_V["default"].data = V[:, 3:6] - V[:, columns]
    W0 = layer.base_layer.weight.detach()
    assert torch.linalg.matrix_rank(W0) == 12
    assert torch.linalg.matrix_rank(W0 + layer.get_delta_weight("default")) == 6

    lora = peft.get_peft_model(one_linear(12, 20), peft.LoraConfig(r=3, lora_alpha=3, target_modules=["lin"]))
    assert lora.get_nb_trainable_parameters()[0] == model.get_nb_trainable_parameters()[0]
    tuned = lora.base_model.model.lin
    tuned.lora_B["default"].weight.data = -U[:, columns] * s[columns]
    tuned.lora_A["default"].weight.data = V[:, columns].T.contiguous()
    # rank(W0 + B A) >= 12 - 3, and the best that there is reaches it.
    assert torch.linalg.matrix_rank(W0 + tuned.get_delta_weight("default")) == 9


def pissa(out: int, inp: int):
    config = peft.LoraConfig(r=3, lora_alpha=3, init_lora_weights="pissa", target_modules=["lin"])
    return peft.get_peft_model(one_linear(out, inp, torch.float32), config)


def tuned_weight(model) -> torch.Tensor:
    layer = model.base_model.model.lin
    return layer.base_layer.weight.detach() + layer.get_delta_weight("default").detach()


def test_pissa_reaches_the_same_weights_and_the_other_way_round():
    """B = (U1 + A_U) S^1/2, A = S^1/2 (V1 + A_V)^T is one-to-one."""
    theirs, (ours, layer) = pissa(9, 14), adapted(9, 14, torch.float32, drawn=False)
    U, s, Vh = layer.basis("default")
    factors = theirs.base_model.model.lin
    A, B = factors.lora_A["default"].weight, factors.lora_B["default"].weight
    for tensor in (A, B):
        tensor.data += torch.randn(tensor.shape)  # as after training
    layer.spectral_A_U["default"].data = B.detach() / s.sqrt() - U
    layer.spectral_A_V["default"].data = A.detach().T / s.sqrt() - Vh.T
    torch.testing.assert_close(tuned_weight(ours), tuned_weight(theirs), atol=1e-5, rtol=0)

    draw(layer, seed=4)
    assert (tuned_weight(ours) - tuned_weight(theirs)).norm() > 1
    B.data = (U + layer.spectral_A_U["default"].detach()) * s.sqrt()
    A.data = (s.sqrt() * (Vh.T + layer.spectral_A_V["default"].detach())).T.contiguous()
    torch.testing.assert_close(tuned_weight(theirs), tuned_weight(ours), atol=1e-5, rtol=0)


def test_one_step_of_adam_moves_a_direction_by_s_where_pissa_moves_it_by_its_root():
    """From the same weight with the same gradient: column i of A_U counts s_i times, column i of B sqrt(s_i) times."""
    x, y, moved = torch.randn(40, 14), torch.randn(40, 9), []
    models = [adapted(9, 14, torch.float32, drawn=False)[0], pissa(9, 14)]
    U, s, Vh = models[0].base_model.model.lin.basis("default")
    for model in models:
        before = tuned_weight(model)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=1e-4)
        (model(x) - y).square().mean().backward()
        optimizer.step()
        step = (tuned_weight(model) - before) @ Vh.T  # (9, 3): what happens to v_i
        moved.append((step - U @ (U.T @ step)).norm(dim=0))  # outside of span(U1) only A_U, or B, acts
    torch.testing.assert_close(moved[0] / moved[1], s.sqrt(), rtol=0.02, atol=0)


def test_a_rotation_keeps_the_spectrum_and_the_scale_changes_only_its_own_values():
    for block, columns in BLOCKS.items():
        for scale in (False, True):
            _, layer = adapted(9, 14, mode="rotation", block=block, scale=scale)
            W0 = layer.base_layer.weight.detach()
            expected = torch.linalg.svdvals(W0)
            if scale:
                expected[columns] *= layer.spectral_scale["default"].detach().abs()
            spectrum = torch.linalg.svdvals(W0 + layer.get_delta_weight("default"))
            torch.testing.assert_close(spectrum.detach(), expected.sort(descending=True).values)
            assert layer.get_delta_weight("default").norm() > 1


def test_only_the_skew_part_of_a_rotation_matters():
    _, layer = adapted(9, 14, mode="rotation", scale=True)
    before = layer.get_delta_weight("default").detach()
    for X in (layer.spectral_X_U["default"], layer.spectral_X_V["default"]):
        Y = torch.randn(3, 3, dtype=torch.float64)
        X.data += Y + Y.T
    torch.testing.assert_close(layer.get_delta_weight("default").detach(), before)


def test_rotations_are_orthogonal_of_determinant_one():
    identity = torch.eye(5, dtype=torch.float64)
    X = 3 * torch.randn(7, 5, 5, dtype=torch.float64)
    R = rotation_less_identity(X) + identity
    torch.testing.assert_close(R @ R.mT, identity.expand(7, 5, 5))
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(7, dtype=torch.float64))
    torch.testing.assert_close(R, torch.stack([cayley(each) for each in X]))


@pytest.mark.parametrize("kind", KINDS)
def test_small_updates_in_fp32_are_as_exact_as_large_ones(kind):
    """R_U S R_V^T - S taken literally would leave 1e-6 of a change with a rounding error as large as itself."""
    _, layer = adapted(32, 48, torch.float32, drawn=False, **kind)
    draw(layer, size=1e-6)
    if kind.get("scale"):
        layer.spectral_scale["default"].data += 1
    W0, trained = layer.base_layer.weight.detach().double(), copies(layer)
    expected = (dense(layer, [0, 1, 2], trained) - W0).detach()
    error = (layer.get_delta_weight("default").double() - expected).norm() / expected.norm()
    assert error < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_bf16_base_keeps_fp32_columns_and_coefficients(kind):
    model, layer = adapted(32, 48, torch.bfloat16, **kind)
    assert {tensor.dtype for tensor in (*layer.basis("default"), *layer.trained("default").values())} == {torch.float32}
    exact = torch.linalg.svd(layer.base_layer.weight.detach().double(), full_matrices=False)
    torch.testing.assert_close(layer.basis("default").s, exact.S[:3].float())
    U = layer.basis("default").U.double()
    torch.testing.assert_close((U * exact.U[:, :3]).sum(0).abs(), torch.ones(3, dtype=torch.float64))
    delta = layer.get_delta_weight("default")
    assert delta.dtype == torch.float32
    expected = dense(layer, [0, 1, 2], copies(layer)).detach() - layer.base_layer.weight.double()
    assert (delta - expected).norm() < 1e-5 * expected.norm()
    x = torch.randn(5, 48, dtype=torch.bfloat16)
    y = model(x)
    assert y.dtype == torch.bfloat16
    exact = x.double() @ dense(layer, [0, 1, 2], copies(layer)).T
    assert (y.double() - exact).norm() < 5e-3 * exact.norm()


def test_updates_that_a_bf16_sum_would_lose_change_the_output():
    """The released code trains U1 + A_U as a bf16 sum: less than half of the spacing of bf16 leaves it as it was."""
    model, layer = adapted(64, 64, torch.bfloat16, drawn=False, r=32)
    U = layer.basis("default").U
    spacing = 2.0 ** (torch.floor(torch.log2(U.bfloat16().float().abs())) - 7)
    A_U = (0.4 * spacing * U.sign()).bfloat16()  # away from zero, where the spacing does not shrink
    assert torch.equal(U.bfloat16() + A_U, U.bfloat16())
    layer.spectral_A_U["default"].data = A_U.float()
    x = torch.randn(50, 64, dtype=torch.bfloat16)
    assert (model(x) != one_linear(64, 64, torch.bfloat16)(x)).float().mean() > 0.2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bf16_autocast_trains_fp32_coefficients_close_to_fp32(kind, dtype):
    model, layer = adapted(32, 48, dtype, drawn=False, **kind)
    draw(layer, size=0.3)
    x, g, trained = torch.randn(5, 48).to(dtype), torch.randn(5, 32), copies(layer)
    expected = x.double() @ dense(layer, [0, 1, 2], trained).T
    (expected * g).sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
        delta = layer.get_delta_weight("default")
        assert y.dtype == torch.bfloat16
        (y * g).sum().backward()
    assert delta.dtype == torch.float32
    change = dense(layer, [0, 1, 2], trained) - layer.base_layer.weight.double()
    assert (delta - change).norm() / change.norm() < 1e-5  # rotations and products of small matrices are never bf16
    assert (y - expected).norm() / expected.norm() < 0.02
    for name, tensor in layer.trained("default").items():
        assert tensor.grad.dtype == torch.float32
        assert (tensor.grad - trained[name].grad).norm() / trained[name].grad.norm() < 0.03, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_cast_to_bf16_still_runs(kind):
    model, layer = adapted(32, 48, torch.float32, drawn=False, **kind)
    draw(layer, size=0.3)
    x = torch.randn(5, 48)
    expected = model(x)
    rounded = model.to(torch.bfloat16)(x.bfloat16())
    assert rounded.dtype == torch.bfloat16
    assert (rounded - expected).norm() / expected.norm() < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_a_conv1d_is_adapted_as_the_linear_layer_it_is(kind):
    linear, layer = adapted(9, 14, **kind)
    model = torch.nn.Sequential()
    model.add_module("lin", Conv1D(9, 14).double())
    model.lin.weight.data = layer.base_layer.weight.detach().T.contiguous()
    conv = peft.get_peft_model(model, linear.peft_config["default"])
    draw(conv.base_model.model.lin)
    x = torch.randn(3, 5, 14, dtype=torch.float64)
    expected = linear(x)
    torch.testing.assert_close(conv(x), expected)
    conv.merge_adapter()
    torch.testing.assert_close(conv(x), expected)


def test_a_layer_keeps_r_columns_per_adapter_and_no_matrix_of_its_size():
    model, layer = adapted(40, 50)
    model.add_adapter("other", SpectralAdapterConfig(r=2, block=10, target_modules=["lin"]))
    assert layer.basis("default").U.shape == (40, 3)
    assert layer.basis("other").Vh.shape == (2, 50)
    assert max(tensor.untyped_storage().nbytes() for tensor in model.buffers()) <= 50 * 3 * 8


@pytest.mark.parametrize("kind", KINDS)
def test_the_forward_pass_builds_no_dense_weight(kind):
    model, _ = adapted(40, 50, **kind)
    sizes = []

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            made = result if isinstance(result, (tuple, list)) else [result]
            sizes.extend(
                each.numel() for each in made if isinstance(each, torch.Tensor) and func._schema.name != "aten::t"
            )
            return result

    with Sizes():
        model(torch.randn(1, 50, dtype=torch.float64))
    assert 0 < max(sizes) < 40 * 50 / 2


def test_a_second_adapter_on_the_same_columns_needs_no_second_decomposition(monkeypatch):
    model, layer = adapted(9, 14)
    monkeypatch.setattr("svft.basis.layer.decompose", lambda weight: pytest.fail("decomposed twice"))
    model.add_adapter("other", SpectralAdapterConfig(mode="rotation", r=2, block=1, target_modules=["lin"]))
    assert torch.equal(layer.basis("other").U, layer.basis("default").U[:, 1:])


def test_adapters_on_other_columns_share_one_decomposition_through_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SVFT_CACHE_DIR", str(tmp_path))
    model, layer = adapted(9, 14)
    monkeypatch.setattr("svft.basis.layer.decompose", lambda weight: pytest.fail("decomposed twice"))
    model.add_adapter("other", SpectralAdapterConfig(r=2, block=5, target_modules=["lin"]))
    s = torch.linalg.svdvals(layer.base_layer.weight.detach())
    torch.testing.assert_close(layer.basis("other").s, s[5:7])


@pytest.mark.filterwarnings("ignore:Adapter cannot be set when the model is merged", "ignore:Already unmerged")
def test_an_adapter_added_while_another_is_merged_is_refused_unless_its_columns_are_known():
    model, layer = adapted(9, 14)
    model.merge_adapter()
    with pytest.raises(ValueError, match="layer 'lin': unmerge default before adding an adapter"):
        model.add_adapter("far", SpectralAdapterConfig(r=2, block=5, target_modules=["lin"]))
    assert list(model.peft_config) == ["default"]
    model.add_adapter("near", SpectralAdapterConfig(r=2, target_modules=["lin"]))
    assert torch.equal(layer.basis("near").U, layer.basis("default").U[:, :2])
    model.unmerge_adapter()
    model.add_adapter("far", SpectralAdapterConfig(r=2, block=5, target_modules=["lin"]))
    s = torch.linalg.svdvals(one_linear(9, 14).lin.weight.detach())
    torch.testing.assert_close(layer.basis("far").s, s[5:7])


@pytest.mark.parametrize("kind", KINDS)
def test_init_weights_false_draws_a_start_that_is_no_identity_and_leaves_the_rng_alone(kind):
    deltas = []
    for seed in range(2):
        model, config = (
            one_linear(9, 14),
            SpectralAdapterConfig(r=3, target_modules=["lin"], init_weights=False, **kind),
        )
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        deltas.append(peft.get_peft_model(model, config).base_model.model.lin.get_delta_weight("default"))
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(*deltas)
    assert deltas[0].norm() > 0.1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "turn"}, "mode='turn' is not one of additive, rotation, factored, one_sided, right, left"),
        ({"scale": True}, "scale=True goes with mode='rotation', not with mode='additive'"),
        ({"r": None}, "r=None is not an integer >= 1"),
        ({"r": 0}, "r=0 is not an integer >= 1"),
        ({"block": "middle"}, "block='middle' is not top, bottom or an integer >= 0"),
        ({"block": -1}, "block=-1 is not top, bottom"),
        ({"columns": "12"}, "columns='12' is not a list"),
        ({"columns": []}, r"columns=\[\] is not a list of integers"),
        ({"columns": [1, 2]}, "columns stand in place of r=3 and block=None"),
        ({"r": None, "block": "top", "columns": [1]}, "columns stand in place of r=None and block='top'"),
        ({"weights": [1.0]}, "1 weights were given for 3 columns"),
        (
            {"r": 10},
            r"layer 'lin' \(9 x 14\): r=10 with block='top' asks for columns that are not there; min\(out, in\) is 9",
        ),
        ({"r": 10, "block": "bottom"}, r"layer 'lin' \(9 x 14\): r=10 with block='bottom' .* is 9"),
        ({"block": 7}, r"layer 'lin' \(9 x 14\): r=3 with block=7 asks .* is 9"),
        ({"r": None, "columns": [3, -6]}, r"layer 'lin' .* columns=\[3, -6\] name a column twice"),
        ({"r": None, "columns": [9]}, r"layer 'lin' .* columns=\[9\] asks for columns"),
    ],
)
def test_a_wrong_choice_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        adapted(9, 14, **wrong)


def test_columns_are_those_of_the_list_in_its_order():
    _, layer = adapted(9, 14, r=None, columns=(7, 0, -1))  # any sequence
    s = torch.linalg.svdvals(layer.base_layer.weight.detach())
    torch.testing.assert_close(layer.basis("default").s, s[[7, 0, 8]])


def test_adapters_can_be_disabled_switched_deleted_and_unloaded():
    model, layer = adapted(9, 14)
    model.add_adapter("other", SpectralAdapterConfig(mode="rotation", scale=True, r=2, target_modules=["lin"]))
    draw(layer, "other")
    x, base = torch.randn(5, 14, dtype=torch.float64), one_linear(9, 14)
    W0 = base.lin.weight
    with model.disable_adapter():
        assert torch.equal(model(x), base(x))
    model.set_adapter("other")
    torch.testing.assert_close(model(x), x @ (W0 + layer.get_delta_weight("other")).T)
    model.base_model.set_adapter(["default", "other"])
    both = layer.get_delta_weight("default") + layer.get_delta_weight("other")
    torch.testing.assert_close(model(x), x @ (W0 + both).T)
    model.delete_adapter("default")
    assert not [name for name in model.state_dict() if "default" in name]
    torch.testing.assert_close(model(x), x @ (W0 + layer.get_delta_weight("other")).T)
    assert torch.equal(model.unload()(x), base(x))
