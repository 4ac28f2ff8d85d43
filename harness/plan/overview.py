"""A table of planned runs: which are done, what they train, what they need of a GPU. Nothing is started."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich import box
from rich.table import Table

from errors import UserError
from harness.console import terminal, told
from harness.console.progress import bar
from harness.models import bases
from harness.plan import config, counting, devices, effort
from harness.plan.effort import HOUR, Effort, Records
from harness.ranks import distributed
from harness.store import provenance, record

TO_DO, REFUSED, UNKNOWN = "to do", "refused", "?"
GIB = 2**30


@dataclass(frozen=True)
class Planned:
    """One run. `state` is the status of its record, or "to do"; `problem` is why it could not be counted."""

    task: str
    model: str
    label: str
    targets: str
    lr: float
    seed: int
    state: str
    trained: int | None
    memory: counting.Memory | None
    effort: Effort | None = None
    problem: str = ""


def planned(cfg: DictConfig, records: Records | None = None, device: devices.Device | None = None) -> Planned:
    """device: what is planned for; None: what `cfg.plan` says."""
    bases.complete(cfg)
    resolved = config.resolve(cfg)
    names = config.names(cfg, resolved)
    records, device = records or Records(), device or devices.chosen(cfg.plan)
    trained, memory = counting.trained_and_memory(cfg)
    here = None if isinstance(cfg.plan, str) else provenance.describe(torch.device("cpu"))["name"]
    return Planned(
        task=names["task"], model=_model(resolved["model"]), label=names["label"],
        targets=names["targets"] or names["variant"], lr=resolved["train"]["lr"], seed=names["seed"],
        state=state(resolved, names["identity"], records), trained=trained, memory=memory,
        effort=effort.of_run(cfg, records, device, here),
    )  # fmt: skip


def _model(model: dict[str, Any]) -> str:
    """Its name, and the step of its pre-training where the yaml chooses one."""
    return f"{model['name']} {model['step']}" if "step" in model else model["name"]


def state(resolved: dict[str, Any], identity: str, records: Records) -> str:
    """The status of the record of this configuration and seed, on whatever data; "to do" where there is none."""
    found = [
        each.status
        for each in records.of(resolved)
        if each.run["identity"] == identity and each.run["seed"] == resolved["seed"]
    ]
    return min(found, key=record.BEST_FIRST.index, default=TO_DO)


def show(configurations: Iterable[DictConfig], number: int) -> list[Planned]:
    """Print the runs as a table. A configuration that cannot be resolved is listed with the reason.

    As a run it would fail, so the exit code of the program is 1 then, too.
    """
    found, records, device = [], Records(), None
    with bar(number, "counting") as progress:
        for cfg in configurations:
            device = device or devices.chosen(cfg.plan)
            found.append(_planned_or_problem(cfg, records, device))
            progress.update()
    device = device or devices.chosen(True)
    if not distributed.is_main():
        return found
    console = terminal.console()
    console.print(table(found, device))
    console.print(*summary(found), sep="\n", soft_wrap=True)
    console.print(*explanation(found, device), sep="\n", style="dim")
    told.failures.extend(run.problem for run in found if run.state == REFUSED)
    return found


def show_one(cfg: DictConfig) -> None:
    """As `show`, once for all ranks. A model that cannot be completed is an error, and no row."""
    if distributed.is_main():
        bases.complete(cfg)
        show([cfg], 1)


def _planned_or_problem(cfg: DictConfig, records: Records, device: devices.Device) -> Planned:
    try:
        return planned(cfg, records, device)
    except (UserError, OmegaConfBaseException) as error:
        reason = str(error).split("\n")[0]
        names = (cfg.task.name, cfg.model.name, cfg.method.name)
        return Planned(*names, "", cfg.method.lr, cfg.seed, REFUSED, None, None, None, reason)


# Heading, alignment, and the text of a run.
Column = tuple[str, str, Callable[[Planned], str]]
NAMES: tuple[Column, ...] = (
    ("Task", "left", lambda run: run.task),
    ("Model", "left", lambda run: run.model),
    ("Method", "left", lambda run: run.label),
    ("Targets", "left", lambda run: run.targets),
    ("LR", "right", lambda run: f"{run.lr:g}"),
    ("Seed", "right", lambda run: str(run.seed)),
)


def table(found: Sequence[Planned], device: devices.Device) -> Table:
    """Names that all runs share are in the title, the others in columns."""
    shared = [c for c in NAMES if len(found) > 1 and len({c[2](run) for run in found}) == 1]
    said = ", ".join(f"{heading} {value(found[0])}" for heading, _, value in shared)
    columns: list[Column] = [c for c in NAMES if c not in shared] + [
        ("Trained", "right", lambda run: UNKNOWN if run.trained is None else f"{run.trained:,}"),
        ("GPU memory", "right", lambda run: _gib(run.memory)),
        ("Fits", "left", lambda run: fits(run.memory, device)),
        ("Train h", "right", lambda run: _hours(run.effort and run.effort.train)),
        ("Eval h", "right", lambda run: _hours(run.effort and run.effort.evaluate)),
        ("Hours are", "left", _how),
        ("State", "left", lambda run: run.problem or run.state),
    ]
    title = f"{len(found)} run{'' if len(found) == 1 else 's'}{f'  ({said})' if said else ''}"
    result = Table(title=title, header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading, side, _ in columns:
        result.add_column(heading, justify=side, no_wrap=heading not in ("Method", "State"))
    for run in found:
        result.add_row(*(value(run) for _, _, value in columns))
    return result


def fits(memory: counting.Memory | None, device: devices.Device) -> str:
    """Whether a training step has room on one such device."""
    if memory is None:
        return UNKNOWN
    return "yes" if memory.total < device.bytes else "no"


def summary(found: Sequence[Planned]) -> list[str]:
    """How many runs are in which state, and of those that are not done the hours, by device and how they were found."""
    counts = Counter(run.state for run in found)
    lines = [", ".join(f"{number} {name}" for name, number in counts.items())]
    ahead = [run.effort for run in found if run.effort and run.state != "done"]
    for where, measured in dict.fromkeys((each.device, each.measured) for each in ahead):
        these = [each for each in ahead if (each.device, each.measured) == (where, measured)]
        known = [each for each in these if each.train is not None]
        train, evaluate = sum(e.train for e in known), sum(e.evaluate or 0 for e in these)
        rest = f"; {len(these) - len(known)} runs are not in the sum" if len(known) < len(these) else ""
        how = "measured on other seeds or rates" if measured else "counted"
        lines.append(f"not done: {_hours(train)} h of training, {_hours(evaluate)} h of evaluation on one {where} "
                     f"({how}){rest}")  # fmt: skip
    problems = dict.fromkeys(each.problem for each in ahead if each.problem)
    return lines + [f"{UNKNOWN}: {problem}" for problem in problems]


def explanation(found: Sequence[Planned], device: devices.Device) -> list[str]:
    lines = [
        "GPU memory: estimate of one optimiser step on one device. Weights with decomposition, gradients and AdamW's "
        "moments are counted; activations follow Korthikanti et al. (arXiv:2205.05198) for train.micro_batch_size "
        "examples of train.max_length tokens, nothing recomputed. Generation is not in it. "
        f"It fits where it is below the {device.bytes / 1e9:.0f} GB of one {device.label}."
    ]
    if any(run.effort and not run.effort.measured for run in found):
        lines.append(
            f"Counted hours: operations at {effort.UTILISATION:.0%} of the peak of one {device.label}, and at least "
            f"{effort.LAUNCH * 1e6:.0f} us an operator, every text as long as it may be: at most, give or take a "
            f"factor of {effort.SPREAD} (harness/plan/effort.py). plan=<name> plans for another of "
            f"{', '.join(devices.known())}."
        )
    return lines


def _how(run: Planned) -> str:
    if run.effort is None:
        return ""
    if run.effort.train is None and run.effort.evaluate is None:
        return UNKNOWN
    return "measured" if run.effort.measured else "counted"


def _hours(seconds: float | None) -> str:
    """Two significant digits: 0.013, 4.2, 130."""
    if seconds is None:
        return UNKNOWN
    hours = seconds / HOUR
    if hours == 0:
        return "0"
    return f"{hours:,.{max(0, 1 - math.floor(math.log10(hours)))}f}"


def _gib(memory: counting.Memory | None) -> str:
    return UNKNOWN if memory is None else f"{memory.total / GIB:.1f} GiB"
