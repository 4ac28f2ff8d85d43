"""The support that gradients select, against the gradient of dense weights in float64."""

from functools import partial
from types import SimpleNamespace

import peft
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.pytorch_utils import Conv1D

from svft import GradientSupport, SvftConfig, SvftLinear, patterns, reference, select_by_gradient

SHAPES = {"tall": (12, 8), "square": (12, 12), "wide": (6, 12)}  # of the weights, (O, I)
D = 2


class Chain(nn.Module):
    """Three layers, of which the square one is called twice; the last is a Conv1D. dropout: in training alone."""

    def __init__(self, checkpointed: bool = False):
        super().__init__()
        self.tall, self.square, self.wide = nn.Linear(8, 12), nn.Linear(12, 12, bias=False), Conv1D(6, 12)
        self.idle, self.dropout = nn.Linear(12, 12), nn.Dropout(0.5)
        self.checkpointed = checkpointed
        generator = torch.Generator().manual_seed(0)
        for parameter in self.double().parameters():
            parameter.data.normal_(std=0.3, generator=generator)

    def body(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.tall(x))
        h = torch.tanh(self.square(self.dropout(h)))
        return self.wide(torch.tanh(self.square(h)))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> SimpleNamespace:
        out = checkpoint(self.body, x, use_reentrant=False) if self.checkpointed else self.body(x)
        return SimpleNamespace(loss=(out - y).square().mean())


def batches(count: int = 3) -> list[dict[str, torch.Tensor]]:
    draw = partial(torch.randn, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return [{"x": draw(4, 5, 8), "y": draw(4, 5, 6)} for _ in range(count)]


def adapted(model: nn.Module | None = None, names=(*SHAPES,), **config) -> nn.Module:
    config = {"pattern": "gradient", "d": D, "target_modules": list(names), **config}
    return peft.get_peft_model(model or Chain(), SvftConfig(**config))


def layers(model: nn.Module) -> dict[str, SvftLinear]:
    return {module.name: module for module in model.modules() if isinstance(module, SvftLinear)}


def by_dense_gradient(rank: int | None = None) -> dict[str, torch.Tensor]:
    """The mean of (U^T G V)^2, with G from torch's own backward pass through the weights and U, V from torch's SVD."""
    model, squares = Chain(), dict.fromkeys(SHAPES, 0)
    for batch in batches():
        model.eval().zero_grad()
        model(**batch).loss.backward()
        for name in SHAPES:
            weight = getattr(model, name).weight
            W, G = (weight.T, weight.grad.T) if name == "wide" else (weight, weight.grad)
            U, _, Vh = reference.decomposed(W.detach())
            squares[name] = squares[name] + (U[:, :rank].T @ G @ Vh[:rank].T).square()
    return squares


@pytest.mark.parametrize(
    "config", [{}, {"rank": 5}, {"keep_weight": False}, {"gate": True}, {"scaled": True}, {"save_basis": True}], ids=str
)
def test_the_support_is_that_of_the_largest_mean_squares_of_the_dense_gradient(config):
    model = adapted(**config)
    before = {name: layer.index("default").clone() for name, layer in layers(model).items()}
    held = select_by_gradient(model, batches())
    for name, square in by_dense_gradient(config.get("rank")).items():
        layer, K = layers(model)[name], len(square)
        N = patterns.num_coefficients(K, D)
        order = square.flatten().argsort(descending=True)
        assert layer.index("default").tolist() == sorted(order[:N].tolist())
        assert not torch.equal(layer.index("default"), before[name])
        assert before[name].tolist() == patterns.banded(K, D).tolist()
        assert held[name] == pytest.approx((square.flatten()[order[:N]].sum() / square.sum()).item())


def test_losses_of_parts_add_up_to_those_of_the_batch():
    def in_parts(model, batch):
        halves = (dict(zip(batch, part, strict=True)) for part in cut(batch))
        return (model(**half).loss / 2 for half in halves)

    def cut(batch):
        return zip(*(tensor.chunk(2) for tensor in batch.values()), strict=True)

    whole, parts = adapted(), adapted()
    held = select_by_gradient(whole, batches())
    assert select_by_gradient(parts, batches(), in_parts) == pytest.approx(held)
    assert all(torch.equal(layers(whole)[n].index("default"), layers(parts)[n].index("default")) for n in SHAPES)


def test_checkpointing_and_autocast_select_the_same():
    expected = adapted()
    select_by_gradient(expected, batches())
    checkpointed = adapted(Chain(checkpointed=True))
    select_by_gradient(checkpointed, batches())
    for name, layer in layers(checkpointed).items():
        assert torch.equal(layer.index("default"), layers(expected)[name].index("default"))

    def rounded(model, batch):
        with torch.autocast("cpu", torch.bfloat16):
            return model(**{name: tensor.float() for name, tensor in batch.items()}).loss

    autocast = adapted(Chain().float())
    select_by_gradient(autocast, batches(), rounded)
    for name, layer in layers(autocast).items():
        same = set(layer.index("default").tolist()) & set(layers(expected)[name].index("default").tolist())
        assert len(same) > 0.9 * len(layer.index("default"))


def test_nothing_but_the_support_changes():
    model = adapted()
    model.train()
    model.base_model.model.dropout.eval()
    model.base_model.model.tall.svft_m["default"].grad = torch.ones(34, dtype=torch.float64)
    before, state = {name: t.clone() for name, t in model.state_dict().items()}, torch.random.get_rng_state()
    select_by_gradient(model, batches())
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[-2] for name in changed} == {"svft_selected"} and len(changed) == len(SHAPES)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.training and not model.base_model.model.dropout.training
    gradients = {name for name, p in model.named_parameters() if p.grad is not None}
    assert gradients == {"base_model.model.tall.svft_m.default"}
    assert not any(module._forward_hooks for module in model.modules())


