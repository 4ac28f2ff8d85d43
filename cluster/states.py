"""What has become of each run of a sweep, from its record, SLURM and its log."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cluster import slurm
from cluster.sweep import Run, Sweep
from harness.console import logs

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
STATES = (DONE, RUNNING, QUEUED, FAILED, CANCELLED)
REASON = "error: "  # the line in a job's log that says why the run failed
ATTEMPT = "Starting with JobEnvironment("  # submitit's first line of each attempt
NOT_OURS = ("srun:", "slurmstepd:", "submitit ")  # lines that say that a job ended, not why


@dataclass
class State:
    """detail: of a queued run why it waits, of a running one how far it is, of a failed one why."""

    run: Run
    name: str
    detail: str = ""


def of(sweep: Sweep) -> list[State]:
    """In the order of submission. Raises SlurmError where SLURM does not answer."""
    sweep.find_jobs()
    queue = slurm.in_queue([run.job for run in sweep.runs.values() if run.job])
    return [_state(run, queue, sweep.log_of(run)) for run in sweep.runs.values()]


def _state(run: Run, queue: dict[str, tuple[str, str]], log: Path) -> State:
    if run.job in queue:
        state, reason = queue[run.job]
        if state in slurm.IN_QUEUE:
            return State(run, QUEUED, "" if reason == "None" else reason)
        return State(run, RUNNING, progress(log))
    if run.is_done():
        return State(run, DONE)
    if run.cancelled:
        return State(run, CANCELLED)
    return State(run, FAILED, _reason(run, log))


def progress(log: Path) -> str:
    """The last progress bar, as "training 120/400"; "starting" before there is one."""
    return logs.progress(_attempt(log)) or "starting"


def _reason(run: Run, log: Path) -> str:
    if run.job is None:
        return "it was not submitted"
    found = run.find_record()
    if found is not None and found[1].failure:
        return found[1].failure["reason"]
    lines = _attempt(log)
    named = [line.removeprefix(REASON) for line in lines if line.startswith(REASON)]
    how = slurm.ended(run.job)
    if named:
        return named[-1]
    if how not in ("", "COMPLETED"):
        return f"its job ended as {how}"
    said = [line for line in lines if not line.startswith(NOT_OURS) and not logs.is_bar(line)]
    return f"its job ended without a record{f'; the last it said: {said[-1]}' if said else ''}"


def _attempt(log: Path) -> list[str]:
    """The lines of the last attempt in a job's log, those of progress bars too."""
    return logs.lines(logs.tail(log).rpartition(ATTEMPT)[2])


def count(states: Iterable[State]) -> dict[str, int]:
    """How many runs are in each state, in the order of STATES; states without a run are left out."""
    names = [state.name for state in states]
    return {name: names.count(name) for name in STATES if name in names}
