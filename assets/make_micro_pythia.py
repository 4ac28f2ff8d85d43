"""Make `assets/micro_pythia`: a Pythia of under a million parameters, as it was early and late in one pre-training.

python -m assets.make_micro_pythia --out assets/micro_pythia

Writes <out>/step<N> for each step that is kept, a checkpoint and its tokenizer each. The text is that of micro-Gemma
(`assets/pretraining_text.py`), mixed with sentences about a small world (`assets/commonsense_text.py`).
"""

import argparse
import copy
import json
import random
import string
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from assets import commonsense_text, pretraining_text
from assets.language_pretraining import pretrain
from assets.manifest import write_manifest
from tasks.micro.facts import RELATIONS
from tasks.micro.questions import KINDS, split_subjects
from tasks.micro.word_problems import draw_problem
from tasks.micro_commonsense import draw_rows
from tasks.prompts import ALPACA_NO_INPUT
from tasks.scoring.gsm8k import MARKER

SPECIAL_TOKENS = ("<pad>", "<eos>", "<bos>", "<unk>")
VOCABULARY_SAMPLE = 20_000
COMMONSENSE_SHARE = 0.4  # of the documents
INDENT = " " * 16  # of the released prompts of Commonsense-15K


@dataclass(frozen=True)
class PretrainingArgs:
    out: Path
    steps: int
    early: int
    tokens_per_batch: int
    learning_rate: float
    seed: int


def document(rng: random.Random) -> str:
    """One document of pre-training text: about numbers or about the small world."""
    source = commonsense_text if rng.random() < COMMONSENSE_SHARE else pretraining_text
    return source.document(rng)


def sample_texts() -> list[str]:
    """Texts in which every word of the pre-training text and of both micro tasks occurs."""
    rng = random.Random(0)
    texts = [f"{space}{digit}" for space in ("", " ") for digit in range(10)]
    for _ in range(VOCABULARY_SAMPLE):
        problem, solution, _ = draw_problem(rng, rng.randint(1, 3))
        texts += [document(rng), problem, f"{solution}\n{MARKER}0"]
    for relation in RELATIONS.values():
        for subject, value in relation.values.items():
            templates = (relation.statement, relation.question, relation.clause, relation.whose, relation.which)
            texts += [f"{words} {relation.says(words, subject, value)}" for words in templates]
    for subjects in split_subjects(0):
        for name in KINDS:
            for instruction, _, output, _ in draw_rows(rng, name, subjects, 100, set()):
                texts += [_without_fixed_parts(instruction), output]
    return texts


def fixed_parts() -> list[str]:
    """What prompts have in common, a token each. The template of either task is made of the same parts."""
    opening, _, rest = ALPACA_NO_INPUT.partition("\n\n")
    instruction, response = rest.split("{instruction}\n\n")
    kinds = [part for kind in KINDS.values() for part in (kind.opening, kind.ending)]
    return [opening, instruction, response, INDENT, *kinds]


def _without_fixed_parts(text: str) -> str:
    for part in fixed_parts():
        text = text.replace(part, "")
    return text


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Word-level: a word carries its leading space, a digit is a token. An unknown word is spelt by known pieces."""
    # A digit, a word or a sign, each with the space before it, or one white space; so decoding is concatenation.
    split = pre_tokenizers.Split(Regex(r" ?[0-9]| ?[A-Za-z]+| ?[^\sA-Za-z0-9]|\s"), behavior="isolated")
    words = {word for text in sample_texts() for word, _ in split.pre_tokenize_str(text)}
    words |= set(string.printable)
    vocabulary = {token: i for i, token in enumerate((*SPECIAL_TOKENS, *sorted(words)))}
    # Without a prefix for what continues a word, WordPiece is a look-up of the whole word, then of its longest pieces.
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>", continuing_subword_prefix=""))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    tokenizer.add_tokens([AddedToken(part, normalized=False) for part in fixed_parts()])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def make_model(vocab_size: int) -> GPTNeoXForCausalLM:
    """Pythia's shape in small: fused Q, K, V, parallel residual, partial rotary, untied embeddings."""
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=vocab_size,
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=4,
            # 16 numbers of a head's 32; Pythia-2.8B has 20 of 80.
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
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
        f"python -m assets.make_micro_pythia --out assets/micro_pythia --steps {args.steps} --early {args.early} "
        f"--tokens-per-batch {args.tokens_per_batch} --learning-rate {args.learning_rate} --seed {args.seed}"
    )

    def save(step: int, log: list[dict[str, float]]) -> None:
        folder = args.out / f"step{step}"
        copy.deepcopy(model).to(torch.float16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "training_log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log))
        facts = {
            "step": step,
            "num_params": model.num_parameters(),
            "seed": args.seed,
            "dtype": "float16",
            "final": log[-1],
        }
        write_manifest(folder, command, facts)

    pretrain(
        model,
        tokenizer,
        document,
        steps=args.steps,
        tokens_per_batch=args.tokens_per_batch,
        learning_rate=args.learning_rate,
        seed=args.seed,
        save=save,
        save_at=frozenset((args.early, args.steps)),
    )


def parse_args() -> PretrainingArgs:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--early", type=int, default=1000, help="the step that is kept besides the last one")
    parser.add_argument("--tokens-per-batch", type=int, default=2048)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    return PretrainingArgs(**vars(parser.parse_args()))


if __name__ == "__main__":
    main(parse_args())
