"""A training step of a whole model at its true size: tokens in a second, peak memory, and what does not fit.

    python -m bench.model                                                                 Gemma-2B and 7B, LLaMA-3-8B
    python -m bench.model --model gemma2b --methods lora_r32,svft_random                  some of it
    python -m bench.model --protocol llama3_8b_udog,llama3_3b_all                         what others published
    python -m bench.model --protocol llama3_8b_udog,llama3_3b_all --tiny --device cpu --tokens 64 --repeats 1

All but the last, which goes the whole way on any machine in a minute, need a GPU; none needs weights. A step is the
trainer's: random token ids in a batch as training collates it, loss, backward, clipping and AdamW. The weights are
random, those of every block being those of the first. Each method is alone on the device while its memory is measured,
and is then timed in turns with the reference where both fit beside each other (`interleaved` of its rows); elsewhere
alone, and its ratio is one of two medians. Into runs/bench/model-<model>-<device>.json.
"""

import argparse
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from transformers import PretrainedConfig

from bench import arguments, memory, methods, protocols, report, shapes, tables, timing, training
from bench.methods import LETTERS, METHODS, RELEASED, ROOT
from bench.protocols import PROTOCOLS, Protocol
from bench.training import Training
from harness.console.progress import bar
from harness.store.disk import tells_disk_errors

FAILED = "out of memory"
DEFAULT_MODELS = "gemma2b,gemma7b,llama3_8b"
LENGTH = 512  # the longest sequence, as in the paper's training on mathematics
ROOM = 0.95  # of the device's memory may be planned for: the allocator's blocks are never all full


def yaml_of(model: str) -> Path:
    return ROOT / "conf" / "model" / f"{model}.yaml"


def adapts_all(model: Path) -> bool:
    """Whether its yaml has the seven layers that `methods` adapt."""
    return OmegaConf.load(model).get("linear") == LETTERS


MODELS = tuple(sorted(path.stem for path in yaml_of("*").parent.glob("*.yaml") if adapts_all(path)))


def free() -> None:
    """The memory of what nothing refers to any more: trainers are parts of cycles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def spared() -> Iterator[None]:
    """What runs out of the device's memory ends here and leaves it free again."""
    try:
        yield
        return
    except torch.OutOfMemoryError:
        pass
    free()  # not while the exception is handled, which holds on to what was being computed


class Session:
    """One model, method after method: `methods` and `rows` of its file."""

    def __init__(self, protocol: Protocol, a: argparse.Namespace, device: torch.device, tick: Callable[[], Any]):
        self.protocol, self.a, self.device, self.tick = protocol, a, device, tick
        self.configs: dict[str, DictConfig] = {}
        self.methods: dict[str, dict[str, Any]] = {}
        self.rows: list[dict[str, Any]] = []
        self.config: PretrainedConfig | None = None
        self.dtype = ""
        self.reference: dict[int, list[float]] = {}  # its seconds alone, by tokens
        self.reference_bytes: dict[int, dict[str, int]] = {}  # standing and peak, by tokens

    def composed(self, name: str) -> DictConfig:
        if name not in self.configs:
            own = {"precision": self.a.precision, "device": self.device, "seed": self.a.seed}
            self.configs[name] = training.composed(self.protocol.methods[name], self.protocol.model, **own)
        return self.configs[name]

    def build(self, name: str) -> Training:
        method = self.protocol.methods[name]
        return Training.build(self.composed(name), method, layers=self.a.layers, device=self.device)

    def run(self, name: str) -> None:
        """All rows of one method, of what does not fit too."""
        cfg, found = self.composed(name), {}
        self.dtype = cfg.model.dtype
        self.methods[name] = {
            "label": cfg.method.label + self.protocol.methods[name].note,
            "targets": cfg.method.get("targets"),
            **dict.fromkeys(("trained", "base_bytes", "resident_bytes")),
        }
        with spared():
            self._measure(name, found)
        free()
        for tokens in self.a.tokens:
            self.rows.append({"method": name, "tokens": tokens, **found.get(tokens, failure())})
            self.tick()

    def _measure(self, name: str, found: dict[int, dict[str, Any]]) -> None:
        """A row into `found` for each number of tokens that fits."""
        mine = self.build(name)
        self.config = mine.config
        self.methods[name] |= mine.summary()
        memory_of: dict[int, dict[str, Any]] = {}
        for tokens in self.a.tokens:
            with spared():
                memory_of[tokens] = self._memory(name, mine, tokens)
            mine.release()
        times_of: dict[int, dict[str, Any]] = {}
        beside = [tokens for tokens, row in memory_of.items() if self._fits(name, mine, tokens, row["peak_bytes"])]
        if beside:
            with spared():
                self._in_turns(mine, beside, times_of)
            mine.release()
            free()
        for tokens, row in memory_of.items():
            with spared():
                found[tokens] = {**(times_of.get(tokens) or self._alone(name, mine, tokens)), **row, "failed": None}
            mine.release()

    def _memory(self, name: str, mine: Training, tokens: int) -> dict[str, int]:
        batch = mine.text.batch(tokens, LENGTH)
        step = mine.step(batch)
        timing.seconds(step, self.device)  # AdamW's state comes with the first step
        kept, standing = mine.saved(batch), mine.standing_bytes()
        peak = standing + memory.rise(step.run, self.device)
        if name == self.protocol.reference:
            self.reference_bytes[tokens] = {"standing": standing, "peak": peak}
        return {"saved_bytes": kept.total, "largest_saved_bytes": kept.largest, "peak_bytes": peak}

    def _fits(self, name: str, mine: Training, tokens: int, peak: int) -> bool:
        """Whether method and reference have room beside each other, one of them in a step."""
        if name == self.protocol.reference or tokens not in self.reference_bytes:
            return False
        if self.device.type != "cuda":
            return True
        other = self.reference_bytes[tokens]
        needed = max(peak + other["standing"], mine.standing_bytes() + other["peak"])
        return needed < ROOM * torch.cuda.get_device_properties(self.device).total_memory

    def _in_turns(self, mine: Training, counts: list[int], times_of: dict[int, dict[str, Any]]) -> None:
        """Into `times_of`: with a reference that is there for so long only."""
        pair = {"mine": mine, "reference": self.build(self.protocol.reference)}
        for tokens in counts:
            taken = self._time({who: each.step(each.text.batch(tokens, LENGTH)) for who, each in pair.items()})
            ratio = timing.ratio_columns(taken["mine"], taken["reference"])
            times_of[tokens] = {**times(tokens, taken["mine"]), **ratio, "ratio_released": None, "interleaved": True}

    def _alone(self, name: str, mine: Training, tokens: int) -> dict[str, Any]:
        taken = self._time({name: mine.step(mine.text.batch(tokens, LENGTH))})[name]
        if name == self.protocol.reference:
            self.reference[tokens] = taken
        ratio = medians(taken, self.reference.get(tokens))
        return {**times(tokens, taken), **ratio, "ratio_released": None, "interleaved": False}

    def _time(self, steps: dict[str, timing.Step]) -> dict[str, list[float]]:
        turns = {"repeats": self.a.repeats, "warm_up": self.a.warm_up}
        return timing.interleaved(steps, **turns, device=self.device, tick=lambda: None)


