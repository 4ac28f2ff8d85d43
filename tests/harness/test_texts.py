"""The prompt's tokens are those that are continued, and every token of the answer comes after them.

The trusted side: what a tokenizer decodes its ids to, against the text that was to be learnt.
"""

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from transformers import PreTrainedTokenizerFast

from errors import DataError
from harness.modality.texts import Texts
from tasks.base import TextExample
from tests.bare import Bare
from tests.conftest import task_of_yaml
from tests.harness.small_tokenizers import KINDS, small
from tests.harness.test_generation import IGNORED, Generation, settings

# Ends of prompts and beginnings of answers that some tokenizer joins.
PROMPTS = ("Review: fine Sentiment: ", "Q: 1 + 2 =\nA:", "Q: 1 + 2 =\nA:\n", "Q:\n\n", "Q: 3", "A: $", "A:  \n  ")
ANSWERS = ("positive", "Paris", "3", "34", " positive", "\nParis", "\n\nParis")
SPECIAL = "A: <|tu", "rn|>Paris"  # two parts of a token that is no text


def texts(tokenizer, *pairs: tuple[str, str], as_released: bool = False) -> Texts:
    examples = [TextExample(str(n), prompt, prompt, answer, answer) for n, (prompt, answer) in enumerate(pairs)]
    return Texts(tokenizer, lambda: examples, as_released=as_released)


def one(tokenizer, prompt: str, answer: str, **options) -> tuple[list[int], list[int]]:
    (pair,) = texts(tokenizer, (prompt, answer), **options).pairs([prompt], [answer])
    return pair


def bare(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def spelt(tokenizer, ids: list[int]) -> str:
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("around", ["$A", "<s> $A", "<s> $A </s>"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "words"])
def test_prompt_and_answer_are_the_text_and_the_answer_is_whole(kind, around):
    tokenizer = small(kind, around)
    start = [tokenizer.bos_token_id] if "<s>" in around else []
    for prompt in PROMPTS:
        for answer in ANSWERS:
            made = texts(tokenizer, (prompt, answer))
            ((ids, learnt),) = made.pairs([prompt], [answer])
            assert made.prompts([prompt]) == [ids]
            assert ids == start + bare(tokenizer, prompt.rstrip() if made.moves_blanks else prompt)
            assert spelt(tokenizer, ids + learnt) == spelt(tokenizer, start + bare(tokenizer, prompt + answer))
            assert spelt(tokenizer, learnt).strip() == answer.strip()
            assert tokenizer.eos_token_id not in ids + learnt


@pytest.mark.parametrize("kind", ["byte level", "as Llama 3", "as Llama 2", "as Gemma", "words"])
def test_where_no_token_reaches_across_the_ids_are_those_of_both_together(kind):
    tokenizer = small(kind, "<s> $A")
    prompt, answer = "Q: 1 + 2 =", " 3"
    ids, learnt = one(tokenizer, prompt, answer)
    assert ids + learnt == tokenizer(prompt + answer)["input_ids"]
    assert ids == tokenizer(prompt)["input_ids"]


def test_blanks_that_are_joined_with_an_answer_are_its_beginning_in_all_texts_of_the_task():
    tokenizer = small("words")
    prompt, joined, other = "Q: ", "3", "\n"
    assert bare(tokenizer, prompt + joined)[-1:] == bare(tokenizer, " 3"), "a word with its blank is one token"
    made = texts(tokenizer, (prompt, other), (prompt, joined))
    (_, first), (_, second) = made.pairs([prompt] * 2, [other, joined])
    assert made.prompts([prompt, "A: "]) == [bare(tokenizer, "Q:"), bare(tokenizer, "A:")]
    assert (first, second) == (bare(tokenizer, " \n"), bare(tokenizer, " 3"))
    assert (made.moved(prompt), made.moved("Q:")) == (" ", "")


def test_blanks_stay_in_the_prompt_where_no_training_text_joins_them():
    """So a run that was right keeps its tokens."""
    tokenizer = small("as Llama 3")
    made = texts(tokenizer, ("A: ", "3"), ("Q:\n", "Paris"))
    assert made.pairs(["A: "], ["3"]) == [(bare(tokenizer, "A: "), bare(tokenizer, "3"))]
    assert made.moved("A: ") == ""


def test_an_answer_that_is_joined_with_other_than_blanks_is_tokenised_as_within_a_text():
    tokenizer = small("as Llama 3")
    assert bare(tokenizer, "A:Paris") != bare(tokenizer, "A:") + bare(tokenizer, "Paris")
    assert one(tokenizer, "A:", "Paris") == (bare(tokenizer, "A:"), bare(tokenizer, "Paris"))
    llama2 = small("as Llama 2", "<s> $A")
    prompt, answer = one(llama2, "Q: 3", "4")
    assert llama2.convert_ids_to_tokens(answer) == ["4"], "not with the blank of a first word"
    assert prompt == llama2("Q: 3")["input_ids"]


def test_two_parts_of_a_token_that_is_no_text_stay_apart():
    tokenizer = small("byte level")
    ids, answer = one(tokenizer, *SPECIAL)
    assert tokenizer.convert_tokens_to_ids("<|turn|>") not in ids + answer
    assert tokenizer.decode(answer) == SPECIAL[1]


def test_what_cannot_be_told_apart_is_refused():
    vocabulary = {token: i for i, token in enumerate(["[UNK]", "</s>", "foo", "bar", "##bar", "foobar"])}
    pieces = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token="</s>")
    with pytest.raises(
        DataError, match="one token of the end of a prompt, 'foo', and the beginning of .* 'bar', and has"
    ):
        one(tokenizer, "foo", "bar")


