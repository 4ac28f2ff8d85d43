"""A small real encoder at few tokens: MiniLM-L6 with SVFT on Q K V U D, a step of every method beside LoRA (r=8).

    python -m bench.encoder                                          random weights, two threads, minutes
    python -m bench.encoder --checkpoint .cache/real/minilm_l6       the real ones (python -m assets.fetch_real)
    python -m bench.encoder --threads 1 --clock process              where other programs run beside it

A step is loss and backward of a classifier on random token ids, without padding; the methods take turns in one process.
Into runs/bench/encoder-<device>.json.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench import arguments, counts, linear, memory, methods, report, tables, targets, timing
from bench.methods import DROPPED_OF, HALF_NOTE, HALF_OF, Method
from errors import SettingError
from harness.adapters import adapt
from harness.console.progress import bar
from harness.models import bases
from harness.store.disk import tells_disk_errors

LETTERS = "QKVUD"
TARGETS = f"method.targets={LETTERS}"
REFERENCE = "lora_r8"
METHODS = {
    "svft_plain": Method(f"method=svft_plain {TARGETS}"),
    "svft_random": Method(f"method=svft_random method.adapter.d=8 {TARGETS}"),
    "svft_banded": Method(f"method=svft_banded method.adapter.d=8 {TARGETS}"),
    "svft_random_half": Method(f"method=svft_random method.adapter.d=8 {TARGETS} {HALF_OF}", HALF_NOTE),
    "svft_plain_dropped": Method(f"method=svft_plain {TARGETS} {DROPPED_OF}", ", W0 dropped"),
    "svft_random_dropped": Method(f"method=svft_random method.adapter.d=8 {TARGETS} {DROPPED_OF}", ", W0 dropped"),
    REFERENCE: Method(f"method=lora method.adapter.r=8 {TARGETS}"),
}
BATCHES = "16x12,32x32,32x128"  # rows x tokens of a row
LABELS = 2


@dataclass
class Contestant:
    """A method with its model."""

    label: str
    model: nn.Module
    base_bytes: int
    warnings: list[str]

    def summary(self) -> dict[str, Any]:
        """After a step, when all that a layer keeps is there."""
        layers = linear.svft_layers(self.model)
        return {
            "label": self.label,
            "targets": LETTERS,
            "trained": methods.trained(self.model),
            "base_bytes": self.base_bytes,
            "resident_bytes": memory.standing_bytes(self.model),
            "svd_seconds": sum(layer.svd_seconds for layer in layers),  # those after the first method are in the cache
            **counts.stored(layers, self.base_bytes),
            "warnings": self.warnings,
        }


def contestant(name: str, a: argparse.Namespace, device: torch.device) -> Contestant:
    """The method on a model of its own, the same weights for all."""
    method = METHODS[name]
    cfg = methods.configuration("task=vader_movies", "model=minilm_l6", *a.set, *method.overrides.split())
    torch.manual_seed(a.seed)
    if a.checkpoint:
        cfg.model.checkpoint, cfg.model.revision = str(a.checkpoint), None
        base = bases.load(cfg.model, "text_classification", LABELS).to(device)
    else:
        base = bases.build(cfg.model, LABELS, str(device))
    base_bytes = memory.resident_bytes(base)
    adapted = adapt.adapt(base, method.adapter(cfg.method.adapter), adapt.head_modules(cfg.model.head))
    adapted.model.to(device).train()
    return Contestant(cfg.method.label + method.note, adapted.model, base_bytes, adapted.warnings)


def batch(rows: int, length: int, vocabulary: int, seed: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Random token ids without padding, as a task of two classes collates them."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(vocabulary, (rows, length), generator=generator)
    labels = torch.randint(LABELS, (rows,), generator=generator)
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    return {name: tensor.to(device) for name, tensor in given.items()}


def step(entry: Contestant, inputs: dict[str, torch.Tensor]) -> timing.Step:
    def run() -> None:
        entry.model(**inputs).loss.backward()

    def reset() -> None:
        for parameter in entry.model.parameters():
            parameter.grad = None

    return timing.Step(run, reset)


def saved(entry: Contestant, inputs: dict[str, torch.Tensor]) -> memory.SavedForBackward:
    with memory.SavedForBackward(entry.model, [*memory.held(entry.model), *inputs.values()]) as kept:
        entry.model(**inputs)
    return kept


def rows(
    entries: dict[str, Contestant], inputs: dict[str, torch.Tensor], clock: Callable[[], float], **turns: Any
) -> Iterator[dict[str, Any]]:
    """One row a method, in the order of `entries`."""
    steps, tokens = {name: step(entry, inputs) for name, entry in entries.items()}, inputs["input_ids"].numel()
    taken = timing.interleaved(steps, device=inputs["input_ids"].device, clock=clock, **turns)
    counted = {name: counts.of(steps[name], linear.svft_layers(entry.model), tokens) for name, entry in entries.items()}
    for name, entry in entries.items():
        kept, seconds = saved(entry, inputs), timing.quartiles(taken[name])[1]
        yield {
            "method": name,
            "tokens": tokens,
            "batch": "x".join(map(str, inputs["input_ids"].shape)),
            "seconds": seconds,
            "tokens_per_second": tokens / seconds,
            **timing.ratio_columns(taken[name], taken.get(REFERENCE)),
            "ratio_released": None,
            "saved_bytes": kept.total,
            "largest_saved_bytes": kept.largest,
            "peak_bytes": memory.resident_bytes(entry.model) + memory.rise(steps[name].run, torch.device("cpu")),
            **counts.columns(counted[name], counted.get(REFERENCE)),
        }
        steps[name].reset()


def measure(a: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    entries: dict[str, Contestant] = {}
    with methods.own_decompositions(), bar(len(a.methods), "attaching") as progress:
        for name in a.methods:
            entries[name] = contestant(name, a, device)
            progress.update()
    config = methods.base_of(next(iter(entries.values())).model).config
    for number, length in a.batches:
        if length > config.max_position_embeddings:
            raise SettingError(
                f"{number}x{length} has more tokens in a row than the model's {config.max_position_embeddings}"
            )
    found: list[dict[str, Any]] = []
    with bar((a.repeats + a.warm_up) * len(a.batches) * len(entries), "steps") as progress:
        for number, length in a.batches:
            inputs = batch(number, length, config.vocab_size, a.seed, device)
            turns = {"repeats": a.repeats, "warm_up": a.warm_up, "tick": progress.update}
            found += rows(entries, inputs, timing.CLOCKS[a.clock], **turns)
    return {
        **report.header("encoder", device, "float32"),
        "shape": {"hidden": config.hidden_size, "intermediate": config.intermediate_size,
                  "heads": config.num_attention_heads, "layers": config.num_hidden_layers},
        "weights": "checkpoint" if a.checkpoint else "random",
        "clock": a.clock,
        "seed": a.seed,
        "reference": REFERENCE,
        "released": None,
        "repeats": a.repeats,
        "methods": {name: entry.summary() for name, entry in entries.items()},
        "rows": found,
        "linear": [],
    }  # fmt: skip


def _batches(text: str) -> list[tuple[int, int]]:
    sizes = [part.split("x") for part in text.split(",")]
    for size in sizes:
        if len(size) != 2:
            raise argparse.ArgumentTypeError(f"{'x'.join(size)!r} is not rows x tokens, such as 16x12")
    return [(arguments.positive(number), arguments.positive(length)) for number, length in sizes]


def parser() -> argparse.ArgumentParser:
    p = arguments.parser("bench.encoder", __doc__)
    p.add_argument("--batches", type=_batches, default=BATCHES, help="rows x tokens, with commas between; %(default)s")
    p.add_argument("--methods", type=arguments.names(METHODS, "method"), default=",".join(METHODS), help="%(default)s")
    p.add_argument("--repeats", type=arguments.positive, default=15, help="turns that count; %(default)s")
    p.add_argument("--warm-up", type=arguments.count, default=2, help="turns before those that count; %(default)s")
    p.add_argument("--checkpoint", type=Path, help="folder of MiniLM-L6; none: random weights")
    p.add_argument("--set", nargs="*", default=[], help="overrides of the configuration, as run.py takes them")
    p.add_argument("--threads", type=arguments.threads, default=2, help="of the CPU; %(default)s")
    p.add_argument("--clock", choices=tuple(timing.CLOCKS), default="wall", help="%(default)s")
    p.add_argument("--seed", type=arguments.count, default=0, help="of weights and inputs; %(default)s")
    p.add_argument("--out", type=Path, default=Path("runs", "bench"), help="folder of the result file; %(default)s")
    p.set_defaults(device="cpu")
    return p


@tells_disk_errors()
def main(argv: list[str] | None = None) -> None:
    a = parser().parse_args(argv)
    with arguments.exits_on_user_errors():
        device = arguments.set_up(a)
        result = measure(a, device)
        path = report.write(a.out, "encoder", result)
        tables.show(result, targets.check(result))
        print(path)


if __name__ == "__main__":
    main()
