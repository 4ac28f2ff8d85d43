"""`experiment=<name>` on the command line, for any launcher.

Hydra takes sweepers from the package `hydra_plugins` alone.
"""

import sys
from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from errors import SettingError
from harness.console import terminal
from harness.console.stderr import release_stderr
from harness.plan import devices
from harness.plan.config import composed
from harness.plan.experiments import CHOICE, expand, read
from harness.settings.choices import no_choice


class ExperimentSweeper(BasicSweeper):
    """Hydra's own sweeper, where `experiment=<name>` stands for the overrides of each of its runs.

    What else is on the command line is applied to every run, sweeps included; seeds are the experiment's unless given.
    With `plan=true`, or `plan=<device>`, the runs are listed and none is started.
    """

    def split_arguments(self, overrides: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:
        experiment = [o.value() for o in overrides if o.key_or_group == CHOICE]
        given = [o.input_line for o in overrides if o.key_or_group != CHOICE]
        if not experiment:
            return super().split_arguments(overrides, max_batch_size)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        jobs = []
        for run in expand(read(experiment[-1]), given):
            [split] = super().split_arguments(parser.parse_overrides(run), None)
            jobs += split
        return [jobs]

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Look at the choices of groups alone. To compose each run here, too, would take minutes."""
        options = self.hydra_context.config_loader.get_group_options
        for group, _, choice in {override.partition("=") for job in batch for override in job}:
            there = options(group)
            if there and choice not in (*there, "null"):
                sys.exit(f"error: {no_choice(group, choice, there)}")

    def sweep(self, arguments: list[str]) -> Any:
        plans = [argument.partition("=")[2].lower() for argument in arguments if argument.startswith("plan=")]
        if not plans or plans[-1] == "false":
            return super().sweep(arguments)
        try:
            devices.refuse_unknown(plans[-1])
            return self._plan(arguments)
        except SettingError as error:
            sys.exit(f"error: {error}")

    def _plan(self, arguments: list[str]) -> Any:
        loader = self.hydra_context.config_loader
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(arguments)
        [jobs] = self.split_arguments(parsed, None)
        release_stderr()
        terminal.stage("loading torch and transformers")
        from harness.plan import overview

        return overview.show((composed(self.hydra_context, self.config, job) for job in jobs), len(jobs))