def test_a_start_token_that_the_prompt_spells_out_is_there_once():
    tokenizer = small("as Gemma", "<s> $A")
    ids, answer = one(tokenizer, "<s>Q:", " 3")
    assert ids == tokenizer("Q:")["input_ids"]
    assert ids + answer == tokenizer("Q: 3")["input_ids"]


@pytest.mark.parametrize("around", ["$A", "<s> $A", "$A </s>"])
def test_the_first_token_of_an_answer_without_a_prompt_is_predicted_by_a_start_token(around):
    tokenizer = small("byte level", around)
    start = [tokenizer.bos_token_id or tokenizer.eos_token_id]
    made = texts(tokenizer, ("", "Paris"))
    assert made.pairs([""], ["Paris"]) == [(start, bare(tokenizer, "Paris"))]
    assert made.prompts([""]) == [start]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_as_released_hide_as_many_tokens_as_the_prompt_has_alone(kind):
    tokenizer = small(kind, "<s> $A")
    for prompt in PROMPTS:
        for answer in ANSWERS:
            whole, alone = (tokenizer(text)["input_ids"] for text in (prompt + answer, prompt))
            made = texts(tokenizer, (prompt, answer), as_released=True)
            assert made.pairs([prompt], [answer]) == [(whole[: len(alone)], whole[len(alone) :])]
            assert made.prompts([prompt]) == [alone]
            assert made.crossed([prompt], [answer]) == (whole[: len(alone)] != alone)


# --- through training, generation and ranking ---


@pytest.fixture(params=["byte level", "as Llama 3", "as Llama 2", "words"])
def modality(request):
    """With a tokenizer that ends every text by itself, and prompts that end in a blank."""
    asked = [("Review: fine Sentiment: ", "positive"), ("Q: 1 + 2 = ", "3"), ("A: ", "Paris")]
    examples = [TextExample(str(n), p, p, a, a, (a, "34")) for n, (p, a) in enumerate(asked)]
    task = Bare(examples=lambda split: examples)
    made = Generation(settings(), task_of_yaml("micro_gsm", train_size=1, validation_size=1, test_size=1))
    made.task, made.tokenizer = task, small(request.param, "<s> $A </s>")
    made.texts = Texts(made.tokenizer, lambda: examples, as_released=False)
    return made


def test_a_row_is_the_prompt_that_is_asked_and_then_all_that_is_learnt(modality):
    examples, end = modality.task.examples("train"), modality.tokenizer.eos_token_id
    asked = modality.texts.prompts([e.eval_prompt for e in examples])
    for example, prompt, row in zip(examples, asked, modality.rows(examples), strict=True):
        learnt = [label for label in row["labels"] if label != IGNORED]
        assert row["input_ids"] == prompt + learnt
        assert learnt.count(end) == 1 and learnt[-1] == end and end not in prompt
        assert spelt(modality.tokenizer, learnt[:-1]).strip() == example.target


def test_a_choice_is_ranked_by_the_tokens_that_it_has_as_a_target(modality):
    examples = modality.task.examples("train")
    learnt = [[label for label in row["labels"] if label != IGNORED][:-1] for row in modality.rows(examples)]
    prompts = modality.texts.prompts([e.eval_prompt for e in examples])
    ranked = modality._ranked(examples)[::2]  # of each example the choice that is its target
    assert ranked == list(zip(prompts, learnt, strict=True))


def test_what_is_generated_is_read_without_the_blanks_that_were_moved(modality, monkeypatch):
    """A stop text that is a blank does not end it before it has begun."""
    examples = modality.task.examples("train")
    learnt = [target[:-1] for _, target in modality._taught(examples)]
    monkeypatch.setattr("harness.generate.engines.continued", lambda *_, **__: enumerate(learnt))
    found, _ = modality.generate(torch.nn.Module(), Bare(stop=(" ", "\n")), examples, 2, "")
    assert found == [e.target for e in examples]


def test_an_end_token_that_the_target_spells_out_is_learnt_once(modality):
    example = TextExample("0", "A:", "A:", " 3</s>", "3")
    assert modality.rows([example])[0]["input_ids"].count(modality.tokenizer.eos_token_id) == 1
