"""The learning-rate search: what is picked, from what, and that a run then uses it."""

from dataclasses import replace

import pandas as pd
import pytest
from omegaconf import OmegaConf

from analysis import search
from analysis.load.records import load
from analysis.pages.results import results
from analysis.statistics import rates
from harness.store import record
from tests.analysis.conftest import entry


@pytest.fixture
def add_rate(add):
    def write(rate: float, right: int, seed: int = 0):
        """One run at `rate` with `right` of 10 validation answers right, and a test score that says the opposite."""
        scores = {
            "toy": {
                "validation": entry({"strict": "1" * right + "0" * (10 - right)}, 0.0),
                "test": entry({"strict": "0" * right + "1" * (10 - right)}, 0.0),
            }
        }
        config = {"train": {"lr": rate, "max_steps": 10, "select_best": False}, "recipe": {"name": "clean"}}
        add("LoRA", seed, scores=scores, config=config)

    return write


def pick(tmp_path, *arguments):
    command = [
        "--family",
        "toys",
        "--task",
        "toy",
        "--model",
        "tiny",
        "--runs",
        f"{tmp_path}/runs",
        "--recipes",
        f"{tmp_path}/recipes",
    ]
    search.main([*command, "--out", f"{tmp_path}/out", *arguments])
    return OmegaConf.load(tmp_path / "recipes" / "toys-tiny.yaml").toy


def test_the_rate_with_the_best_validation_score_is_picked_whatever_the_test_score(add_rate, tmp_path):
    for rate, right in [(1e-3, 4), (1e-2, 7), (1e-1, 1)]:
        add_rate(rate, right)
    assert pick(tmp_path) == {"lora": {"QV": 1e-2, "default": 1e-2}}


def test_scores_of_several_seeds_are_averaged(add_rate, tmp_path):
    for seed, right in enumerate([9, 1]):
        add_rate(1e-3, right, seed)
    for seed, right in enumerate([6, 6]):
        add_rate(1e-2, right, seed)
    assert pick(tmp_path) == {"lora": {"QV": 1e-2, "default": 1e-2}}


def standing(tmp_path, default: float) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "toys-tiny.yaml").write_text(f"toy: {{lora: {{QV: {default}, default: {default}}}}}\n")


def test_a_variant_that_is_searched_later_does_not_move_the_rate_of_those_that_were_not(add_rate, add, tmp_path):
    run = {
        "method": "lora",
        "task": "toy",
        "model": "tiny",
        "recipe": "clean",
        "seed": 0,
        "label": "LoRA",
        "variant": "K",
    }
    for rate, right in [(1e-3, 4), (1e-2, 7)]:
        add_rate(rate, right)
        scores = {"toy": {"validation": entry({"strict": "1" * (10 - right) + "0" * right}, 0.0)}}
        config = {"train": {"lr": rate, "max_steps": 10, "select_best": False}, "recipe": {"name": "clean"}}
        add("LoRA K", 0, run=run, scores=scores, config=config)
    standing(tmp_path, 1e-2)
    assert pick(tmp_path) == {"lora": {"QV": 1e-2, "K": 1e-3, "default": 1e-2}}


def test_a_standing_rate_that_no_variant_is_picked_at_any_more_is_replaced(add_rate, tmp_path):
    for rate, right in [(1e-3, 4), (1e-2, 7)]:
        add_rate(rate, right)
    standing(tmp_path, 1e-3)
    assert pick(tmp_path) == {"lora": {"QV": 1e-2, "default": 1e-2}}


def test_what_was_picked_on_another_task_of_the_family_stays(add_rate, tmp_path):
    for rate, right in [(1e-3, 4), (1e-2, 7)]:
        add_rate(rate, right)
    standing(tmp_path, 1e-2)
    path = tmp_path / "recipes" / "toys-tiny.yaml"
    path.write_text("other: {vera: {QV: 0.1, default: 0.1}}\n")
    assert pick(tmp_path) == {"lora": {"QV": 1e-2, "default": 1e-2}}
    assert OmegaConf.load(path).other == {"vera": {"QV": 0.1, "default": 0.1}}


def test_standing_rates_that_cannot_be_read_are_told_and_stay(add_rate, tmp_path):
    for rate in (1e-3, 1e-2):
        add_rate(rate, 4)
    standing(tmp_path, 1e-2)
    path = tmp_path / "recipes" / "toys-tiny.yaml"
    path.write_text("toy: {")
    with pytest.raises(SystemExit, match=f"^error: {path} cannot be read: "):
        pick(tmp_path)
    assert path.read_text() == "toy: {"


