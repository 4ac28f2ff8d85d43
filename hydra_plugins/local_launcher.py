"""`hydra/launcher=local`, the default: the runs of a sweep on this machine, after each other or some at a time.

Hydra takes launchers from the package `hydra_plugins` alone. Its own ends the sweep where one run cannot be composed.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from omegaconf import DictConfig, open_dict

from errors import SettingError
from harness.console.ending import Ending
from harness.console.stderr import release_stderr
from harness.plan.config import composed_with_hydra
from harness.sweep.several import Several


class LocalLauncher(BasicLauncher):
    """Tells which run is running, and at the end what became of each. A run that fails does not stop the others.

    If none of the runs can be composed, the command is wrong, and that is told once.
    """

    def __init__(self, workers: int, logs: str):
        super().__init__()
        self.workers, self.logs = workers, logs

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from harness.sweep import at_once

        try:
            at_once.check(self.workers, self.logs)
        except SettingError as error:
            sys.exit(f"error: {error}")
        if wrong := self._wrong_everywhere(job_overrides):
            sys.exit(f"error: {wrong}")
        release_stderr()
        setup_globals()
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        numbered = list(enumerate(job_overrides, initial_job_idx))
        with Several(job_overrides) as several:
            if self.workers == 1:
                for index, (number, overrides) in enumerate(numbered):
                    several.do(index, partial(self._job, overrides, number), self._run)
            else:
                at_once.load()
                runs = at_once.AtOnce(several, self.workers, at_once.log_folder(self.logs), self._run)
                runs.do([partial(self._job, overrides, number) for number, overrides in numbered])
        return []

    def _wrong_everywhere(self, job_overrides: Sequence[Sequence[str]]) -> SettingError | None:
        """Why no run can be composed; None as soon as one can. One run is tried for each choice of groups."""
        chosen, first = {}, None
        for job in job_overrides:
            groups = tuple(item for item in job if "." not in item and not item.startswith("seed="))
            chosen.setdefault(groups, job)
        for overrides in chosen.values():
            try:
                composed_with_hydra(self.hydra_context, self.config, overrides)
            except SettingError as error:
                first = first or error
            else:
                return None
        return first

    def _job(self, overrides: Sequence[str], number: int) -> DictConfig:
        cfg = composed_with_hydra(self.hydra_context, self.config, overrides)
        with open_dict(cfg):
            cfg.hydra.job.id = cfg.hydra.job.num = number
        return cfg

    def _run(self, cfg: DictConfig) -> Ending | None:
        done = run_job(
            hydra_context=self.hydra_context, task_function=self.task_function, config=cfg,
            job_dir_key="hydra.sweep.dir", job_subdir_key="hydra.sweep.subdir",
        )  # fmt: skip
        if done.status is JobStatus.FAILED:
            raise done._return_value  # a bug; its property would print Hydra's words first
        return done.return_value
