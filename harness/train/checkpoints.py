"""What an interrupted training resumes from: folders checkpoint-<step>/, which are used only if they are complete.

The last file that is written into a checkpoint is `complete`, which is sealed:
{schema, key, seed, files: {name: SHA-256}, sha256}.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import rotate_checkpoints

from errors import Damaged
from harness.store import files, record

COMPLETE = "complete"
NAME = re.compile(r"checkpoint-(\d+)")
KEPT = 2  # checkpoints, the best on validation data among them


class MarkComplete(TrainerCallback):
    """Marks a checkpoint as complete when all of it is written, then removes all checkpoints but `kept`.

    A process may be killed while the Trainer writes one, and from its files alone one could not tell.
    """

    def __init__(self, kept: int = KEPT):
        self.kept = kept

    def on_train_begin(self, args, state, control, **kwargs):
        if state.best_global_step is not None:  # the folder may have been moved since that path was written down
            state.best_model_checkpoint = str(Path(args.output_dir) / f"checkpoint-{state.best_global_step}")

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            mark(Path(args.output_dir) / f"checkpoint-{state.global_step}")
            # By step, and after the mark: the Trainer itself goes by the clock, which may have been set back.
            rotate_checkpoints(args.output_dir, self.kept, state.best_model_checkpoint)


def mark(checkpoint: Path) -> None:
    files.remove(checkpoint / COMPLETE)  # of an earlier writing of the same step
    files.write_sealed(checkpoint / COMPLETE, {**_run(checkpoint.parent), "files": files.sums(checkpoint)})


def last(folder: Path) -> str | None:
    """The last checkpoint in `folder` that is complete and undamaged, as must be the one that it names as the best.

    Later ones are removed, with a warning if they are damaged. Earlier ones stay as they are and are not looked at: the
    best that they name may have been removed when there was a better one.
    """
    if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
        print(f"warning: {folder} is not a folder; it is removed, and training begins anew", file=sys.stderr)
        files.remove(folder)
    marked, run = [], _run(folder)
    for path in (path for path in folder.glob("checkpoint-*") if NAME.fullmatch(path.name)):
        if (path / COMPLETE).exists():
            marked.append(path)
        else:
            files.remove(path)
    for path in sorted(marked, key=_step, reverse=True):
        try:
            check(path, run)
            _check_best(path, run)
        except Damaged as error:
            _leave(error, path)
        else:
            return str(path)
    return None


def _step(checkpoint: Path) -> int:
    return int(NAME.fullmatch(checkpoint.name)[1])


def _check_best(checkpoint: Path, run: Mapping[str, Any]) -> None:
    """Raises Damaged if the checkpoint that this one names as the best is not complete and undamaged."""
    best = _best(checkpoint)
    if best is None or best == checkpoint.name:
        return
    try:
        check(checkpoint.parent / best, run)
    except Damaged as error:
        raise Damaged(error.path, f"{error.reason}, and {checkpoint.name} needs it as the best") from error


def check(checkpoint: Path, run: Mapping[str, Any]) -> None:
    """Raises Damaged if a file is not as it was when the checkpoint was marked, or is of another run."""
    marked = files.read_sealed(checkpoint / COMPLETE, run)
    files.checked_sums(checkpoint, marked["files"])


def _leave(error: Damaged, checkpoint: Path) -> None:
    print(f"warning: {error}; {checkpoint.name} is removed, training goes on from one before it", file=sys.stderr)
    files.remove(checkpoint)


def _run(folder: Path) -> dict[str, Any]:
    """Key and seed of the run whose checkpoints are in `folder`, from the record beside it; {} if there is none."""
    path = folder.parent / record.FILE
    if not path.exists():
        return {}
    found = record.read(path)
    return {"key": found.key, "seed": found.run["seed"]}


def _best(checkpoint: Path) -> str | None:
    """The checkpoint that was the best on validation data when this one was written; None without train.select_best."""
    state = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    best = state["best_model_checkpoint"]
    return best and Path(best).name
