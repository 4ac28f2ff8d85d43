"""Make `assets/micro_deberta`: a DeBERTaV3 of 0.5M parameters and its tokenizer, pre-trained on `assets/glue_text.py`.

    python -m assets.make_micro_deberta --out assets/micro_deberta

The architecture is that of DeBERTaV3-base (arXiv:2111.09543) in small. The training is simpler than its replaced-token
detection: it is masked language modelling, as of the first DeBERTa (arXiv:2006.03654).
"""

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from tqdm import tqdm
from transformers import (
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    PreTrainedTokenizerFast,
    get_cosine_schedule_with_warmup,
)

from assets.glue_text import document
from assets.manifest import write_manifest
from tasks.micro_glue import DRAWS, MicroRows

SPECIAL_TOKENS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
MAX_LENGTH = 64
VOCABULARY_SAMPLE = 20_000
MASKED = 0.2  # of the words: 8 in 10 become [MASK], one another word, one stays
LOG_EVERY = 250
BATCHES_POOLED = 32


@dataclass(frozen=True)
class PretrainingArgs:
    out: Path
    steps: int
    batch_size: int
    learning_rate: float
    seed: int


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Word-level, lower case; `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]` with token types 0 and 1.

    Its words are those of a sample of the text and of the tasks' rows, which have some forms (`are` after `dog`) that
    the text need not have.
    """
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    rng = random.Random(0)
    texts = [" ".join(document(rng)) for _ in range(VOCABULARY_SAMPLE)]
    for subset in DRAWS:
        rows = MicroRows(subset, "dev_mm", train_size=1, dev_size=1000, data_seed=0).rows()
        texts += [text for row in rows for text in row[:-1]]
    words = {word for text in texts for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text.lower())}

    vocabulary = {token: i for i, token in enumerate((*SPECIAL_TOKENS, *sorted(words)))}
    tokenizer.model = models.WordLevel(vocabulary, unk_token="[UNK]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def make_model(vocab_size: int) -> DebertaV2ForMaskedLM:
    """DeBERTaV3-base's shape in small: distances between words in buckets, keys shared between words and distances."""
    return DebertaV2ForMaskedLM(
        DebertaV2Config(
            vocab_size=vocab_size,
            hidden_size=96,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=MAX_LENGTH,
            type_vocab_size=0,
            relative_attention=True,
            max_relative_positions=-1,
            position_buckets=16,
            norm_rel_ebd="layer_norm",
            share_att_key=True,
            pos_att_type=["p2c", "c2p"],
            position_biased_input=False,
            # Above the default 0.02, so that words of one slot start out well apart.
            initializer_range=0.06,
            # So small a model underfits; dropout would only slow it.
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            pooler_hidden_size=96,
            pooler_dropout=0,
            pooler_hidden_act="gelu",
        )
    )


def mask(ids: Tensor, tokenizer: PreTrainedTokenizerFast, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Masked ids and labels, (B, T) each; a label is -100 where nothing is to be guessed."""
    words = ids >= len(SPECIAL_TOKENS)
    guessed = words & (torch.rand(ids.shape, generator=generator) < MASKED)
    fate = torch.rand(ids.shape, generator=generator)
    other = torch.randint(len(SPECIAL_TOKENS), len(tokenizer), ids.shape, generator=generator)
    masked = ids.masked_fill(guessed & (fate < 0.8), tokenizer.mask_token_id)
    return torch.where(guessed & (fate >= 0.9), other, masked), ids.masked_fill(~guessed, -100)


def batches(
    tokenizer: PreTrainedTokenizerFast, batch_size: int, rng: random.Random
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Masked ids, attention mask and labels, (B, T) each.

    A document a row, of a like length; every other story is cut into a pair.
    """
    generator = torch.Generator().manual_seed(rng.randrange(2**32))
    while True:
        rows = []
        for _ in range(BATCHES_POOLED * batch_size):
            told = document(rng)
            cut = rng.randint(1, len(told) - 1) if len(told) > 1 and rng.random() < 0.5 else len(told)
            rows.append(tokenizer(*(" ".join(part) for part in (told[:cut], told[cut:]) if part)))
        rows.sort(key=lambda row: len(row["input_ids"]))
        pooled = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        rng.shuffle(pooled)
        for group in pooled:
            batch = tokenizer.pad(group, return_tensors="pt")
            masked, labels = mask(batch["input_ids"], tokenizer, generator)
            yield masked, batch["attention_mask"], labels


def pretrain(
    model: DebertaV2ForMaskedLM, tokenizer: PreTrainedTokenizerFast, args: PretrainingArgs
) -> list[dict[str, float]]:
    """Train in fp32 with AdamW and a cosine schedule; returns one row every LOG_EVERY steps.

    No document comes twice but by chance, and the share of words guessed right is measured before the step.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=args.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = get_cosine_schedule_with_warmup(
        optimizer, num_warmup_steps=min(200, args.steps // 10), num_training_steps=args.steps
    )
    log: list[dict[str, float]] = []
    losses, right, guessed = [], 0, 0
    stream = batches(tokenizer, args.batch_size, random.Random(args.seed))
    progress = tqdm(range(1, args.steps + 1), desc="pre-training", mininterval=5)
    for step in progress:
        ids, attention_mask, labels = next(stream)
        output = model(input_ids=ids, attention_mask=attention_mask, labels=labels)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(output.loss.item())
        right += (output.logits.argmax(-1) == labels).sum().item()
        guessed += (labels >= 0).sum().item()
        if step % LOG_EVERY == 0 or step == args.steps:
            log.append(
                {"step": step, "loss": round(sum(losses) / len(losses), 4), "accuracy": round(right / guessed, 4)}
            )
            progress.write(json.dumps(log[-1]))
            losses, right, guessed = [], 0, 0
    return log


def main(args: PretrainingArgs) -> None:
    torch.manual_seed(args.seed)
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer))
    print(f"{model.deberta.num_parameters():,} parameters, {len(tokenizer)} tokens")
    log = pretrain(model, tokenizer, args)

    # The head that guesses words stays behind; a task brings its own.
    model.deberta.to(torch.float16).save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    (args.out / "training_log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log))
    command = (
        f"python -m assets.make_micro_deberta --out assets/micro_deberta --steps {args.steps} "
        f"--batch-size {args.batch_size} --learning-rate {args.learning_rate} --seed {args.seed}"
    )
    facts = {
        "num_params": model.deberta.num_parameters(),
        "documents_seen": args.steps * args.batch_size,
        "seed": args.seed,
        "dtype": "float16",
        "final": log[-1],
    }
    write_manifest(args.out, command, facts)


def parse_args() -> PretrainingArgs:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    return PretrainingArgs(**vars(parser.parse_args()))


if __name__ == "__main__":
    main(parse_args())
