"""Vision: images to pixel values, and class predictions.

Shapes: B batch, C channels, S side of the model's square input.
"""

from collections.abc import Sequence

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from transformers import PreTrainedModel

from harness import models
from harness.progress import bar
from tasks.base import ImageExample, Task


class ImageClassification:
    """Cross-entropy over the task's classes. Preprocessing as released: squared bilinearly, scaled, no augmentation."""

    def __init__(self, cfg: DictConfig, task: Task):
        self.cfg, self.task = cfg, task
        self.num_labels = task.num_classes

    def load_model(self) -> PreTrainedModel:
        return models.load(self.cfg.model, self.task.kind, self.num_labels)

    def rows(self, examples: Sequence[ImageExample]) -> list[dict]:
        return [{"image": e.image, "labels": e.label} for e in examples]

    def collate(self, rows: Sequence[dict]) -> dict[str, torch.Tensor]:
        return {
            "pixel_values": torch.stack([self.pixels(row["image"]) for row in rows]),  # (B, C, S, S)
            "labels": torch.tensor([row["labels"] for row in rows]),  # (B,)
        }

    def pixels(self, image: Image.Image | np.ndarray) -> torch.Tensor:
        """(C, S, S), normalised."""
        settings = self.cfg.model.image
        picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
        picture = picture.convert("RGB" if settings.channels == 3 else "L")
        picture = picture.resize((settings.size, settings.size), Image.Resampling.BILINEAR)
        values = torch.from_numpy(np.array(picture, dtype=np.float32)) / 255
        values = values.reshape(settings.size, settings.size, settings.channels).permute(2, 0, 1)
        return (values - settings.mean) / settings.std

    @staticmethod
    def size(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Images in a batch."""
        return torch.tensor(len(batch["labels"]))

    @torch.inference_mode()
    def predict(
        self, model: torch.nn.Module, examples: Sequence[ImageExample], batch_size: int, label: str
    ) -> tuple[list[int], int]:
        """The most likely class of each image; the second value, generated tokens, is 0."""
        device = next(model.parameters()).device
        classes: list[int] = []
        model.eval()
        with bar(len(examples), f"classifying {label}") as progress:
            for start in range(0, len(examples), batch_size):
                batch = self.collate(self.rows(examples[start : start + batch_size]))
                logits = model(pixel_values=batch["pixel_values"].to(device)).logits  # (B, classes)
                classes += logits.argmax(-1).tolist()
                progress.update(len(batch["labels"]))
        return classes, 0

    def gold(self, example: ImageExample) -> int:
        return example.label
