"""Language: examples to token ids, text that is generated, and answers that are ranked by their likelihood.

Shapes: B batch, T tokens of the longest row in the batch, V vocabulary, K tokens of the longest choice in the batch and
the one before it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, PreTrainedModel

from harness import engines, models
from harness.batches import can_keep_the_last_logits, device_of, longest_first, padded_left
from harness.progress import bar
from harness.settings import SettingError
from tasks.base import Benchmark, Task, TextExample
from tasks.scoring import cut_at_stop

IGNORED = -100  # label that the loss leaves out
FEW = 64  # examples

Prediction = str | dict[str, str]


class Generation:
    """Causal language modelling of `prompt + target`, with the loss on the target and the end-of-sequence token.

    A task that `trains_on_prompt` has the loss on the prompt as well.
    """

    def __init__(self, cfg: DictConfig, task: Task):
        """Raises SettingError for an engine that is none."""
        if cfg.evaluate.engine not in engines.ENGINES:
            raise SettingError(f"evaluate.engine={cfg.evaluate.engine} is none of {', '.join(engines.ENGINES)}")
        self.cfg, self.task = cfg, task
        self.tokenizer = models.load_tokenizer(cfg.model)
        self.num_labels = None

    def load_model(self) -> PreTrainedModel:
        self._require_targets()
        return models.load(self.cfg.model, self.task.kind)

    def _require_targets(self) -> None:
        """Raise SettingError where cutting at `train.max_length` leaves no training example a token to learn."""
        examples, longest = self.task.examples("train"), self.cfg.train.max_length
        for start in range(0, len(examples), FEW):  # as a rule the first few have one; nothing predicts the first token
            if any(label != IGNORED for row in self.rows(examples[start : start + FEW]) for label in row["labels"][1:]):
                return
        prompt = len(self._tokens([examples[0].prompt])[0])
        raise SettingError(
            f"train.max_length={longest} leaves no token of any target to learn: the prompt of the first training "
            f"example alone has {prompt}; raise it"
        )

    def rows(self, examples: Sequence[TextExample]) -> list[dict[str, list[int]]]:
        """Token ids and labels; the prompt is as long as it is when tokenised alone, as in the released scripts."""
        trains_on_prompt = getattr(self.task, "trains_on_prompt", False)
        whole = self._tokens([e.prompt + e.target for e in examples])
        prompts = self._tokens([e.prompt for e in examples])
        rows = []
        for ids, prompt in zip(whole, prompts, strict=True):
            ids = [*ids, self.tokenizer.eos_token_id][: self.cfg.train.max_length]
            hidden = 0 if trains_on_prompt else min(len(prompt), len(ids))
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

    @staticmethod
    def targets(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """(B,): how many tokens of each row are learnt; nothing predicts the first of a row."""
        return (batch["labels"][:, 1:] != IGNORED).sum(-1)

    def predict(
        self, model: torch.nn.Module, benchmark: Benchmark, examples: Sequence[TextExample], batch_size: int, label: str
    ) -> tuple[list[Prediction], int]:
        """What the model answers, in the order of `examples`, and the number of generated tokens.

        An answer is the generated text; {"text": that, "likeliest": the choice that the model finds likeliest, the
        first among equals} where the example has choices.
        """
        predictions: list[Prediction]
        predictions, generated = self.generate(model, benchmark, examples, batch_size, label)
        ranked = [index for index, example in enumerate(examples) if example.choices]
        if ranked:
            likelihoods = self.log_likelihoods(model, [examples[i] for i in ranked], batch_size, label)
            for index, values in zip(ranked, likelihoods, strict=True):
                likeliest = examples[index].choices[values.index(max(values))]
                predictions[index] = {"text": predictions[index], "likeliest": likeliest}
        return predictions, generated

    @torch.inference_mode()
    def generate(
        self, model: torch.nn.Module, benchmark: Benchmark, examples: Sequence[TextExample], batch_size: int, label: str
    ) -> tuple[list[str], int]:
        """Continuations of `eval_prompt`, greedy or by the benchmark's beams, and the number of generated tokens."""
        prompts = self._tokens([e.eval_prompt for e in examples])
        settings = self.settings(benchmark)
        texts, generated = [""] * len(prompts), 0
        how = {"engine": self.cfg.evaluate.engine, "merge": self.cfg.evaluate.merged}
        model.eval()
        with bar(len(prompts), f"generating {label}") as progress:
            for index, ids in engines.continued(model, prompts, settings, batch_size, **how):
                text = self.tokenizer.decode(ids, skip_special_tokens=True)
                texts[index] = cut_at_stop(text, getattr(benchmark, "stop", ()))
                generated += len(ids)
                progress.update()
        return texts, generated

    def settings(self, benchmark: Benchmark) -> GenerationConfig:
        own = hasattr(benchmark, "max_new_tokens")
        return GenerationConfig(
            max_new_tokens=benchmark.max_new_tokens if own else self.cfg.task.max_new_tokens,
            do_sample=False,
            num_beams=getattr(benchmark, "beams", 1),
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
        )

    @torch.inference_mode()
    def log_likelihoods(
        self, model: torch.nn.Module, examples: Sequence[TextExample], batch_size: int, label: str
    ) -> list[list[float]]:
        """For each choice of each example log p(choice | eval_prompt), summed over the choice's tokens.

        Prompt and choice are tokenised together, and the prompt is as long as it is when tokenised alone: as in
        training. Rows are padded on the left, so the choices lie in the last columns and only their logits are made.
        """
        prompts = self._tokens([e.eval_prompt for e in examples])
        rows = self._tokens([e.eval_prompt + choice for e in examples for choice in e.choices])
        lengths = [len(prompt) for prompt, e in zip(prompts, examples, strict=True) for _ in e.choices]
        sums = [0.0] * len(rows)
        model.eval()
        with bar(len(rows), f"ranking {label}") as progress:
            for batch in longest_first(rows, batch_size):
                values = self._choice_sums(model, [rows[i] for i in batch], [lengths[i] for i in batch])
                for index, value in zip(batch, values, strict=True):
                    sums[index] = value
                progress.update(len(batch))
        remaining = iter(sums)
        return [[next(remaining) for _ in e.choices] for e in examples]

    def _choice_sums(self, model, rows: list[list[int]], prompt_lengths: list[int]) -> list[float]:
        choices = [row[length:] for row, length in zip(rows, prompt_lengths, strict=True)]
        ids, mask = padded_left(rows, self.tokenizer.pad_token_id, device_of(model))  # (B, T)
        keep = max(map(len, choices)) + 1  # K: the token before a choice predicts its first
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
        if can_keep_the_last_logits(model):
            inputs["logits_to_keep"] = keep
        logits = model(**inputs, use_cache=False).logits[:, -keep:]  # (B, K, V)
        # Row by row, since a copy of all the logits in fp32 can be larger than the model.
        sums = [
            -cross_entropy(row[-len(choice) - 1 : -1].float(), ids.new_tensor(choice), reduction="sum")
            for row, choice in zip(logits, choices, strict=True)
        ]
        return torch.stack(sums).tolist()

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        return self.tokenizer(texts)["input_ids"]

    def gold(self, example: TextExample) -> Any:
        return example.gold
