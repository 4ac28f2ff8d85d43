"""`hydra/launcher=slurm`: the runs of a sweep as jobs, with their configurations as they are now.

Hydra takes launchers from the package `hydra_plugins` alone. Its own launcher for SLURM composes the configuration when
the job starts, from files that may have been edited meanwhile, and SLURM shows a failed run as COMPLETED.
"""

import shlex
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from harness.console.stderr import release_stderr
from harness.plan.config import composed
from harness.plan.experiments import CHOICE


class SlurmLauncher(Launcher):
    """Submits the runs, and waits until they are done unless `wait` is false."""

    def __init__(self, **settings: Any):
        self.settings = {
            name: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for name, v in settings.items()
        }

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from cluster import slurm, submission, waiting
        from harness.run.command_line import fail

        release_stderr()
        settings = {**self.settings, "name": self.settings["name"] or self._experiment() or "runs"}
        try:
            runs = (composed(self.hydra_context, self.config, overrides) for overrides in job_overrides)
            submitted = submission.submit(runs, len(job_overrides), settings)
        except Exception as error:
            fail(error)
            return []
        for error in submitted.refused:
            fail(error)
        print(submitted)
        if settings["wait"]:
            try:
                waiting.wait(submitted)
            except slurm.SlurmError as error:
                fail(error)
        else:
            print(f"follow them: python -m cluster status {shlex.quote(submitted.sweep.name)}")
        return []

    def _experiment(self) -> str | None:
        asked = [o for o in self.config.hydra.overrides.task if o.startswith(f"{CHOICE}=")]
        return asked[-1].partition("=")[2] if asked else None
