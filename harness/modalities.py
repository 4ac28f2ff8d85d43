"""What differs between language and vision, by the kind of a task's examples."""

from omegaconf import DictConfig

from harness import models
from harness.classification import TextClassification
from harness.generation import Generation
from harness.images import ImageClassification
from tasks.base import Task

BY_KIND = {
    "generation": Generation,
    "text_classification": TextClassification,
    "image_classification": ImageClassification,
}

Modality = Generation | TextClassification | ImageClassification


def choose(cfg: DictConfig, task: Task) -> Modality:
    """Raises ModelError where the model is of a family that has nothing to do with such tasks."""
    models.check_family(cfg.model, task.kind)
    return BY_KIND[task.kind](cfg, task)
