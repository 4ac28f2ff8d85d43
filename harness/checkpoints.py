"""The folder that an interrupted training resumes from: checkpoint-<step>/, of which only whole ones are used.

`complete`, written last into a checkpoint, is a sealed file: {schema, key, seed, files: {name: SHA-256}, sha256}.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import rotate_checkpoints

from harness import files, record
from harness.files import Damaged

COMPLETE = "complete"
KEPT = 2  # checkpoints, the best on validation data among them


class MarkComplete(TrainerCallback):
    """Marks a checkpoint once all of it is written, since a kill can come in between; then drops all but `kept`."""

    def __init__(self, kept: int = KEPT):
        self.kept = kept

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            mark(Path(args.output_dir) / f"checkpoint-{state.global_step}")
            # By step, and after the mark: the Trainer itself goes by the clock, which may have been set back.
            rotate_checkpoints(args.output_dir, self.kept, state.best_model_checkpoint)


def mark(checkpoint: Path) -> None:
    files.remove(checkpoint / COMPLETE)  # of an earlier writing of the same step
    files.write_sealed(checkpoint / COMPLETE, {**_run(checkpoint.parent), "files": files.sums(checkpoint)})


def last(folder: Path) -> str | None:
    """The last whole checkpoint in `folder`. Others are removed, with a warning where one is damaged."""
    whole = {path.name: path for path in folder.glob("checkpoint-*") if _is_whole(path, _run(folder))}
    for name, path in list(whole.items()):
        best = _best(path)
        if best is not None and best not in whole:
            _leave(Damaged(path.parent / best, f"it is not whole, and {name} needs it as the best"), path)
            del whole[name]
    return str(max(whole.values(), key=lambda path: int(path.name.split("-")[1]))) if whole else None


def _is_whole(checkpoint: Path, run: Mapping[str, Any]) -> bool:
    if not (checkpoint / COMPLETE).exists():
        files.remove(checkpoint)
        return False
    try:
        check(checkpoint, run)
    except Damaged as error:
        _leave(error, checkpoint)
        return False
    return True


def check(checkpoint: Path, run: Mapping[str, Any]) -> None:
    """Raises Damaged where a file is not as it was when the checkpoint was marked, or is of another run."""
    marked = files.read_sealed(checkpoint / COMPLETE, run)
    if marked.get("schema") != files.SEALED:
        raise Damaged(checkpoint / COMPLETE, "it has no seal")
    files.checked_sums(checkpoint, marked["files"])


def _leave(error: Damaged, checkpoint: Path) -> None:
    print(f"warning: {error}; {checkpoint.name} is removed, training goes on from one before it", file=sys.stderr)
    files.remove(checkpoint)


def _run(folder: Path) -> dict[str, Any]:
    """Key and seed of the run whose checkpoints are in `folder`, by the record beside it; nothing without one."""
    path = folder.parent / record.FILE
    if not path.exists():
        return {}
    found = record.read(path)
    return {"key": found.key, "seed": found.run["seed"]}


def _best(checkpoint: Path) -> str | None:
    """The name of the checkpoint that was the best on validation data when this one was written, if that is chosen."""
    state = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    best = state["best_model_checkpoint"]
    return best and Path(best).name