def test_a_layer_that_no_loss_depends_on_keeps_its_band():
    model = adapted(names=(*SHAPES, "idle"))
    assert select_by_gradient(model, batches()).keys() == SHAPES.keys()
    assert torch.equal(layers(model)["idle"].index("default"), patterns.banded(12, D))


def test_training_moves_the_selected_entries_and_a_reload_has_them(tmp_path):
    model = adapted()
    select_by_gradient(model, batches())
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.1)
    start = model.eval()(**batches()[0]).loss
    start.backward()
    optimizer.step()
    after = model(**batches()[0]).loss
    assert after < start
    model.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(Chain(), tmp_path).eval()
    torch.testing.assert_close(again(**batches()[0]).loss, after)
    for name, layer in layers(again).items():
        assert torch.equal(layer.index("default"), layers(model)[name].index("default"))


def infinite(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**batch).loss * float("inf")


def trained() -> nn.Module:
    model = adapted()
    model.base_model.model.tall.svft_m["default"].data[0] = 1
    return model


@pytest.mark.parametrize(
    ("model", "loss", "words"),
    [
        (lambda: adapted(pattern="banded"), None, "no layer has an adapter 'default' with pattern='gradient'"),
        (lambda: adapted(inference_mode=True), None, "'tall': adapter 'default' is merged, frozen or not active"),
        (trained, None, "'tall': adapter 'default' is trained already"),
        (adapted, infinite, "'tall': the gradient that is to select its support is not finite"),
    ],
)
def test_what_cannot_be_selected_is_refused_and_the_support_stays(model, loss, words):
    model = model()
    before = {name: layer.index("default").clone() for name, layer in layers(model).items()}
    with pytest.raises(ValueError, match=words):
        select_by_gradient(model, batches(), *([loss] if loss else []))
    assert all(torch.equal(layer.index("default"), before[name]) for name, layer in layers(model).items())


def test_a_training_that_begins_without_a_support_is_refused():
    callback = GradientSupport(batches=2)
    with pytest.raises(ValueError, match="the support is not selected yet"):
        callback.on_train_begin(None, SimpleNamespace(global_step=0), None)
    callback.on_train_begin(None, SimpleNamespace(global_step=4), None)  # of a checkpoint
    model = adapted()
    callback.calibrate(model, ([model(**batch).loss] for batch in batches()))
    callback.on_train_begin(None, SimpleNamespace(global_step=0), None)
    other = adapted()
    assert callback.report()["gradient_support"] == {"batches": 2, "held": select_by_gradient(other, batches(2))}


@pytest.mark.parametrize("count", [0, 1.5, True])
def test_a_number_of_batches_that_is_none_is_refused(count):
    with pytest.raises(ValueError, match="batches="):
        GradientSupport(batches=count)


def test_a_support_that_data_select_is_not_sharded():
    assert SvftConfig(pattern="random", d=1).can_be_sharded and not SvftConfig(pattern="gradient", d=1).can_be_sharded
