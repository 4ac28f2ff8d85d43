"""Warnings about texts, given before the training: sentences for the terminal and the record."""

from collections.abc import Sequence

from harness.generate.batches import Tokens
from tasks.base import Benchmark, CorpusScorer, TextExample, ValueScorer
from tasks.scoring.verdicts import cut_at_stop

SHOWN = 60  # characters of a text

Taught = Sequence[tuple[Tokens, Tokens]]  # prompts, and targets with their end token


def of_lengths(taught: Taught, longest: int, *, trains_on_prompt: bool) -> list[str]:
    """Of texts that are cut after `longest` tokens."""
    empty = 0 if trains_on_prompt else sum(len(prompt) >= longest for prompt, _ in taught)
    cut = sum(len(prompt) + len(target) > longest for prompt, target in taught) - empty
    most = max(len(prompt) + len(target) for prompt, target in taught)
    does = {"leaves nothing to learn of": empty, "cuts the end off the target of": cut}
    return [
        f"train.max_length={longest} {what} {number} of {len(taught)} training texts (the longest has {most} tokens)"
        for what, number in does.items()
        if number
    ]


def of_crossed(number: int, texts: int) -> list[str]:
    """`number` of `texts` have a token that belongs to both prompt and target."""
    return [
        f"in {number} of {texts} training texts a token reaches across from prompt to target; they are tokenised as in "
        "the released scripts, so the beginning of the target is not learnt as what follows the prompt"
    ] if number else []  # fmt: skip


def of_spelling(examples: Sequence[TextExample], read: Sequence[str]) -> list[str]:
    """read: what the tokenizer makes of the tokens of each target, up to the first that ends a text."""
    changed = [(e, text) for e, text in zip(examples, read, strict=True) if text.strip() != e.target.strip()]
    if not changed:
        return []
    (example, text), *_ = changed
    return [
        f"the tokenizer does not give back the target of {len(changed)} of {len(examples)} training texts, so no "
        f"answer can equal it: {_short(example.target)} of example {example.id} is read as {_short(text)}"
    ]


def of_room(lengths: Sequence[int], most: int, where: str) -> list[str]:
    """Of answers of which `most` tokens are generated.  lengths: of the right ones.  where: benchmark and split."""
    longer = sum(length > most for length in lengths)
    of = f"{longer} of {len(lengths)} targets of {where} (the longest has {max(lengths)} tokens)"
    return [f"max_new_tokens={most} has no room for {of}"] if longer else []


def of_stop(benchmark: Benchmark, examples: Sequence[TextExample], where: str) -> list[str]:
    """Of right answers that are wrong once they are cut before the first stop text.  where: as above."""
    number = sum(_is_wrong_once_cut(benchmark, example) for example in examples)
    of = f"{number} of {len(examples)} targets of {where}"
    return [f"a stop text cuts {of} before their answer, which counts as wrong then"] if number else []


def _is_wrong_once_cut(benchmark: Benchmark, example: TextExample) -> bool:
    """Whether a scorer takes the target for an answer, and what is before a stop text in it for none."""
    cut = cut_at_stop(example.target, benchmark.stop)
    if cut == example.target or example.choices:
        return False
    scorers = [each for each in benchmark.scorers.values() if not isinstance(each, CorpusScorer | ValueScorer)]
    return any(s(example.target, example.gold).correct and not s(cut, example.gold).correct for s in scorers)


def of_cut(lengths: Sequence[int], longest: int, texts: str = "training texts") -> list[str]:
    """Of texts that are classified by their first `longest` tokens. texts: what they are called."""
    cut = sum(length > longest for length in lengths)
    of = f"{cut} of {len(lengths)} {texts} (the longest has {max(lengths)} tokens)"
    return [f"train.max_length={longest} cuts {of}"] if cut else []


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
