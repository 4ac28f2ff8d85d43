"""Make `assets/micro_gemma`: a Gemma of 0.8M parameters and its tokenizer, pre-trained on `assets/pretraining_text.py`.

python -m assets.make_micro_gemma --out assets/micro_gemma
"""

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import GemmaConfig, GemmaForCausalLM, PreTrainedTokenizerFast

from assets.language_pretraining import LOG_EVERY, pretrain
from assets.manifest import write_manifest
from assets.pretraining_text import document
from tasks.micro.word_problems import draw_problem
from tasks.prompts import ALPACA_NO_INPUT
from tasks.scoring.gsm8k import MARKER

SPECIAL_TOKENS = ("<pad>", "<eos>", "<bos>", "<unk>")
VOCABULARY_SAMPLE = 20_000


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


def main(args: PretrainingArgs) -> None:
    torch.manual_seed(args.seed)
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer))
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens")
    command = (
        f"python -m assets.make_micro_gemma --out assets/micro_gemma --steps {args.steps} "
        f"--tokens-per-batch {args.tokens_per_batch} --learning-rate {args.learning_rate} --seed {args.seed}"
    )

    def save(step: int, log: list[dict[str, float]]) -> None:
        if args.checkpoints and step % LOG_EVERY == 0:
            model.save_pretrained(args.checkpoints / f"step={step}")
            tokenizer.save_pretrained(args.checkpoints / f"step={step}")
        if step < args.steps:
            return
        model.to(torch.float16).save_pretrained(args.out)
        tokenizer.save_pretrained(args.out)
        (args.out / "training_log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log))
        facts = {
            "num_params": model.num_parameters(),
            "seed": args.seed,
            "dtype": "float16",
            "final": log[-1],
        }
        write_manifest(args.out, command, facts)

    pretrain(
        model,
        tokenizer,
        document,
        steps=args.steps,
        tokens_per_batch=args.tokens_per_batch,
        learning_rate=args.learning_rate,
        seed=args.seed,
        save=save,
        save_at=frozenset((*range(LOG_EVERY, args.steps, LOG_EVERY), args.steps)),
    )


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
