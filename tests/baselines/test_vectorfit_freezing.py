"""Adaptive Vector Freezing inside HF Trainer, against a plain loop and a recomputation in numpy."""

import json
import re
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import peft
import pytest
import torch
from torch import nn
from torch.utils.data import SequentialSampler
from transformers import TrainerCallback, TrainingArguments

from baselines.vectorfit import VectorFitConfig, VectorFreezing
from harness.train.checkpoints import MarkComplete
from harness.train.trainer import BenchTrainer, Meter

OPTIONS = {
    "start": 3, "every": 4, "count": 2, "times": None, "beta": 0.9, "score": "l1_mean", "average": "every_step",
    "pick": "strongest", "seed": 0, "log_every": 1,
}  # fmt: skip
ACCUMULATED, DECAY, CLIP, LR = 2, 0.1, 0.05, 3e-2
NAMES = ["first sigma", "first bias", "second sigma", "second bias", "third sigma", "third bias"]


@pytest.fixture(autouse=True)
def no_svd_cache(monkeypatch):
    monkeypatch.setenv("SVFT_CACHE_DIR", "off")


class Regression(nn.Module):
    """Three layers of different widths, with dropout; float64, so that a plain loop can be compared with."""

    def __init__(self, dropout: float):
        super().__init__()
        self.layers = nn.Sequential(OrderedDict(first=nn.Linear(6, 8), second=nn.Linear(8, 5), third=nn.Linear(5, 2)))
        self.dropout = nn.Dropout(dropout)
        generator = torch.Generator().manual_seed(0)
        self.double()
        for parameter in self.parameters():
            parameter.data.normal_(generator=generator)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        for layer in self.layers:
            x = self.dropout(torch.tanh(layer(x)))
        return {"loss": (x - y).square().mean()}


def adapted(dropout: float = 0.0, **config) -> nn.Module:
    targets = ["first", "second", "third"]
    return peft.get_peft_model(Regression(dropout), VectorFitConfig(target_modules=targets, **config))


def rows() -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        {"x": torch.randn(6, generator=generator, dtype=torch.float64), "y": torch.ones(2, dtype=torch.float64)}
        for _ in range(16)
    ]


class InOrder(BenchTrainer):
    def _get_train_sampler(self, *args):
        return SequentialSampler(self.train_dataset)


class Recorder(TrainerCallback):
    """Vectors, Adam moments and gradient norms after every step; the vectors before the first one too."""

    def __init__(self):
        self.vectors, self.moments, self.missing = [], [], []

    def on_train_begin(self, args, state, control, model, **kwargs):
        self.parameters = [v.parameter for v in model.base_model.trained_vectors()]
        self.vectors.append([p.detach().clone() for p in self.parameters])

    def on_optimizer_step(self, args, state, control, optimizer, **kwargs):
        self.missing.append([i for i, p in enumerate(self.parameters) if p.grad is None])

    def on_step_end(self, args, state, control, optimizer, **kwargs):
        self.vectors.append([p.detach().clone() for p in self.parameters])
        kept = [optimizer.state[p] for p in self.parameters]
        self.moments.append([(m["exp_avg"].clone(), m["exp_avg_sq"].clone(), m["step"].clone()) for m in kept])


def train(folder, model, freezing, steps=16, save=100, resume=None, trainer_cls=InOrder, accumulated=ACCUMULATED):
    """(what the recorder saw, the freezing callback that ended the training, the trainer)."""
    arguments = TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=2, gradient_accumulation_steps=accumulated, seed=3,
        max_steps=steps, lr_scheduler_type="constant", max_grad_norm=CLIP, save_steps=save, logging_steps=1,
        restore_callback_states_from_checkpoint=True, use_cpu=True, disable_tqdm=True, report_to=[],
        remove_unused_columns=False, dataloader_pin_memory=False,
    )  # fmt: skip
    trained = [p for p in model.parameters() if p.requires_grad]
    recorder = Recorder()
    trainer = trainer_cls(
        model=model,
        args=arguments,
        train_dataset=rows(),
        optimizers=(torch.optim.AdamW(trained, LR, weight_decay=DECAY), None),
        callbacks=[Meter(), MarkComplete(kept=100), *([freezing] if freezing else []), recorder],
        modality=SimpleNamespace(
            size=lambda inputs: len(inputs["x"]), targets=lambda inputs: torch.ones(len(inputs["x"]))
        ),
    )
    trainer.train(resume_from_checkpoint=resume)
    found = [c for c in trainer.callback_handler.callbacks if isinstance(c, VectorFreezing)]
    return recorder, found[0] if found else None, trainer


