"""One layer with a weight update against the formula of its kind, dense and in float64."""

import peft
import pytest
import torch
from transformers.pytorch_utils import Conv1D

from baselines import UpdateConfig
from baselines.updates import kronecker
from baselines.updates.kinds import KINDS
from baselines.updates.lu import ldu

from .spectral_cases import SHAPES, cayley, one_linear

OPTIONS = {
    "ssl": {},
    "ssb": {},
    "flora": {"r": 3, "alpha": 6},
    "loldu": {"pivots": 4, "lu_alpha": 2},
    "lora_dash": {"r": 3, "alpha": 6, "directions": 2},
    "soda": {"rotations": 2},
}


def loldu(W0: torch.Tensor, t: dict[str, torch.Tensor]) -> torch.Tensor:
    P, L, U = torch.linalg.lu(W0)
    D = U.diagonal()
    PL, U = (P @ L)[:, :4], (U[: len(D)] / D[:, None])[:4]
    residual = W0 - 0.5 * PL @ torch.diag(D[:4]) @ U
    return residual + t["sigma"] * PL @ torch.diag(t["z"]) @ U


def lora_dash(W0: torch.Tensor, t: dict[str, torch.Tensor]) -> torch.Tensor:
    """Without the chosen directions, of which test_lora_dash speaks."""
    return W0 + 2 * t["B"] @ t["A"] + 0 * t["d_sigma"].sum()


def soda(W0: torch.Tensor, t: dict[str, torch.Tensor]) -> torch.Tensor:
    U, s, Vh = torch.linalg.svd(W0, full_matrices=False)
    return U @ torch.diag(s + t["d_sigma"]) @ Vh @ torch.kron(cayley(t["X_1"]), cayley(t["X_2"]))


# The adapted weight, as the paper writes it, from W0 and what is trained.
DENSE = {
    "ssl": lambda W0, t: W0 @ torch.diag(t["d_in"]),
    "ssb": lambda W0, t: torch.diag(t["d_out"]) @ W0 @ torch.diag(t["d_in"]),
    "flora": lambda W0, t: W0 + 2 * t["B"] @ t["G"] @ t["A"],
    "loldu": loldu,
    "lora_dash": lora_dash,
    "soda": soda,
}
COUNT = {
    "ssl": lambda m, n: n,
    "ssb": lambda m, n: m + n,
    "flora": lambda m, n: 3 * (m + n) + 9,
    "loldu": lambda m, n: 4 + 1,
    "lora_dash": lambda m, n: 3 * (m + n) + 2,
    "soda": lambda m, n: min(m, n) + {9: 3**2 + 3**2, 14: 2**2 + 7**2}[n],
}
each_kind = pytest.mark.parametrize("kind", OPTIONS)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture(autouse=True)
def no_svd_cache(monkeypatch):
    monkeypatch.setenv("SVFT_CACHE_DIR", "off")
    torch.manual_seed(0)


def adapted(kind: str, shape, dtype: torch.dtype = torch.float64, drawn: bool = True, **options):
    """(model, its layer)."""
    config = UpdateConfig(kind=kind, target_modules=["lin"], **{**OPTIONS[kind], **options})
    model = peft.get_peft_model(one_linear(*shape, dtype), config)
    layer = model.base_model.model.lin
    if drawn:
        train(layer)
    return model, layer


def train(layer, size: float = 0.5) -> None:
    """As after training."""
    for tensor in layer.trained("default").values():
        tensor.data += size * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)).to(tensor)


def copies(layer) -> dict[str, torch.Tensor]:
    trained = layer.trained("default").items()
    return {name: tensor.detach().double().clone().requires_grad_() for name, tensor in trained}


def dense(layer, kind: str, trained: dict[str, torch.Tensor]) -> torch.Tensor:
    return DENSE[kind](layer.unmerged_weight().detach().double(), trained)


def test_every_kind_is_tested():
    assert OPTIONS.keys() == DENSE.keys() == COUNT.keys() == KINDS.keys()


