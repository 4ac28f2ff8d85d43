"""A print is small, and refuses what the full projections of older files refuse; these files are still read."""

import math
from pathlib import Path

import peft
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GemmaConfig

import svft.basis.layer
from baselines import SpectralAdapterConfig, VectorFitConfig
from svft import SvftConfig
from svft.decomposition.fingerprint import WEIGHT_TOLERANCE, fingerprint, probe
from svft.decomposition.prints import FullPrint, Print, pack, size
from svft.decomposition.streams import generator, stream_of
from tests.lapack import other_lapack

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {
    "plain": SvftConfig(init="kaiming"),
    "banded": SvftConfig(pattern="banded", d=2, rank=6, init="kaiming", gate=True),
    "random": SvftConfig(pattern="random", d=2, init="kaiming"),
    "topk": SvftConfig(pattern="topk", d=1, init="kaiming"),
    "basis": SvftConfig(pattern="random", d=2, init="kaiming", save_basis=True),
    "spectral": SpectralAdapterConfig(mode="rotation", r=3, init_weights=False),
    "vectorfit": VectorFitConfig(init_weights=False),
}
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
X = torch.linspace(-1, 1, 45, dtype=torch.float64).view(5, 9)


def weight_of(out: int, inp: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(out, inp, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def base(seed: int = 0) -> torch.nn.Module:
    model = torch.nn.Sequential()
    for name in ("one", "two"):
        model.add_module(name, torch.nn.Linear(9, 9, bias=False, dtype=torch.float64))
        model.get_submodule(name).weight.data = weight_of(9, 9, seed + len(model))
    return model


def adapted(config, model: torch.nn.Module) -> peft.PeftModel:
    config.target_modules = {"one", "two"}
    return peft.get_peft_model(model, config)


# -- files of before


def gaussians(rows: int, P: int, side: str) -> torch.Tensor:
    stream = generator(stream_of(0, "probe"), f"{side}|{rows}")
    return torch.from_numpy(stream.standard_normal((rows, P))).float()


def in_the_old_layout(model: peft.PeftModel) -> dict[str, torch.Tensor]:
    """With U^T L and V^T R in fp16 for each direction, and ||W||_F and L^T W R / ||W||_F in fp32 for each layer."""
    state = peft.get_peft_model_state_dict(model)
    for key in [key for key in state if key.endswith("basis_print")]:
        del state[key]
        stem = key.removesuffix("basis_print")
        layer = model.get_submodule(stem[:-1])
        U, _, Vh = layer.basis("default")
        U, Vh, W = U[:, : layer.directions("default")], Vh[: layer.directions("default")], layer.base_layer.weight.data
        projections = [U.float().T @ gaussians(len(U), 2, "left"), Vh.float() @ gaussians(Vh.shape[1], 2, "right")]
        W = W.float()
        values = gaussians(len(W), 4, "left").T @ W @ gaussians(W.shape[1], 4, "right") / W.norm()
        state[f"{stem}basis_probe"] = torch.cat(projections, dim=1).half().view(torch.int16)
        state[f"{stem}basis_fingerprint"] = torch.cat([W.norm()[None], values.flatten()]).view(torch.int32)
    return state


def loaded(config, state: dict[str, torch.Tensor], model: torch.nn.Module) -> peft.PeftModel:
    other = adapted(config, model)
    result = peft.set_peft_model_state_dict(other, state)
    assert not result.unexpected_keys
    return other


@each_config
def test_a_file_with_full_projections_gives_the_same_function_here_and_on_another_lapack(monkeypatch, config):
    model = adapted(config, base())
    state = in_the_old_layout(model)
    torch.testing.assert_close(loaded(config, state, base())(X), model(X), atol=0, rtol=0)
    monkeypatch.setattr(svft.basis.layer, "decompose", other_lapack)
    elsewhere = loaded(config, state, base())
    torch.testing.assert_close(elsewhere(X), model(X))
    again = peft.get_peft_model_state_dict(elsewhere)  # in today's layout
    assert not any("probe" in key or "fingerprint" in key for key in again)
    torch.testing.assert_close(loaded(config, again, base())(X), model(X))


@each_config
def test_a_file_with_full_projections_refuses_another_weight_and_another_basis(monkeypatch, config):
    state = in_the_old_layout(adapted(config, base()))
    with pytest.raises(ValueError, match="the base weight is not the one"):
        loaded(config, state, base(seed=1))
    with pytest.raises(ValueError, match="lacks basis_print, so its basis cannot be checked"):
        loaded(config, {key: tensor for key, tensor in state.items() if "fingerprint" not in key}, base())
    monkeypatch.setattr(svft.basis.layer, "decompose", lambda weight: rotated(*other_lapack(weight), 0, 1, 0.3))
    if config.save_basis:
        loaded(config, state, base())
    else:
        with pytest.raises(ValueError, match="singular vectors are not those"):
            loaded(config, state, base())


# -- the same power


def rotated(U, s, Vh, i: int, j: int, angle: float):
    """Pairs i and j turned into each other, as where their singular values coincide."""
    c, sine = math.cos(angle), math.sin(angle)
    U, Vh = U.clone(), Vh.clone()
    U[:, i], U[:, j] = c * U[:, i] + sine * U[:, j], c * U[:, j] - sine * U[:, i]
    Vh[i], Vh[j] = c * Vh[i] + sine * Vh[j], c * Vh[j] - sine * Vh[i]
    return svft.basis.layer.Basis(U, s, Vh)


def prints(W: torch.Tensor, U: torch.Tensor, Vh: torch.Tensor, with_signs: bool) -> tuple[Print, FullPrint]:
    of_weight, of_basis = fingerprint(W), probe(U, Vh)
    return Print.read(pack(of_weight, of_basis, b"1234", with_signs), len(Vh)), FullPrint(of_basis, of_weight)


each_way = pytest.mark.parametrize("with_signs", [False, True], ids=["plain", "signs"])


@each_way
@pytest.mark.parametrize("K", [9, 100])
def test_pairs_that_were_turned_or_changed_places_are_refused(K, with_signs):
    W = weight_of(K, K + 5)
    U, s, Vh = torch.linalg.svd(W, full_matrices=False)
    small, full = prints(W, U, Vh, with_signs)
    random = torch.Generator().manual_seed(1)
    refused = {0.1: [0, 0], 0.5: [0, 0], math.pi / 2: [0, 0]}
    for angle, counts in refused.items():
        for _ in range(60):
            i = int(torch.randint(K - 1, (1,), generator=random))
            j = i + 1 if i % 3 else int((i + 1 + torch.randint(K - 1, (1,), generator=random)) % K)
            live = probe(*rotated(U, s, Vh, i, j, angle)[::2])
            for n, each in enumerate((full, small)):
                counts[n] += not each.align(live)[1].all()
    assert all(now >= before >= 55 for before, now in refused.values()), refused


@pytest.mark.parametrize("share", [0.008, 0.01, 0.012, 0.05, 1.0])
def test_a_weight_that_full_projections_refuse_is_refused(share):
    W = weight_of(24, 40)
    small, full = prints(W, *torch.linalg.svd(W, full_matrices=False)[::2], False)
    refused = 0
    for seed in range(1, 60):
        E = weight_of(24, 40, seed)
        for other in (W + share * E * W.norm() / E.norm(), W * (1 + share), W * (1 - share / 2)):
            live = fingerprint(other)
            distance = small.weight_distance(live)
            assert distance >= min(full.weight_distance(live), 0.2)  # far away it is known modulo 1
            refused += distance > WEIGHT_TOLERANCE
    assert refused > 0
    assert small.weight_distance(fingerprint(W)) < WEIGHT_TOLERANCE / 2


@each_way
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_same_basis_in_16_bits_and_fp32_is_accepted_with_its_signs(dtype, with_signs):
    W = weight_of(200, 300)
    U, _, Vh = torch.linalg.svd(W, full_matrices=False)
    signs = torch.randint(2, (200,), generator=torch.Generator().manual_seed(1)) * 2.0 - 1
    small, _ = prints(W, U.to(dtype), Vh.to(dtype), with_signs)
    found, aligned = small.align(probe(U * signs, Vh * signs[:, None]))
    assert aligned.all()
    assert torch.equal(found, signs if with_signs else torch.ones(200))
    assert small.weight_distance(fingerprint(W.to(dtype))) < WEIGHT_TOLERANCE


@each_way
def test_pairs_whose_projections_add_up_to_nearly_nothing_are_accepted_in_either_sign(with_signs):
    """They may add up to more than 0 where the file was written, and to less here."""
    values = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))
    values[::9] -= values[::9].mean(dim=1, keepdim=True)

    def of(offset: float) -> torch.Tensor:
        shifted = values.clone()
        shifted[::9] += offset
        return shifted.half().view(torch.int16)

    small = Print.read(pack(fingerprint(weight_of(9, 9)), of(2e-3), b"1234", with_signs), 40)
    for offset, turn in ((2e-3, 1), (-2e-3, 1), (2e-3, -1), (-2e-3, -1)):
        live = (of(offset).view(torch.float16) * turn).view(torch.int16)
        signs, aligned = small.align(live)
        assert aligned.all()
        assert (signs == (turn if with_signs else 1)).all()


