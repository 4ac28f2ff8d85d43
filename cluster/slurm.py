"""What is asked of SLURM: submit, what became of jobs, cancel, requeue. Jobs are submitted through submitit."""

import os
import re
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from errors import SettingError

ROOT = Path(__file__).resolve().parents[1]
SHARED = {"nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "mem_gb", "timeout_min", "stderr_to_stdout"}
IN_QUEUE = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
AT_WORK = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
TOKEN = re.compile(r"svft-[0-9a-f]{32}")
ARRAY_LIMIT = 1000  # SLURM's MaxArraySize is 1001 unless a cluster says otherwise


class SlurmError(SettingError):
    """SLURM is not there, or refused; the message is its own."""


def check() -> None:
    """Raises SlurmError where there is no SLURM."""
    missing = [program for program in ("sbatch", "srun", "squeue", "scontrol", "scancel") if not shutil.which(program)]
    if missing:
        raise SlurmError(f"there is no SLURM here: {', '.join(missing)} not found")


def new_token() -> str:
    return f"svft-{uuid.uuid4().hex}"


def submit(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    *,
    folder: Path,
    name: str,
    cwd: str,
    token: str,
    settings: dict[str, Any],
) -> list[str]:
    """Queue `function(argument)` for each of at most ARRAY_LIMIT, as one array that starts in `cwd`; the job ids.

    `token` is put into the jobs' comment, for `by_ticket`. Raises SlurmError and SettingError.
    """
    import submitit

    options = {key: value for key, value in settings.items() if value is not None}
    python = options.pop("python", None)
    lines = options.pop("setup", [])
    setup = [
        f'export PYTHONPATH="{ROOT}${{PYTHONPATH:+:$PYTHONPATH}}"',
        *([lines] if isinstance(lines, str) else lines),
    ]
    more = {"chdir": cwd, "requeue": True, **options.pop("additional_parameters", {})}
    more["comment"] = " ".join(filter(None, (more.get("comment"), token)))
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm", **({"slurm_python": python} if python else {}))
        executor.update_parameters(
            name=name, stderr_to_stdout=True, slurm_setup=setup, slurm_additional_parameters=more,
            slurm_srun_args=["--kill-on-bad-exit=1"],  # no process of a run waits for one that has failed
            **{key if key in SHARED else f"slurm_{key}": value for key, value in options.items()},
        )  # fmt: skip
    except (ValueError, TypeError, NameError, AssertionError) as error:  # submitit refuses settings with any of these
        raise SettingError(f"hydra/launcher: {error}") from error
    try:
        return [job.job_id for job in executor.map_array(function, arguments)]
    except submitit.core.utils.FailedJobError as error:
        raise SlurmError(f"sbatch refused: {_last_line(str(error))}") from error


def in_queue(jobs: Sequence[str]) -> dict[str, tuple[str, str]]:
    """(state, reason) of those of `jobs` that SLURM still has to do or is doing. Raises SlurmError."""
    if not jobs:
        return {}
    text = _call("squeue", "--noheader", "--array", "--format=%i|%T|%r")
    rows = (line.strip().split("|", 2) for line in text.splitlines())
    found = {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}
    return {job: found[job] for job in jobs if job in found and found[job][0] in IN_QUEUE | AT_WORK}


def by_ticket() -> dict[str, str]:
    """The ids of jobs that SLURM knows of and `submit` gave a token to, by "<token>_<index in the array>"."""
    lines = _call("squeue", "--noheader", "--array", "--states=all", "--format=%i %k").splitlines()
    found = [(line.split()[0], TOKEN.search(line)) for line in lines if line.strip()]
    return {f"{token[0]}_{job.partition('_')[2] or 0}": job for job, token in found if token}


def ended(job: str) -> str:
    """How a job ended, as SLURM says it ("TIMEOUT", "FAILED, SIGKILL"); "" where SLURM has forgotten it."""
    try:
        facts = dict(word.partition("=")[::2] for word in _call("scontrol", "show", "job", "-o", job).split())
        state, exits = facts.get("JobState", ""), facts.get("ExitCode", "0:0")
    except SlurmError:
        state, exits = _accounted(job)
    code, _, number = (int(part or 0) if part.isdigit() else 0 for part in exits.partition(":"))
    number = number or (code - 128 if code > 128 else 0)  # a shell reports a signal in this way
    if state in ("", "COMPLETED"):
        return state
    return f"{state}, {_signal(number)}" if number else f"{state}, exit code {code}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _accounted(job: str) -> tuple[str, str]:
    """From the accounting data base, which a small cluster may not have."""
    try:
        lines = _call("sacct", "--noheader", "--parsable2", "--allocations", "--format=State,ExitCode", "-j", job)
    except SlurmError:
        return "", "0:0"
    state, _, exits = (lines.splitlines() or [""])[0].partition("|")
    return state.split(" ")[0], exits or "0:0"


def cancel(jobs: Sequence[str]) -> None:
    if jobs:
        _call("scancel", *jobs)


def is_running() -> bool:
    """Whether SLURM still runs the job of this process: false once it was cancelled, or put back into the queue."""
    return "JobState=RUNNING" in _call("scontrol", "show", "job", "-o", own_job()).split()


def requeue() -> None:
    """Put the job of this process back into the queue, which ends it."""
    _call("scontrol", "requeue", own_job())


def own_job() -> str:
    """The id of the job of this process. The last task of an array has that of the whole array as its SLURM_JOB_ID."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    return f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]


def restarts() -> int:
    """How often this job has been put back into the queue."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0))


def _call(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except FileNotFoundError as error:
        raise SlurmError(f"there is no SLURM here: {command[0]} not found") from error
    except subprocess.TimeoutExpired as error:
        raise SlurmError(f"{command[0]} does not answer") from error
    if done.returncode:
        raise SlurmError(f"{command[0]}: {_last_line(done.stderr)}")
    return done.stdout


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason given")