@pytest.mark.parametrize(("scores", "rate"), [([5, 5, 5], 2.0), ([5, 5], 1.0), ([5, 0, 5, 5], 3.0)])
def test_among_equal_rates_the_middle_one_is_picked(scores, rate):
    frame = pd.DataFrame({"rate": [1.0 + i for i in range(len(scores))], "score": scores, "steps": 1})
    assert rates.pick(frame) == rate


def test_the_table_marks_what_was_picked(add_rate, tmp_path):
    for rate, right in [(1e-3, 4), (1e-2, 7)]:
        add_rate(rate, right)
    pick(tmp_path)
    assert "**70.0**" in (tmp_path / "out" / "search_toy_tiny.md").read_text()


def test_the_clean_recipe_uses_what_was_picked(composed):
    cfg = composed("method=lora", "+recipe.picked.micro_gsm.lora.r7-QKVUDOG=0.0123", "method.adapter.r=7")
    assert cfg.train.lr == 0.0123


def test_a_task_of_the_micro_images_takes_its_own_rates_and_else_those_of_digits(composed):
    chosen = ("model=micro_vit", "method=lora", "method.adapter.r=8")
    rates = [composed(f"task={task}", *chosen).train.lr for task in ("digits", "digits_20", "micro_shapes")]
    assert rates == [composed("task=digits", *chosen).recipe.picked.digits.lora["r8-QKVOUD"]] * 3
    own = composed("task=digits_20", *chosen, "+recipe.picked.digits_20.lora.default=0.0123")
    assert (own.train.lr, own.train.head_lr) == (0.0123, own.recipe.picked.digits.head.head)


def test_a_variant_that_was_not_searched_takes_the_rate_that_was_picked_for_others_of_its_method(composed):
    cfg = composed("method=lora", "method.adapter.r=5", "recipe.picked.micro_gsm.lora.default=0.0123")
    assert cfg.train.lr == 0.0123


def test_a_method_that_was_not_searched_starts_from_its_own_rate(composed):
    cfg = composed("method=lora", "model=gemma2b", "task=gsm8k")
    assert cfg.train.lr == cfg.method.lr


def test_a_variant_that_was_run_at_one_rate_alone_was_not_searched(add_rate, tmp_path):
    add_rate(1e-3, 4)
    with pytest.raises(SystemExit, match="no method was run at two learning rates"):
        pick(tmp_path)


def test_a_variant_with_runs_at_two_rates_beside_a_search_of_five_was_not_searched(add_rate, add, tmp_path, capsys):
    """Left from before its method's default rate moved: the two runs are no search, and move no default."""
    for rate, right in [(1e-4, 1), (3e-4, 2), (1e-3, 3), (3e-3, 4), (1e-2, 7)]:
        add_rate(rate, right)
    named = {"method": "lora", "task": "toy", "model": "tiny", "recipe": "clean", "seed": 0, "label": "LoRA"}
    for rate, answers in [(3e-4, "1111100000"), (1e-2, "1111000000")]:
        scores = {"toy": {"validation": entry({"strict": answers}, 0.0)}}
        config = {"train": {"lr": rate, "max_steps": 10, "select_best": False}, "recipe": {"name": "clean"}}
        add("LoRA K", 0, run={**named, "variant": "K"}, scores=scores, config=config)
    assert pick(tmp_path) == {"lora": {"QV": 1e-2, "default": 1e-2}}
    assert "toy: LoRA (K) was run at too few learning rates, and none is picked for it" in capsys.readouterr().out
    assert (
        "than half the rates of the widest search here: LoRA (K)." in (tmp_path / "out/search_toy_tiny.md").read_text()
    )


def test_the_table_of_results_says_how_many_rates_each_row_was_picked_from(add_rate, tmp_path):
    for rate in (1e-3, 1e-2, 1e-1):
        add_rate(rate, 5)
    (result,) = results(load(tmp_path / "runs"))
    assert any("every row 3 (0.001, 0.01, 0.1)" in note for note in result.notes)


def test_seeds_that_only_the_picked_rate_was_run_with_later_decide_nothing(add_rate, tmp_path):
    for rate, right in [(1e-3, 4), (1e-2, 7)]:
        add_rate(rate, right, seed=0)
    add_rate(1e-2, 0, seed=1)
    assert pick(tmp_path) == {"lora": {"QV": 1e-2, "default": 1e-2}}