def history(freezing: VectorFreezing) -> dict:
    return freezing.report()["training_strength"]


def frozen_during(step: int, report: dict) -> list[int]:
    """The vectors that do not move in the step from `step` - 1 to `step`."""
    at = [i for i, event in enumerate(report["frozen_at"]) if event < step]
    return report["frozen"][at[-1]] if at else []


def test_frozen_vectors_and_their_moments_stand_still_and_all_others_move(tmp_path):
    recorder, freezing, _ = train(tmp_path, adapted(), VectorFreezing(**OPTIONS))
    report = history(freezing)
    assert report["vectors"] == ["layers." + name for name in NAMES]
    assert report["frozen_at"] == [3, 7, 11, 15]
    assert len({tuple(indices) for indices in report["frozen"]}) > 1  # those at rest change
    for step in range(1, 17):
        at_rest = frozen_during(step, report)
        assert len(at_rest) == (2 if step > 3 else 0)
        assert recorder.missing[step - 1] == at_rest
        for i in range(6):
            same = torch.equal(recorder.vectors[step][i], recorder.vectors[step - 1][i])
            assert same == (i in at_rest), (step, i)
            if step > 1:
                moments = zip(recorder.moments[step - 1][i], recorder.moments[step - 2][i], strict=True)
                assert all(torch.equal(*pair) for pair in moments) == (i in at_rest), (step, i)


def strength(vectors, starts, score: str) -> np.ndarray:
    """In numpy, vector by vector."""
    values = []
    for v, v0 in zip(vectors, starts, strict=True):
        d, v0 = (v - v0).numpy(), v0.numpy()
        one = {
            "l1_mean": np.mean(np.abs(d)),
            "l2_mean": np.sqrt(np.mean(d**2)),
            "relative": np.linalg.norm(d) / np.linalg.norm(v0),
        }
        values.append(one[score])
    return np.array(values)


@pytest.mark.parametrize("score", ["l1_mean", "l2_mean", "relative"])
@pytest.mark.parametrize("average", ["every_step", "at_freezing"])
def test_the_strongest_by_an_average_recomputed_from_recorded_vectors_are_frozen(tmp_path, score, average):
    options = {**OPTIONS, "score": score, "average": average, "log_every": 5}
    recorder, freezing, _ = train(tmp_path, adapted(), VectorFreezing(**options))
    report, averages = history(freezing), np.zeros(6)
    for step in range(1, 17):
        strengths = strength(recorder.vectors[step], recorder.vectors[0], score)
        if average == "every_step" or step in report["frozen_at"]:
            averages = 0.9 * averages + 0.1 * strengths
        if step in report["frozen_at"]:
            strongest = sorted(np.argsort(-averages)[:2].tolist())
            assert report["frozen"][report["frozen_at"].index(step)] == strongest
        if step in report["steps"]:
            np.testing.assert_allclose(report["values"][report["steps"].index(step)], strengths, rtol=1e-12)
    assert report["steps"] == [5, 10, 15, 16]


