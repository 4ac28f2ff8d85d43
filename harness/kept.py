"""Measure of finished runs how far they moved from their base, where their records do not say it yet.

    python -m harness.kept runs/micro_gsm/micro_gemma/lora/r8-QKVUDOG-29c5990b/seed=0
    python -m harness.kept runs

A run measures this at its end, unless evaluate.retention=false. Of a run that is done its adapter is needed: a folder
may hold many, and those without one are told and left as they are. Nothing else of a record changes.
"""

import sys
from collections import Counter
from pathlib import Path

import torch

from errors import SettingError, UserError
from harness.finished import finished_run
from harness.retention import section
from harness.run import command_line
from harness.store import record
from harness.store.run_folder import RunFolder

MEASURED, BEFORE, REFUSED = "measured", "measured before", "not measured"


def measure(path: Path) -> str:
    """MEASURED, or BEFORE, of the run in folder `path`. Raises UserError and its kinds."""
    found = record.read(path / record.FILE)
    if found.retention:
        return BEFORE
    with RunFolder(path, found):
        run = finished_run.opened(path, torch.device("cpu"))
        run.record.retention = section.measure(run.model, run.modality, run.head, torch.device("cpu"))
        record.write(path / record.FILE, run.record)
    return MEASURED


def _all(folders: list[Path]) -> int:
    paths = [path.parent for folder in folders for path in record.paths(folder)]
    if not paths:
        raise SettingError(f"there is no {record.FILE} in {', '.join(map(str, folders))} or below")
    counts: Counter[str] = Counter()
    for path in paths:
        try:
            counts[measure(path)] += 1
        except UserError as error:
            counts[REFUSED] += 1
            print(f"error: {error}", file=sys.stderr)
    print(", ".join(f"{number} {what}" for what, number in counts.items()))
    return int(counts[REFUSED] > 0)


def main(arguments: list[str] | None = None) -> int:
    options = command_line.parser("harness.kept", __doc__)
    options.add_argument("runs", type=Path, nargs="+", help="folders of finished runs, or with such below them")
    chosen = options.parse_args(arguments)
    command_line.quiet()
    return command_line.exit_code(lambda: _all(chosen.runs))


if __name__ == "__main__":
    sys.exit(main())