def times(tokens: int, taken: list[float]) -> dict[str, float]:
    seconds = timing.quartiles(taken)[1]
    return {"seconds": seconds, "tokens_per_second": tokens / seconds}


def medians(taken: list[float], reference: list[float] | None) -> dict[str, float | None]:
    """The ratio of two medians, which has no quartiles."""
    ratio = timing.quartiles(taken)[1] / timing.quartiles(reference)[1] if reference else None
    return {"ratio": ratio, "ratio_low": None, "ratio_high": None}


def failure() -> dict[str, Any]:
    columns = ("seconds", "tokens_per_second", "ratio", "ratio_low", "ratio_high", "ratio_released", "saved_bytes",
               "largest_saved_bytes", "peak_bytes")  # fmt: skip
    return {**dict.fromkeys(columns), "interleaved": False, "failed": FAILED}


def measure(name: str, protocol: Protocol, a: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    chosen, reference = a.methods or list(protocol.methods), protocol.reference
    order = sorted(chosen, key=lambda method: method != reference)  # others are compared with it
    with methods.own_decompositions(), bar(len(order) * len(a.tokens), name) as progress:
        session = Session(protocol, a, device, progress.update)
        for method in order:
            session.run(method)
    config = session.config
    return {
        **report.header("model", device, session.dtype),
        "model": name,
        "shape": shapes.sizes(config) if config else None,
        "layers": config.num_hidden_layers if config else None,
        "length": LENGTH,
        "precision": a.precision,
        "seed": a.seed,
        "reference": reference,
        "released": RELEASED,
        "repeats": a.repeats,
        "interleaved": all(row["interleaved"] for row in session.rows if row["method"] != reference),
        "methods": {method: session.methods[method] for method in chosen},
        "rows": session.rows,
        "linear": [],
    }


def parse(argv: list[str] | None) -> argparse.Namespace:
    """`protocols`: those asked for, by the name of their file."""
    p = arguments.parser("bench.model", __doc__)
    known = tuple(dict.fromkeys([*METHODS, *protocols.METHODS]))
    common = {"tokens": "512,2048,4096", "repeats": 10, "warm_up": 2, "device": "cuda", "length": LENGTH}
    arguments.add_common(p, **common, methods=known)
    which = p.add_mutually_exclusive_group()
    which.add_argument(
        "--model", type=arguments.names(MODELS, "model"), default=DEFAULT_MODELS, help="with commas between"
    )
    which.add_argument(
        "--protocol", type=arguments.names(tuple(PROTOCOLS), "protocol"), help=f"instead: {', '.join(PROTOCOLS)}"
    )
    p.add_argument("--tiny", action="store_true", help="two blocks 64 wide instead, to see that all works")
    p.add_argument("--layers", type=arguments.positive, help="blocks; all that the model has")
    p.add_argument("--precision", default="bf16", choices=("bf16", "fp32"), help="train.precision; bf16 is autocast")
    p.set_defaults(methods=None)
    a = p.parse_args(argv)
    asked = {name: PROTOCOLS[name] for name in a.protocol or ()} or {name: protocols.own(name) for name in a.model}
    for name, protocol in asked.items():
        if a.tiny and not a.protocol and "architecture" not in OmegaConf.load(yaml_of(name)):
            p.error(f"model {name!r} has its sizes from a checkpoint; --tiny is for models of stated sizes")
        if unknown := [method for method in a.methods or () if method not in protocol.methods]:
            p.error(f"method {unknown[0]!r} is not one of {name}, which has {', '.join(protocol.methods)}")
    a.protocols = {f"{name}_tiny": protocols.tiny(one) for name, one in asked.items()} if a.tiny else asked
    return a


@tells_disk_errors()
def main(argv: list[str] | None = None) -> None:
    a = parse(argv)
    with arguments.exits_on_user_errors():
        device = arguments.set_up(a)
        for name, protocol in a.protocols.items():
            result = measure(name, protocol, a, device)
            path = report.write(a.out, f"model-{name}", result)
            tables.show(result)
            print(path)


if __name__ == "__main__":
    main()
