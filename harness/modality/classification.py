"""Text classification and regression: texts, or pairs of texts, to token ids, and predictions of an encoder.

Shapes: B batch, T tokens of the longest text in the batch, C classes (1 for regression).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from omegaconf import DictConfig
from transformers import PreTrainedModel

from harness.console.progress import bar
from harness.modality import padding, remarks
from harness.modality.interface import Batch, Modality, Probe, Wanted
from harness.models import bases
from tasks.base import Benchmark, ClassExample, Task

Row = dict[str, list[int] | int | float]


class TextClassification(Modality):
    """Cross-entropy over the task's classes, or, where it has one "class", the squared error of a value."""

    def __init__(self, cfg: DictConfig, task: Task):
        self.cfg, self.task = cfg, task
        self.tokenizer = bases.load_tokenizer(cfg.model)
        self.num_labels = task.num_classes
        self.class_names = task.class_names

    @property
    def is_regression(self) -> bool:
        return self.num_labels == 1

    def load_model(self) -> PreTrainedModel:
        model = bases.load(self.cfg.model, self.task.kind, self.num_labels)
        # Stated, since a checkpoint that was fine-tuned brings the problem type of its own task.
        model.config.problem_type = "regression" if self.is_regression else "single_label_classification"
        bases.name_classes(model, self.class_names, self.num_labels)
        # A decoder classifies from the last token that is not this one; many checkpoints state none, or another.
        model.config.pad_token_id = model.config.get_text_config().pad_token_id = self.tokenizer.pad_token_id
        return model

    def rows(self, examples: Sequence[ClassExample]) -> list[Row]:
        """Token ids, the segment of each where the tokenizer says it, and the label. All examples are pairs, or none.

        Tokens beyond `train.max_length` are taken from the end of the longer text of a pair.
        """
        return self._encoded(examples, self.cfg.train.max_length)

    def _encoded(self, examples: Sequence[ClassExample], longest: int | None) -> list[Row]:
        pairs = [e.pair for e in examples]
        encoded = self.tokenizer(
            [e.text for e in examples],
            pairs if any(pair is not None for pair in pairs) else None,
            truncation=longest is not None and "longest_first",
            max_length=longest,
            return_attention_mask=False,
        )
        columns = {name: encoded[name] for name in ("input_ids", "token_type_ids") if name in encoded}
        return [
            {name: values[i] for name, values in columns.items()} | {"labels": e.label} for i, e in enumerate(examples)
        ]

    def collate(self, rows: Sequence[Row]) -> Batch:
        longest = max(len(row["input_ids"]) for row in rows)
        fillers = {"input_ids": self.tokenizer.pad_token_id, "token_type_ids": self.tokenizer.pad_token_type_id}
        batch = {
            name: torch.tensor([row[name] + [filler] * (longest - len(row[name])) for row in rows])  # (B, T)
            for name, filler in fillers.items()
            if name in rows[0]
        }
        lengths = torch.tensor([[len(row["input_ids"])] for row in rows])  # (B, 1)
        batch["attention_mask"] = (torch.arange(longest) < lengths).long()  # (B, T)
        kind = torch.float32 if self.is_regression else torch.int64
        batch["labels"] = torch.tensor([row["labels"] for row in rows], dtype=kind)  # (B,)
        return batch

    def probes(self, wanted: Wanted) -> list[Probe]:
        """The longest text of all that are trained on or classified."""
        sources = [(self.task, "validation"), (self.task, "train"), *wanted]
        longest = max((row for source, split in sources for row in self.rows(source.examples(split))), key=_length)
        inputs = self.collate([longest])
        del inputs["labels"]
        return [Probe(inputs, "the longest text", "train.max_length={limit} cuts it")]

    def require_rows_alone(self, model: torch.nn.Module, wanted: Wanted) -> None:
        """Raises SettingError where a text depends on others in its batch."""
        if max(self.cfg.evaluate.batch_size, self.cfg.train.micro_batch_size) == 1:
            return
        rows = sorted(self.rows(self.task.examples("train")), key=_length)
        shortest, longest = rows[0], rows[-1]
        if _length(shortest) < _length(longest):
            alone, filled = self.collate([shortest]), self.collate([shortest, longest])
            del alone["labels"], filled["labels"]
            padding.require_alone_in_class(model, alone, filled)

    def remarks(self, wanted: Wanted) -> list[str]:
        """What is to be known of the texts before training, a sentence each."""
        sources = [(self.task, "train", "training texts")]
        sources += [(benchmark, split, f"texts of {benchmark.name} {split}") for benchmark, split in wanted]
        return [
            said
            for source, split, texts in sources
            for said in remarks.of_cut(self._lengths(source.examples(split)), self.cfg.train.max_length, texts)
        ]

    def _lengths(self, examples: Sequence[ClassExample]) -> list[int]:
        """In tokens, uncut."""
        return [_length(row) for row in self._encoded(examples, None)]

    @staticmethod
    def size(batch: Batch) -> torch.Tensor:
        """Tokens in a batch, padding left out."""
        return batch["attention_mask"].sum()

    @staticmethod
    def targets(batch: Batch) -> torch.Tensor:
        """(B,): the targets of each row, of which a classifier learns one."""
        return torch.ones(len(batch["labels"]), dtype=torch.int64)

    def predict(
        self,
        model: torch.nn.Module,
        benchmark: Benchmark,
        examples: Sequence[ClassExample],
        batch_size: int,
        label: str,
    ) -> tuple[list[int] | list[float], int]:
        """The most likely class, or the value, of each example; the second result, generated tokens, is 0."""
        return self.predictions_of(self.logits(model, examples, batch_size, label)), 0

    @torch.inference_mode()
    def logits(
        self, model: torch.nn.Module, examples: Sequence[ClassExample], batch_size: int, label: str
    ) -> np.ndarray:
        """(examples, C), float32.

        Batches hold texts of like length, padded under an attention mask, so that a prediction does not depend on what
        it shares a batch with.
        """
        rows = self.rows(examples)
        order = sorted(
            range(len(rows)), key=lambda i: -len(rows[i]["input_ids"])
        )  # longest first: memory shows at once
        device = next(model.parameters()).device
        logits = np.empty((len(rows), self.num_labels), dtype=np.float32)  # (examples, C)
        model.eval()
        with bar(len(rows), f"classifying {label}") as progress:
            for start in range(0, len(order), batch_size):
                indices = order[start : start + batch_size]
                batch = self.collate([rows[i] for i in indices])
                del batch["labels"]
                output = model(**{name: tensor.to(device) for name, tensor in batch.items()})
                logits[indices] = output.logits.float().cpu().numpy()
                progress.update(len(indices))
        return logits

    def predictions_of(self, logits: np.ndarray) -> list[int] | list[float]:
        """Classes or values of logits of shape (examples, C)."""
        return logits.reshape(-1).tolist() if self.is_regression else classes_of(logits)

    def gold(self, example: ClassExample) -> int | float:
        return example.label


def classes_of(logits: np.ndarray) -> list[int | float]:
    """The most likely class of each row of (examples, C); NaN, which is no class, where logits are not finite."""
    finite = np.isfinite(logits).all(-1)
    return [c if known else math.nan for c, known in zip(logits.argmax(-1).tolist(), finite, strict=True)]


def _length(row: Row) -> int:
    return len(row["input_ids"])
