"""Texts to token ids: one way for what is learnt, what is continued, and what is ranked.

A text is a prompt and an answer. Two things are true of each: the prompt's ids are those that the model is asked to
continue, and the answer's ids are all that follows them, so every token of an answer is learnt, or ranked.

The prompt's ids are the tokenizer's, without what it adds at the end of a text (`<s> $A </s>`). The answer's are the
rest of the ids of both together. Most tokenizers have tokens that reach across that border in some texts. Then
- blanks at the end of the prompt become part of the answer: "A: " and "good" are "A:" and " good". One training text
  that needs this is enough to do it in all texts of the task. Generated text is returned without these blanks;
- where that does not help (":P" of "A:" and "Paris"), the answer is tokenised separately, as it would be within a
  text: ":", "Paris";
- a tokenizer that cannot do that is refused.

A start token that the text spells out too is kept once. An empty prompt is replaced by the tokenizer's start token, or
by its end token if it has none, because some token has to predict the first token of the answer.

Tasks that are tokenised as released keep their texts as they are: the answer is whatever follows as many tokens as the
prompt has alone, which hides its beginning where a token reaches across.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from errors import DataError
from harness.generate.batches import Tokens
from tasks.base import TextExample

FEW = 64  # texts
SHOWN = 20  # characters on either side of a border


class Texts:
    """`trained`: gives the training examples, which say whether blanks are moved."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        trained: Callable[[], Sequence[TextExample]],
        *,
        as_released: bool,
    ):
        self.tokenizer, self.as_released = tokenizer, as_released
        self._trained = trained

    def prompts(self, prompts: Sequence[str]) -> list[Tokens]:
        """What the model is asked to continue."""
        return [ids or self._start for ids in self._ids([self._asked(prompt) for prompt in prompts])]

    def pairs(self, prompts: Sequence[str], answers: Sequence[str]) -> list[tuple[Tokens, Tokens]]:
        """Ids of each prompt and of its answer. Raises DataError where the two cannot be told apart."""
        asked = [self._asked(prompt) for prompt in prompts]
        texts = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        parts = zip(asked, texts, self._ids(asked), self._ids(texts), strict=True)
        return [self._pair(*part) for part in parts]

    def crossed(self, prompts: Sequence[str], answers: Sequence[str]) -> int:
        """In how many texts a token reaches across the border, before anything is done about it."""
        texts = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        return sum(
            whole[: len(prompt)] != prompt for prompt, whole in zip(self._ids(prompts), self._ids(texts), strict=True)
        )

    def length(self, prompt: str, answer: str) -> int:
        """Tokens of an answer, by itself; where a prompt is joined with it, it can be one less."""
        return len(self.tokenizer(self.moved(prompt) + answer, add_special_tokens=False)["input_ids"])

    def moved(self, prompt: str) -> str:
        """The blanks at the end of the prompt that belong to its answer."""
        return prompt[len(self._asked(prompt)) :]

    @cached_property
    def moves_blanks(self) -> bool:
        if self.as_released:
            return False
        ending = [example for example in self._trained() if example.prompt != example.prompt.rstrip()]
        few = (ending[start : start + FEW] for start in range(0, len(ending), FEW))
        return any(self.crossed([e.prompt for e in some], [e.target for e in some]) for some in few)

    def _asked(self, prompt: str) -> str:
        return prompt.rstrip() if self.moves_blanks else prompt

    def _pair(self, asked: str, text: str, prompt: Tokens, whole: Tokens) -> tuple[Tokens, Tokens]:
        length = len(prompt)
        if not prompt:
            return self._start, whole
        if whole[:length] == prompt or self.as_released:
            return whole[:length], whole[length:]
        return prompt, self._apart(asked, text[len(asked) :], prompt, whole)

    def _apart(self, asked: str, answer: str, prompt: Tokens, whole: Tokens) -> Tokens:
        """Ids of the answer as it is tokenised after a text that nothing joins."""
        for before in ("\n", ".", self.tokenizer.eos_token, ""):
            start, both = (
                self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, before + answer)
            )
            ids = both[len(start) :]
            if both[: len(start)] == start and self._spelt(prompt + ids) == self._spelt(whole):
                return ids
        raise DataError(
            f"this tokenizer makes one token of the end of a prompt, {asked[-SHOWN:]!r}, and the beginning of what "
            f"follows, {answer[:SHOWN]!r}, and has none for them apart; end the prompt otherwise, as with a new line"
        )

    def _spelt(self, ids: Tokens) -> str:
        return self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)

    def _ids(self, texts: Sequence[str]) -> list[Tokens]:
        before, after = self._added
        found = []
        for ids in self.tokenizer(list(texts))["input_ids"] if texts else ():
            ids = ids[: len(ids) - after]
            twice = before and ids[: 2 * len(before)] == before * 2
            found.append(ids[len(before) :] if twice else ids)
        return found

    @cached_property
    def _added(self) -> tuple[Tokens, int]:
        """What the tokenizer puts before a text, and how many tokens after it."""
        whole, bare = (self.tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False))
        length = len(bare)
        for start in range(len(whole) - length + 1):
            if whole[start : start + length] == bare:
                return whole[:start], len(whole) - start - length
        return [], 0

    @cached_property
    def _start(self) -> Tokens:
        token = self.tokenizer.bos_token_id
        return [self.tokenizer.eos_token_id if token is None else token]
