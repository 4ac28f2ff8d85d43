"""One block of a decoder, a step of every method in turns: its time, and the bytes that it keeps for backward.

    python -m bench.block                                                    on a CPU, minutes
    python -m bench.block --device cuda --dtype bfloat16 --shape gemma2b     on a GPU, one block of the true size

What a step is says step.py. Into runs/bench/block-<device>.json, or block_<shape>-<device>.json for another shape.
"""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

import torch

from bench import arguments, counts, linear, memory, methods, report, shapes, tables, targets, timing
from bench.methods import METHODS, REFERENCE, RELEASED, SVFT
from bench.step import LENGTH, Contestant, Inputs, contestant, peak_bytes, saved, step
from harness.console.progress import bar
from harness.models import bases
from harness.store.disk import tells_disk_errors

DEFAULT_SHAPE = "gemma_small"
WHOLE = "gemma2b"  # the model that this shape is a block of, at a quarter of its width


def rows(
    entries: dict[str, Contestant], inputs: Inputs, *, repeats: int, warm_up: int, tick: Callable[[], Any],
    clock: Callable[[], float] = timing.CLOCKS["wall"],
) -> Iterable[dict[str, Any]]:  # fmt: skip
    """One row a method, in the order of `entries`."""
    steps = {name: step(entry, inputs) for name, entry in entries.items()}
    turns = {"repeats": repeats, "warm_up": warm_up, "tick": tick, "clock": clock}
    taken = timing.interleaved(steps, device=inputs.hidden.device, **turns)
    counted = {
        name: counts.of(steps[name], linear.svft_layers(entry.block), inputs.tokens) for name, entry in entries.items()
    }
    for name, entry in entries.items():
        kept = saved(entry, inputs)
        yield {
            **times(name, inputs.tokens, taken),
            "saved_bytes": kept.total,
            "largest_saved_bytes": kept.largest,
            "peak_bytes": peak_bytes(entry, inputs),
            **counts.columns(counted[name], counted.get(REFERENCE)),
        }


def times(name: str, tokens: int, taken: dict[str, list[float]]) -> dict[str, Any]:
    """A row's columns of time: medians and quartiles. Ratios are null where what they refer to was not run."""
    seconds = timing.quartiles(taken[name])[1]
    return {
        "method": name,
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        **timing.ratio_columns(taken[name], taken.get(REFERENCE)),
        "ratio_released": timing.ratio_columns(taken[name], taken.get(RELEASED))["ratio"],
    }


def whole(name: str) -> dict[str, Any]:
    """What the whole model holds with the method, counted by shapes: no memory is taken."""
    method = METHODS[name]
    cfg = methods.composed(method, [f"model={WHOLE}"])
    base = bases.build(cfg.model, None, "meta")
    base_bytes = memory.counted_bytes(base)
    model = methods.attached(base, method, cfg).model
    told = {"base_bytes": base_bytes, "resident_bytes": memory.counted_bytes(model)}
    told |= counts.stored(linear.svft_layers(model), base_bytes)
    return {"whole": WHOLE, **{f"whole_{name}": number for name, number in told.items()}}


def measure(a: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    entries: dict[str, Contestant] = {}
    with methods.own_decompositions(), bar(len(a.methods), "attaching") as progress:
        for name in a.methods:
            entries[name] = contestant(name, shapes.SHAPES[a.shape], a.dtype, device, a.seed)
            progress.update()
    config = next(iter(entries.values())).base.config
    told = {name: entry.summary() for name, entry in entries.items()}
    for name in (REFERENCE, *SVFT) if a.shape == DEFAULT_SHAPE else ():
        if name in told:
            told[name] |= whole(name)
    counted = {name: entry.block for name, entry in entries.items() if linear.svft_layers(entry.block)}
    found: dict[str, list[dict[str, Any]]] = {"rows": [], "linear": []}
    turns = {"repeats": a.repeats, "warm_up": a.warm_up}
    total = sum(turns.values()) * len(a.tokens) * (len(entries) + 3 * len(counted))
    with bar(total, "steps") as progress:
        turns |= {"tick": progress.update, "clock": timing.CLOCKS[a.clock]}
        for tokens in a.tokens:
            inputs = Inputs.random(tokens, config.hidden_size, a.dtype, device, a.seed)
            found["rows"] += rows(entries, inputs, **turns)
            found["linear"] += [linear.row(n, b, tokens, a.dtype, device, a.seed, **turns) for n, b in counted.items()]
    return {
        **report.header("block", device, a.dtype),
        **({} if a.shape == DEFAULT_SHAPE else {"model": f"{a.shape}, one block"}),
        "shape": shapes.sizes(config),
        "layers": 1,
        "length": LENGTH,
        "clock": a.clock,
        "seed": a.seed,
        "reference": REFERENCE,
        "released": RELEASED,
        "repeats": a.repeats,
        "methods": told,
        **found,
    }


def parser() -> argparse.ArgumentParser:
    p = arguments.parser("bench.block", __doc__)
    arguments.add_common(p, tokens="128,256,512,1024,2048,4096,8192", repeats=5, warm_up=1, device="cpu", length=LENGTH)
    p.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    p.add_argument("--clock", choices=tuple(timing.CLOCKS), default="wall", help="wall")
    p.add_argument("--shape", default=DEFAULT_SHAPE, choices=tuple(shapes.SHAPES))
    return p


@tells_disk_errors()
def main(argv: list[str] | None = None) -> None:
    a = parser().parse_args(argv)
    with arguments.exits_on_user_errors():
        device = arguments.set_up(a)
        result = measure(a, device)
        name = "block" if a.shape == DEFAULT_SHAPE else f"block_{a.shape}"
        path = report.write(a.out, name, result)
        tables.show(result, targets.check(result))
        print(path)


if __name__ == "__main__":
    main()
