"""Whether the rows of a table trained their heads at one rate: where not, what they differ by may be their heads'."""

from collections.abc import Iterator

import pandas as pd

RATE = "head learning rate"  # in a run's settings, of a run that trains a head


def notes(runs: pd.DataFrame) -> Iterator[str]:
    """A sentence for each task and model whose finished runs have several; runs: of frames.runs_frame."""
    for (model, task), group in runs[runs["status"] == "done"].groupby(["model_label", "task_label"], sort=False):
        labels: dict[str, dict[str, None]] = {}
        for run in group.itertuples():
            if RATE in run.settings:
                labels.setdefault(run.settings[RATE], {})[run.label] = None
        if len(labels) > 1:
            said = "; ".join(f"{rate} {', '.join(names)}" for rate, names in labels.items())
            yield f"Unequal {RATE}s, {model} on {task}: {said}. A part of what these rows differ by may be the heads'."
