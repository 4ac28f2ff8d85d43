"""What an interrupted run is resumed from, wherever it was stopped, and whatever has become of its folder since."""

import random
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from errors import Damaged, Diverged, SettingError
from harness.store import files
from harness.store.run_folder import RunFolder
from harness.train import checkpoints, train_settings, trainer
from harness.train.interruption import Stop
from run import run
from tests.conftest import without_clocks
from tests.faults.test_damage import a_checkpoint, a_run
from tests.harness.test_interruption import SELECTING, adapter, read, stop

# Two epochs of three steps, the second of which ends after two.
WITHIN = (*SELECTING, "train.max_steps=5")


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The runs folder of a run that is left alone."""
    from tests.conftest import _composition

    runs = tmp_path_factory.mktemp("alone")
    run(_composition((*WITHIN, f"runs_dir={runs}")))
    return runs


def assert_same(runs: Path, alone: Path) -> None:
    assert without_clocks(read(runs)) == without_clocks(read(alone))
    assert adapter(runs) == adapter(alone)


def test_a_run_stopped_at_its_last_step_within_an_epoch_is_evaluated_there(composed, tmp_path, alone, monkeypatch):
    cfg = composed(*WITHIN, f"runs_dir={tmp_path}")
    stop(cfg, 5, monkeypatch)
    run(cfg)
    assert_same(tmp_path, alone)


def test_a_file_in_the_place_of_the_checkpoints_is_removed_with_a_warning(
    composed, tmp_path, alone, monkeypatch, capsys
):
    cfg = composed(*WITHIN, f"runs_dir={tmp_path}")
    stop(cfg, 2, monkeypatch)
    (folder,) = tmp_path.rglob("checkpoint")
    files.remove(folder)
    folder.write_text("x")
    run(cfg)
    assert f"warning: {folder} is not a folder; it is removed, and training begins anew" in capsys.readouterr().err
    assert_same(tmp_path, alone)


# The rate rises, and the first epoch is the best by far, so that there are two checkpoints in the end.
WORSENING = (*WITHIN, "train.lr=1", "train.schedule=constant_with_warmup", "train.warmup_ratio=5")


def test_a_run_folder_may_be_moved_while_the_run_is_interrupted(composed, tmp_path, monkeypatch):
    """The state of a training names the best checkpoint by its path."""

    def killed(*_) -> None:
        raise SystemExit

    with monkeypatch.context() as patch, suppress(SystemExit):
        patch.setattr(RunFolder, "finish_training", killed)
        run(composed(*WORSENING, f"runs_dir={tmp_path / 'scratch'}"))
    (tmp_path / "scratch").rename(tmp_path / "moved")
    weights = "adapter_model.safetensors"
    (best,) = (path.read_bytes() for path in tmp_path.rglob(f"checkpoint-3/{weights}"))
    (last,) = (path.read_bytes() for path in tmp_path.rglob(f"checkpoint-5/{weights}"))
    run(composed(*WORSENING, f"runs_dir={tmp_path / 'moved'}"))
    assert read(tmp_path / "moved").train["best_step"] == 3
    assert adapter(tmp_path / "moved")[weights] == best != last


def test_checkpoints_are_kept_by_where_they_are_and_not_by_where_they_were(tmp_path):
    folder = a_run(tmp_path)
    for step in (4, 8, 12):
        a_checkpoint(folder, step, best=4)
    args = SimpleNamespace(output_dir=str(folder))
    state = SimpleNamespace(
        best_global_step=4, best_model_checkpoint="elsewhere/checkpoint-4", global_step=12, is_world_process_zero=True
    )
    callback = checkpoints.MarkComplete()
    callback.on_train_begin(args, state, None)
    callback.on_save(args, state, None)
    assert {path.name for path in folder.iterdir()} == {"checkpoint-4", "checkpoint-12"}


def test_the_last_checkpoint_is_taken_without_a_word_of_those_that_a_better_one_made_useless(tmp_path, capsys):
    folder = a_run(tmp_path)
    a_checkpoint(folder, 6, best=3)
    a_checkpoint(folder, 9, best=9)
    assert checkpoints.last(folder) == str(folder / "checkpoint-9")
    assert capsys.readouterr().err == ""
    (folder / "checkpoint-9" / "optimizer.pt").write_bytes(random.Random(0).randbytes(9))
    assert checkpoints.last(folder) is None
    said = capsys.readouterr().err
    assert "checkpoint-9/optimizer.pt is damaged" in said
    assert "checkpoint-3/complete is damaged: it is not there, and checkpoint-6 needs it as the best" in said


def test_a_copy_that_somebody_made_of_a_checkpoint_is_left_alone(tmp_path):
    folder = a_run(tmp_path)
    a_checkpoint(folder, 4).rename(folder / "checkpoint-4 (copy)")
    assert checkpoints.last(folder) is None
    assert (folder / "checkpoint-4 (copy)" / "complete").exists()


def test_a_sealed_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(Damaged, match="absent.json is damaged: it is not there"):
        files.read_sealed(tmp_path / "absent.json")


def test_a_handler_that_python_did_not_install_does_not_break_the_end_of_a_run(monkeypatch):
    before, install = signal.getsignal(signal.SIGUSR2), signal.signal
    monkeypatch.setattr(signal, "signal", lambda number, handler: install(number, handler) and None)
    try:
        with Stop():
            pass
        assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL
    finally:
        monkeypatch.undo()
        install(signal.SIGUSR2, before)


def test_an_error_in_training_begins_a_line_of_its_own(composed, tmp_path, monkeypatch, capsys):
    """And not that of the progress bar."""

    def fail(self, *_, **__):
        raise Diverged(1)

    monkeypatch.setattr(trainer.BenchTrainer, "training_step", fail)
    with pytest.raises(Diverged) as raised:  # what it refers to, the bar too, is not collected meanwhile
        run(composed(*WITHIN, f"runs_dir={tmp_path}"))
    print("error: it diverged", file=sys.stderr)
    assert raised.value.step == 1
    said = capsys.readouterr().err
    assert "training:" in said and "\nerror: it diverged" in said


@pytest.mark.parametrize(("batch", "micro", "devices", "remedy"), [
    (12, 8, 1, "train.micro_batch_size=6 fits"),
    (12, 4, 2, "train.micro_batch_size=3 fits"),
    (12, 4, 5, "train.batch_size has to be a multiple of the 5 devices"),
])  # fmt: skip
def test_a_batch_that_does_not_divide_is_refused_with_a_micro_batch_that_fits(
    batch, micro, devices, remedy, composed, monkeypatch
):
    cfg = composed(f"train.batch_size={batch}", f"train.micro_batch_size={micro}")
    monkeypatch.setattr(trainer.distributed, "size", lambda: devices)
    with pytest.raises(SettingError, match=f"not a multiple of {micro * devices} .*; .*{remedy}"):
        train_settings.check(cfg)