@each_kind
@each_shape
def test_output_update_and_merged_weight_are_those_of_the_dense_formula(kind, shape):
    model, layer = adapted(kind, shape)
    W, x = dense(layer, kind, copies(layer)).detach(), torch.randn(3, 5, shape[1], dtype=torch.float64)
    W0 = layer.base_layer.weight.detach().clone()
    assert (W - W0).norm() > 0.1
    torch.testing.assert_close(model(x), x @ W.T, atol=1e-10, rtol=0)
    torch.testing.assert_close(W0 + layer.get_delta_weight("default"), W, atol=1e-10, rtol=0)
    model.merge_adapter(safe_merge=True)
    torch.testing.assert_close(layer.base_layer.weight, W, atol=1e-10, rtol=0)
    torch.testing.assert_close(model(x), x @ W.T, atol=1e-10, rtol=0)
    model.unmerge_adapter()
    torch.testing.assert_close(layer.base_layer.weight, W0, atol=1e-10, rtol=0)
    torch.testing.assert_close(model.merge_and_unload()(x), x @ W.T, atol=1e-10, rtol=0)


@each_kind
@each_shape
@pytest.mark.parametrize("drawn", [False, True])
def test_gradients_are_those_of_the_dense_formula(kind, shape, drawn):
    model, layer = adapted(kind, shape, drawn=drawn)
    x = torch.randn(6, shape[1], dtype=torch.float64, requires_grad=True)
    y, g = x.detach().clone().requires_grad_(), torch.randn(6, shape[0], dtype=torch.float64)
    (model(x) * g).sum().backward()
    trained = copies(layer)
    ((y @ dense(layer, kind, trained).T) * g).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, atol=1e-10, rtol=0)
    for name, tensor in layer.trained("default").items():
        torch.testing.assert_close(tensor.grad, trained[name].grad, atol=1e-10, rtol=0)
    assert any(tensor.grad.norm() > 1e-3 for tensor in layer.trained("default").values())  # also at the start


@each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_starts_at_the_pre_trained_function_bit_for_bit(kind, dtype):
    model, layer = adapted(kind, (9, 14), dtype, drawn=False)
    x = torch.randn(5, 14, dtype=dtype)
    assert torch.equal(model(x), one_linear(9, 14, dtype)(x))
    assert not layer.get_delta_weight("default").any()


@each_kind
@each_shape
def test_number_of_trained_parameters(kind, shape):
    model, _ = adapted(kind, shape)
    assert model.get_nb_trainable_parameters()[0] == COUNT[kind](*shape)
    model(torch.randn(5, shape[1], dtype=torch.float64)).square().sum().backward()
    assert sum(p.numel() for p in model.parameters() if p.grad is not None) == COUNT[kind](*shape)


@each_kind
def test_a_conv1d_is_adapted_as_the_linear_layer_it_is(kind):
    linear, layer = adapted(kind, (9, 14))
    base = torch.nn.Sequential()
    base.add_module("lin", Conv1D(9, 14).double())
    base.lin.weight.data = layer.base_layer.weight.detach().T.contiguous()
    conv = peft.get_peft_model(base, linear.peft_config["default"])
    train(conv.base_model.model.lin)
    x = torch.randn(3, 5, 14, dtype=torch.float64)
    torch.testing.assert_close(conv(x), linear(x))
    conv.merge_adapter()
    torch.testing.assert_close(conv(x), linear(x))


@each_kind
def test_several_merged_adapters_add_up_and_come_off_again_in_any_state(kind):
    """A kind that scales W0 must not scale what another adapter added."""
    model, layer = adapted(kind, (9, 14))
    other = UpdateConfig(kind=kind, target_modules=["lin"], init_weights=False, **OPTIONS[kind])
    model.add_adapter("other", other)
    W0, x = layer.base_layer.weight.detach().clone(), torch.randn(4, 14, dtype=torch.float64)
    expected = W0 + layer.get_delta_weight("default") + layer.get_delta_weight("other")
    model.base_model.set_adapter(["default", "other"])
    torch.testing.assert_close(model(x), x @ expected.T)
    model.merge_adapter(["default"])
    model.merge_adapter(["other"])
    torch.testing.assert_close(layer.base_layer.weight.data, expected)
    model.unmerge_adapter()
    torch.testing.assert_close(layer.base_layer.weight.data, W0)
    assert layer.basis_weight is None  # W0 is not kept twice


