"""Waiting at the terminal until the runs of a sweep are done."""

import shlex
import sys
import time

from cluster import slurm, states
from cluster.submission import Submitted
from errors import UserError
from harness.console.progress import bar
from harness.run.command_line import fail

SECONDS = 5  # between two questions to SLURM
PATIENCE = 120  # questions in a row that SLURM may leave unanswered


class RunFailed(UserError):
    """A run of the sweep failed; the message names it and says why."""


def wait(submitted: Submitted) -> None:
    """Wait until no run is in the queue, then tell each failure. Ctrl-C ends the waiting; the jobs go on."""
    runs = [*submitted.new.values(), *submitted.queued.values()]
    try:
        with bar(len(runs), submitted.sweep.name) as progress:
            while waiting := _in_queue([run.job for run in runs if run.job]):
                progress.update(len(runs) - len(waiting) - progress.n)
                time.sleep(SECONDS)
            progress.update(len(runs) - progress.n)
    except KeyboardInterrupt:
        print(f"\nthe jobs go on; follow them: python -m cluster status {shlex.quote(submitted.sweep.name)}")
        return
    asked = {run.key for run in runs}
    for state in states.of(submitted.sweep):
        if state.run.key in asked and state.name != states.DONE:
            fail(RunFailed(f"{state.run.label}: {state.name}{f', {state.detail}' if state.detail else ''}"))


def _in_queue(jobs: list[str]) -> dict[str, tuple[str, str]]:
    """As slurm.in_queue, asked again while SLURM is busy or restarts. Raises SlurmError if it stays silent for long."""
    for attempt in range(PATIENCE):
        try:
            return slurm.in_queue(jobs)
        except slurm.SlurmError as error:
            if attempt == 0:
                print(f"\nwarning: {error}; asking again", file=sys.stderr)
            time.sleep(SECONDS)
    return slurm.in_queue(jobs)
