"""What a job does: run its frozen configuration, and go back into the queue when the cluster wants its node."""

import os
import sys
import time
from dataclasses import dataclass

from cluster import slurm
from cluster.frozen import Frozen, thaw
from cluster.states import REASON
from harness.console.told import sentence
from harness.train.interruption import Stop, Stopped

GRACE = 60  # seconds that a process of several waits for the first one


@dataclass(frozen=True)
class Job:
    """limit: how often the job may go back into the queue; commit: of the code when it was submitted.

    again: `force` has been obeyed by a job before.
    """

    frozen: Frozen
    limit: int
    commit: str | None
    again: bool


def work(job: Job) -> None:
    """Raises what the run raises, so that the job is FAILED for SLURM too; the log says why in one line."""
    try:
        with Stop():
            _run(job)
    except Stopped as stopped:
        _go_back(job, stopped)
        raise
    except Exception as error:
        print(f"{REASON}{sentence(error) or repr(error)}", file=sys.stderr, flush=True)
        raise


def _run(job: Job) -> None:
    import submitit

    from harness.run.command_line import leaving_together, quiet
    from harness.store import provenance
    from run import run

    if int(os.environ.get("SLURM_NTASKS", 1)) > 1:
        submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
    cfg = thaw(job.frozen)
    commit = provenance.code()["commit"]
    if commit != job.commit:
        print(f"warning: the run was submitted at commit {job.commit}; the code is now at {commit}", file=sys.stderr)
    if cfg.threads is None and "SLURM_CPUS_PER_TASK" in os.environ:
        cfg.threads = int(os.environ["SLURM_CPUS_PER_TASK"])  # the job's, where torch would take all of the node
    if job.again or slurm.restarts():
        cfg.force = False
    quiet()
    with leaving_together():
        run(cfg)


def _go_back(job: Job, stopped: Stopped) -> None:
    if int(os.environ.get("SLURM_PROCID", 0)):
        time.sleep(GRACE)  # else this process ends the job before the first one has put it back
        return
    print(f"stopped by {stopped.signal.name}", flush=True)
    try:
        if not slurm.is_running():
            return
        if slurm.restarts() >= job.limit:
            print(f"{REASON}{stopped.signal.name} after going back into the queue {job.limit} times", flush=True)
            return
        print("the run goes on from here when it is its turn again", flush=True)
        slurm.requeue()
    except slurm.SlurmError as error:
        print(f"{REASON}the job could not be put back into the queue ({error})", flush=True)
