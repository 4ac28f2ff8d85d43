"""The modality of each kind of task (see interface.py), and a first look at a task's data."""

from collections.abc import Mapping

from omegaconf import DictConfig

from errors import DataError, SettingError
from harness.modality.classification import TextClassification
from harness.modality.generation import Generation
from harness.modality.images import ImageClassification
from harness.modality.interface import Modality, Wanted
from harness.models import bases
from tasks.base import Task

BY_KIND: Mapping[str, type[Modality]] = {
    "generation": Generation,
    "text_classification": TextClassification,
    "image_classification": ImageClassification,
}


def look(task: Task, wanted: Wanted) -> None:
    """Read every example that a run needs.

    Raises DataError where there is none to train on, or none to score, and SettingError for what is no task.
    """
    if not isinstance(task, Task):
        raise SettingError(
            f"task.source: {type(task).__name__} does not derive from tasks.base.Task, which has the defaults of what "
            "a task may leave out"
        )
    task.examples("validation")
    for source, split in ((task, "train"), *wanted):
        if len(source.examples(split)) == 0:
            raise DataError(f"{source.name} has no {split} examples; what task.source says leaves none")


def choose(cfg: DictConfig, task: Task) -> Modality:
    """Raises ModelError where the model is of a family that has nothing to do with such tasks."""
    bases.check_family(cfg.model, task.kind)
    return BY_KIND[task.kind](cfg, task)
