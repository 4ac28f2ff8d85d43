import peft
import pytest
import torch
from torch import nn

from bench import linear
from svft import SvftConfig
from svft.arithmetic.coupling import Coupling, Diagonal, Sparse

CPU = torch.device("cpu")


def test_the_products_are_run_as_listed_on_operands_of_each_layer(monkeypatch):
    ran, operands = [], []
    monkeypatch.setattr(torch, "mm", lambda a, b: (ran.append((*a.shape, b.shape[1])), operands.append(a.data_ptr())))
    first, second = [(4, 3, 2), (5, 4, 3), (4, 3, 2)], [(4, 3, 2)]
    linear.gemms_step([first, second], torch.float32, torch.Generator(), CPU).run()
    assert ran == [*first, *second]
    assert operands[0] == operands[2] != operands[3]
    assert linear.flops(first) == 2 * (24 + 60 + 24)


def test_the_layers_go_forward_and_backward_on_inputs_of_their_own():
    layers, seen = [nn.Linear(3, 5), nn.Linear(5, 2)], []
    for layer in layers:
        layer.register_forward_hook(lambda layer, inputs, output: seen.append((inputs[0], output.shape)))
    step = linear.layers_step(layers, 4, torch.float32, torch.Generator(), CPU)
    step.run()
    assert [shape for _, shape in seen] == [(4, 5), (4, 2)]
    assert all(x.grad is not None for x, _ in seen) and all(layer.weight.grad is not None for layer in layers)
    step.reset()
    assert all(x.grad is None for x, _ in seen) and all(layer.weight.grad is None for layer in layers)


@pytest.mark.parametrize(
    ("pattern", "form", "ran"),
    [
        ({"pattern": "plain"}, "activations", [(Diagonal, 5)]),
        ({"pattern": "random", "d": 2}, "activations", [(Sparse, 5)]),
        ({"pattern": "random", "d": 2}, "materialised", [(Sparse, 256)]),  # of the smaller side of 300 x 256
        ({"pattern": "random", "d": 60}, "activations", []),  # too full: M is laid out, and its products are counted
    ],
)
def test_what_m_computes_entry_by_entry_is_run_on_as_many_vectors_as_the_form_has(monkeypatch, pattern, form, ran):
    model = nn.ModuleDict({"lin": nn.Linear(256, 300)})
    config = SvftConfig(target_modules=["lin"], form=form, **pattern)
    layer = peft.get_peft_model(model, config).base_model.model.lin
    seen = []
    for kind in (Diagonal, Sparse):
        for name in ("times", "gradient"):
            was = getattr(kind, name)

            def watched(self: Coupling, h: torch.Tensor, *rest, was=was, **others):
                seen.append((type(self), len(h)))
                return was(self, h, *rest, **others)

            monkeypatch.setattr(kind, name, watched)
    linear.couplings_step([layer], 5, torch.float32, torch.Generator(), CPU).run()
    assert seen == 3 * ran