@each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_and_16_bits_are_close_to_the_dense_formula_in_output_and_gradients(kind, dtype):
    model, layer = adapted(kind, (32, 48), dtype)
    x, g, trained = torch.randn(20, 48).to(dtype), torch.randn(20, 32), copies(layer)
    expected = x.double() @ dense(layer, kind, trained).T
    (expected * g).sum().backward()
    change = dense(layer, kind, trained) - layer.base_layer.weight.double()
    with torch.autocast("cpu", torch.bfloat16):
        y, delta = model(x), layer.get_delta_weight("default")
        assert y.dtype == torch.bfloat16
        (y * g).sum().backward()
    assert delta.dtype == torch.float32
    assert (delta - change).norm() / change.norm() < 1e-5  # never in bf16
    assert (y - expected).norm() / expected.norm() < 0.02
    for name, tensor in layer.trained("default").items():
        assert tensor.grad.dtype == torch.float32
        assert (tensor.grad - trained[name].grad).norm() <= 0.03 * trained[name].grad.norm(), name


@each_kind
def test_small_updates_of_a_bf16_base_are_not_rounded_away(kind):
    """Factors of 1.001 times a bf16 input are that input again."""
    _, layer = adapted(kind, (32, 48), torch.bfloat16, drawn=False)
    train(layer, size=1e-3)
    x, exact = torch.randn(200, 48, dtype=torch.bfloat16), dense(layer, kind, copies(layer)).detach()
    change = x.double() @ (exact - layer.base_layer.weight.double()).T
    assert (layer.apply_delta("default", x) - change).norm() / change.norm() < 0.02


@each_kind
def test_a_saved_adapter_is_loaded_with_the_same_function_and_refused_on_another_weight(kind, tmp_path):
    model, _ = adapted(kind, (9, 14), torch.float32)
    model.save_pretrained(tmp_path)
    x = torch.randn(5, 14)
    loaded = peft.PeftModel.from_pretrained(one_linear(9, 14, torch.float32), tmp_path)
    assert torch.equal(loaded(x), model(x))
    with pytest.raises(ValueError, match="the base weight is not the one that this adapter was trained on"):
        peft.PeftModel.from_pretrained(one_linear(9, 14, torch.float32, seed=1), tmp_path)


def test_a_kind_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="kind='ssx' is not one of ssl, ssb"):
        UpdateConfig(kind="ssx", target_modules=["lin"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kind": "ssl", "r": 2}, "r=2 goes with kind=flora, .*, not with kind='ssl'"),
        ({"kind": "flora"}, "r=None is not an integer >= 1, as kind='flora' needs it"),
        ({"kind": "flora", "r": True}, "r=True is not an integer >= 1"),
        ({"kind": "flora", "r": 2, "alpha": 0}, "alpha=0 is not a finite number above 0, or None"),
        ({"kind": "loldu", "pivots": 0}, "pivots=0 is not an integer >= 1, or None"),
        ({"kind": "flora", "r": 2, "seed": "1"}, "seed='1' is not an integer"),
        ({"kind": "ssl", "share": "role"}, "share='role' goes with SVFT"),
    ],
)
def test_options_that_do_not_go_with_a_kind_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        UpdateConfig(target_modules=["lin"], **options)


def flora(seed: int, names=("a", "b")) -> list[torch.Tensor]:
    base = torch.nn.ModuleDict({name: torch.nn.Linear(400, 100) for name in names})
    model = peft.get_peft_model(base, UpdateConfig(kind="flora", r=16, seed=seed, target_modules=["a", "b"]))
    return [model.base_model.model[name].trained("default")["A"] for name in names]


def test_what_flora_draws_follows_from_its_seed_and_the_name_of_a_layer_alone():
    """A within 1 / sqrt(in), as LoRA's."""
    a, b = flora(seed=3)
    assert all(map(torch.equal, flora(3, ("b", "a")), (b, a)))
    assert not torch.equal(a, b)
    assert not torch.equal(flora(4)[0], a)
    assert 0.95 / 20 < a.abs().max() <= 1 / 20


# -- LoLDU


