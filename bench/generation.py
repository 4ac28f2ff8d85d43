"""Tokens generated per second: by each engine, with adapters beside the weights and merged into them.

    python -m bench.generation                                            about two minutes on two cores
    python -m bench.generation --task gsm8k --model gemma2b --device cuda --steps 0

The base is trained whole for a few steps, since only then are texts as long as the answers; each method is then
attached to it with random coefficients, small and not zero. Times include merging and giving the weights back; the
check on some prompts is timed by itself. The reference of each method is plain `generate`: nothing merged, batches in
the order of the questions. Into runs/bench/generation-<device>.json.
"""

import argparse
import copy
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.table import Table
from torch import nn
from transformers import GenerationConfig

from bench import arguments, methods, report, timing
from bench.tables import wide_console
from errors import SettingError
from harness.adapters import adapt, merging
from harness.console.progress import bar
from harness.generate import engines
from harness.generate.batches import Tokens
from harness.modality import modalities
from harness.models import bases
from harness.plan import config
from harness.store.disk import tells_disk_errors

SIZE = 0.005  # standard deviation of what is added to an adapter's coefficients
PLAIN = "generate, unsorted"


@dataclass
class Way:
    """One row of the result: how, and what came of it."""

    name: str
    engine: engines.Engine
    merged: bool
    found: dict[int, Tokens] = field(default_factory=dict)


@dataclass(frozen=True)
class Questions:
    prompts: list[Tokens]
    settings: GenerationConfig
    batch_size: int


def unsorted(
    model: nn.Module, prompts: list[Tokens], settings: GenerationConfig, batch_size: int
) -> Iterator[tuple[int, Tokens]]:
    """`generate` over batches in the order of the prompts."""
    for start in range(0, len(prompts), batch_size):
        batch = prompts[start : start + batch_size]
        yield from ((start + i, tokens) for i, tokens in engines.generate(model, batch, settings, batch_size))


def ways(model: nn.Module) -> list[Way]:
    """The reference first."""
    merged = (False, True) if hasattr(model, "merge_adapter") else (False,)
    return [
        Way(PLAIN, unsorted, merged=False),
        *(Way(name, e, m) for name, e in engines.ENGINES.items() for m in merged),
    ]


def composed(a: argparse.Namespace, method: str) -> DictConfig:
    cfg = methods.configuration(f"task={a.task}", f"model={a.model}", f"method={method}")
    bases.complete(cfg)
    return cfg


def trained_base(a: argparse.Namespace, modality, task, device: torch.device) -> nn.Module:
    """Every weight trained for `--steps` steps."""
    torch.manual_seed(a.seed)
    model = modality.load_model().to(device).train()
    rows = modality.rows(task.examples("train")) if a.steps else []
    optimiser = torch.optim.AdamW(model.parameters(), lr=a.lr)
    with bar(a.steps, "training") as progress:
        for step in range(a.steps):
            batch = modality.collate([rows[(step * a.rows + row) % len(rows)] for row in range(a.rows)])
            model(**{name: tensor.to(device) for name, tensor in batch.items()}).loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            progress.update()
    return model


def attached(base: nn.Module, cfg: DictConfig, seed: int) -> nn.Module:
    """A copy of the base with the method on it, in every entry of an adapter a little beside its start."""
    model = adapt.adapt(copy.deepcopy(base), config.instantiate(cfg.method.adapter), None).model
    model.to(next(base.parameters()).device)
    if hasattr(model, "merge_adapter"):
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += SIZE * torch.randn(parameter.shape, generator=generator).to(parameter)
    return model.eval()


@torch.inference_mode()
def answer(model: nn.Module, way: Way, questions: Questions) -> None:
    with merging.merged(model) if way.merged else nullcontext():
        way.found = dict(way.engine(model, questions.prompts, questions.settings, questions.batch_size))


@torch.inference_mode()
def check(model: nn.Module, way: Way, questions: Questions) -> None:
    """What an evaluation spends on knowing that the tokens are those of the reference."""
    prompts = questions.prompts[: engines.CHECKED]
    how = {"engine": way.name, "merge": way.merged}
    list(engines.continued(model, prompts, questions.settings, questions.batch_size, **how))


