"""K runs of SVFT-P on one frozen base: one step of all, their batches side by side, against K steps after each other.

    python -m bench.stacked                                   a quiet machine, by the wall's clock: minutes
    OMP_NUM_THREADS=1 python -m bench.stacked --threads 1     one thread: by the process's clock if others are at work

Run k differs in its coefficients m_k alone, so one pass over the rows of all K computes U (diag(m_k) (V^T x)) for the
rows x of run k, in the form that the layer takes for one run. Losses, gradients and clipping stay those of each run.
The products are the same K times, so a stack saves what a step costs without products: `bound` is the ratio if it
saved all of that, as told by a step of one row of a few tokens. It falls below where products of few tokens are faster
as one, and stays above where what a pass keeps no longer fits the cache. Into runs/bench/stacked-<device>.json.

Shapes: K runs of B rows of L tokens, T = B L; C directions of a layer, N coefficients of a run in all layers.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from omegaconf import DictConfig, open_dict
from rich.table import Table
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from bench import arguments, methods, report
from bench.costs import clock
from bench.tables import wide_console
from harness.adapters import adapt
from harness.console.progress import bar
from harness.models import bases
from harness.plan import config, counting
from harness.store.disk import tells_disk_errors
from harness.train import train_settings
from svft import SvftLinear

FEW = 4  # tokens of the step that is all kernels and no products
GEMMA, MINILM = ("model=micro_gemma", "task=micro_gsm"), ("model=minilm_l6", "task=micro_sst2")
CASES = {  # overrides, and the rows and tokens of one pass
    "micro_gemma 32 x 88": (GEMMA, 32, 88),  # as on micro-GSM
    "micro_gemma 4 x 88": (GEMMA, 4, 88),
    "minilm 4 x 20": (MINILM, 4, 20),  # as on rated sentences
    "minilm 16 x 12": (MINILM, 16, 12),
    "minilm 32 x 32": (MINILM, 32, 32),
}


@dataclass(frozen=True)
class Batch:
    """ids (K B, L), the rows of a run together; labels (K B, L) of a language model, (K B,) of a classifier."""

    ids: torch.Tensor
    labels: torch.Tensor

    def of(self, run: int, K: int) -> "Batch":
        return Batch(self.ids.chunk(K)[run], self.labels.chunk(K)[run])


def model(overrides: Sequence[str], seed: int = 0) -> tuple[nn.Module, DictConfig, list[str]]:
    """SVFT-P on all linear layers of a base of random weights, its configuration, and the names of its head."""
    cfg = methods.configuration(*overrides, "method=svft_plain", "train.lr=0", "train.head_lr=0")
    torch.manual_seed(seed)
    with open_dict(cfg.model):
        architecture = counting.with_architecture(cfg.model)
    base = bases.build(architecture, 2 if cfg.model.head else None, device="cpu")
    head = adapt.head_modules(cfg.model.head) if cfg.model.head else []
    return adapt.adapt(base, config.instantiate(cfg.method.adapter), head).model.train(), cfg, head


def batch(net: nn.Module, rows: int, length: int, generator: torch.Generator) -> Batch:
    inner = methods.base_of(net).config
    ids = torch.randint(inner.vocab_size, (rows, length), generator=generator)
    decoder = not hasattr(methods.base_of(net), "classifier")
    return Batch(ids, ids if decoder else torch.randint(2, (rows,), generator=generator))


def losses(logits: torch.Tensor, labels: torch.Tensor, K: int) -> torch.Tensor:
    """The mean over the targets of each run, (K,)."""
    if labels.dim() == 2:  # of a language model: each token from those before it
        logits, labels = logits[:, :-1], labels[:, 1:]
    each = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), reduction="none")
    return each.view(K, -1).mean(1)


class Apart:
    """A run's own step, as the layer and the optimiser are; called once for each of the K."""

    def __init__(self, net: nn.Module, cfg: DictConfig, head: Sequence[str]):
        self.net, self.limit = net, cfg.train.max_grad_norm
        self.optimizer = train_settings.optimizer(net, head, cfg.train)

    def loss(self, one: Batch) -> torch.Tensor:
        return losses(self.net(input_ids=one.ids).logits, one.labels, 1).sum()

    def step(self, one: Batch) -> None:
        self.loss(one).backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.limit)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def steps(self, all_of: Batch, K: int) -> None:
        for run in range(K):
            self.step(all_of.of(run, K))


