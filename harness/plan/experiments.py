"""Experiments: the runs of one table or figure.

`conf/experiment/<name>.yaml` lists rows and columns as they are printed. A row sets the method and the model, a column
the task and the benchmark. Each pair is a *cell*; cells with equal overrides share one run. A run is composed as if its
overrides had been typed, so two experiments that contain it share it, too.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from errors import SettingError
from harness.settings.choices import no_choice
from harness.settings.typed import forced

CONF = Path(__file__).resolve().parents[2] / "conf"
CHOICE = "experiment"


@dataclass(frozen=True)
class Cell:
    """One number of a table, or one point of a figure: where it is printed, and the overrides of the run behind it.

    column: {metric, benchmark, split, scorer, ...} as the yaml has it.
    """

    row: dict[str, Any]
    column: dict[str, Any]
    overrides: tuple[str, ...]


def read(name: str) -> dict[str, Any]:
    """conf/experiment/<name>.yaml. Raises SettingError naming those that are there."""
    path = CONF / CHOICE / f"{name}.yaml"
    if not path.is_file():
        raise SettingError(no_choice(CHOICE, name, names()))
    return OmegaConf.to_container(OmegaConf.load(path))


def names() -> list[str]:
    return sorted((path.stem for path in (CONF / CHOICE).glob("*.yaml")), key=_in_print)


def _in_print(name: str) -> tuple[str, int, str]:
    """table2 before table10."""
    word = name.rstrip("0123456789")
    return word, int(name[len(word) :] or 0), name


def cells(experiment: dict[str, Any]) -> Iterator[Cell]:
    """Every cell that a run fills, in the order of print."""
    for row in experiment["rows"]:
        for column in experiment["columns"]:
            if "benchmark" in column and belongs(column, row):
                parts = (experiment.get("run", ""), column.get("run", ""), row["run"])
                yield Cell(row, column, tuple(item for part in parts for item in part.split()))


def belongs(column: dict[str, Any], row: dict[str, Any]) -> bool:
    """A column may be of one model's rows alone (`only`), or of one panel of a figure."""
    return column.get("only") in (None, row["model"]) and column.get("panel") in (None, row.get("panel"))


def runs(experiment: dict[str, Any]) -> list[tuple[str, ...]]:
    """The distinct runs, in the order of their first cell; one a row where there are no columns. Seeds are left out."""
    if "columns" in experiment:
        return list(dict.fromkeys(cell.overrides for cell in cells(experiment)))
    return [tuple(f"{experiment['run']} {row['run']}".split()) for row in experiment["rows"]]


def several_runs(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments with `--multirun` where an experiment is asked for, since it is always several runs.

    Ends the program where more than one is asked for: what is given besides could be meant for either.
    """
    asked = [argument for argument in arguments if argument.startswith(f"{CHOICE}=")]
    if len(asked) > 1 or "," in "".join(asked):
        sys.exit(f"error: {' '.join(asked)}: one experiment at a time")
    multirun = {"-m", "--multirun", "--cfg", "-c", "--help", "-h"} & set(arguments)
    return ["--multirun", *arguments] if asked and not multirun else list(arguments)


def expand(experiment: dict[str, Any], given: Sequence[str]) -> list[list[str]]:
    """The overrides of every run: those of the experiment, its seeds, and what the command line adds or changes.

    Sweeps (`train.lr=1e-3,1e-2`) may be among them. What the command line makes equal is one run.
    """
    seeds = [f"seed={seed}" for seed in experiment["seeds"]]
    jobs = (_last_of_each([*run, seed, *given]) for run, seed in product(runs(experiment), seeds))
    return [list(job) for job in dict.fromkeys(map(tuple, jobs))]


def _last_of_each(overrides: Sequence[str]) -> list[str]:
    """One override a key, the last: Hydra refuses a second choice of a group."""
    return list({override.partition("=")[0].lstrip("+"): forced(override) for override in overrides}.values())
