"""The modes of the spectral adapter beside what they are said to be: PEFT's PiSSA, MiLoRA, SSVD and PiCa."""

import peft
import pytest
import torch

from .spectral_cases import adapted, copies, draw, one_linear, turned


@pytest.fixture(autouse=True)
def no_svd_cache(monkeypatch):
    monkeypatch.setenv("SVFT_CACHE_DIR", "off")
    torch.manual_seed(0)


def lora(out: int, inp: int, init: bool | str, dtype: torch.dtype = torch.float32):
    config = peft.LoraConfig(r=3, lora_alpha=3, init_lora_weights=init, target_modules=["lin"])
    return peft.get_peft_model(one_linear(out, inp, dtype), config)


def started(block: str):
    """(ours at its start, PEFT's LoRA as MiLoRA's released code starts it: B = U1 S^1/2, A = S^1/2 V1^T, W0 - B A)."""
    model, layer = adapted(9, 14, mode="factored", block=block, drawn=False)
    U, s, Vh = layer.basis("default")
    theirs = lora(9, 14, True, torch.float64).double()
    tuned = theirs.base_model.model.lin
    tuned.lora_B["default"].weight.data = U * s.sqrt()
    tuned.lora_A["default"].weight.data = s.sqrt()[:, None] * Vh
    tuned.base_layer.weight.data -= tuned.get_delta_weight("default")
    return model, theirs


def factors(theirs) -> tuple[torch.nn.Parameter, torch.nn.Parameter]:
    layer = theirs.base_model.model.lin
    return layer.lora_B["default"].weight, layer.lora_A["default"].weight


def weight(model) -> torch.Tensor:
    layer = model.base_model.model.lin
    return (layer.base_layer.weight + layer.get_delta_weight("default")).detach()


def test_the_start_on_the_top_columns_is_that_of_pissa_in_peft():
    """Their factors are the same up to the signs of pairs, which B and A have in common."""
    _, layer = adapted(9, 14, torch.float32, mode="factored", drawn=False)
    U, s, Vh = layer.basis("default")
    B, A = factors(lora(9, 14, "pissa"))
    signs = (B * U).sum(0).sign()
    torch.testing.assert_close(B * signs, U * s.sqrt(), atol=1e-5, rtol=0)
    torch.testing.assert_close(A * signs[:, None], s.sqrt()[:, None] * Vh, atol=1e-5, rtol=0)


@pytest.mark.parametrize("block", ["top", "bottom"])
def test_gradients_are_those_of_pissa_and_of_milora_at_the_start_and_later(block):
    ours, theirs = started(block)
    trained, (B, A) = ours.base_model.model.lin.trained("default"), factors(theirs)
    x, g = torch.randn(6, 14, dtype=torch.float64), torch.randn(6, 9, dtype=torch.float64)
    for step in [torch.zeros(3), torch.randn(3)]:
        with torch.no_grad():
            trained["spectral_D_B"] += step
            B += step
            trained["spectral_D_A"] -= 2 * step
            A -= 2 * step[:, None]
        for model in (ours, theirs):
            model.zero_grad()
            (model(x) * g).sum().backward()
        torch.testing.assert_close(trained["spectral_D_B"].grad, B.grad, atol=1e-10, rtol=0)
        torch.testing.assert_close(trained["spectral_D_A"].grad, A.grad.T, atol=1e-10, rtol=0)
        assert B.grad.norm() > 0.1


@pytest.mark.parametrize("block", ["top", "bottom"])
def test_adam_takes_the_same_steps_as_on_the_factors_themselves(block):
    models = started(block)
    x, y = torch.randn(40, 14, dtype=torch.float64), torch.randn(40, 9, dtype=torch.float64)
    for model in models:
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02, weight_decay=0)
        for _ in range(5):
            optimizer.zero_grad()
            (model(x) - y).square().mean().backward()
            optimizer.step()
    assert (weight(models[0]) - one_linear(9, 14).lin.weight).norm() > 0.1
    torch.testing.assert_close(weight(models[0]), weight(models[1]), atol=1e-9, rtol=0)


