"""What a record says of the seconds of a step."""

import json
import statistics
from types import SimpleNamespace

import pytest
import torch

from harness.console import ending
from harness.store.record import Record, step_time, was_crowded
from harness.train import meter
from harness.train.meter import FIRST, Meter

CPU = SimpleNamespace(device=torch.device("cpu"))
STEPS = [9.0, 5.0, 4.0, 1.0, 2.0, 1.5, 40.0, 1.25]  # seconds; the first ones warm up, one was disturbed


@pytest.fixture
def stepped(monkeypatch):
    """stepped(a meter, seconds of steps, cores at work, share of the time in a queue) -> the meter, after the steps."""
    clock = {"wall": 0.0, "cpu": 0.0, "queued": 0.0}
    monkeypatch.setattr(meter.time, "perf_counter", lambda: clock["wall"])
    monkeypatch.setattr(meter.time, "process_time", lambda: clock["cpu"])
    monkeypatch.setattr(meter, "queued_seconds", lambda: clock["queued"])

    def step(one: Meter, steps, cores=1.0, queued=0.0) -> Meter:
        for seconds in steps:
            one.on_step_begin(CPU, None, None)
            clock["wall"] += seconds
            clock["cpu"] += cores * seconds
            clock["queued"] += queued * seconds
            one.on_step_end(CPU, None, None)
            clock["wall"] += 100.0  # between two steps, as for an evaluation
        return one

    return step


def a_record(measured: Meter, device: str = "cpu") -> Record:
    train = {"steps": len(measured.steps), "step_seconds": measured.step_seconds, "step_times": measured.times()}
    where = {"device": {"type": device, "name": "toy", "threads": 1}}
    return Record("k", {"label": "LoRA", "seed": 0}, {}, {}, where, train=train)


def test_the_time_of_a_step_is_the_median_without_the_first_ones_and_the_sum_is_of_all(stepped):
    measured = stepped(Meter(), STEPS)
    times = measured.times()
    later = STEPS[FIRST:]
    assert times["first"] == STEPS[:FIRST] and times["measured"] == len(later)
    assert times["median"] == statistics.median(later) == 1.5
    assert times["quartiles"] == [1.25, 2.0]
    assert measured.step_seconds == sum(STEPS) == times["cpu_seconds"]
    assert step_time(a_record(measured).train) == 1.5


def test_a_resumed_meter_goes_on_and_tells_the_first_steps_of_each_process_apart(stepped):
    before = stepped(Meter(), STEPS[:5])
    state = json.loads(json.dumps(before.state()))
    after = stepped(Meter(**state["args"]), STEPS)
    assert after.step_seconds == sum(STEPS[:5]) + sum(STEPS)
    assert after.times()["first"] == STEPS[:FIRST] * 2
    assert after.times()["median"] == statistics.median(STEPS[FIRST:5] + STEPS[FIRST:])


def test_a_checkpoint_of_before_is_read_and_its_later_steps_are_timed(stepped):
    old = {"step_seconds": 50.0, "size": 8, "unlogged": 0, "empty": 0, "losses": 0.0}
    after = stepped(Meter(**old), STEPS)
    assert after.step_seconds == 50.0 + sum(STEPS) and after.times()["measured"] == len(STEPS) - FIRST


@pytest.mark.parametrize("steps", [[], [2.0], [2.0, 3.0]])
def test_a_training_of_a_step_or_two_or_none_has_times_too(stepped, steps):
    measured = stepped(Meter(), steps)
    assert measured.times()["median"] == (statistics.median(steps) if steps else None)
    assert measured.times()["first"] == steps


@pytest.mark.parametrize(
    ("cores", "queued", "device", "crowded"),
    [
        (1.0, 0.02, "cpu", False),
        (1.7, 0.05, "cpu", False),
        (1.0, 0.6, "cpu", True),  # two threads, one of which has no core
        (0.5, 0.0, "cpu", True),  # a container that may use half of a core
        (0.5, 0.0, "cuda", False),  # a process that waits for its GPU
        (1.0, 0.6, "cuda", True),
    ],
)
def test_a_process_that_had_less_than_its_cores_is_told(stepped, cores, queued, device, crowded):
    found = a_record(stepped(Meter(), STEPS, cores, queued), device)
    assert was_crowded(found) == crowded
    said = ending.times(found) or ""
    assert ("a step took 1.5 s (quartiles 1.25 to 2)" in said) == crowded


def test_a_record_of_before_has_the_mean_and_says_nothing_of_the_machine():
    old = Record("k", {}, {}, {}, train={"steps": 10, "step_seconds": 5.0})
    assert step_time(old.train) == 0.5 and not was_crowded(old)
    assert step_time({"steps": 0, "step_seconds": 0.0}) is None


def test_seconds_in_the_queue_only_grow_where_the_system_tells_them():
    first = meter.queued_seconds()
    sum(range(10_000))
    then = meter.queued_seconds()
    assert (first is None) == (then is None) and (first is None or 0 <= first <= then)


def test_without_schedstat_the_queue_is_unknown_and_not_zero(monkeypatch, tmp_path):
    monkeypatch.setattr(meter, "_THREADS", tmp_path / "none")
    measured = Meter()
    measured.on_step_begin(CPU, None, None)
    measured.on_step_end(CPU, None, None)
    assert measured.times()["queued_seconds"] is None
