"""Every way to generate gives the tokens of the reference, and leaves the model as it found it."""

import copy
import warnings
from contextlib import ExitStack
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from errors import SettingError
from harness.adapters.adapt import adapt
from harness.adapters.merging import merged
from harness.generate import choice, engines
from harness.generate.batches import longest_first
from harness.generate.refill import refill
from harness.modality.generation import Generation
from harness.models import bases
from harness.plan.config import instantiate
from harness.run import evaluator
from tasks.base import TextExample
from tests.bare import Bare
from tests.conftest import ROOT, task_of_yaml
from tests.harness.test_generation import settings

WAYS = [("svft_random", "refill"), ("dora", "generate"), ("oft", "generate"), ("lora", "refill")]


@pytest.fixture(scope="module")
def language():
    task = task_of_yaml("micro_gsm", train_size=1, validation_size=1, test_size=20)
    cfg = settings()
    cfg.task.max_new_tokens = 12
    return Generation(cfg, task), task


@cache
def adapted(method: str) -> torch.nn.Module:
    """The shipped model with an adapter of random coefficients that are not zero; a test leaves it as it was."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("config", overrides=[f"method={method}", "task=micro_gsm", "model=micro_gemma"])
    base = bases.load(settings().model, "generation")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return disturbed(adapt(base, instantiate(cfg.method.adapter), None).model)


def disturbed(model: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def ask(language, model, batch_size: int = 10, **evaluate) -> list[str]:
    modality, task = language
    modality.cfg.evaluate = OmegaConf.create({"engine": "generate", "merged": False} | evaluate)
    return modality.generate(model, task, task.examples("test"), batch_size, "")[0]


def tokens_of(language, model, engine, batch_size: int) -> dict[int, list[int]]:
    modality, task = language
    prompts = modality.tokenizer([e.eval_prompt for e in task.examples("test")])["input_ids"]
    with torch.inference_mode():
        return dict(engine(model, prompts, modality.settings(task), batch_size))


@cache
def one_at_a_time(language, model) -> dict[int, list[int]]:
    return tokens_of(language, model, engines.generate, 1)


def bits(model: torch.nn.Module) -> dict[str, bytes]:
    return {name: t.detach().numpy().tobytes() for name, t in all_tensors(model)}


def all_tensors(model: torch.nn.Module):
    yield from model.named_parameters()
    yield from model.named_buffers()


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_refilled_rows_give_the_tokens_of_one_text_at_a_time(language, batch_size):
    model = adapted("lora")
    alone = one_at_a_time(language, model)
    assert tokens_of(language, model, refill, batch_size) == alone
    assert len({len(tokens) for tokens in alone.values()}) > 3, "texts of one length would show nothing"
    assert max(len(tokens) for tokens in alone.values()) == 12, "some end by the limit"


def test_rows_are_refilled_and_no_row_outlives_its_text(language):
    """Each text takes as many forward passes as it has tokens with its end, of which the prompt's is the first."""
    model, passes = adapted("lora"), []
    hook = model.get_base_model().register_forward_pre_hook(
        lambda _, __, inputs: passes.append(inputs["input_ids"].shape), with_kwargs=True
    )
    texts = tokens_of(language, model, refill, 8)
    hook.remove()
    assert sum(rows for rows, _ in passes) == sum(min(len(tokens) + 1, 12) for tokens in texts.values())
    assert max(rows for rows, _ in passes) == 8
    begun = [rows for rows, columns in passes if columns > 1]
    assert begun[0] == 8
    assert len(begun) > 3, "of 20 prompts; only so can rows have joined others at work"


