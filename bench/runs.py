"""Whole runs as processes of their own, in turns: SVFT beside LoRA, what a run in a sweep costs, and eight seeds.

    python -m bench.runs                        on two quiet cores about twelve minutes
    python -m bench.runs --real .cache/real     and MiniLM (python -m assets.fetch_real): five minutes more
    python -m bench.runs --beside ../before     and a checkout of another commit: five minutes more
    python -m bench.runs --parts whole          one part; what is left out is not in the file
    python -m bench.runs --repeats 1 --steps 2  whether it works, in a few minutes

whole     The default run, training and evaluation, against LoRA's, each with its own recipe: wall time.
overhead  Seconds of one more small run in a sweep in one process, less those of its optimiser steps.
bare      The same without retention, which measures how far the adapter moved the model.
seeds     Eight seeds of SVFT-P at a time, as many as threads with one each, against one after the other.
minilm    A run of MiniLM on sentences, Q K V U D, training and evaluation, against LoRA's (r=8).
beside    The default run here against that of another checkout, under the same interpreter.

Value: the median over turns, of wall times; beside it that of CPU seconds, which other programs disturb less. What
starts with a process and ends with it is in it; the first run of a checkout is not counted. Crowded: runs whose records
say that other processes held the cores. Into runs/bench/runs-<device>.json.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from bench import arguments, methods, processes, report, tables, targets, timing
from bench.methods import ROOT
from bench.processes import Command, Taken
from harness.console.progress import bar
from harness.store.disk import tells_disk_errors

SMALL = ("evaluate.benchmarks=[micro_gsm]", "evaluate.splits=[validation]", "task.source.validation_size=8")
SWEEPS = (8, 2)  # small runs in one process
STEPS = {"overhead": 2, "seeds": 40}  # of each run; other parts: as its recipe says
SEEDS = 8
CLOCKS = ("wall", "cpu")
COLUMNS = ("part", "what", "value", "quartiles", "by CPU", "seconds", "steps", "evaluation", "rest", "scores",
           "crowded")  # fmt: skip
WIDTH = 160  # characters of the table


@dataclass(frozen=True)
class Part:
    """What is measured against what, and how a turn of both makes a number."""

    method: str
    mine: str
    other: str
    commands: dict[str, Command]
    value: Callable[[Taken, Taken, str], float]
    unit: str = ""
    alike: bool = False  # the same runs, whose scores are compared

    def row(self, name: str, taken: dict[str, list[Taken]]) -> dict[str, Any]:
        """Medians over turns; seconds of one process, those of all its runs together."""
        mine, other = taken[self.mine], taken[self.other]
        values = {clock: [self.value(*turn, clock) for turn in zip(mine, other, strict=True)] for clock in CLOCKS}
        low, median, high = timing.quartiles(values["wall"])
        return {
            "part": name, "method": self.method, "case": self.mine, "reference": self.other, "unit": self.unit,
            "value": median, "low": low, "high": high, "cpu_value": timing.quartiles(values["cpu"])[1],
            **medians("", mine), **medians("reference_", other),
            "same_scores": all(map(_score_alike, mine, other)) if self.alike else None,
            "crowded": sum(each.crowded for each in mine + other),
            "runs": sum(len(each.records) for each in mine + other),
            "commits": [_commit(mine), _commit(other)],
        }  # fmt: skip


def ratio(mine: Taken, other: Taken, clock: str) -> float:
    return getattr(mine, clock) / getattr(other, clock)


def one_more(many: Taken, few: Taken, clock: str) -> float:
    """Seconds of a run without its steps, what both sweeps spend once being apart."""
    return (outside(many, clock) - outside(few, clock)) / (len(many.records) - len(few.records))


def outside(taken: Taken, clock: str) -> float:
    return taken.wall - taken.training if clock == "wall" else taken.cpu - taken.training_cpu


def medians(prefix: str, taken: list[Taken]) -> dict[str, float]:
    """rest: without steps and evaluation; of runs beside each other, whose seconds overlap, it may be below 0."""
    seconds = {
        "seconds": [each.wall for each in taken],
        "cpu_seconds": [each.cpu for each in taken],
        "training_seconds": [each.training for each in taken],
        "evaluation_seconds": [each.evaluation for each in taken],
        "rest_seconds": [each.wall - each.training - each.evaluation for each in taken],
    }
    return {prefix + name: timing.quartiles(values)[1] for name, values in seconds.items()}


def _score_alike(mine: Taken, other: Taken) -> bool:
    return mine.scores == other.scores


def _commit(taken: list[Taken]) -> str | None:
    return taken[0].records[0]["provenance"]["code"]["commit"]


def steps(a: argparse.Namespace, part: str) -> tuple[str, ...]:
    number = a.steps or STEPS.get(part)
    return (f"train.max_steps={number}",) if number else ()


def default(folder: Path, method: str, a: argparse.Namespace) -> Command:
    return Command(folder, (f"method={method}", f"threads={a.threads}", *steps(a, "whole")))


def whole(a: argparse.Namespace) -> Part:
    names = ("svft_random", "lora")
    return Part(names[0], *names, {name: default(ROOT, name, a) for name in names}, ratio)


def overhead(a: argparse.Namespace, *others: str) -> Part:
    own = ("-m", "method=svft_random", f"threads={a.threads}", *SMALL, *steps(a, "overhead"), *others)
    commands = {f"a sweep of {number}": Command(ROOT, (*own, _seeds(number)), number) for number in SWEEPS}
    return Part("svft_random", *commands, commands, one_more, "s")


def bare(a: argparse.Namespace) -> Part:
    return overhead(a, "evaluate.retention=false")


def seeds(a: argparse.Namespace) -> Part:
    own = ("-m", "method=svft_plain", _seeds(SEEDS), "evaluate.benchmarks=[micro_gsm]", "evaluate.splits=[validation]")
    beside = ("threads=1", f"hydra.launcher.workers={a.threads}")
    commands = {
        f"{a.threads} at a time": Command(ROOT, (*own, *steps(a, "seeds"), *beside), SEEDS, a.threads),
        "one after the other": Command(ROOT, (*own, *steps(a, "seeds"), f"threads={a.threads}"), SEEDS),
    }
    return Part("svft_plain", *commands, commands, ratio, alike=True)


def minilm(a: argparse.Namespace) -> Part:
    model = ("model=minilm_l6", f"model.checkpoint={a.real / 'minilm_l6'}")
    task = ("task=vader_movies", f"task.source.folder={a.real / 'vader_movies'}")
    own = (*model, *task, "method.targets=QKVUD", f"threads={a.threads}", *steps(a, "minilm"))
    commands = {
        "svft_random": Command(ROOT, ("method=svft_random", "method.adapter.d=8", *own)),
        "lora r=8": Command(ROOT, ("method=lora", "method.adapter.r=8", *own)),
    }
    return Part("svft_random", *commands, commands, ratio)


def beside(a: argparse.Namespace) -> Part:
    commands = {"here": default(ROOT, "svft_random", a), "there": default(a.beside, "svft_random", a)}
    return Part("svft_random", *commands, commands, ratio, alike=True)


def _seeds(number: int) -> str:
    return f"seed={','.join(map(str, range(number)))}"


PARTS: dict[str, Callable[[argparse.Namespace], Part]] = {
    "whole": whole, "overhead": overhead, "bare": bare, "seeds": seeds, "minilm": minilm, "beside": beside,
}  # fmt: skip
NEEDS = {  # the option that a part goes by
    "minilm": ("real", "--real FOLDER, where python -m assets.fetch_real has put the model and its sentences"),
    "beside": ("beside", "--beside FOLDER, a checkout of another commit"),
}


def measure(a: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    parts = {name: PARTS[name](a) for name in a.parts}
    folders = {command.folder for part in parts.values() for command in part.commands.values()}
    rows: list[dict[str, Any]] = []
    with methods.own_decompositions(), bar(len(folders) + 2 * a.repeats * len(parts), "processes") as progress:
        caches = {folder: Path(os.environ["SVFT_CACHE_DIR"], str(n)) for n, folder in enumerate(sorted(folders))}
        for folder, cache in caches.items():
            first = Command(folder, ("method=svft_random", f"threads={a.threads}", *SMALL, "train.max_steps=1"))
            processes.timed(first, cache)
            progress.update()
        for name, part in parts.items():
            taken = processes.in_turns(part.commands, caches, repeats=a.repeats, tick=progress.update)
            rows.append(part.row(name, taken))
    return {**report.header("runs", device, "float32"), "repeats": a.repeats, "steps": a.steps, "rows": rows}


def table(result: dict[str, Any]) -> Table:
    device = result["device"]["name"]
    shown = Table(title=f"whole runs on {device}, {result['threads']} threads", title_justify="left")
    for place, column in enumerate(COLUMNS):
        shown.add_column(column, justify="left" if place < 2 else "right", no_wrap=True)
    for row in result["rows"]:
        shown.add_row(*_cells(row))
    return shown


def _cells(row: dict[str, Any]) -> Sequence[str]:
    unit = f" {row['unit']}".rstrip()
    names = ("seconds", "training_seconds", "evaluation_seconds", "rest_seconds")
    return (
        row["part"],
        f"{row['case']} / {row['reference']}",
        f"{row['value']:.3f}{unit}",
        f"{row['low']:.3f} to {row['high']:.3f}",
        f"{row['cpu_value']:.3f}{unit}",
        *(f"{row[name]:.1f} / {row['reference_' + name]:.1f}" for name in names),
        {None: "", True: "same", False: "differ"}[row["same_scores"]],
        f"{row['crowded']} of {row['runs']}",
    )


def _fetched(text: str) -> Path:
    folder = Path(text).resolve()
    for name in ("minilm_l6", "vader_movies"):
        if not (folder / name).is_dir():
            raise argparse.ArgumentTypeError(f"{text!r} has no {name}; python -m assets.fetch_real fetches it")
    return folder


def _checkout(text: str) -> Path:
    folder = Path(text).resolve()
    if not text or folder == ROOT or not (folder / "run.py").is_file():
        raise argparse.ArgumentTypeError(
            f"{text!r} has no run.py of another build; name a checkout, as git worktree add makes one"
        )
    return folder


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    p = arguments.parser("bench.runs", __doc__)
    p.add_argument(
        "--parts", type=arguments.names([*PARTS], "part"), help="with commas between; those that need no option"
    )
    p.add_argument("--real", type=_fetched, metavar="FOLDER", help="of python -m assets.fetch_real, for part minilm")
    p.add_argument("--beside", type=_checkout, metavar="FOLDER", help="a checkout of another commit, for part beside")
    p.add_argument("--steps", type=arguments.positive, help="optimiser steps of every run, whatever the part's are")
    p.add_argument("--repeats", type=arguments.positive, default=3, help="turns of each part; %(default)s")
    p.add_argument("--threads", type=arguments.threads, default=2, help="of each process; %(default)s")
    p.add_argument("--out", type=Path, default=Path("runs", "bench"), help="folder of the result file; %(default)s")
    p.set_defaults(device="cpu")
    a = p.parse_args(argv)
    a.parts = a.parts or [name for name in PARTS if name not in NEEDS]
    for part, (option, needed) in NEEDS.items():
        if part in a.parts and not getattr(a, option):
            p.error(f"part {part} needs {needed}")
        if getattr(a, option) and part not in a.parts:
            a.parts.append(part)
    if "seeds" in a.parts and a.threads < 2:
        p.error("part seeds needs --threads 2 or more; --parts leaves it out")
    return a


@tells_disk_errors()
def main(argv: Sequence[str] | None = None) -> None:
    a = parse(argv)
    with arguments.exits_on_user_errors():
        device = arguments.set_up(a)
        result = measure(a, device)
        path = report.write(a.out, "runs", result)
        console = tables.wide_console(WIDTH)
        console.print(table(result))
        console.print(tables.of_targets(targets.check(result)))
        print(path)


if __name__ == "__main__":
    main()
