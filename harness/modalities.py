"""What differs between language and vision, by the kind of a task's examples."""

from omegaconf import DictConfig

from harness import models
from harness.generation import Generation
from harness.images import ImageClassification
from tasks.base import Task

BY_KIND = {"generation": Generation, "image_classification": ImageClassification}


def choose(cfg: DictConfig, task: Task) -> Generation | ImageClassification:
    """Raises ModelError where the model is of a family that has nothing to do with such tasks."""
    models.check_family(cfg.model, task.kind)
    return BY_KIND[task.kind](cfg, task)