def test_weight_decay_draws_to_the_start_where_that_of_the_factors_takes_their_part_of_the_weight_away():
    distances = []
    for model in started("top"):
        W = weight(model)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=1)
        for _ in range(3):
            (0 * model(torch.randn(6, 14, dtype=torch.float64)).sum()).backward()
            optimizer.step()
        distances.append((weight(model) - W).norm())
    assert distances[0] == 0
    assert distances[1] > 1


def test_directions_without_weight_get_no_gradient():
    """Of a weight of rank 6 MiLoRA's three last directions have B = 0 and A = 0."""
    base = one_linear(9, 14)
    U, s, Vh = torch.linalg.svd(base.lin.weight.detach(), full_matrices=False)
    base.lin.weight.data = U[:, :6] @ torch.diag(s[:6]) @ Vh[:6]
    config = adapted(9, 14, mode="factored", block="bottom")[0].peft_config["default"]
    model = peft.get_peft_model(base, config)
    model(torch.randn(6, 14, dtype=torch.float64)).square().sum().backward()
    assert all(p.grad.norm() < 1e-5 for p in model.parameters() if p.requires_grad)


def test_one_sided_is_the_rotation_of_the_input_alone_with_a_scale():
    """U1 (S + D_S) G V1^T is U1 S C (V1 R_V)^T with C = 1 + D_S / S and R_V = G^T."""
    _, ours = adapted(9, 14, mode="one_sided")
    _, other = adapted(9, 14, mode="rotation", scale=True, drawn=False)
    numbers, changes, s = *copies(ours).values(), ours.basis("default").s
    X = torch.zeros(3, 3, dtype=torch.float64)
    X[*torch.triu_indices(3, 3, 1)] = -2 * numbers.detach()  # Cayley's map of -K is the transpose
    other.spectral_X_V["default"].data = X
    other.spectral_scale["default"].data = 1 + changes.detach() / s
    torch.testing.assert_close(ours.get_delta_weight("default"), other.get_delta_weight("default"))


def test_one_sided_leaves_the_singular_values_that_it_does_not_train():
    model, layer = adapted(9, 14, mode="one_sided")
    layer.spectral_D_S["default"].data.zero_()
    start = torch.linalg.svdvals(one_linear(9, 14).lin.weight.detach())
    torch.testing.assert_close(torch.linalg.svdvals(weight(model)), start)


def test_the_released_rotation_of_ssvd_is_the_first_order_of_cayley_s_map_and_is_none():
    """I - 2 K, as in ESPnet: it grows the singular values with the square of K."""
    numbers = torch.randn(10, dtype=torch.float64)
    K = torch.zeros(5, 5, dtype=torch.float64)
    K[*torch.triu_indices(5, 5, 1)] = numbers
    K, identity = K - K.T, torch.eye(5, dtype=torch.float64)
    G = turned(1e-3 * numbers, 5)
    assert (G - (identity - 2e-3 * K)).norm() < 1e-5 * K.norm() ** 2
    torch.testing.assert_close(turned(numbers, 5) @ turned(numbers, 5).T, identity)
    assert torch.linalg.svdvals(identity - 2 * K)[0] > 1.5


def test_right_is_the_released_formula_of_pica():
    """Y = X (W0 + U_r M), with W0 I x O and U_r its leading left singular vectors."""
    model, layer = adapted(9, 14, mode="right")
    W0 = layer.base_layer.weight.detach().T
    U_r = torch.linalg.svd(W0, full_matrices=False)[0][:, :3]
    U_r = U_r * (U_r.T * layer.basis("default").Vh).sum(1).sign()  # the signs that M was trained with
    M = layer.trained("default")["spectral_M_U"].detach().T
    x = torch.randn(5, 14, dtype=torch.float64)
    torch.testing.assert_close(model(x), x @ (W0 + U_r @ M))


