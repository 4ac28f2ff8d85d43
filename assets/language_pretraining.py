"""Pre-training of the micro language models on procedural text: batches, the loop, and what arithmetic they learnt."""

import json
import random
import re
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerFast, get_cosine_schedule_with_warmup

from assets.pretraining_text import OPERATIONS, operands
from tasks.micro.word_problems import LARGEST, calculate

LOG_EVERY = 250
DOCUMENTS_POOLED = 1024

Document = Callable[[random.Random], str]


def batches(
    tokenizer: PreTrainedTokenizerFast, document: Document, tokens_per_batch: int, rng: random.Random
) -> Iterator[tuple[Tensor, Tensor]]:
    """Token ids and labels (B, T), B T <= tokens_per_batch: a document a row, padded on the right to a like length."""
    while True:
        texts = [document(rng) for _ in range(DOCUMENTS_POOLED)]
        groups: list[list[list[int]]] = [[]]
        for ids in sorted((ids + [tokenizer.eos_token_id] for ids in tokenizer(texts)["input_ids"]), key=len):
            if (len(groups[-1]) + 1) * len(ids) > tokens_per_batch:
                groups.append([])
            groups[-1].append(ids)
        rng.shuffle(groups)
        for group in groups:
            rows = [torch.tensor(ids) for ids in group]
            ids = pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id)
            yield ids, pad_sequence(rows, batch_first=True, padding_value=-100)


@torch.no_grad()
def arithmetic_accuracy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rng: random.Random, count: int = 200
) -> dict[str, float]:
    """Share of freshly drawn `a op b =` that greedy decoding completes with the right number; by operation."""
    scores = {}
    for op in OPERATIONS:
        pairs = [operands(rng, op) for _ in range(count)]
        batch = tokenizer([f"{a} {op} {b} =" for a, b in pairs], padding=True, padding_side="left", return_tensors="pt")
        longest = len(str(LARGEST)) + 1  # one token for each digit, and the sign that ends the number
        answers = tokenizer.batch_decode(model.generate(**batch, max_new_tokens=longest, do_sample=False)[:, -longest:])
        numbers = [re.match(r" \d+", answer) for answer in answers]
        hits = [
            number is not None and int(number.group()) == calculate(a, op, b)
            for number, (a, b) in zip(numbers, pairs, strict=True)
        ]
        scores[op] = sum(hits) / count
    return scores


def pretrain(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    document: Document,
    *,
    steps: int,
    tokens_per_batch: int,
    learning_rate: float,
    seed: int,
    save: Callable[[int, list[dict[str, float]]], None],
    save_at: frozenset[int],
) -> None:
    """Train in fp32 with AdamW and a cosine schedule, and `save(step, log)` at some steps.

    The log has one row every LOG_EVERY steps and at each step that is saved.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = get_cosine_schedule_with_warmup(
        optimizer, num_warmup_steps=min(200, steps // 10), num_training_steps=steps
    )
    stream = batches(tokenizer, document, tokens_per_batch, random.Random(seed))
    log: list[dict[str, float]] = []
    losses: list[float] = []
    progress = tqdm(range(1, steps + 1), desc="pre-training", mininterval=5)
    for step in progress:
        ids, labels = next(stream)  # (B, T) each
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % LOG_EVERY == 0 or step in save_at:
            accuracy = arithmetic_accuracy(model, tokenizer, random.Random(step))
            log.append(
                {
                    "step": step,
                    "loss": round(sum(losses) / len(losses), 4),
                    **{f"accuracy {op}": round(a, 3) for op, a in accuracy.items()},
                }
            )
            progress.write(json.dumps(log[-1]))
            losses.clear()
        if step in save_at:
            save(step, log)
