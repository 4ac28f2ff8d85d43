"""Language: examples to token ids, and greedy generation.

Shapes: B batch, T tokens of the longest prompt in the batch, N new tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from transformers import GenerationConfig, PreTrainedModel

from harness import models
from harness.progress import bar
from tasks.base import Task, TextExample
from tasks.scoring import cut_at_stop

IGNORED = -100  # label that the loss leaves out


class Generation:
    """Causal language modelling of `prompt + target`, with the loss on the target and the end-of-sequence token."""

    def __init__(self, cfg: DictConfig, task: Task):
        self.cfg, self.task = cfg, task
        self.tokenizer = models.load_tokenizer(cfg.model)
        self.num_labels = None

    def load_model(self) -> PreTrainedModel:
        return models.load(self.cfg.model, self.task.kind)

    def rows(self, examples: Sequence[TextExample]) -> list[dict[str, list[int]]]:
        """Token ids and labels; the prompt is as long as it is when tokenised alone, as in the released scripts."""
        whole = self.tokenizer([e.prompt + e.target for e in examples])["input_ids"]
        prompts = self.tokenizer([e.prompt for e in examples])["input_ids"]
        rows = []
        for ids, prompt in zip(whole, prompts, strict=True):
            ids = [*ids, self.tokenizer.eos_token_id][: self.cfg.train.max_length]
            hidden = min(len(prompt), len(ids))
            rows.append({"input_ids": ids, "labels": [IGNORED] * hidden + ids[hidden:]})
        return rows

    def collate(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        pad = self.tokenizer.pad_token_id

        def padded(values: list[int], filler: int) -> list[int]:
            return values + [filler] * (longest - len(values))

        return {
            "input_ids": torch.tensor([padded(row["input_ids"], pad) for row in rows]),  # (B, T)
            "attention_mask": torch.tensor([padded([1] * len(row["input_ids"]), 0) for row in rows]),  # (B, T)
            "labels": torch.tensor([padded(row["labels"], IGNORED) for row in rows]),  # (B, T)
        }

    @staticmethod
    def size(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Tokens in a batch, padding left out."""
        return batch["attention_mask"].sum()

    @torch.inference_mode()
    def predict(
        self, model: torch.nn.Module, examples: Sequence[TextExample], batch_size: int, label: str
    ) -> tuple[list[str], int]:
        """Greedy continuations of `eval_prompt` in the order of `examples`, and the number of generated tokens.

        Batches hold prompts of like length, padded on the left under an attention mask, so that a text does not depend
        on what it shares a batch with.
        """
        prompts = self.tokenizer([e.eval_prompt for e in examples])["input_ids"]
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))  # longest first: memory shows at once
        device = next(model.parameters()).device
        texts, generated = [""] * len(prompts), 0
        model.eval()
        with bar(len(prompts), f"generating {label}") as progress:
            for start in range(0, len(order), batch_size):
                batch = order[start : start + batch_size]
                for index, ids in zip(batch, self._generate(model, [prompts[i] for i in batch], device), strict=True):
                    text = self.tokenizer.decode(ids, skip_special_tokens=True)
                    texts[index] = cut_at_stop(text, self.task.stop)
                    generated += len(ids)
                progress.update(len(batch))
        return texts, generated

    def _generate(self, model, prompts: list[list[int]], device: torch.device) -> list[list[int]]:
        longest = max(map(len, prompts))
        pad, end = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
        ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=device)  # (B, T)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)  # (B, T)
        settings = GenerationConfig(
            max_new_tokens=self.cfg.task.max_new_tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=pad,
            eos_token_id=end,
        )
        output = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)  # (B, T + N)
        return [self._until_end(row[longest:].tolist(), end) for row in output]

    @staticmethod
    def _until_end(ids: list[int], end: int) -> list[int]:
        return ids[: ids.index(end)] if end in ids else ids

    def gold(self, example: TextExample) -> Any:
        return example.gold
