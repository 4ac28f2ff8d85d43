"""Sweeps on a SLURM cluster.

    python -m cluster submit experiment=table1          as run.py, but the runs are queued; returns at once
    python -m cluster status [NAME]                     what each run is doing, or why it failed
    python -m cluster retry NAME                        queue again what failed or was cancelled
    python -m cluster cancel NAME                       take it out of the queue; records and checkpoints stay
    python -m cluster collect NAME [--into FOLDER]      check that all is there, and what came out

Facts of the cluster (partition, GPUs, time ...) are in conf/hydra/launcher/slurm.yaml.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

LAUNCHER = Path(__file__).resolve().parents[1] / "conf" / "hydra" / "launcher" / "slurm.yaml"
COMMANDS = {
    "status": "what each run is doing, or why it failed",
    "retry": "queue again what failed or was cancelled",
    "cancel": "take runs out of the queue",
    "collect": "check that all is there, and what came out",
}


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["submit"]:
        return _submit(arguments[1:])
    options = _parser().parse_args(arguments)
    from cluster import commands
    from harness.run import command_line

    return command_line.exit_code(lambda: getattr(commands, options.command)(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cluster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    folder = OmegaConf.load(LAUNCHER).folder
    actions.add_parser("submit", help="queue runs; takes what run.py takes", add_help=False)
    for name, help_ in COMMANDS.items():
        action = actions.add_parser(name, help=help_)
        action.add_argument("name", metavar="NAME", nargs="?" if name == "status" else None, help="of the sweep")
        action.add_argument("--folder", type=Path, default=Path(folder), help=f"where sweeps are (default: {folder})")
        if name == "collect":
            action.add_argument("--into", type=Path, metavar="FOLDER", help="copy finished runs there, as in runs/")
    return parser


def _submit(overrides: Sequence[str]) -> int:
    """run.py with this launcher, not waited for."""
    import runpy

    root = Path(__file__).resolve().parents[1]
    sweep = ["--multirun", *overrides, "hydra/launcher=slurm", "hydra.launcher.wait=false"]
    sys.argv = [str(root / "run.py"), *sweep]
    runpy.run_path(sys.argv[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
