"""A SLURM of one node, this machine, for tests and for trying things out: Debian's packages, started by hand.

python -m tests.cluster.node start FOLDER     prints the line that points sbatch, squeue ... to it
python -m tests.cluster.node stop FOLDER

Needs root, and apt-get where SLURM is not installed.
"""

import argparse
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
DAEMONS = ("slurmd", "slurmctld", "munged")
TRIES = 5  # each of two ports that were free a moment before
PATIENCE = 300  # seconds until the node is idle

CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobRequeue=1
KillWait=20
MinJobAge=3600
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


class Unavailable(Exception):
    """SLURM cannot be had on this machine; the message says why."""


def install() -> None:
    """Debian's packages, where they are missing. Raises Unavailable."""
    if all(_which(program) for program in PROGRAMS):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Unavailable("SLURM is not installed, and installing it takes root and apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(["apt-get", "-qq", *command], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"apt-get {command[0]} failed: {done.stderr.strip().splitlines()[-1:]}")


def start(folder: Path, cpus: int | None = None) -> dict[str, str]:
    """Start the daemons with all their files in `folder`; the environment that points SLURM's commands to them.

    Raises Unavailable.
    """
    if os.geteuid() != 0:
        raise Unavailable("starting SLURM's daemons takes root")
    install()
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    folder.mkdir(parents=True, exist_ok=True)
    _begin_munge(folder, environment)
    for _ in range(TRIES):
        _configure(folder, cpus or os.cpu_count())
        for daemon in ("slurmctld", "slurmd"):
            _begin([_which(daemon)], environment)
        if _becomes_idle(folder, environment):
            return environment
        _end_daemons(folder, ("slurmd", "slurmctld"))
    stop(folder)
    raise Unavailable(f"other programs took SLURM's ports {TRIES} times; see the logs in {folder}")


def _begin_munge(folder: Path, environment: dict[str, str]) -> None:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    files = [
        f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("socket", "pid-file", "log-file", "seed-file")
    ]
    _begin([_which("munged"), "--force", f"--key-file={key}", *files], environment)


def _configure(folder: Path, cpus: int) -> None:
    """Anew, with other ports, where an earlier try left something."""
    for name in ("state", "spool"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    for log in folder.glob("slurm*.log"):
        log.unlink()
    (folder / "slurm.conf").write_text(CONFIGURATION.format(
        folder=folder, host=socket.gethostname().split(".")[0], cpus=cpus,
        controller_port=_free_port(), node_port=_free_port(),
    ))  # fmt: skip


def _becomes_idle(folder: Path, environment: dict[str, str]) -> bool:
    """Not so where another program has one of the ports. Raises Unavailable where SLURM does neither."""
    deadline = time.monotonic() + PATIENCE
    while not any(os.strerror(errno.EADDRINUSE) in log.read_text() for log in folder.glob("slurm*.log")):
        if _state(environment) == "idle":
            return True
        if time.monotonic() > deadline:
            stop(folder)
            raise Unavailable(f"SLURM's node does not become idle: {_state(environment)!r}; see the logs in {folder}")
        time.sleep(0.2)
    return False


def stop(folder: Path) -> None:
    """End the jobs and daemons of `start(folder)`."""
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    subprocess.run(["scancel", "--user=root", "--signal=KILL", "--full"], env=environment, capture_output=True)
    subprocess.run(["scancel", "--user=root"], env=environment, capture_output=True)
    _end_daemons(folder, DAEMONS)


def _end_daemons(folder: Path, daemons: Sequence[str]) -> None:
    for daemon in daemons:
        pid_file = folder / ("munge.pid" if daemon == "munged" else f"{daemon}.pid")
        if pid_file.exists():
            _end(int(pid_file.read_text()))


def _which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def _begin(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"{Path(command[0]).name} does not start: {done.stderr.strip()}")


def _state(environment: dict[str, str]) -> str:
    command = ["sinfo", "--noheader", "--format=%T"]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True).stdout.strip()


def _end(pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for _ in range(50):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.node", description=__doc__.split("\n")[0])
    parser.add_argument("action", choices=("start", "stop"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    try:
        if options.action == "stop":
            stop(options.folder.resolve())
        else:
            for name, value in start(options.folder.resolve()).items():
                print(f"export {name}={value}")
    except Unavailable as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
