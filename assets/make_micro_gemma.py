"""Make `assets/micro_gemma`: a Gemma of 0.8M parameters and its tokenizer, pre-trained on `assets/pretraining_text.py`.

python -m assets.make_micro_gemma --out assets/micro_gemma
"""

import argparse
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm
from transformers import GemmaConfig, GemmaForCausalLM, PreTrainedTokenizerFast, get_cosine_schedule_with_warmup

from assets.manifest import write_manifest
from assets.pretraining_text import OPERATIONS, document, operands
from tasks.micro_gsm import LARGEST, calculate, draw_problem
from tasks.prompts import ALPACA_NO_INPUT
from tasks.scoring import MARKER

SPECIAL_TOKENS = ("<pad>", "<eos>", "<bos>", "<unk>")
VOCABULARY_SAMPLE = 20_000
LOG_EVERY = 250
DOCUMENTS_POOLED = 1024


@dataclass(frozen=True)
class PretrainingArgs:
    out: Path
    steps: int
    tokens_per_batch: int
    learning_rate: float
    seed: int
    checkpoints: Path | None


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Word-level: a word carries its leading space, a digit is a token, each half of the prompt template is one."""
    # A digit, a word or a sign, each with the space before it, or a line break; so decoding is concatenation.
    split = pre_tokenizers.Split(Regex(r" ?[0-9]| ?[A-Za-z]+|\n| ?[^\sA-Za-z0-9]"), behavior="isolated")
    rng = random.Random(0)
    words = {f"{space}{digit}" for space in ("", " ") for digit in range(10)}
    for _ in range(VOCABULARY_SAMPLE):
        problem, solution, _ = draw_problem(rng, rng.randint(1, 3))
        for text in (document(rng), problem, f"{solution}\n{MARKER}0"):
            words.update(word for word, _ in split.pre_tokenize_str(text))

    vocabulary = {token: i for i, token in enumerate((*SPECIAL_TOKENS, *sorted(words)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    head, tail = ALPACA_NO_INPUT.split("{instruction}")
    tokenizer.add_tokens([AddedToken(part, normalized=False) for part in (head, tail)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def make_model(vocab_size: int) -> GemmaForCausalLM:
    """Gemma-2B's shape in small: one key-value head, GeGLU three times as wide, tied embeddings."""
    return GemmaForCausalLM(
        GemmaConfig(
            vocab_size=vocab_size,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=1,
            head_dim=32,
            # Above the default 0.02, so that words of one kind (names, items) start out well apart.
            initializer_range=0.08,
            max_position_embeddings=256,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=2,
        )
    )


def batches(
    tokenizer: PreTrainedTokenizerFast, tokens_per_batch: int, rng: random.Random
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
    model: GemmaForCausalLM, tokenizer: PreTrainedTokenizerFast, rng: random.Random, count: int = 200
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
    model: GemmaForCausalLM, tokenizer: PreTrainedTokenizerFast, args: PretrainingArgs
) -> list[dict[str, float]]:
    """Train in fp32 with AdamW and a cosine schedule; returns one row every LOG_EVERY steps."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=args.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = get_cosine_schedule_with_warmup(
        optimizer, num_warmup_steps=min(200, args.steps // 10), num_training_steps=args.steps
    )
    stream = batches(tokenizer, args.tokens_per_batch, random.Random(args.seed))
    log: list[dict[str, float]] = []
    losses: list[float] = []
    progress = tqdm(range(1, args.steps + 1), desc="pre-training", mininterval=5)
    for step in progress:
        ids, labels = next(stream)  # (B, T) each
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % LOG_EVERY == 0 or step == args.steps:
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
        if args.checkpoints and step % LOG_EVERY == 0:
            model.save_pretrained(args.checkpoints / f"step={step}")
            tokenizer.save_pretrained(args.checkpoints / f"step={step}")
    return log


def main(args: PretrainingArgs) -> None:
    torch.manual_seed(args.seed)
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer))
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens")
    log = pretrain(model, tokenizer, args)

    model.to(torch.float16).save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    (args.out / "training_log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log))
    command = (
        f"python -m assets.make_micro_gemma --out assets/micro_gemma --steps {args.steps} "
        f"--tokens-per-batch {args.tokens_per_batch} --learning-rate {args.learning_rate} --seed {args.seed}"
    )
    facts = {
        "num_params": model.num_parameters(),
        "seed": args.seed,
        "dtype": "float16",
        "final": log[-1],
    }
    write_manifest(args.out, command, facts)


def parse_args() -> PretrainingArgs:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--tokens-per-batch", type=int, default=2048)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--checkpoints", type=Path, default=None, help="folder for an unrounded checkpoint with each row of the log"
    )
    return PretrainingArgs(**vars(parser.parse_args()))


if __name__ == "__main__":
    main(parse_args())