def plain_loop(steps: int, score: str = "l1_mean") -> list[torch.Tensor]:
    """The same training by hand: the optimiser and the clipping are given only what is not frozen."""
    model = adapted()
    vectors = [v.parameter for v in model.base_model.trained_vectors()]
    starts = [v.detach().clone() for v in vectors]
    optimizers = [torch.optim.AdamW([v], LR, weight_decay=DECAY) for v in vectors]
    batches = [rows()[i : i + 2] for i in range(0, 16, 2)]
    frozen, averages, used = [], np.zeros(6), 0
    for step in range(1, steps + 1):
        model.zero_grad()
        for _ in range(ACCUMULATED):
            batch = {key: torch.stack([row[key] for row in batches[used % len(batches)]]) for key in ("x", "y")}
            (model(**batch)["loss"] / ACCUMULATED).backward()
            used += 1
        moving = [i for i in range(6) if i not in frozen]
        norm = torch.sqrt(sum(vectors[i].grad.square().sum() for i in moving))
        for i in moving:
            vectors[i].grad *= min(1, CLIP / (norm + 1e-6))
            optimizers[i].step()
        now = [v.detach() for v in vectors]
        averages = 0.9 * averages + 0.1 * strength(now, starts, score)
        if step >= 3 and (step - 3) % 4 == 0:
            frozen = np.argsort(-averages)[:2].tolist()
    return now


def test_the_trainer_with_the_callback_does_what_a_plain_loop_does(tmp_path):
    """With accumulation, weight decay, and clipping to the norm of the gradients that are not frozen."""
    recorder, _, trainer = train(tmp_path, adapted(), VectorFreezing(**OPTIONS))
    assert min(e["grad_norm"] for e in trainer.state.log_history if "grad_norm" in e) > CLIP  # each step was clipped
    for here, expected in zip(recorder.vectors[-1], plain_loop(16), strict=True):
        torch.testing.assert_close(here, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("interrupted", "pick", "average"),
    [
        (2, "strongest", "every_step"),  # before the first freezing
        (7, "strongest", "every_step"),  # at one
        (9, "strongest", "at_freezing"),  # in between
        (9, "random", "every_step"),
    ],
)
def test_a_resumed_run_ends_with_the_same_bits_as_an_uninterrupted_one(tmp_path, interrupted, pick, average):
    """With shuffled data and dropout."""
    options = {**OPTIONS, "pick": pick, "average": average, "log_every": 3}

    def run(folder, **kwargs):
        return train(folder, adapted(0.3), VectorFreezing(**options), trainer_cls=BenchTrainer, **kwargs)

    whole, freezing, _ = run(tmp_path, save=interrupted)
    checkpoint = tmp_path / f"checkpoint-{interrupted}"
    again, resumed, _ = run(tmp_path / "again", resume=str(checkpoint))
    assert len(again.vectors) == 17 - interrupted
    for here, expected in zip(again.vectors[-1], whole.vectors[-1], strict=True):
        assert torch.equal(here, expected)
    assert resumed.report() == freezing.report()
    assert resumed.state() == freezing.state()
    assert resumed.state()["args"] == options


def test_a_checkpoint_without_the_state_of_the_callback_is_refused(tmp_path):
    train(tmp_path, adapted(), None, save=5)
    with pytest.raises(ValueError, match="the checkpoint of step 5 holds no strengths of this model's trained vectors"):
        train(tmp_path, adapted(), VectorFreezing(**OPTIONS), resume=str(tmp_path / "checkpoint-5"))


def test_the_state_is_json_and_gives_the_callback_again(tmp_path):
    _, freezing, _ = train(tmp_path, adapted().float(), VectorFreezing(**OPTIONS), steps=5, trainer_cls=Single)
    state = json.loads(json.dumps(freezing.state()))
    again = VectorFreezing.from_state(state)
    assert again.report() == freezing.report()
    assert torch.equal(torch.tensor(state["attributes"]["averages"]), freezing.averages)  # float32, bit for bit


class Single(InOrder):
    """Rows in float32."""

    def training_step(self, model, inputs, *args):
        return super().training_step(model, {k: v.float() for k, v in inputs.items()}, *args)