def rows(method: str, label: str, model: nn.Module, questions: Questions, repeats: int) -> Iterator[dict[str, Any]]:
    """One row a way, in turns; `ratio` says how many times faster than the reference of the same turn."""
    found = {f"{way.name}, {'merged' if way.merged else 'beside'}": way for way in ways(model)}
    few = Questions(questions.prompts[:4], questions.settings, questions.batch_size)
    steps = {}
    for name, way in found.items():
        answer(model, way, few)  # warms up
        steps[name] = timing.Step(lambda way=way: answer(model, way, questions))
        if way.merged or way.name not in (PLAIN, "generate"):
            steps[f"check of {name}"] = timing.Step(lambda way=way: check(model, way, questions))
    device = next(model.parameters()).device
    taken = timing.interleaved(steps, repeats=repeats, warm_up=0, device=device, tick=lambda: None)
    reference, *_ = found
    for name, way in found.items():
        seconds = timing.quartiles(taken[name])[1]
        low, median, high = timing.quartiles(timing.ratios(taken[reference], taken[name]))
        lengths = [len(tokens) for tokens in way.found.values()]
        checks = taken.get(f"check of {name}")
        yield {
            "engine": way.name, "method": method, "label": label, "merged": way.merged,
            "tokens": sum(lengths), "longest": max(lengths), "seconds": seconds,
            "tokens_per_second": sum(lengths) / seconds, "ratio": median, "ratio_low": low, "ratio_high": high,
            "check_seconds": timing.quartiles(checks)[1] if checks else None,
            "identical": way.found == found[reference].found,
        }  # fmt: skip


def measure(a: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    first = composed(a, a.methods[0])
    task = config.instantiate(first.task.source)
    if task.kind != "generation":
        raise SettingError(f"task {a.task} is of kind {task.kind!r}; this is a benchmark of generation")
    modality = modalities.choose(first, task)
    benchmark = next(iter(task.benchmarks.values()))
    base = trained_base(a, modality, task, device)
    prompts = modality.texts.prompts([e.eval_prompt for e in benchmark.examples("test")[: a.examples]])
    questions = Questions(prompts, modality.settings(benchmark), a.batch_size)
    found: list[dict[str, Any]] = []
    with methods.own_decompositions(), bar(len(a.methods), "methods") as progress:
        for method in a.methods:
            cfg = composed(a, method)
            found += rows(method, cfg.method.label, attached(base, cfg, a.seed), questions, a.repeats)
            progress.update()
    return {
        **report.header("generation", device, first.model.dtype),
        "task": a.task,
        "model": a.model,
        "examples": len(prompts),
        "batch_size": a.batch_size,
        "max_new_tokens": questions.settings.max_new_tokens,
        "adapters": f"on a base after {a.steps} steps of full fine-tuning, entries beside their start by N(0, {SIZE}²)",
        "reference": PLAIN,
        "repeats": a.repeats,
        "rows": found,
    }


def show(result: dict[str, Any]) -> None:
    console = wide_console()
    table = Table(title=f"{result['task']}, {result['model']}, {result['device']['name']}", title_justify="left")
    for name in ("method", "engine", "merged"):
        table.add_column(name, no_wrap=True)
    for name in ("tokens/s", "x plain", "quartiles", "check, s", "identical"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in result["rows"]:
        table.add_row(
            row["label"], row["engine"], "yes" if row["merged"] else "", f"{row['tokens_per_second']:,.0f}",
            f"{row['ratio']:.2f}", f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f}",
            "" if row["check_seconds"] is None else f"{row['check_seconds']:.2f}", "yes" if row["identical"] else "no",
        )  # fmt: skip
    console.print(table)


def known(group: str) -> list[str]:
    return sorted(path.stem for path in (methods.ROOT / "conf" / group).glob("*.yaml"))


def parser() -> argparse.ArgumentParser:
    p = arguments.parser("bench.generation", __doc__)
    p.add_argument("--task", choices=known("task"), metavar="TASK", default="micro_gsm", help="one that generates text")
    p.add_argument("--model", choices=known("model"), metavar="MODEL", default="micro_gemma")
    p.add_argument(
        "--methods", type=arguments.names(known("method"), "method"), default=["full", "lora", "svft_random"]
    )
    p.add_argument("--examples", type=arguments.positive, default=200, help="of the test split; 200")
    p.add_argument("--batch-size", type=arguments.positive, default=128)
    p.add_argument("--repeats", type=arguments.positive, default=3, help="turns; 3")
    p.add_argument(
        "--steps", type=arguments.count, default=60, help="of training the base, on --rows examples each; 60"
    )
    p.add_argument("--rows", type=arguments.positive, default=32)
    p.add_argument("--lr", type=arguments.rate, default=3e-3)
    p.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    p.add_argument("--threads", type=arguments.threads, default=2, help="of the CPU; 2")
    p.add_argument("--seed", type=arguments.count, default=0)
    p.add_argument("--out", type=Path, default=Path("runs", "bench"), help="folder of the result file")
    return p


@tells_disk_errors()
def main(argv: list[str] | None = None) -> None:
    a = parser().parse_args(argv)
    with arguments.exits_on_user_errors():
        result = measure(a, arguments.set_up(a))
        path = report.write(a.out, "generation", result)
        show(result)
        print(path)


if __name__ == "__main__":
    main()