def test_what_trains_nothing_was_not_searched_at_however_many_rates_it_was_run(add, add_rate, tmp_path):
    for rate in (1e-3, 1e-2):
        add_rate(rate, 4)
        scores = {"toy": {"validation": entry({"strict": "1000"}, 0.0)}}
        config = {"train": {"lr": rate}, "recipe": {"name": "clean"}}
        add("Pre-trained", 0, method="none", scores=scores, config=config, train={"steps": 0})
    assert set(pick(tmp_path)) == {"lora"}


def test_rates_are_compared_at_the_same_callbacks_of_a_method(add, tmp_path):
    for chosen in ("strongest", "random"):
        method = {"adapter": {"seed": 1}, "callbacks": {"freezing": {"pick": chosen}}}
        add(chosen, 0, {"strict": "1"}, config={"train": {"lr": 1e-3}, "method": method})
    records, _ = record.find(tmp_path / "runs")
    assert len({rates.budget(each) for each in records}) == 2


def test_the_seed_of_a_callback_makes_no_other_budget(add, tmp_path):
    for seed in (0, 1):
        method = {"adapter": {"seed": seed}, "callbacks": {"freezing": {"pick": "random", "seed": seed}, "off": None}}
        add(f"run {seed}", seed, {"strict": "1"}, config={"train": {"lr": 1e-3}, "method": method})
    records, _ = record.find(tmp_path / "runs")
    assert len({rates.budget(each) for each in records}) == 1


def test_an_option_that_follows_the_seed_by_the_word_of_its_record_makes_no_other_budget(add, tmp_path):
    for seed in (0, 1):
        add(f"run {seed}", seed, config={"train": {"lr": 1e-3}, "method": {"adapter": {"random_loc_seed": seed}}})
    records, _ = record.find(tmp_path / "runs")
    told = [replace(each, run={**each.run, "seeded": ["method.adapter.random_loc_seed"]}) for each in records]
    assert len({rates.budget(each) for each in told}) == 1
    assert len({rates.budget(each) for each in records}) == 2


def test_a_task_that_was_not_searched_or_a_folder_that_is_none_leaves_the_others_unwritten(add_rate, tmp_path):
    for rate in (1e-3, 1e-2):
        add_rate(rate, 5)
    with pytest.raises(SystemExit, match=f"no method was run at two .* below {tmp_path}/runs/nope/tiny$"):
        pick(tmp_path, "--task", "toy", "nope")
    (tmp_path / "recipes").write_text("")
    with pytest.raises(SystemExit, match=f"^error: {tmp_path}/recipes cannot be written: File exists"):
        pick(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "recipes"}


def rounds(add, rates, steps: int, seeds=(0,)) -> None:
    for seed in seeds:
        for rate, right in rates.items():
            items = {"strict": "1" * right + "0" * (10 - right)}
            config = {"train": {"lr": rate, "max_steps": steps, "select_best": False}, "recipe": {"name": "clean"}}
            add("LoRA", seed, scores={"toy": {"validation": entry(items, 0.0)}}, config=config)


def test_a_last_round_of_two_rates_out_of_six_is_a_search(add, tmp_path):
    rounds(add, {1e-4: 1, 3e-4: 2, 1e-3: 4, 3e-3: 6, 1e-2: 9, 3e-2: 5}, steps=10)
    rounds(add, {3e-3: 8, 1e-2: 7}, steps=30)
    assert pick(tmp_path) == {"lora": {"QV": 3e-3, "default": 3e-3}}


def test_of_a_search_in_rounds_the_best_rate_of_the_last_one_is_picked(add, tmp_path):
    rounds(add, {1e-3: 4, 3e-3: 6, 1e-2: 9, 3e-2: 5}, steps=10)
    rounds(add, {3e-3: 8, 1e-2: 7}, steps=30)
    rounds(add, {3e-3: 1}, steps=30, seeds=(1, 2))  # the picked rate on further seeds decides nothing
    assert pick(tmp_path) == {"lora": {"QV": 3e-3, "default": 3e-3}}
    table = (tmp_path / "out" / "search_toy_tiny.md").read_text()
    assert "| (40.0) | **80.0** | 70.0 | (50.0) |" in table
    assert "In brackets: of a rate that was only ranked, with fewer steps." in table