@each_shape
@pytest.mark.parametrize("r", [1, 4, None])
def test_the_first_steps_of_the_elimination_are_those_of_the_whole_decomposition(shape, r):
    W = torch.randn(shape, dtype=torch.float64)
    PL, D, U = ldu(W, r)
    P, L, whole = torch.linalg.lu(W)
    torch.testing.assert_close(PL, (P @ L)[:, :r])
    torch.testing.assert_close(D, whole.diagonal()[:r])
    torch.testing.assert_close(D[:, None] * U, whole[: min(shape)][:r])
    if r is None:
        torch.testing.assert_close(PL @ torch.diag(D) @ U, W)


def test_a_weight_without_enough_pivots_is_refused_by_its_name():
    with pytest.raises(ValueError, match=r"layer 'lin' \(9 x 14\): pivots=10 is more than the 9 pivots that it has"):
        adapted("loldu", (9, 14), pivots=10)
    base = one_linear(9, 14)
    base.lin.weight.data[:, 1] = 2 * base.lin.weight.data[:, 0]
    config = UpdateConfig(kind="loldu", pivots=3, target_modules=["lin"])
    with pytest.raises(ValueError, match=r"layer 'lin' \(9 x 14\): it has no 3 pivots that are not 0"):
        peft.get_peft_model(base, config)


def nearly_tied(difference: float) -> torch.nn.Module:
    """Two entries of the first column are equal but for this."""
    base = one_linear(9, 14, torch.float32)
    base.lin.weight.data[3:5, 0] = torch.tensor([5.0, 5.0 + difference])
    return base


@pytest.mark.parametrize("save_basis", [False, True])
def test_other_pivots_than_those_of_training_are_refused_or_come_from_the_file(tmp_path, save_basis):
    config = UpdateConfig(kind="loldu", pivots=2, save_basis=save_basis, target_modules=["lin"])
    model = peft.get_peft_model(nearly_tied(1e-5), config)
    train(model.base_model.model.lin)
    model.save_pretrained(tmp_path)
    x = torch.randn(5, 14)
    if save_basis:
        loaded = peft.PeftModel.from_pretrained(nearly_tied(-1e-5), tmp_path)
        torch.testing.assert_close(loaded(x), model(x), atol=1e-4, rtol=0)
    else:
        with pytest.raises(
            ValueError, match=r"of 2 rows and columns of L and U are not those .* \(nearly equal pivots,"
        ):
            peft.PeftModel.from_pretrained(nearly_tied(-1e-5), tmp_path)


# -- SODA


@pytest.mark.parametrize(
    ("n", "factors", "expected"),
    [
        (4096, 1, [4096]),
        (4096, 2, [64, 64]),
        (4096, 3, [16, 16, 16]),
        (768, 2, [24, 32]),
        (48, 3, [3, 4, 4]),
        (7, 2, [1, 7]),
    ],
)
def test_sizes_of_kronecker_factors_are_as_equal_as_divisors_are(n, factors, expected):
    assert kronecker.sizes(n, factors) == expected


@pytest.mark.parametrize("factors", [1, 2, 3])
def test_a_kronecker_product_of_rotations_turns_vectors_and_keeps_their_lengths(factors):
    Rs = [cayley(torch.randn(size, size, dtype=torch.float64)) for size in kronecker.sizes(24, factors)]
    R, x = Rs[0], torch.randn(2, 5, 24, dtype=torch.float64)
    for each in Rs[1:]:
        R = torch.kron(R, each)
    turned = x + kronecker.change(x, [each - torch.eye(len(each)) for each in Rs])
    torch.testing.assert_close(turned, x @ R.T)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


@pytest.mark.parametrize("rotations", [1, 3])
def test_soda_with_another_number_of_factors_keeps_the_spectrum_that_it_has(rotations):
    _, layer = adapted("soda", (9, 12), rotations=rotations)
    W0 = layer.base_layer.weight.detach()
    expected = torch.linalg.svdvals(W0) + layer.trained("default")["d_sigma"].detach()
    found = torch.linalg.svdvals(W0 + layer.get_delta_weight("default").detach())
    torch.testing.assert_close(found, expected.abs().sort(descending=True).values)
