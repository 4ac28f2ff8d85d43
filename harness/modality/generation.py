"""Language: examples to token ids, text that is generated, and answers that are ranked by their likelihood.

Shapes: B batch, T tokens of the longest row in the batch, V vocabulary, K tokens of the longest choice in the batch.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from omegaconf import DictConfig
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, PreTrainedModel

from errors import DataError, SettingError
from harness.console.progress import bar
from harness.generate import engines
from harness.generate.batches import Tokens, can_keep_the_last_logits, device_of, longest_first, padded_left, until
from harness.generate.choice import AUTO
from harness.modality import padding, remarks
from harness.modality.interface import Batch, Modality, Probe, Wanted
from harness.modality.texts import Texts
from harness.models import bases, pretrained
from tasks.base import Benchmark, Task, TextExample
from tasks.scoring.verdicts import cut_at_stop

IGNORED = -100  # label that the loss leaves out
FEW = 64  # examples
DIGITS = 6  # of a likelihood that is stored
SET = ("do_sample", "num_beams", "max_new_tokens", "eos_token_id", "pad_token_id")  # and nothing else

Prediction = str | dict[str, Any] | float  # the last: NaN


class Generation(Modality):
    """Causal language modelling of `prompt + target`, with the loss on the target and the end-of-sequence token.

    A task that `trains_on_prompt` has the loss on the prompt as well.
    """

    def __init__(self, cfg: DictConfig, task: Task):
        """Raises SettingError for an engine that is none."""
        if cfg.evaluate.engine not in (AUTO, *engines.ENGINES):
            known = ", ".join([AUTO, *engines.ENGINES])
            raise SettingError(f"evaluate.engine={cfg.evaluate.engine} is none of {known}")
        self.cfg, self.task = cfg, task
        self.tokenizer = bases.load_tokenizer(cfg.model)
        self.texts = Texts(self.tokenizer, lambda: task.examples("train"), as_released=task.tokenised_as_released)
        self._way = cfg.evaluate.engine, cfg.evaluate.merged  # of the text made last
        self._last: tuple[Sequence[TextExample], list[tuple[Tokens, Tokens]]] | None = None

    def load_model(self) -> PreTrainedModel:
        self._require_targets()
        return bases.load(self.cfg.model, self.task.kind)

    def _require_targets(self) -> None:
        """Raise SettingError where cutting at `train.max_length` leaves no training example a token to learn."""
        examples, longest = self.task.examples("train"), self.cfg.train.max_length
        for start in range(0, len(examples), FEW):  # as a rule the first few have one; nothing predicts the first token
            if any(label != IGNORED for row in self.rows(examples[start : start + FEW]) for label in row["labels"][1:]):
                return
        prompt = len(self.texts.prompts([examples[0].prompt])[0])
        raise SettingError(
            f"train.max_length={longest} leaves no token of any target to learn: the prompt of the first training "
            f"example alone has {prompt}; raise it"
        )

    def rows(self, examples: Sequence[TextExample]) -> list[dict[str, list[int]]]:
        """Token ids and labels: harness/modality/texts.py says which are the prompt's. Raises DataError."""
        rows = []
        for prompt, target in self._taught(examples):
            ids = [*prompt, *target][: self.cfg.train.max_length]
            hidden = 0 if self.task.trains_on_prompt else min(len(prompt), len(ids))
            rows.append({"input_ids": ids, "labels": [IGNORED] * hidden + ids[hidden:]})
        return rows

    def _taught(self, examples: Sequence[TextExample]) -> list[tuple[Tokens, Tokens]]:
        """Prompts and targets with the end token, uncut; kept until others are asked for."""
        if self._last is None or self._last[0] != examples:
            self._last = examples, self._made(examples)
        return self._last[1]

    def _made(self, examples: Sequence[TextExample]) -> list[tuple[Tokens, Tokens]]:
        pairs = self.texts.pairs([e.prompt for e in examples], [e.target for e in examples])
        end = self.tokenizer.eos_token_id
        return [(prompt, target if target[-1:] == [end] else [*target, end]) for prompt, target in pairs]

    def collate(self, rows: Sequence[dict[str, list[int]]]) -> Batch:
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
    def size(batch: Batch) -> torch.Tensor:
        """Tokens in a batch, padding left out."""
        return batch["attention_mask"].sum()

    @staticmethod
    def targets(batch: Batch) -> torch.Tensor:
        """(B,): how many tokens of each row are learnt; nothing predicts the first of a row."""
        return (batch["labels"][:, 1:] != IGNORED).sum(-1)

    def predict(
        self, model: torch.nn.Module, benchmark: Benchmark, examples: Sequence[TextExample], batch_size: int, label: str
    ) -> tuple[list[Prediction], int]:
        """What the model answers, in the order of `examples`, and the number of generated tokens.

        An answer is the generated text; where the example has choices {"text": that, unless nothing is generated;
        "likeliest": the choice that the model finds likeliest, the first among equals; "log_likelihoods": by choice};
        NaN, which is no choice, where a likelihood is none.
        """
        predictions: list[Prediction] = [""] * len(examples)
        generated = 0
        if benchmark.generates:
            predictions, generated = self.generate(model, benchmark, examples, batch_size, label)
        ranked = [index for index, example in enumerate(examples) if example.choices]
        if ranked:
            likelihoods = self.log_likelihoods(model, [examples[i] for i in ranked], batch_size, label)
            for index, values in zip(ranked, likelihoods, strict=True):
                said = {"text": predictions[index]} if benchmark.generates else {}
                predictions[index] = _preferred(examples[index].choices, values, said)
        return predictions, generated

    @torch.inference_mode()
    def generate(
        self, model: torch.nn.Module, benchmark: Benchmark, examples: Sequence[TextExample], batch_size: int, label: str
    ) -> tuple[list[str], int]:
        """Continuations of `eval_prompt`, greedy or by the benchmark's beams, and the number of generated tokens."""
        prompts = self.texts.prompts([e.eval_prompt for e in examples])
        settings = self.settings(benchmark)
        texts, generated = [""] * len(prompts), 0
        how = {"engine": self.cfg.evaluate.engine, "merge": self.cfg.evaluate.merged, "told": self._note_way}
        model.eval()
        with bar(len(prompts), f"generating {label}") as progress, engines.without_router_losses(model):
            for index, ids in engines.continued(model, prompts, settings, batch_size, **how):
                text = self._read(ids).removeprefix(self.texts.moved(examples[index].eval_prompt))
                texts[index] = cut_at_stop(text, benchmark.stop)
                generated += len(ids)
                progress.update()
        return texts, generated

    def _note_way(self, *way: str | bool) -> None:
        self._way = way

    def settings(self, benchmark: Benchmark) -> GenerationConfig:
        """Greedy search or the benchmark's beams, and nothing else."""
        return GenerationConfig(
            max_new_tokens=benchmark.max_new_tokens or self.cfg.task.max_new_tokens,
            do_sample=False,
            num_beams=benchmark.beams,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.ends,
        )

    def used(self, benchmark: Benchmark) -> dict[str, Any]:
        """How text was generated just now, for the record."""
        if not benchmark.generates:
            return {}
        settings = self.settings(benchmark)
        engine, merged = self._way
        return {name: getattr(settings, name) for name in SET} | {"engine": engine, "merged": merged}

    @cached_property
    def ends(self) -> list[int]:
        """The tokens that end a text: the tokenizer's end token, which is taught, and those that the checkpoint's
        generation settings name beside it, such as the end of a turn. Nothing else of those settings is used, nor a
        token that is text: a configuration that nobody wrote names one that is another tokenizer's end.
        """
        named = pretrained.generation_settings(self.cfg.model).get("eos_token_id")
        special = {token for token, about in self.tokenizer.added_tokens_decoder.items() if about.special}
        others = [token for token in (named if isinstance(named, list) else [named]) if token in special]
        return [*dict.fromkeys([self.tokenizer.eos_token_id, *others])]

    def _read(self, ids: Tokens) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    @torch.inference_mode()
    def log_likelihoods(
        self, model: torch.nn.Module, examples: Sequence[TextExample], batch_size: int, label: str
    ) -> list[list[float]]:
        """For each choice of each example log p(choice | eval_prompt), summed over the choice's tokens.

        A choice's tokens are those that it has as a target. The last one predicts nothing, so it is not fed, and
        choices that differ in it alone share a row. Rows are padded on the left, so the last columns predict the
        choices and only their logits are made. Raises DataError for a choice that has no tokens.
        """
        pairs = self._ranked(examples)
        sharing: dict[tuple[int, ...], list[int]] = {}  # numbers of choices, by the row that predicts them
        for number, (prompt, choice) in enumerate(pairs):
            sharing.setdefault((*prompt, *choice[:-1]), []).append(number)
        rows, numbers = [list(row) for row in sharing], list(sharing.values())
        sums = [0.0] * len(pairs)
        model.eval()
        with bar(len(rows), f"ranking {label}") as progress:
            for batch in longest_first(rows, batch_size):
                choices = [[pairs[number][1] for number in numbers[i]] for i in batch]
                values = iter(self._choice_sums(model, [rows[i] for i in batch], choices))
                for number in (number for i in batch for number in numbers[i]):
                    sums[number] = next(values)
                progress.update(len(batch))
        remaining = iter(sums)
        return [[next(remaining) for _ in e.choices] for e in examples]

    def _choice_sums(self, model, rows: list[Tokens], choices: list[list[Tokens]]) -> list[float]:
        """For each row, of each of its choices. A row ends with a choice but for its last token."""
        ids, mask = padded_left(rows, self.tokenizer.pad_token_id, device_of(model))  # (B, T)
        keep = max(len(choice) for some in choices for choice in some)  # K
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
        if can_keep_the_last_logits(model):
            inputs["logits_to_keep"] = keep
        logits = model(**inputs, use_cache=False).logits[:, -keep:]  # (B, K, V)
        # Row by row, since a copy of all the logits in fp32 can be larger than the model.
        sums = [
            -cross_entropy(row[-len(choice) :].float(), ids.new_tensor(choice), reduction="sum")
            for row, some in zip(logits, choices, strict=True)
            for choice in some
        ]
        return torch.stack(sums).tolist()

    def _ranked(self, examples: Sequence[TextExample]) -> list[tuple[Tokens, Tokens]]:
        """Prompt and choice, for each choice of each example."""
        asked = [(e, choice) for e in examples for choice in e.choices]
        pairs = self.texts.pairs([e.eval_prompt for e, _ in asked], [choice for _, choice in asked])
        for (example, choice), (_, ids) in zip(asked, pairs, strict=True):
            if not ids:
                raise DataError(f"the tokenizer leaves nothing of the choice {choice!r} of example {example.id}")
        return pairs

    def probes(self, wanted: Wanted) -> list[Probe]:
        """The longest text to learn, and the longest that is generated and that is ranked."""
        learnt = [row["input_ids"] for split in ("validation", "train") for row in self.rows(self.task.examples(split))]
        probes = [self._probe(max(learnt, key=len), "the longest text to learn", "train.max_length={limit} cuts it")]
        for benchmark, split in wanted:
            of, examples = f"of {benchmark.name} {split}", benchmark.examples(split)
            if benchmark.generates:
                probes.append(self._longest_generated(benchmark, of, examples))
            if ranked := [prompt + choice for prompt, choice in self._ranked(examples)]:
                what = f"the longest prompt {of} with a choice"
                probes.append(self._probe(max(ranked, key=len), what, "the prompts have to be shorter"))
        return probes

    def _longest_generated(self, benchmark: Benchmark, of: str, examples: Sequence[TextExample]) -> Probe:
        prompt = max(self.texts.prompts([e.eval_prompt for e in examples]), key=len)
        new = self.settings(benchmark).max_new_tokens - 1  # all but the last are read again; any will do
        what = f"the longest prompt {of} ({len(prompt)} tokens) with all that may be generated but one token"
        return self._probe(prompt + prompt[-1:] * new, what, "max_new_tokens or the prompts have to be shorter")

    def require_rows_alone(self, model: torch.nn.Module, wanted: Wanted) -> None:
        """Raises SettingError where a text depends on what follows it, or on others in its batch."""
        row = max((row["input_ids"] for row in self.rows(self.task.examples("train"))), key=len)
        padding.require_causal(model, row)
        prompts = self.texts.prompts([e.eval_prompt for benchmark, split in wanted for e in benchmark.examples(split)])
        if self.cfg.evaluate.batch_size > 1 and len(set(map(len, prompts))) > 1:
            padding.require_alone(model, row, self.tokenizer.pad_token_id)

    @staticmethod
    def _probe(ids: Tokens, what: str, remedy: str) -> Probe:
        row = torch.tensor([ids])  # (1, T)
        return Probe({"input_ids": row, "attention_mask": torch.ones_like(row)}, what, remedy)

    def remarks(self, wanted: Wanted) -> list[str]:
        """What is to be known of the texts before training, a sentence each."""
        examples = self.task.examples("train")
        prompts, targets = [e.prompt for e in examples], [e.target for e in examples]
        taught = self._taught(examples)
        crossed = self.texts.crossed(prompts, targets) if self.texts.as_released else 0
        return [
            *remarks.of_lengths(taught, self.cfg.train.max_length, trains_on_prompt=self.task.trains_on_prompt),
            *remarks.of_crossed(crossed, len(examples)),
            *remarks.of_spelling(examples, [self._read(until(target, self.ends)) for _, target in taught]),
            *(said for benchmark, split in wanted for said in self._of_answers(benchmark, split)),
        ]

    def _of_answers(self, benchmark: Benchmark, split: str) -> list[str]:
        """Whether what is generated can be right: there is room for it, and nothing of it is cut away."""
        if not benchmark.generates:
            return []
        examples, where = benchmark.examples(split), f"{benchmark.name} {split}"
        lengths = [self.texts.length(e.eval_prompt, e.target) for e in examples]
        return [
            *remarks.of_room(lengths, self.settings(benchmark).max_new_tokens, where),
            *remarks.of_stop(benchmark, examples, where),
        ]

    def gold(self, example: TextExample) -> Any:
        return example.gold


def _preferred(choices: Sequence[str], likelihoods: Sequence[float], said: dict[str, Any]) -> Prediction:
    """`said` with the likeliest choice and the log-likelihood of each; NaN where one is none."""
    if any(map(math.isnan, likelihoods)):
        return math.nan
    rounded = {choice: round(value, DIGITS) for choice, value in zip(choices, likelihoods, strict=True)}
    likeliest = choices[likelihoods.index(max(likelihoods))]
    return {**said, "likeliest": likeliest, "log_likelihoods": rounded}
