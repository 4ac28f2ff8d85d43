"""Tokenizers of the kinds that real models have, trained in a moment on a few words."""

from functools import cache

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE, Unigram, WordLevel
from transformers import PreTrainedTokenizerFast

WORDS = (
    "Review: fine Sentiment: positive Q: 1 + 2 = 34 A: Paris\n"
    "A:3 A:Paris A:Paris\n\nParis\n\n\nA: negative $\\frac{1}{2}$"
)
# As tiktoken's cl100k and Llama 3 cut texts: a character before a word goes with it, and line ends with what precedes.
LLAMA3 = Regex(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<|turn|>"]


def _trained(tokenizer: Tokenizer, trainer) -> Tokenizer:
    tokenizer.train_from_iterator([WORDS] * 20, trainer)
    return tokenizer


def _bpe(alphabet=()) -> trainers.BpeTrainer:
    return trainers.BpeTrainer(
        vocab_size=420, special_tokens=SPECIAL, initial_alphabet=list(alphabet), show_progress=False
    )


def _byte_level(cut=None, prefix_space: bool = False) -> Tokenizer:
    tokenizer = Tokenizer(BPE())
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=cut is None)
    split = [] if cut is None else [pre_tokenizers.Split(cut, "isolated")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*split, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    return _trained(tokenizer, _bpe(pre_tokenizers.ByteLevel.alphabet()))


def _spaces_as_underscores(first: str | None) -> Tokenizer:
    """As converted from sentencepiece: Llama 2 puts a space before the first word, Gemma none."""
    tokenizer = Tokenizer(BPE(unk_token="<unk>"))
    replaced = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replaced]) if first else replaced
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    strip = [decoders.Strip(" ", 1, 0)] if first else []
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), *strip])
    return _trained(tokenizer, _bpe())


def _unigram() -> Tokenizer:
    """Spaces are one where there are several, and none at the end; every word has one before it."""
    tokenizer = Tokenizer(Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return _trained(tokenizer, trainers.UnigramTrainer(
        vocab_size=90, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    ))  # fmt: skip


def _words() -> Tokenizer:
    """A word with the space before it is another word than without."""
    tokenizer = Tokenizer(WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[0-9]| ?[A-Za-z]+|\n| ?[^\sA-Za-z0-9]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return _trained(tokenizer, trainers.WordLevelTrainer(special_tokens=SPECIAL, show_progress=False))


KINDS = {
    "byte level": _byte_level,
    "byte level, space before the first word": lambda: _byte_level(prefix_space=True),
    "as Llama 3": lambda: _byte_level(LLAMA3),
    "as Llama 2": lambda: _spaces_as_underscores("▁"),
    "as Gemma": lambda: _spaces_as_underscores(None),
    "unigram": _unigram,
    "words": _words,
}


@cache
def _built(kind: str) -> str:
    return KINDS[kind]().to_str()


def small(kind: str, around: str = "$A") -> PreTrainedTokenizerFast:
    """around: what a text is put into, as "<s> $A </s>"."""
    tokenizer = Tokenizer.from_str(_built(kind))
    added = [(token, tokenizer.token_to_id(token)) for token in SPECIAL]
    tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=added)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>" if "<s>" in around else None, eos_token="</s>", pad_token="<pad>",
        unk_token="<unk>",
    )  # fmt: skip
