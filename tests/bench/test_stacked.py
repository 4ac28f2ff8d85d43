"""Runs in one step against each run's own step: the same losses and the same gradients."""

import json

import pytest
import torch

from bench import stacked
from svft import SvftLinear
from tests import one_block

TINY_BERT = (
    "model=minilm_l6", "task=micro_sst2", "model.blocks=1", "model.architecture.num_hidden_layers=1",
    "model.architecture.hidden_size=32", "model.architecture.intermediate_size=64",
    "model.architecture.num_attention_heads=2", "model.architecture.vocab_size=99",
)  # fmt: skip
TINY = {"decoder": (*one_block.GEMMA, "task=micro_gsm"), "classifier": TINY_BERT}
K, ROWS, LENGTH = 3, 2, 5


@pytest.fixture(autouse=True)
def _small_cases(monkeypatch):
    one_block.make("micro_gemma")
    monkeypatch.setattr(stacked, "CASES", {name: (overrides, ROWS, LENGTH) for name, overrides in TINY.items()})


@pytest.mark.parametrize("form", ["activations", "materialised"])
@pytest.mark.parametrize("name", TINY)
def test_a_stack_has_the_losses_and_gradients_of_each_run(name, form):
    overrides = (*TINY[name], f"method.adapter.form={form}")
    apart, stack = stacked.Apart(*stacked.model(overrides)), stacked.Stack(*stacked.model(overrides), K)
    apart.net.double().eval(), stack.net.double().eval()  # without dropout, which draws row by row
    generator = torch.Generator().manual_seed(1)
    for tensor in stack.trained:
        tensor.data = tensor.double() + 0.1 * torch.randn(tensor.shape, generator=generator)
    together = stacked.batch(apart.net, K * ROWS, LENGTH, generator)
    losses = stack.losses(together)
    losses.sum().backward()
    stack._clip()
    layers = [layer for layer in apart.net.modules() if isinstance(layer, SvftLinear)]
    own = [p for layer in layers for p in layer.svft_m.parameters()]
    heads = [p for p in apart.net.parameters() if p.requires_grad and not any(p is each for each in own)]
    for run in range(K):
        for p, m in zip(own, stack.m[run].split([len(p) for p in own]), strict=True):
            p.data = m.detach().clone()
        for p, stacked_head in zip(heads, stack.trained[1:], strict=True):
            p.data = stacked_head[run].detach().clone()
        apart.net.zero_grad()
        loss = apart.loss(together.of(run, K))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(apart.net.parameters(), apart.limit)
        torch.testing.assert_close(losses[run], loss)
        torch.testing.assert_close(stack.m.grad[run], torch.cat([p.grad for p in own]))
        for p, stacked_head in zip(heads, stack.trained[1:], strict=True):
            torch.testing.assert_close(stacked_head.grad[run], p.grad)


def test_a_stack_takes_the_same_products_in_fewer_kernels(tmp_path):
    stacked.main(["--runs", "2", "--repeats", "1", "--warm-up", "0", "--threads", "1", "--out", str(tmp_path)])
    [path] = tmp_path.glob("stacked-*.json")
    rows = json.loads(path.read_text())["rows"]
    assert [row["case"] for row in rows] == list(TINY)
    for row in rows:
        assert row["stacked"]["operations"] == row["apart"]["operations"] > 0
        assert row["stacked"]["kernels"] < row["apart"]["kernels"]
        assert 0 < row["bound"] < 1
