"""What differs between language and vision, by the kind of a task's examples."""

from collections.abc import Iterable

from omegaconf import DictConfig

from errors import DataError
from harness.modality.classification import TextClassification
from harness.modality.generation import Generation
from harness.modality.images import ImageClassification
from harness.models import bases
from tasks.base import Benchmark, Task

BY_KIND = {
    "generation": Generation,
    "text_classification": TextClassification,
    "image_classification": ImageClassification,
}

Modality = Generation | TextClassification | ImageClassification


def look(task: Task, wanted: Iterable[tuple[Benchmark, str]]) -> None:
    """Read every example that a run needs. Raises DataError where there is none to train on, or none to score."""
    task.examples("validation")
    for source, split in ((task, "train"), *wanted):
        if len(source.examples(split)) == 0:
            raise DataError(f"{source.name} has no {split} examples; what task.source says leaves none")


def choose(cfg: DictConfig, task: Task) -> Modality:
    """Raises ModelError where the model is of a family that has nothing to do with such tasks."""
    bases.check_family(cfg.model, task.kind)
    return BY_KIND[task.kind](cfg, task)
