import torch
from torch import nn

from bench import linear

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
