"""Where M may be non-zero."""

import warnings
from collections import OrderedDict

import numpy as np
import peft
import pytest
import torch
from torch import nn

from baselines import VectorFitConfig
from svft import SvftConfig, patterns
from svft.decomposition.streams import stream_of


@pytest.mark.parametrize(("K", "d"), [(1, 0), (5, 0), (5, 2), (5, 4)])
def test_banded_holds_the_entries_at_most_d_off_the_diagonal(K, d):
    expected = [i * K + j for i in range(K) for j in range(K) if abs(i - j) <= d]
    assert patterns.banded(K, d).tolist() == expected
    assert len(expected) == patterns.num_coefficients(K, d)


@pytest.mark.parametrize("N", [1, 30, 51, 99, 100])
def test_random_without_replacement_draws_distinct_positions(N):
    index = patterns.random(10, N, stream=1, replacement=False)
    assert len(set(index.tolist())) == N
    assert set(index.tolist()) <= set(range(100))


@pytest.mark.parametrize("N", [20, 80])
def test_random_favours_no_position(N):
    counts = torch.zeros(100)
    for stream in range(2000):
        counts[patterns.random(10, N, stream, replacement=False).long()] += 1
    expected, deviation = 2000 * N / 100, (2000 * N / 100 * (1 - N / 100)) ** 0.5
    assert ((counts - expected).abs() < 4.5 * deviation).all()


def test_random_with_replacement_repeats_as_often_as_chance_says():
    index = patterns.random(64, 64 * 5 - 6, stream=1, replacement=True)
    expected = 4096 * (1 - (1 - 1 / 4096) ** len(index))
    assert abs(len(index.unique()) - expected) < 15
    assert len(index.unique()) < len(index)


STREAM = 52404020968655298
DRAWN = [4, 25, 33, 36, 41, 46]
DRAWN_WITH_REPLACEMENT = [4, 25, 33, 36, 41, 46]


def test_random_is_the_same_for_ever():
    """Adapters hold no positions, only the stream: these numbers must never change."""
    assert stream_of(0, "model.layers.0.self_attn.q_proj") == STREAM
    assert patterns.random(8, 6, STREAM, replacement=False).tolist() == DRAWN
    assert patterns.random(8, 6, STREAM, replacement=True).tolist() == DRAWN_WITH_REPLACEMENT


@pytest.mark.parametrize(("K", "d"), [(1, 0), (5, 0), (9, 2), (9, 8), (50, 3)])
def test_a_block_by_d_is_the_largest_square_that_the_band_pays_for(adapt, K, d):
    model, layer = adapt(K, K + 1, pattern="block", d=d)
    b, band = layer.directions("default"), sum(abs(i - j) <= d for i in range(K) for j in range(K))
    assert b**2 <= band < (b + 1) ** 2
    assert model.get_nb_trainable_parameters()[0] == len(layer.index("default")) == b**2


def test_a_block_by_rank_is_no_larger_than_the_layer():
    assert [SvftConfig(pattern="block", rank=r).directions(9) for r in (1, 4, 99)] == [1, 4, 9]


@pytest.mark.parametrize("shape", [(9, 9), (9, 14), (14, 9)], ids=str)
def test_a_block_by_rank_is_the_band_of_all_its_diagonals(adapt, shape):
    x = torch.randn(5, shape[1], dtype=torch.float64)
    for more in ({}, {"truncate_base": True}, {"gate": True, "scaled": True}):
        block, layer = adapt(*shape, pattern="block", rank=4, **more)
        band, _ = adapt(*shape, pattern="banded", rank=4, d=3, **more)
        outputs = [model(x) for model in (block, band)]
        assert torch.equal(*outputs)
        assert layer.svft_m["default"].numel() == 16


def test_with_the_released_presets_a_block_by_d_drops_nothing_and_one_by_rank_does(adapt):
    by_d, _ = adapt(9, 9, draw=False, pattern="block", d=2, preset="authors_code", init="zeros")
    by_rank, layer = adapt(9, 9, draw=False, pattern="block", rank=4, preset="authors_code", init="zeros")
    x, W = torch.randn(5, 9, dtype=torch.float64), layer.base_layer.weight
    torch.testing.assert_close(by_d(x), x @ W.T)
    U, s, Vh = torch.linalg.svd(W.detach())
    torch.testing.assert_close(by_rank(x), x @ ((U[:, :4] * s[:4]) @ Vh[:4]).T)


@pytest.mark.parametrize("shape", [(9, 9), (9, 14), (14, 9)], ids=str)
def test_a_scaled_block_is_lora_xs(adapt, shape):
    """As its released code has it: the SVD of W^T, A = U_r S_r, B = V_r^T, and x W^T + x A R B."""
    model, layer = adapt(*shape, pattern="block", rank=4, scaled=True)
    W, R = layer.base_layer.weight.detach(), layer.svft_m["default"].detach().view(4, 4).T
    U, s, Vh = torch.linalg.svd(W.T, full_matrices=False)
    signs = (Vh[:4] @ layer.basis("default").U[:, :4]).diagonal().sign()  # of its pairs, in those of the layer
    A, B = (U * s)[:, :4] * signs, signs[:, None] * Vh[:4]
    x = torch.randn(5, shape[1], dtype=torch.float64)
    torch.testing.assert_close(model(x), x @ W.T + x @ A @ R @ B)