def test_left_is_right_on_the_other_side():
    ours, layer = adapted(9, 14, mode="left")
    base = one_linear(14, 9)
    base.lin.weight.data = layer.base_layer.weight.detach().T.contiguous()
    config = adapted(14, 9, mode="right")[0].peft_config["default"]
    other = peft.get_peft_model(base, config)
    mirrored = other.base_model.model.lin
    signs = (mirrored.basis("default").Vh.T * layer.basis("default").U).sum(0).sign()
    mirrored.spectral_M_U["default"].data = layer.spectral_M_V["default"].detach() * signs
    torch.testing.assert_close(weight(other).T, weight(ours))


def test_a_rotation_is_combined_with_one_of_the_same_columns_in_another_order():
    """Columns 4, 2 and 2, 4: the one number of the second has the other sign in the order of the first."""
    columns = {"r": None, "mode": "one_sided", "target_modules": ["lin"]}
    model, layer = adapted(9, 14, columns=[4, 2], **columns)
    other = type(model.peft_config["default"])(columns=[2, 4], **columns)
    model.add_adapter("other", other)
    draw(layer, "other", seed=3)
    model.add_weighted_adapter(["default", "other"], [1, 1], "both", combination_type="linear")
    K, D_S = layer.spectral_K, layer.spectral_D_S
    torch.testing.assert_close(K["both"], K["default"] - K["other"])
    torch.testing.assert_close(D_S["both"], D_S["default"] + D_S["other"].flip(0))


def test_one_sided_is_psoft_in_peft_with_factors_on_one_side():
    """Their Q is our -K, and their vector_b multiplies the singular values that D_S is added to."""
    ours, layer = adapted(9, 14, torch.float32, mode="one_sided")
    options = {"ab_svd_init": "psoft_init", "psoft_mag_b": True, "psoft_mag_a": False, "psoft_svd": "full"}
    config = peft.PsoftConfig(r=3, psoft_alpha=3, target_modules=["lin"], **options)
    theirs = peft.get_peft_model(one_linear(9, 14, torch.float32), config)
    tuned, (U, s, Vh) = theirs.base_model.model.lin, layer.basis("default")
    A, B = tuned._get_psoft_ab_cache_buffers("default")
    signs = (A * Vh).sum(1).sign()
    torch.testing.assert_close(A * signs[:, None], Vh, atol=1e-5, rtol=0)
    torch.testing.assert_close(B * signs, U * s, atol=1e-5, rtol=0)
    i, j = torch.triu_indices(3, 3, 1)
    R = tuned.psoft_R["default"]
    R.weight.data = -layer.spectral_K["default"].detach() * signs[i] * signs[j]
    R.vector_b.data = 1 + layer.spectral_D_S["default"].detach() / s
    x = torch.randn(5, 14)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-4, rtol=0)
    assert ours.get_nb_trainable_parameters()[0] == theirs.get_nb_trainable_parameters()[0]
    for model in (ours, theirs):
        model(x).square().sum().backward()
    torch.testing.assert_close(
        layer.spectral_K["default"].grad * signs[i] * signs[j], -R.weight.grad, rtol=1e-4, atol=0
    )
    torch.testing.assert_close(layer.spectral_D_S["default"].grad * s, R.vector_b.grad, rtol=1e-4, atol=0)


def test_left_on_the_bottom_columns_is_mica_in_peft():
    """MiCA (arXiv:2604.01694): W0 + B A with B the last left singular vectors, frozen, and A from 0."""
    ours, layer = adapted(9, 14, torch.float32, mode="left", block="bottom")
    theirs = lora(9, 14, "mica")
    B, A = factors(theirs)
    signs = (B * layer.basis("default").U).sum(0).sign()
    torch.testing.assert_close(B * signs, layer.basis("default").U, atol=1e-5, rtol=0)
    A.data = (layer.spectral_M_V["default"].detach() * signs).T.contiguous()
    x = torch.randn(5, 14)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-4, rtol=0)
    assert ours.get_nb_trainable_parameters()[0] == theirs.get_nb_trainable_parameters()[0]