class Stack:
    """K runs in one step. Takes the network over: its layers read the coefficients of all runs, m (K, N)."""

    def __init__(self, net: nn.Module, cfg: DictConfig, head: Sequence[str], K: int):
        self.net, self.K, self.limit = net, K, cfg.train.max_grad_norm
        self.layers = [layer for layer in net.modules() if isinstance(layer, SvftLinear)]
        own = [layer.svft_m["default"].detach() for layer in self.layers]
        self.m = nn.Parameter(torch.cat(own).expand(K, -1).clone())
        self.sizes = [len(each) for each in own]
        for layer in self.layers:
            layer.forward = partial(self._forward, layer)
        trained = [self.m]
        for module in head_of(net, head):
            trained += self._stack_head(module)
        self.trained, self.optimizer = trained, torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0)

    def _forward(self, layer: SvftLinear, x: torch.Tensor) -> torch.Tensor:
        """As in svft/storage.py with W0 kept, in the form that the layer takes for the tokens of one run."""
        m = self.parts[id(layer)]  # (K, C)
        dense = layer.form(x.shape[:-1].numel() // self.K) == "materialised"
        if layer.spare == "U":
            return layer.base_layer(x + self._coupled(x, layer.basis_Vh.T, m / layer.basis_s, layer.basis_Vh, dense))
        bias = layer.base_layer.bias
        if layer.spare == "Vh":
            h = layer.base_layer(x)
            w = h if bias is None else h - bias
            return h + self._coupled(w, layer.basis_U, m / layer.basis_s, layer.basis_U.T, dense)
        if not dense:
            return layer.base_layer(x) + self._coupled(x, layer.basis_U, m, layer.basis_Vh, dense)
        h = self._by_run(x, layer.base_matrix() + (layer.basis_U * m[:, None]) @ layer.basis_Vh)
        return h if bias is None else h + bias

    def _coupled(
        self, x: torch.Tensor, left: torch.Tensor, m: torch.Tensor, right: torch.Tensor, dense: bool
    ) -> torch.Tensor:
        """left (diag(m_k) (right x)), or (left diag(m_k) right) x, for the rows x of each run."""
        if dense:
            return self._by_run(x, (left * m[:, None]) @ right)
        h = F.linear(x, right)  # (K B, L, C)
        z = h.view(self.K, -1, h.shape[-1]) * m[:, None]
        return F.linear(z.view_as(h), left)

    def _by_run(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """weight (K, O, I), one for the rows x (K B, L, I) of each run."""
        h = torch.bmm(x.view(self.K, -1, x.shape[-1]), weight.transpose(1, 2))
        return h.view(*x.shape[:-1], -1)

    def _stack_head(self, module: nn.Linear) -> list[nn.Parameter]:
        weight, bias = (nn.Parameter(p.detach().expand(self.K, *p.shape).clone()) for p in (module.weight, module.bias))

        def forward(x: torch.Tensor) -> torch.Tensor:
            rows = x.view(self.K, -1, x.shape[-1])
            return torch.baddbmm(bias[:, None], rows, weight.transpose(1, 2)).view(*x.shape[:-1], -1)

        module.forward = forward
        return [weight, bias]

    def losses(self, all_of: Batch) -> torch.Tensor:
        parts = self.m.split(self.sizes, 1)
        self.parts = {id(layer): part for layer, part in zip(self.layers, parts, strict=True)}
        return losses(self.net(input_ids=all_of.ids).logits, all_of.labels, self.K)

    def step(self, all_of: Batch) -> None:
        self.losses(all_of).sum().backward()
        self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _clip(self) -> None:
        """Each run by the norm of its own gradient."""
        gradients = [tensor.grad.view(self.K, -1) for tensor in self.trained]
        norms = torch.stack([gradient.square().sum(1) for gradient in gradients]).sum(0).sqrt()  # (K,)
        scale = (self.limit / (norms + 1e-6)).clamp(max=1)[:, None]
        for gradient in gradients:
            gradient.mul_(scale)


def head_of(net: nn.Module, head: Sequence[str]) -> Iterator[nn.Linear]:
    """Of the modules of a head, those that are trained: PEFT keeps the original beside its copy."""
    for name, module in net.named_modules():
        inside = any(f".{part}." in f".{name}." for part in head)
        if inside and isinstance(module, nn.Linear) and module.weight.requires_grad:
            yield module


class Kernels(TorchDispatchMode):
    """How many operations were called, those in the backward pass too."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def counted(step: Callable[[], Any]) -> dict[str, Any]:
    with Kernels() as kernels:
        step()
    with FlopCounterMode(display=False) as products:
        step()
    return {"kernels": kernels.count, "operations": products.get_total_flops()}


def row(name: str, K: int, *, turns: int, warm_up: int) -> dict[str, Any]:
    """The stack against K steps, and those against K steps of FEW tokens."""
    overrides, rows, length = CASES[name]
    generator, device = torch.Generator().manual_seed(0), torch.device("cpu")
    apart, stack = Apart(*model(overrides)), Stack(*model(overrides), K)
    all_of, few = batch(apart.net, K * rows, length, generator), batch(apart.net, K, FEW, generator)
    steps, stacked = partial(apart.steps, all_of, K), partial(stack.step, all_of)
    time = partial(clock.beside, reference=steps, turns=turns, warm_up=warm_up, device=device)
    found, fixed = time(stacked), time(partial(apart.steps, few, K))
    return {
        "case": name, "runs": K, "rows": rows, "length": length, **found,
        "fixed": fixed["ratio"], "bound": 1 - fixed["ratio"] * (1 - 1 / K),
        "stacked": counted(stacked), "apart": counted(steps),
    }  # fmt: skip


def show(found: list[dict[str, Any]]) -> None:
    table = Table(title="one step of K runs against K steps")
    columns = ("case", "K", "rows x tokens", "ms", "K steps", "ratio", "quartiles", "bound", "kernels", "Gflop")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    for one in found:
        each = [one["stacked"], one["apart"]]
        table.add_row(
            one["case"], str(one["runs"]), f"{one['rows']} x {one['length']}", f"{1e3 * one['seconds']:.1f}",
            f"{1e3 * one['reference_seconds']:.1f}", f"{one['ratio']:.3f}",
            f"{one['ratio_low']:.3f} to {one['ratio_high']:.3f}", f"{one['bound']:.3f}",
            " / ".join(f"{of['kernels']:,}" for of in each), " / ".join(f"{of['operations'] / 1e9:.2f}" for of in each),
        )  # fmt: skip
    wide_console(140).print(table)


def parse(argv: list[str] | None) -> argparse.Namespace:
    p = arguments.parser("bench.stacked", __doc__)
    p.add_argument("--cases", type=arguments.names([*CASES], "case"), default=[*CASES], help="all")
    p.add_argument("--runs", type=_counts, default="2,4,8", help="K, with commas between; 2,4,8")
    p.add_argument("--repeats", type=arguments.positive, default=9, help="turns that count; 9")
    p.add_argument("--warm-up", type=arguments.count, default=2, help="turns before those that count; 2")
    p.add_argument("--device", default="cpu", choices=("cpu",))
    p.add_argument("--threads", type=arguments.threads, default=2, help="of the CPU; 2")
    p.add_argument("--out", type=Path, default=Path("runs", "bench"), help="folder of the result file")
    return p.parse_args(argv)


def _counts(text: str) -> list[int]:
    return [arguments.positive(part) for part in text.split(",")]


@tells_disk_errors()
def main(argv: list[str] | None = None) -> None:
    a = parse(argv)
    with arguments.exits_on_user_errors(), methods.own_decompositions():
        device = arguments.set_up(a)
        found = []
        with bar(len(a.cases) * len(a.runs), "stacks") as progress:
            for name in a.cases:
                for K in a.runs:
                    found.append(row(name, K, turns=a.repeats, warm_up=a.warm_up))
                    progress.update()
        show(found)
        print(f"wrote {report.write(a.out, 'stacked', {**report.header('stacked', device, 'float32'), 'rows': found})}")


if __name__ == "__main__":
    main()
