import pytest
import torch

from bench import timing

CPU = torch.device("cpu")


def test_in_as_many_turns_as_steps_each_is_once_in_every_place():
    orders = [timing.rotated("abcd", turn) for turn in range(4)]
    assert orders[1] == ["b", "c", "d", "a"]
    assert all(sorted(place) == list("abcd") for place in zip(*orders, strict=True))


def test_turns_run_every_step_once_in_rotated_order_and_the_first_do_not_count():
    ran, ticks = [], []
    steps = {name: timing.Step(lambda name=name: ran.append(name)) for name in "abc"}
    taken = timing.interleaved(steps, repeats=2, warm_up=1, device=CPU, tick=lambda: ticks.append(1))
    assert "".join(ran) == "cab" + "abc" + "bca"
    assert {name: len(seconds) for name, seconds in taken.items()} == {"a": 2, "b": 2, "c": 2}
    assert len(ticks) == 9


def test_a_step_is_reset_after_it_ran():
    calls = []
    timing.seconds(timing.Step(lambda: calls.append("run"), lambda: calls.append("reset")), CPU)
    assert calls == ["run", "reset"]


def test_a_ratio_is_of_the_same_turn():
    """Of the medians it would be 3: the slow second turn struck both."""
    columns = timing.ratio_columns([1.0, 20.0, 3.0], [1.0, 10.0, 1.0])
    assert columns == {"ratio": 2.0, "ratio_low": 1.5, "ratio_high": 2.5}


def test_without_a_reference_there_is_no_ratio():
    assert set(timing.ratio_columns([1.0], None).values()) == {None}


def test_a_turn_that_the_reference_missed_is_refused():
    with pytest.raises(ValueError, match="shorter"):
        timing.ratios([1.0, 2.0], [1.0])