@pytest.mark.parametrize(("method", "engine"), WAYS)
def test_merged_generation_gives_the_tokens_of_the_reference_and_leaves_every_bit(language, method, engine):
    model = adapted(method)
    expected, before = ask(language, model), bits(model)
    layers = [layer for layer in model.modules() if hasattr(layer, "merged_adapters")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask(language, model, engine=engine, merged=True) == expected
    assert bits(model) == before
    assert layers
    assert not any(layer.merged for layer in layers)
    assert len({len(text) for text in expected}) > 3, "texts of one length would show nothing"


def test_unmerging_alone_would_not_give_the_bits_back():
    """The test above can fail: it is the kept copy that makes it pass."""
    model = copy.deepcopy(adapted("lora"))
    before = bits(model)
    model.merge_adapter()
    model.unmerge_adapter()
    assert bits(model) != before


def test_a_model_can_be_trained_after_merged_generation(language):
    model = adapted("svft_random")
    ask(language, model, merged=True)
    ids = torch.arange(1, 9)[None]
    model.train()(input_ids=ids, labels=ids).loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    model.zero_grad()


def test_weights_come_back_when_generation_is_interrupted():
    model = adapted("lora")
    before = bits(model)
    stack = ExitStack()
    stack.enter_context(merged(model))
    assert bits(model) != before
    with pytest.raises(KeyboardInterrupt), stack:
        raise KeyboardInterrupt
    assert bits(model) == before


def wrong(model, prompts, settings, batch_size):
    """An engine that gives each prompt the text of another."""
    texts = list(engines.generate(model, prompts, settings, batch_size))
    for (index, _), (_, tokens) in zip(texts, [*texts[1:], texts[0]], strict=True):
        yield index, tokens


def slips(model, prompts, settings, batch_size):
    """An engine that forgets one token of the longest text."""
    texts = dict(engines.generate(model, prompts, settings, batch_size))
    del texts[max(texts, key=lambda index: len(texts[index]))][3]
    yield from texts.items()


@pytest.mark.parametrize("engine", [wrong, slips])
@pytest.mark.parametrize("merge", [False, True])
def test_an_engine_that_gives_other_tokens_is_found_out_and_not_used(language, monkeypatch, engine, merge):
    model = adapted("lora")
    expected, before = ask(language, model), bits(model)
    monkeypatch.setitem(engines.ENGINES, "wrong", engine)
    with pytest.warns(UserWarning, match=r"evaluate\.engine=wrong .* other tokens than the reference for \d+ of 10"):
        assert ask(language, model, engine="wrong", merged=merge) == expected
    assert bits(model) == before


def test_a_merge_that_changes_the_function_is_found_out_and_not_used(language, monkeypatch):
    model = adapted("svft_random")
    expected, before = ask(language, model), bits(model)
    layer = next(layer for layer in model.modules() if hasattr(layer, "delta_weight"))
    monkeypatch.setattr(type(layer), "delta_weight", lambda self, _: -self.get_base_layer().weight)
    with pytest.warns(UserWarning, match=r"evaluate\.merged=true gave other tokens"):
        assert ask(language, model, merged=True) == expected
    assert bits(model) == before


def test_prompts_of_all_lengths_are_checked(language, monkeypatch):
    modality, task = language
    prompts = modality.tokenizer([e.eval_prompt for e in task.examples("test")])["input_ids"]
    asked = []

    def noting(model, prompts, settings, batch_size):
        asked.append(sorted(map(len, prompts)))
        yield from engines.generate(model, prompts, settings, batch_size)

    monkeypatch.setitem(engines.ENGINES, "noting", noting)
    ask(language, adapted("lora"), engine="noting")
    checked, rest = asked
    assert checked == sorted(map(len, prompts))[1::2], "of 20 every second, the longest among them"
    assert sorted(checked + rest) == sorted(map(len, prompts))


@pytest.mark.parametrize("number", [1, 2, 16, 17, 31, 33])
def test_any_number_of_prompts_is_continued_once_each(language, number):
    modality, task = language
    model, one = adapted("lora"), modality.settings(task)
    one.max_new_tokens = 1
    prompts = [[5 + i] for i in range(number)]
    found = list(engines.continued(model, prompts, one, 4, engine="refill", merge=True))
    assert sorted(index for index, _ in found) == list(range(number))


def test_what_cannot_be_merged_is_left_as_it_is_and_said(language):
    bare = bases.load(settings().model, "generation").eval()
    expected = ask(language, bare)
    with pytest.warns(UserWarning, match="no adapter that could be merged; nothing is merged"):
        assert ask(language, bare, merged=True) == expected
    prompted = get_peft_model(bare, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)).eval()
    with pytest.warns(UserWarning, match="no adapter that could be merged"), merged(prompted):
        pass