def test_random_picks_are_seeded_and_look_at_no_strength(tmp_path):
    picks = []
    for n, (seed, beta) in enumerate([(0, 0.9), (0, 0.0), (1, 0.9)]):
        options = {**OPTIONS, "pick": "random", "seed": seed, "beta": beta, "every": 1}
        _, freezing, _ = train(tmp_path / str(n), adapted(), VectorFreezing(**options))
        picks.append(history(freezing)["frozen"])
    assert picks[0] == picks[1] != picks[2]
    assert all(len(set(pick)) == 2 for pick in picks[0])
    assert {i for pick in picks[0] for i in pick} == set(range(6))


@pytest.mark.parametrize(
    ("changes", "frozen_at", "sizes"),
    [
        ({}, [3, 7, 11, 15], [2, 2, 2, 2]),
        ({"times": 2}, [3, 7, 11], [2, 2, 0]),  # thawed one period after the last freezing
        ({"times": 0}, [], []),
        ({"times": 9}, [3, 7, 11, 15], [2, 2, 2, 2]),
        ({"start": 0.5, "every": 0.25}, [8, 12], [2, 2]),  # shares of 16; a freezing after step 16 has no effect
        ({"start": 0.01, "every": 1, "times": 3}, [1, 2, 3, 4], [2, 2, 2, 0]),  # a share is one step at least
        ({"count": 0.5}, [3, 7, 11, 15], [3, 3, 3, 3]),
        ({"count": 0.01}, [3, 7, 11, 15], [1, 1, 1, 1]),
        ({"count": 5.0, "start": 3.0}, [3, 7, 11, 15], [5, 5, 5, 5]),
    ],
)
def test_start_every_times_and_count_say_when_and_how_many(tmp_path, changes, frozen_at, sizes):
    recorder, freezing, _ = train(tmp_path, adapted(), VectorFreezing(**{**OPTIONS, **changes}))
    report = history(freezing)
    assert report["frozen_at"] == frozen_at
    assert [len(indices) for indices in report["frozen"]] == sizes
    for step in range(1, 17):
        assert recorder.missing[step - 1] == frozen_during(step, report)


def test_shares_of_a_training_of_one_step_freeze_nothing(tmp_path):
    options = {**OPTIONS, "start": 0.2, "every": 0.05}
    _, freezing, _ = train(tmp_path, adapted(), VectorFreezing(**options), steps=1)
    assert (history(freezing)["steps"], history(freezing)["frozen_at"]) == ([1], [])


def test_only_recording_changes_no_vector(tmp_path):
    recorder, freezing, _ = train(tmp_path / "a", adapted(), VectorFreezing(**{**OPTIONS, "times": 0}))
    without, _, _ = train(tmp_path / "b", adapted(), None)
    for step in range(17):
        assert all(map(torch.equal, recorder.vectors[step], without.vectors[step]))
    assert history(freezing)["steps"] == list(range(1, 17))


def test_vectors_without_bias_and_factors_of_singular_values_are_frozen_too(tmp_path):
    options = {**OPTIONS, "count": 1, "score": "relative"}
    model = adapted(multiplicative=True, train_bias=False)
    recorder, freezing, _ = train(tmp_path, model, VectorFreezing(**options))
    report = history(freezing)
    assert report["vectors"] == ["layers.first z", "layers.second z", "layers.third z"]
    for step in range(1, 17):
        assert recorder.missing[step - 1] == frozen_during(step, report)


def test_no_hook_is_left_after_training(tmp_path):
    model = adapted()
    train(tmp_path, model, VectorFreezing(**OPTIONS))
    model(torch.ones(1, 6, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64))["loss"].backward()
    assert all(v.parameter.grad is not None for v in model.base_model.trained_vectors())


def test_a_second_training_starts_with_nothing_recorded(tmp_path):
    freezing, model = VectorFreezing(**OPTIONS), adapted()
    for n in range(2):
        train(tmp_path / str(n), model, freezing)
        assert history(freezing)["frozen_at"] == [3, 7, 11, 15]


