"""Bytes against counts by hand; a float32 number has four."""

import torch
from torch import nn

from bench.memory import LiveBytes, SavedForBackward, distinct_bytes, resident_bytes


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))


def test_a_two_layer_net_keeps_its_input_and_the_activations_between():
    net = two_layers()
    with SavedForBackward(net) as kept:
        net(torch.randn(4, 3)).sum()
    assert kept.total == 4 * (4 * 3 + 4 * 5)  # x, and the ReLU's output that the second layer reads as well
    assert kept.largest == 4 * 4 * 5


def test_frozen_layers_keep_no_input_and_weights_are_not_counted():
    net = two_layers().requires_grad_(False)
    with SavedForBackward(net) as kept:
        net(torch.randn(4, 3, requires_grad=True)).sum()
    assert kept.total == 4 * 4 * 5  # the ReLU's output


def test_a_view_counts_with_all_the_memory_that_it_keeps():
    factor = nn.Parameter(torch.ones(10))
    with SavedForBackward(nn.Module()) as kept:
        (torch.randn(100)[:10] * factor).sum()
    assert kept.total == 4 * 100


def test_gradients_are_those_without_counting():
    net, x = two_layers(), torch.randn(4, 3)
    net(x).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in net.parameters()]
    net.zero_grad()
    with SavedForBackward(net):
        loss = net(x).square().sum()
    loss.backward()
    for parameter, gradient in zip(net.parameters(), expected, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_a_sparse_tensor_has_the_bytes_of_its_indices_and_values():
    indices, values = torch.tensor([[0, 1, 1], [2, 0, 2]]), torch.ones(3)
    coo = torch.sparse_coo_tensor(indices, values, (2, 3), check_invariants=True).coalesce()
    assert distinct_bytes([coo]) == 8 * 6 + 4 * 3
    csr = torch.sparse_csr_tensor(torch.tensor([0, 1, 3]), torch.tensor([2, 0, 2]), values, (2, 3))
    assert distinct_bytes([csr]) == 8 * (3 + 3) + 4 * 3


def test_shared_weights_are_resident_once_and_buffers_count():
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    assert resident_bytes(net) == 4 * 32
    net[1].weight = net[0].weight
    net.register_buffer("U", torch.zeros(5), persistent=False)
    assert resident_bytes(net) == 4 * (16 + 5)


def test_the_peak_is_what_is_alive_at_once():
    x = torch.zeros(10)
    with LiveBytes() as watched:
        a = x + 1  # 40 bytes
        b = a.view(2, 5) + 1  # 80
        del a  # 40
        b.add_(x.view(2, 5))
        c = torch.cat([b, b])  # 120
        del b, c
        d = x + 1  # 40
    assert (watched.peak, watched.live) == (120, 40)
    assert d.numel() == 10


def test_the_peak_sees_gradients_in_backward():
    weight = nn.Parameter(torch.zeros(10))
    with LiveBytes() as watched:
        (weight * 2).sum().backward()
    # Forward 40 + 4, of which the sum stays; backward the gradients of the sum, 4, and of the product, 40.
    assert (watched.peak, watched.live) == (48, 40)