def test_an_adapter_that_refuses_to_merge_is_left_as_it_is(language):
    config = LoraConfig(target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    model = get_peft_model(bases.load(settings().model, "generation"), config).eval()
    expected, before = ask(language, model), bits(model)
    last = [layer for layer in model.modules() if hasattr(layer, "merged_adapters")][-1]

    def refuses(**_):
        raise ValueError("not this layer.")

    last.merge = refuses  # after others were merged
    with pytest.warns(UserWarning, match="not this layer; nothing is merged"):
        assert ask(language, model, merged=True) == expected
    assert bits(model) == before


def test_an_adapter_that_was_merged_before_stays_merged():
    config = LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    model = get_peft_model(bases.load(settings().model, "generation"), config)
    model.merge_adapter()
    before = bits(model)
    with pytest.warns(UserWarning, match="merged already"), merged(model):
        pass
    assert bits(model) == before
    assert all(layer.merged for layer in model.modules() if hasattr(layer, "merged_adapters"))


@pytest.mark.parametrize("method", ["svft_random", "lora", "full"])
def test_auto_gives_the_tokens_of_the_reference_and_says_by_which_way(language, method):
    """Of full fine-tuning nothing is merged, and nobody is warned of it."""
    model = adapted(method)
    expected, before = ask(language, model), bits(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask(language, model, engine="auto", merged="auto") == expected
    said = language[0].used(Bare())
    assert (said["engine"], said["merged"]) == ("refill", method != "full")
    assert bits(model) == before


def test_auto_is_plain_generate_where_its_tokens_could_be_others():
    greedy, beams = GenerationConfig(do_sample=False, num_beams=1), GenerationConfig(do_sample=False, num_beams=2)
    model, sampled = adapted("lora"), GenerationConfig(do_sample=True, temperature=0.7)
    assert choice.engine("auto", model, greedy) == "refill" and choice.merges("auto", model, "refill")
    assert [choice.engine("auto", model, other) for other in (beams, sampled)] == ["generate"] * 2
    assert not choice.merges("auto", model, "generate"), "it would not know where two tokens are close"
    in_16_bits = copy.deepcopy(model).to(torch.bfloat16)
    assert choice.engine("auto", in_16_bits, greedy) == "generate" and not choice.merges("auto", in_16_bits, "refill")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "vocab_size": 16, "state_size": 2}
    recurrent = AutoModelForCausalLM.from_config(AutoConfig.for_model("mamba", **sizes))
    assert choice.engine("auto", recurrent, greedy) == "generate"


def test_auto_copies_no_weights_beyond_its_bound(monkeypatch):
    model = adapted("lora")
    adapted_weights = [m.get_base_layer().weight for m in model.modules() if hasattr(m, "merged_adapters")]
    monkeypatch.setattr(choice, "COPIED", sum(weight.nbytes for weight in adapted_weights))
    assert choice.merges("auto", model, "refill")
    monkeypatch.setattr(choice, "COPIED", choice.COPIED - 1)
    assert not choice.merges("auto", model, "refill")


def test_a_tuner_that_refuses_to_merge_is_told_only_to_those_who_asked(language, monkeypatch):
    model = adapted("lora")
    expected = ask(language, model)

    def refuses(*_, **__):
        raise ValueError("not this one.")

    monkeypatch.setattr(model.base_model, "merge_adapter", refuses)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask(language, model, engine="auto", merged="auto") == expected
    assert language[0].used(Bare())["merged"] is False
    with pytest.warns(UserWarning, match="not this one; nothing is merged"):
        assert ask(language, model, engine="refill", merged=True) == expected


def test_a_text_of_two_tokens_that_rounding_could_turn_is_left_to_the_reference(language, monkeypatch):
    model = adapted("lora")
    expected = ask(language, model)
    sure = len(tokens_of(language, model, refill, 8))
    monkeypatch.setattr("harness.generate.refill.TIE", 0.05)
    assert 0 < len(tokens_of(language, model, refill, 8)) < sure == len(expected)
    assert ask(language, model, engine="refill") == expected
    monkeypatch.setattr("harness.generate.refill.TIE", 2.0)
    assert tokens_of(language, model, refill, 8) == {}
    assert ask(language, model, engine="refill") == expected


def test_beam_search_is_left_to_the_reference(language, monkeypatch):
    modality, task = language
    model = adapted("lora")
    beams = modality.settings(task)
    beams.num_beams, beams.max_new_tokens = 2, 4
    monkeypatch.setitem(engines.ENGINES, "wrong", wrong)
    prompts = [[5, 6, 7], [8, 9]]
    with torch.inference_mode():
        expected = dict(engines.generate(model, prompts, beams, 2))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert dict(engines.continued(model, prompts, beams, 2, engine="wrong", merge=False)) == expected


def test_an_engine_that_is_none_is_refused_before_anything_is_loaded():
    cfg = settings()
    cfg.evaluate.engine = "vllm"
    with pytest.raises(SettingError, match=r"evaluate\.engine=vllm is none of auto, generate, refill"):
        Generation(cfg, None)


def test_the_way_of_generating_is_no_part_of_the_run_key(composed):
    from harness.plan.config import identity

    assert identity(composed("evaluate.engine=refill", "evaluate.merged=true")) == identity(composed())


def test_the_longest_prompts_come_first_and_each_comes_once():
    rows = [[0] * n for n in (3, 9, 1, 4)]
    assert list(longest_first(rows, 3)) == [[1, 3, 0], [2]]


def test_the_configuration_offers_the_engines_that_there_are():
    line = next(line for line in (ROOT / "conf" / "config.yaml").read_text().splitlines() if "engine:" in line)
    assert all(name in line for name in engines.ENGINES)


def test_what_an_evaluation_warned_of_is_in_its_entry_and_on_the_terminal(capsys):
    example = TextExample("0", "", "", "7", "7")
    benchmark = Bare(
        name="b", metric="accuracy", scorers={}, examples=lambda split: [example], fingerprint=lambda: "data"
    )

    def predict(*arguments):
        warnings.warn("gave other tokens", UserWarning, stacklevel=2)
        return ["7"], 1

    modality = SimpleNamespace(
        predict=predict, gold=lambda example: example.gold, class_names=(), used=lambda benchmark: {}
    )
    run = SimpleNamespace(stored_predictions=lambda *names: None, store_predictions=lambda *names: None)
    entry = evaluator.evaluate(run, benchmark, modality, None, "test", 1)
    assert entry["warnings"] == ["gave other tokens"]
    assert capsys.readouterr().err == "warning: gave other tokens\n"


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_a_mixture_that_trains_its_router_generates(engine):
    """With `output_router_logits` transformers holds the mask of a whole text against its last token alone."""
    task = task_of_yaml("micro_gsm", train_size=4, validation_size=1, test_size=6)
    modality = Generation(settings(), task)
    modality.cfg.evaluate.engine, modality.cfg.task.max_new_tokens = engine, 4
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    experts = {"num_key_value_heads": 1, "num_local_experts": 2, "vocab_size": len(modality.tokenizer)}
    config = AutoConfig.for_model("mixtral", **sizes, **experts)
    model = AutoModelForCausalLM.from_config(config)
    plain = modality.generate(model, task, task.examples("test"), 3, "")
    model.config.output_router_logits = True
    assert modality.generate(model, task, task.examples("test"), 3, "") == plain
    assert model.config.output_router_logits, "the training has the router's loss"