@pytest.fixture
def process_group(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("view", [False, True])
def test_under_ddp_the_norm_leaves_frozen_vectors_out_and_the_optimiser_gets_none(process_group, view):
    """DistributedDataParallel gives a dropped gradient back as zeros, so it is dropped before the step once more."""
    model, alone = adapted(), adapted()
    resumed = {"averages": [0.0] * 6, "frozen": [0, 3], "history": {"vectors": ["layers." + name for name in NAMES]}}
    freezing = VectorFreezing.from_state({"args": OPTIONS, "attributes": resumed})
    state = SimpleNamespace(global_step=5, max_steps=16)
    freezing.on_train_begin(None, state, None, model=model)
    unsynchronised = {"init_sync": False, "broadcast_buffers": False}  # gloo sends no int16, which the probe is
    wrapped = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=view, **unsynchronised)
    batch = {key: torch.stack([row[key] for row in rows()]) for key in ("x", "y")}
    alone(**batch)["loss"].backward()
    expected = [v.parameter.grad for v in alone.base_model.trained_vectors()]
    parameters = [v.parameter for v in model.base_model.trained_vectors()]
    for _ in range(3):
        model.zero_grad()
        with wrapped.no_sync():
            wrapped(**batch)["loss"].backward()
        wrapped(**batch)["loss"].backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), float("inf"))
        moving = torch.cat([2 * expected[i] for i in (1, 2, 4, 5)])
        torch.testing.assert_close(norm, moving.norm())
        freezing.on_pre_optimizer_step(None, state, None)
        assert [i for i, p in enumerate(parameters) if p.grad is None] == [0, 3]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"score": "l1"}, "score='l1' is not one of l1_mean, l2_mean, relative"),
        ({"average": "never"}, "average='never' is not one of every_step, at_freezing"),
        ({"pick": "weakest"}, "pick='weakest' is not one of strongest, random"),
        ({"start": 0}, "start=0 is neither a share, above 0 and below 1, nor a whole number from 1 on"),
        ({"every": -0.5}, "every=-0.5 is neither a share"),
        ({"every": 2.5}, "every=2.5 is neither a share"),
        ({"count": "all"}, "count='all' is neither a share"),
        ({"beta": 1}, "beta=1 is not at least 0 and below 1"),
        ({"times": -1}, "times=-1 is not an integer from 0 on"),
        ({"times": 1.5}, "times=1.5 is not an integer from 0 on"),
        ({"seed": None}, "seed=None is not an integer from 0 on"),
        ({"log_every": 0}, "log_every=0 is not an integer from 1 on"),
    ],
)
def test_bad_options_are_refused_with_a_sentence(changes, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        VectorFreezing(**{**OPTIONS, **changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"count": 6}, "count=6 freezes all of the 6 trained vectors; choose fewer"),
        ({"count": 0.99}, "count=0.99 freezes all of the 6 trained vectors; choose fewer"),
        ({"start": 16}, "start=16 is not before the last of 16 steps"),
    ],
)
def test_options_that_do_not_go_with_the_training_are_refused(tmp_path, changes, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        train(tmp_path, adapted(), VectorFreezing(**{**OPTIONS, **changes}))


def test_a_relative_strength_of_a_vector_that_starts_at_zero_is_refused(tmp_path):
    base = Regression(0.0)
    base.layers.second.bias.data.zero_()
    model = peft.get_peft_model(base, VectorFitConfig(target_modules=["first", "second"]))
    with pytest.raises(ValueError, match=re.escape("'layers.second bias' starts at 0; choose l1_mean or l2_mean")):
        train(tmp_path, model, VectorFreezing(**{**OPTIONS, "score": "relative"}))


def test_a_model_without_trained_vectors_is_refused(tmp_path):
    model = peft.get_peft_model(Regression(0.0), peft.LoraConfig(target_modules=["first"]))
    with pytest.raises(ValueError, match="such as that of VectorFitConfig; this PeftModel has none"):
        train(tmp_path, model, VectorFreezing(**OPTIONS))
