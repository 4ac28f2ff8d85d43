"""Trackers mirror the record: W&B, offline where there is no key; none; or another one."""

import json
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from errors import SettingError
from harness.plan import config
from harness.run import tracking
from tests.conftest import ROOT


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # where netrc would lie
    return monkeypatch


def test_without_a_key_wandb_is_offline(nobody):
    assert tracking.wandb_mode("auto") == "offline"


def test_with_a_key_wandb_is_online(nobody):
    nobody.setenv("WANDB_API_KEY", "secret")
    assert tracking.wandb_mode("auto") == "online"


def test_what_is_asked_for_wins(nobody):
    nobody.setenv("WANDB_API_KEY", "secret")
    assert tracking.wandb_mode("disabled") == "disabled"


def test_an_offline_run_leaves_its_log_beside_the_record(nobody, composed, tmp_path):
    import run
    from tests.harness.test_run import TINY_DIGITS

    run.main(composed(*TINY_DIGITS, "method=head", f"runs_dir={tmp_path}/runs", "wandb.mode=offline"))
    (folder,) = (path.parent for path in tmp_path.rglob("record.json"))
    assert list(folder.rglob("wandb/offline-run-*/*.wandb"))


class Lines(tracking.Tracker):
    """A tracker of one's own: a JSON line for whatever it is told."""

    def __init__(self, *, name: str):
        self.name = name

    def start(self, record, folder):
        self.file = folder / self.name
        self._write(start=record.parameters["head"])

    def log(self, values, step):
        self._write(step=step, **values)

    def finish(self, record, failed):
        self._write(failed=failed, **{name: splits["validation"]["n"] for name, splits in record.scores.items()})

    def _write(self, **values):
        with self.file.open("a") as file:
            file.write(json.dumps(values) + "\n")


def test_another_tracker_is_a_class_and_the_target_of_a_yaml(composed, tmp_path):
    import run
    from tests.harness.test_run import TINY_DIGITS

    cfg = composed(
        *TINY_DIGITS, "method=head", f"runs_dir={tmp_path}/runs", "train.max_steps=2", "train.log_every=1",
        "evaluate.splits=[validation]",
    )  # fmt: skip
    OmegaConf.update(cfg, "tracker", {"_target_": f"{__name__}.Lines", "name": "lines"}, merge=False, force_add=True)
    run.main(cfg)
    (written,) = tmp_path.rglob("lines")
    first, *steps, last = map(json.loads, written.read_text().splitlines())
    assert first == {"start": 96 * 10 + 10}
    assert [step["step"] for step in steps if "loss" in step] == [1, 2]
    assert last["failed"] is False and last["digits"] > 0


def test_which_tracker_it_is_changes_no_run_key(composed):
    keys = {config.identity(composed(f"tracker={path.stem}")) for path in (ROOT / "conf" / "tracker").glob("*.yaml")}
    assert keys == {config.identity(composed())}


def test_a_tracker_is_told_of_a_failure_and_of_an_interruption(tmp_path):
    for error in (ArithmeticError, SystemExit):
        tracker = Lines(name="lines")
        record = SimpleNamespace(parameters={"head": 0}, scores={})
        with pytest.raises(error), tracking.tracked(tracker, record, tmp_path):
            raise error
        assert tracker.file.read_text().splitlines()[-1] == '{"failed": true}'


def test_a_value_that_a_tracker_does_not_take_is_a_sentence():
    for given in ({}, {"name": "lines", "nmae": "x"}):
        with pytest.raises(SettingError, match=f"^{__name__}.Lines: "):
            config.instantiate(OmegaConf.create({"_target_": f"{__name__}.Lines", **given}))
