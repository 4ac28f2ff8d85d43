"""What a set of runs is: which of them are done, what they train, and what they need; nothing is started."""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.table import Table

from harness import config, counting, models, record
from harness.progress import bar

TO_DO, UNKNOWN = "to do", "?"
GIB = 2**30
WIDTH = 140  # of a table that goes to a file


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
    problem: str = ""


def planned(cfg: DictConfig) -> Planned:
    models.complete(cfg)
    resolved = config.resolve(cfg)
    names = config.names(cfg, resolved)
    trained, memory = counting.trained_and_memory(cfg)
    return Planned(
        task=names["task"], model=_model(resolved["model"]), label=names["label"],
        targets=names["targets"] or names["variant"], lr=resolved["train"]["lr"], seed=names["seed"],
        state=state(resolved, names["identity"]), trained=trained, memory=memory,
    )  # fmt: skip


def _model(model: dict[str, Any]) -> str:
    """Its name, and the step of its pre-training where the yaml chooses one."""
    return f"{model['name']} {model['step']}" if "step" in model else model["name"]


def state(resolved: dict[str, Any], identity: str) -> str:
    """The status of the record of this configuration and seed, on whatever data; "to do" where there is none."""
    task, model, method = (resolved[group]["name"] for group in ("task", "model", "method"))
    folder = Path(resolved["runs_dir"], task, model, method)
    found = []
    for path in folder.glob(f"*/seed={resolved['seed']}/{record.FILE}"):
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.get("run", {}).get("identity") == identity:
            found.append(values["status"])
    return min(found, key=("done", "running", "failed").index, default=TO_DO)


def show(configurations: Iterable[DictConfig], number: int) -> list[Planned]:
    """Print the runs as a table. A configuration that cannot be resolved is listed with the reason."""
    found = []
    with bar(number, "counting") as progress:
        for cfg in configurations:
            found.append(_planned_or_problem(cfg))
            progress.update()
    table = Table(title=f"{len(found)} runs", header_style="bold")
    for name, justify in (("Task", "left"), ("Model", "left"), ("Method", "left"), ("Targets", "left"),
                          ("LR", "right"), ("Seed", "right"), ("Trained", "right"), ("GPU memory", "right"),
                          ("State", "left")):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=name != "Method")
    for run in found:
        table.add_row(run.task, run.model, run.label, run.targets, f"{run.lr:g}", str(run.seed),
                      UNKNOWN if run.trained is None else f"{run.trained:,}", _gib(run.memory),
                      run.problem or run.state)  # fmt: skip
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(table)
    counts = Counter(run.state for run in found)
    console.print(", ".join(f"{number} {name}" for name, number in counts.items()))
    console.print(
        "GPU memory: estimate of one optimiser step on one device. Weights with decomposition, gradients and AdamW's "
        "moments are counted; activations follow Korthikanti et al. (arXiv:2205.05198) for train.micro_batch_size "
        "examples of train.max_length tokens, nothing recomputed. Generation is not in it.",
        style="dim",
    )
    return found


def _planned_or_problem(cfg: DictConfig) -> Planned:
    try:
        return planned(cfg)
    except (models.ModelError, OmegaConfBaseException) as error:
        reason = str(error).split("\n")[0]
        names = (cfg.task.name, cfg.model.name, cfg.method.name)
        return Planned(*names, "", cfg.method.lr, cfg.seed, "refused", None, None, reason)


def _gib(memory: counting.Memory | None) -> str:
    return UNKNOWN if memory is None else f"{memory.total / GIB:.1f} GiB"