@pytest.mark.parametrize("shape", [(9, 9), (9, 14), (14, 9)], ids=str)
def test_scaled_plain_is_svf(adapt, base, shape):
    model, layer = adapt(*shape, pattern="plain", scaled=True)
    config = VectorFitConfig(multiplicative=True, train_bias=False, target_modules=["lin"])
    svf = peft.get_peft_model(base(*shape), config)
    (z,) = (parameter for parameter in svf.parameters() if parameter.requires_grad)
    z.data.add_(layer.svft_m["default"].detach())
    x = torch.randn(5, shape[1], dtype=torch.float64)
    torch.testing.assert_close(model(x), svf(x))


def test_lora_xs_starts_where_its_code_does_when_asked(adapt):
    _, layer = adapt(90, 90, draw=False, pattern="block", rank=80, scaled=True, init="lora_xs")
    assert layer.svft_m["default"].std().item() == pytest.approx(1e-5, rel=0.05)
    assert layer.svft_m["default"].mean().abs() < 5e-7
    _, zeros = adapt(9, 9, draw=False, pattern="block", rank=4, scaled=True)
    assert not zeros.svft_m["default"].any()


def two_layers() -> nn.Module:
    return nn.Sequential(OrderedDict(a=nn.Linear(9, 9), b=nn.Linear(9, 9)))


def positions(config: SvftConfig) -> dict[str, list[int]]:
    model = peft.get_peft_model(two_layers(), config).base_model.model
    return {
        name: getattr(model, name).index("default").tolist() for name in "ab" if hasattr(getattr(model, name), "index")
    }


def test_random_differs_between_layers_and_seeds_but_not_with_the_set_of_layers():
    drawn = positions(SvftConfig(pattern="random", d=1, target_modules=["a", "b"]))
    assert drawn["a"] != drawn["b"]
    assert positions(SvftConfig(pattern="random", d=1, target_modules=["b"])) == {"b": drawn["b"]}
    assert positions(SvftConfig(pattern="random", d=1, target_modules=["b"], seed=1))["b"] != drawn["b"]


@pytest.mark.parametrize("rank", [None, 6])
def test_clean_topk_is_the_brute_force_ranking_of_u_i_dot_v_j(adapt, rank):
    _, layer = adapt(9, 9, pattern="topk", d=2, rank=rank)
    U, _, Vh = np.linalg.svd(layer.base_layer.weight.detach().numpy())
    r = rank or 9
    score = {i * r + j: abs(sum(U[x, i] * Vh[j, x] for x in range(9))) for i in range(r) for j in range(r)}
    best = sorted(score, key=score.get, reverse=True)[: r * 5 - 6]
    assert layer.index("default").tolist() == sorted(best)


def test_clean_topk_of_a_rectangular_layer_is_a_band_and_says_so_once(adapt):
    model = nn.Sequential(OrderedDict(a=nn.Linear(9, 14), b=nn.Linear(14, 9), c=nn.Linear(9, 9)))
    with pytest.warns(UserWarning, match=r"undefined in layer 'a' \(14 x 9\)") as caught:
        model = peft.get_peft_model(model, SvftConfig(pattern="topk", d=2, target_modules=["a", "b", "c"]))
    assert sum("topk" in str(warning.message) for warning in caught) == 1
    a, b, c = (getattr(model.base_model.model, name) for name in "abc")
    assert a.index("default").tolist() == b.index("default").tolist() == patterns.banded(9, 2).tolist()
    assert c.index("default").tolist() != patterns.banded(9, 2).tolist()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pattern": "banded", "d": 9}, "d=9 is more than any adapted layer has, and trains what d=8 does"),
        ({"pattern": "random", "d": 4, "rank": 4}, "d=4 is more than any adapted layer has, and trains what d=3 does"),
        ({"pattern": "block", "rank": 10}, "rank=10 is more than any adapted layer has, and trains what rank=9 does"),
        ({"pattern": "banded", "d": 8}, None),
        ({"pattern": "banded", "d": 3, "rank": 4}, None),
        ({"pattern": "block", "rank": 9}, None),
    ],
)
def test_a_size_beyond_every_layer_is_told(given, said):
    layers = nn.Sequential(OrderedDict(a=nn.Linear(9, 14), b=nn.Linear(14, 5)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        peft.get_peft_model(layers, SvftConfig(**given, target_modules=["a", "b"]))
    assert [str(each.message) for each in caught] == ([] if said is None else [said])
