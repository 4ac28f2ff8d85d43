"""The runs of a sweep, one after the other in one process: which one is running, and at the end a table of all."""

import shlex
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.console.ending import Ending, parameters, scores
from harness.console.stderr import is_first
from harness.run.command_line import fail, failures

LABELLED = ("method", "model", "task", "seed")  # these are in the name of a run already


@dataclass
class Outcome:
    """What became of one run, in words."""

    name: str
    seed: str = ""
    trained: str = ""
    score: str = ""
    status: str = "not begun"
    said: Sequence[str] = ()

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}" if self.seed else self.name


class Several:
    """A context whose end prints the table, even if something ends the program between two runs.

    jobs: the overrides of each run.
    """

    def __init__(self, jobs: Sequence[Sequence[str]]):
        self.jobs = [dict(override.split("=", 1) for override in job) for job in jobs]
        first = self.jobs[0] if self.jobs else {}
        differing = {key for job in self.jobs for key in job if job[key] != first.get(key)}
        self.shown = [key for key in first if key in differing and key.lstrip("+") not in LABELLED]
        self.outcomes = [Outcome(" ".join(f"{k}={v}" for k, v in job.items() if k in differing)) for job in self.jobs]
        self.folders: dict[str, None] = {}  # of finished runs, in the order in which they were first met

    def do(self, index: int, compose: Callable[[], DictConfig], start: Callable[[DictConfig], Ending | None]) -> None:
        """Do run `index`, from 0, and note what became of it. A bug is printed with its traceback, not raised."""
        outcome, told = self.outcomes[index], len(failures)
        outcome.status = "stopped"
        ended = None
        try:
            try:
                cfg = compose()
                self._name(index, cfg)
            finally:  # a run that cannot be composed is told of too
                if len(self.jobs) > 1 and is_first():
                    print(f"[{index + 1} of {len(self.jobs)}] {outcome}", flush=True)
            ended = start(cfg)
        except Exception as error:
            try:
                fail(error)
            except Exception:
                failures.append(f"{type(error).__name__}: {error}")
                traceback.print_exception(error)
        outcome.said = failures[told:]
        outcome.status = "failed" if outcome.said else "done before" if ended and ended.before else "done"
        if ended:
            self.folders[str(cfg.runs_dir)] = None
            outcome.score, outcome.trained = scores(ended.record), parameters(ended.record)

    def _name(self, index: int, cfg: DictConfig) -> None:
        outcome = self.outcomes[index]
        try:
            labels = [_with_targets(cfg.method), cfg.task.label, cfg.model.label]
        except OmegaConfBaseException:  # of a value that is still to be given: the overrides are its name
            return
        shown = [f"{key.lstrip('+')}={self.jobs[index].get(key, '')}" for key in self.shown]
        outcome.name, outcome.seed = ", ".join([*map(str, labels), *shown]), str(OmegaConf.select(cfg, "seed"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if len(self.jobs) > 1 and is_first():
            self._show()

    def _show(self) -> None:
        from rich import box
        from rich.table import Table

        from harness.console import terminal

        table = Table(header_style="bold", box=box.SIMPLE)
        for name in ("", "Run", "Seed", "Trained", "Score", "Status"):
            table.add_column(name, overflow="fold", justify="left" if name in ("Run", "Score", "Status") else "right")
        for number, each in enumerate(self.outcomes, 1):
            table.add_row(str(number), each.name.replace("[", r"\["), each.seed, each.trained, each.score, each.status)
        sys.stdout.flush()
        terminal.console().print(table)
        counts = Counter(each.status for each in self.outcomes)
        print(f"{len(self.outcomes)} runs: {', '.join(f'{n} {status}' for status, n in counts.items())}", flush=True)
        for folder in self.folders:
            runs, page = shlex.quote(folder), shlex.quote(f"{folder}/report.html")
            print(f"as a page: python -m analysis report --runs {runs} --out {page}", flush=True)
        for each in self.outcomes:
            for sentence in each.said:
                print(f"failed: {each}: {sentence}", file=sys.stderr, flush=True)


def _with_targets(method: DictConfig) -> str:
    """Its label, and the letters of the layers that it adapts where they are known."""
    from harness.models.pretrained import AUTO  # loads the hub's client, which a wrong word does not need

    targets = method.get("targets")
    return f"{method.label} on {targets}" if targets and targets != AUTO else str(method.label)
