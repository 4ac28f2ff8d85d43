"""Which entries of M full fine-tuning uses: bench.energy and bench.supports."""

import pytest
import torch
from peft import get_peft_model

from bench import energy, supports
from bench.supports import BUDGETS, Layer, basis_of, budget, within
from harness.finished import finished_run
from harness.models import bases
from harness.store import files
from svft import SvftConfig
from tests.conftest import TINY
from tests.harness.finished_runs import done

K = 40


def layer(energies: torch.Tensor, squares: torch.Tensor | None = None, shape: tuple[int, int] = (K, K)) -> Layer:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return Layer("layer", 0, basis_of(weight), energies.double(), torch.ones(K, K) if squares is None else squares)


def band(d: int) -> torch.Tensor:
    i = torch.arange(K)
    return ((i[:, None] - i).abs() <= d).double()


def test_c_is_the_update_seen_from_the_singular_vectors_and_of_a_square_weight_all_of_it():
    W, update = torch.randn(2, K, K, dtype=torch.float64)
    U, _, Vh = torch.linalg.svd(W)
    C = within(basis_of(W), update)
    torch.testing.assert_close(C.abs(), (U.T @ update @ Vh.T).abs(), rtol=1e-8, atol=1e-8)
    assert C.square().sum().item() == pytest.approx(update.square().sum().item())


@pytest.mark.parametrize("support", ["banded", "block", "gradient", "oracle"])
def test_a_support_catches_all_of_an_update_that_is_within_it(support):
    """Of each kind one that it can express at the budget d = 2, and that others cannot."""
    leading = torch.zeros(K, K)
    leading[:13, :13] = 1  # 13^2 of N = 194
    made = {"banded": band(2), "block": leading, "gradient": torch.rand(K, K), "oracle": torch.rand(K, K)}[support]
    if support in ("gradient", "oracle"):
        made *= torch.zeros(K * K).index_fill_(0, torch.randperm(K * K)[:194], 1).view(K, K)
    found = supports.shares(layer(made, made))
    place = BUDGETS.index(2)
    assert budget(K, 2) == 194 and found[support][place] == pytest.approx(1)
    others = {"banded", "random", "topk", "block"} - {support}
    assert all(found[other][place] < 0.9 for other in others)


def test_random_entries_catch_what_they_are_many_of_and_none_more_than_the_largest():
    found = supports.shares(layer(torch.rand(K, K).square()))
    for place, d in enumerate(BUDGETS):
        share = budget(K, d) / K**2
        assert found["random"][place] == pytest.approx(share, abs=0.05)
        assert all(found[support][place] <= found["oracle"][place] + 1e-12 for support in supports.SUPPORTS)
        assert found["oracle"][place] >= share


@pytest.mark.parametrize("d", [*BUDGETS, K])
def test_a_support_has_the_budgets_entries_and_a_block_is_the_largest_within_it(d):
    own = layer(torch.rand(K, K), torch.rand(K, K))
    for name, choose in supports.SUPPORTS.items():
        positions = choose(own, min(d, K - 1), budget(K, d))
        assert len(positions.unique()) == len(positions)
        if name == "block":
            assert len(positions) <= budget(K, d) < (len(positions) ** 0.5 + 1) ** 2
        else:
            assert len(positions) == budget(K, d)


def test_alignment_is_left_out_where_the_weight_is_not_square():
    assert supports.shares(layer(torch.rand(K, K), shape=(K, K + 1)))["topk"] == [None] * len(BUDGETS)


def test_the_gradient_by_m_is_that_of_an_svft_of_all_entries():
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Linear(12, 9), torch.nn.Tanh(), torch.nn.Linear(9, 2))
    weight, x = plain[0].weight.detach().clone(), torch.randn(5, 12)
    plain(x).square().sum().backward()
    seen = within(basis_of(weight), plain[0].weight.grad)
    model = get_peft_model(plain.double(), SvftConfig(pattern="banded", d=8, target_modules=["0"]))
    model(x.double()).square().sum().backward()
    trained = model.base_model.model[0].svft_m["default"].grad.view(9, 9)
    torch.testing.assert_close(trained.double().abs(), seen.abs(), rtol=1e-4, atol=1e-6)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(energy, "BATCHES", 3)


# --- the program -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return done(tmp_path_factory.mktemp("energy"), *TINY, "method=full", "evaluate.splits=[test]")


def test_the_file_has_every_layer_of_a_full_fine_tuning_and_its_update_in_full(run, tmp_path, capsys):
    assert energy.main([str(run), "--out", str(tmp_path)]) == 0
    path = tmp_path / "micro_gsm-micro_gemma.json"
    assert "7 layers, seeds 0" in capsys.readouterr().out
    found = files.read_sealed(path)
    assert [each["role"] for each in found["layers"]] == list("QKVOGUD")
    for each in found["layers"]:
        assert each["depth"] == 0 and each["entries"][0] == min(each["shape"])
        assert each["inside"][0] <= 1 + 1e-4 and (each["inside"][0] > 1 - 1e-4 or len(set(each["shape"])) > 1)
        assert all(0 <= share <= 1 for shares in each["shares"].values() for (share,) in shares if share is not None)


def test_the_gradients_are_of_the_start_and_not_of_the_trained_model(run):
    opened = finished_run.opened(run, torch.device("cpu"))
    name = "model.layers.0.mlp.up_proj"
    base = bases.load(opened.cfg.model, "generation")
    basis = basis_of(base.get_submodule(name).weight)
    found = energy._gradients(opened, {name: basis})[name]
    batches = list(energy._batches(opened))
    total = torch.zeros_like(found)
    for batch in batches:
        base.zero_grad()
        base(**batch).loss.backward()
        total += within(basis, base.get_submodule(name).weight.grad).square()
    torch.testing.assert_close(found, total / len(batches), rtol=1e-4, atol=0)


def test_runs_of_two_rows_are_refused(run, tmp_path, capsys):
    other = done(tmp_path, *TINY, "method=lora", "evaluate.splits=[test]", "evaluate.retention=false")
    assert energy.main([str(run), str(other), "--out", str(tmp_path)]) == 1
    assert "are no seeds of one row; give those of one alone" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.json"))