@each_way
def test_no_flipped_bit_gives_other_signs_and_large_flips_are_refused(with_signs):
    W = weight_of(40, 50)
    U, _, Vh = torch.linalg.svd(W, full_matrices=False)
    of_weight, of_basis = fingerprint(W), probe(U, Vh)
    packed, refused = pack(of_weight, of_basis, b"1234", with_signs), []
    for bit in range(8 * len(packed)):
        flipped = packed.clone()
        flipped[bit // 8] ^= 1 << bit % 8
        found = Print.read(flipped, 40)
        signs, aligned = found.align(of_basis)
        distance = found.weight_distance(of_weight)
        if distance > WEIGHT_TOLERANCE or not aligned.all() or found.settings != b"1234":
            refused.append(bit)
        else:
            assert (signs == 1).all()
    largest = {8 * byte + bit for byte in range(4, 28) for bit in (5, 6, 7)}
    assert largest <= set(refused)
    assert len(refused) > 0.6 * 8 * len(packed)


@each_config
def test_the_files_of_two_layers_that_changed_places_are_refused(config):
    """With save_basis too: the basis would come along, and belongs to another weight."""
    state = peft.get_peft_model_state_dict(adapted(config, base()))
    changed = {key.replace(".one.", ".#.").replace(".two.", ".one.").replace(".#.", ".two."): tensor
               for key, tensor in state.items()}  # fmt: skip
    with pytest.raises(ValueError, match=r"layer 'base_model\.model\.(one|two)': the base weight is not the one"):
        loaded(config, changed, base())


@each_way
def test_a_default_device_is_of_no_effect(with_signs):
    W = weight_of(20, 30)
    U, _, Vh = torch.linalg.svd(W, full_matrices=False)
    expected = pack(fingerprint(W), probe(U, Vh), b"1234", with_signs)
    with torch.device("meta"):
        here = pack(fingerprint(W), probe(U, Vh), b"1234", with_signs)
        signs, aligned = Print.read(here, 20).align(probe(-U, -Vh))
    assert torch.equal(here, expected)
    assert aligned.all()
    assert (signs == (-1 if with_signs else 1)).all()


# -- size

GEMMA_2B = GemmaConfig(
    hidden_size=2048, intermediate_size=16384, num_hidden_layers=1, num_attention_heads=8, num_key_value_heads=1,
    head_dim=256, vocab_size=8,
)  # fmt: skip


@pytest.mark.parametrize("model", ["micro_gemma", "gemma_2b"])
def test_prints_are_at_most_a_tenth_of_an_svft_p_adapter(model):
    config = GEMMA_2B if model == "gemma_2b" else AutoConfig.from_pretrained(ROOT / "assets" / "micro_gemma")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    state = peft.get_peft_model_state_dict(
        peft.get_peft_model(model, SvftConfig(target_modules="all-linear")), save_embedding_layers=False
    )
    sizes = {
        name: sum(t.nbytes for key, t in state.items() if key.endswith(name)) for name in ("svft_m", "basis_print")
    }
    assert sum(sizes.values()) == sum(tensor.nbytes for tensor in state.values())
    assert sizes["basis_print"] <= sum(sizes.values()) / 10


@pytest.mark.parametrize("K", [1, 31, 32, 63, 64, 2048])
def test_a_print_has_the_size_that_is_told(K):
    of_weight, of_basis = fingerprint(weight_of(9, 9)), torch.zeros(K, 4, dtype=torch.int16)
    for with_signs in (False, True):
        here = pack(of_weight, of_basis, b"1234", with_signs)
        on_meta = pack(of_weight.to("meta"), of_basis.to("meta"), b"1234", with_signs)
        assert len(here) == len(on_meta) == size(K, with_signs)
        assert here.dtype == on_meta.dtype == torch.uint8
        assert Print.read(here, K) is not None
        assert Print.read(here[:20], K) is None
