#!/usr/bin/env bash
# Package:  transformers 5.23.0, tokenizers 0.23.3
# Surprise: calling a tokenizer with truncation or padding changes it, and save_pretrained writes that into
#           tokenizer.json: whoever reads the file with `tokenizers` gets every text cut and padded to the length of the
#           last call before the save.
# Guess:    truncation and padding are arguments of a call; the saved file is the vocabulary and the rules.
# Hurt:     who trains with transformers and serves with a program that reads tokenizer.json: prompts lose their ends
#           there, and only there, since transformers sets both anew at each call.
# Date:     2026-12-01
# Source:   https://github.com/huggingface/transformers/issues/24441 (closed)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding transformers==5.23.0 tokenizers==0.23.3 <<'PY'
import sys

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

words = "adapters are small and the base model stays frozen".split()
core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["[PAD]", "[UNK]", *words])}, unk_token="[UNK]"))
core.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]")
text = " ".join(words)


def saved(folder: str) -> list[int]:
    """The tokens of the text and of its first word, as read from the saved file by both libraries."""
    tokenizer.save_pretrained(folder)
    plain = Tokenizer.from_file(f"{folder}/tokenizer.json")
    again = PreTrainedTokenizerFast.from_pretrained(folder)
    parts = text, words[0]
    return [len(plain.encode(part).ids) for part in parts] + [len(again(part).input_ids) for part in parts]


before = saved("before")
tokenizer("adapters are small and the base", truncation=True, padding="max_length", max_length=4)
after = saved("after")
print("Described: by the file saved after a call with max_length=4, texts of 9 words and of 1 word are 4 tokens.")
for name, numbers in (("before", before), ("after", after)):
    print("Seen: saved {} the call: tokenizers {} and {} tokens, transformers {} and {}".format(name, *numbers))
sys.exit(not (before == [9, 1, 9, 1] and after == [4, 4, 9, 1]))
PY
