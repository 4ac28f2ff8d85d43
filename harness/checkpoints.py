"""The folder that an interrupted training resumes from: checkpoint-<step>/, of which only complete ones are used."""

import shutil
from pathlib import Path

from transformers import TrainerCallback

COMPLETE = "complete"  # written last into a checkpoint's folder; without it the folder is not used


class MarkComplete(TrainerCallback):
    """Marks a checkpoint once all of it is written, since a kill can come in between."""

    def on_save(self, args, state, control, **kwargs):
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()


def last(folder: Path) -> str | None:
    """The last complete checkpoint in `folder`; incomplete ones are removed."""
    complete = []
    for path in folder.glob("checkpoint-*"):
        if (path / COMPLETE).exists():
            complete.append(path)
        else:
            shutil.rmtree(path)
    return str(max(complete, key=lambda p: int(p.name.split("-")[1]))) if complete else None
