"""Vision: images to pixel values, and class predictions.

Shapes: B batch, C channels, S side of the model's square input, K classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from transformers import PreTrainedModel

from harness.console.progress import bar
from harness.modality.classification import classes_of
from harness.modality.interface import Batch, Modality, Probe, Wanted
from harness.models import bases
from tasks.base import Benchmark, ImageExample, Task
from tasks.reading import pictures

FLOAT32 = 4  # bytes
KEPT = 256 * 2**20  # bytes of pixels that the rows of a data set may keep


class ImageClassification(Modality):
    """Cross-entropy over the task's classes. Preprocessing as released: squared bilinearly, scaled, no augmentation."""

    def __init__(self, cfg: DictConfig, task: Task):
        self.cfg, self.task = cfg, task
        self.num_labels = task.num_classes
        self.class_names = task.class_names
        image = cfg.model.image
        self.channels, self.side = image.channels, image.size
        self.mean, self.std = _per_channel(image.mean), _per_channel(image.std)

    def load_model(self) -> PreTrainedModel:
        model = bases.load(self.cfg.model, self.task.kind, self.num_labels)
        model.config.problem_type = "single_label_classification"
        bases.name_classes(model, self.class_names, self.num_labels)
        return model

    def rows(self, examples: Sequence[ImageExample]) -> list[dict[str, Any]]:
        """Nothing is opened here: a data set need not fit into memory. A small one keeps the pixels it has made."""
        keeps = len(examples) * self.channels * self.side**2 * FLOAT32 <= KEPT
        return [{"example": example, "labels": example.label, "keeps": keeps} for example in examples]

    def collate(self, rows: Sequence[dict[str, Any]]) -> Batch:
        return {
            "pixel_values": torch.stack([self._pixels_of(row) for row in rows]),  # (B, C, S, S)
            "labels": torch.tensor([row["labels"] for row in rows]),  # (B,)
        }

    def _pixels_of(self, row: dict[str, Any]) -> torch.Tensor:
        if "pixels" in row:
            return row["pixels"]
        pixels = self.pixels(row["example"])
        if row["keeps"]:
            row["pixels"] = pixels
        return pixels

    def pixels(self, example: ImageExample) -> torch.Tensor:
        """(C, S, S), normalised. Raises DataError where the image cannot be read."""
        try:
            picture = opened(example)
            if picture.mode != "F":
                picture = picture.convert("RGB" if self.channels == 3 else "L")
        except pictures.UNREADABLE as error:
            raise pictures.unreadable(example.id, error) from error
        white = 1 if picture.mode == "F" else 255
        picture = picture.resize((self.side, self.side), Image.Resampling.BILINEAR)
        values = torch.from_numpy(np.array(picture, dtype=np.float32)) / white
        values = values.reshape(self.side, self.side, -1).permute(2, 0, 1)  # (1 or C, S, S)
        values = values.expand(self.channels, -1, -1)
        return (values - self.mean) / self.std

    def probes(self, wanted: Wanted) -> list[Probe]:
        """One image: all have its shape."""
        settings = self.cfg.model.image
        batch = self.collate(self.rows(self.task.examples("train")[:1]))
        shape = f"model.image.size={settings.size} and model.image.channels={settings.channels}"
        return [Probe({"pixel_values": batch["pixel_values"]}, f"the model does not take images of {shape}")]

    def remarks(self, wanted: Wanted) -> list[str]:
        return []

    def require_rows_alone(self, model: torch.nn.Module, wanted: Wanted) -> None:
        """Images have one size, so that nothing fills them up."""

    @staticmethod
    def size(batch: Batch) -> torch.Tensor:
        """Images in a batch."""
        return torch.tensor(len(batch["labels"]))

    @staticmethod
    def targets(batch: Batch) -> torch.Tensor:
        """(B,): the targets of each row, of which a classifier learns one."""
        return torch.ones(len(batch["labels"]), dtype=torch.int64)

    def predict(
        self,
        model: torch.nn.Module,
        benchmark: Benchmark,
        examples: Sequence[ImageExample],
        batch_size: int,
        label: str,
    ) -> tuple[list[int], int]:
        """The most likely class of each image; the second value, generated tokens, is 0."""
        return self.predictions_of(self.logits(model, examples, batch_size, label)), 0

    @torch.inference_mode()
    def logits(
        self, model: torch.nn.Module, examples: Sequence[ImageExample], batch_size: int, label: str
    ) -> np.ndarray:
        """(examples, K), float32."""
        device = next(model.parameters()).device
        found = []
        model.eval()
        with bar(len(examples), f"classifying {label}") as progress:
            for start in range(0, len(examples), batch_size):
                batch = self.collate(self.rows(examples[start : start + batch_size]))
                logits = model(pixel_values=batch["pixel_values"].to(device)).logits  # (B, K)
                found.append(logits.float().cpu().numpy())
                progress.update(len(batch["labels"]))
        return np.concatenate(found)

    def predictions_of(self, logits: np.ndarray) -> list[int | float]:
        """The most likely class of each row of (B, K); NaN where logits are not finite."""
        return classes_of(logits)

    def gold(self, example: ImageExample) -> int:
        return example.label


def opened(example: ImageExample) -> Image.Image:
    """The plain image, see tasks/reading/pictures.py."""
    return pictures.plain(example.image() if callable(example.image) else example.image)


def _per_channel(value: float | Sequence[float]) -> torch.Tensor:
    """One number, or one for each channel, as (C or 1, 1, 1)."""
    return torch.as_tensor(np.asarray(value, dtype=np.float32)).reshape(-1, 1, 1)
