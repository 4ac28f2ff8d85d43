"""Every form of every adapted layer, timed: whether the one that the cost model chooses is the fastest, or how near.

    python -m bench.forms [--tokens 256,512,1024,4096] [--repeats 7] [--out runs/bench]

Layers of the block of `bench.block`, forward and backward, fp32, W0 kept and dropped; the forms of a layer take turns
in one process. The regret of a choice is the median over turns of its time over that of the fastest form, less 1.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from rich.table import Table
from torch import nn
from tqdm import tqdm

from bench import arguments, report
from bench.linear import layers_step
from bench.methods import own_decompositions
from bench.tables import wide_console
from bench.timing import interleaved, quartiles, ratios
from harness.store.disk import tells_disk_errors
from svft import SvftConfig, SvftLinear
from svft.arithmetic.cost import FORMS

SHAPES = {"U, G": (4096, 512), "D": (512, 4096), "Q, O": (512, 512), "K, V": (256, 512)}
PATTERNS = {"plain": {}, "banded": {"d": 16}, "random": {"d": 16}}


def parse(argv: list[str] | None) -> argparse.Namespace:
    p = arguments.parser("bench.forms", __doc__)
    p.add_argument("--tokens", type=_counts, default="256,512,1024,4096", help="with commas between")
    p.add_argument("--repeats", type=arguments.positive, default=7, help="turns that count; 7")
    p.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    p.add_argument("--threads", type=arguments.threads, default=2, help="of the CPU; 2")
    p.add_argument("--out", type=Path, default=Path("runs", "bench"), help="folder of the result file")
    return p.parse_args(argv)


def _counts(text: str) -> list[int]:
    return [arguments.positive(part) for part in text.split(",")]


def layer(out: int, inp: int, pattern: str, kept: bool, form: str, device: torch.device) -> SvftLinear:
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("lin", nn.Linear(inp, out, bias=False))
    config = SvftConfig(pattern=pattern, form=form, keep_weight=kept, target_modules=["lin"], **PATTERNS[pattern])
    return get_peft_model(model.to(device), config).base_model.model.lin


def rows(tokens: list[int], repeats: int, device: torch.device) -> Iterator[dict[str, Any]]:
    cases = [(letters, pattern, kept) for letters in SHAPES for pattern in PATTERNS for kept in (True, False)]
    generator = torch.Generator().manual_seed(0)
    for letters, pattern, kept in tqdm(cases, desc="layers"):
        forms = {form: layer(*SHAPES[letters], pattern, kept, form, device) for form in FORMS}
        auto = layer(*SHAPES[letters], pattern, kept, "auto", device)
        for T in tokens:
            steps = {name: layers_step([made], T, torch.float32, generator, device) for name, made in forms.items()}
            taken = interleaved(steps, repeats=repeats, warm_up=2, device=device, tick=lambda: None)
            seconds = {form: quartiles(values)[1] for form, values in taken.items()}
            chosen, fastest = auto.form(T), min(seconds, key=seconds.get)
            regret = quartiles(ratios(taken[chosen], taken[fastest]))[1] - 1
            yield {
                "layers": letters, "shape": list(SHAPES[letters]), "pattern": pattern, "keep_weight": kept, "tokens": T,
                "seconds": seconds, "chosen": chosen, "fastest": fastest, "regret": regret,
            }  # fmt: skip


def show(found: list[dict[str, Any]]) -> None:
    table = Table(title="where another form than the chosen one was faster by more than 5 %")
    for column in ("layers", "pattern", "W0", "tokens", "chosen", "fastest", "regret"):
        table.add_column(column)
    for row in found:
        if row["regret"] > 0.05:
            origin = "kept" if row["keep_weight"] else "dropped"
            cells = (row["layers"], row["pattern"], origin, row["tokens"], row["chosen"], row["fastest"])
            table.add_row(*map(str, cells), f"{100 * row['regret']:.0f} %")
    wide_console().print(table)
    regrets = [row["regret"] for row in found]
    print(
        f"{len(found)} choices: {sum(r <= 0 for r in regrets)} are the fastest, {sum(r <= 0.05 for r in regrets)} "
        f"within 5 %, mean regret {100 * sum(regrets) / len(regrets):.1f} %, largest {100 * max(regrets):.0f} %"
    )


@tells_disk_errors()
def main(argv: list[str] | None = None) -> None:
    a = parse(argv)
    with arguments.exits_on_user_errors(), own_decompositions():
        device = arguments.set_up(a)
        found = list(rows(a.tokens, a.repeats, device))
        show(found)
        print(f"wrote {report.write(a.out, 'forms', {**report.header('forms', device, 'float32'), 'rows': found})}")


if __name__ == "__main__":
    main()
