"""W&B mirrors the record, offline where there is no key."""

import pytest

from harness.run import tracking


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # where netrc would lie
    return monkeypatch


def test_without_a_key_wandb_is_offline(nobody):
    assert tracking.mode("auto") == "offline"


def test_with_a_key_wandb_is_online(nobody):
    nobody.setenv("WANDB_API_KEY", "secret")
    assert tracking.mode("auto") == "online"


def test_what_is_asked_for_wins(nobody):
    nobody.setenv("WANDB_API_KEY", "secret")
    assert tracking.mode("disabled") == "disabled"


def test_an_offline_run_leaves_its_log_beside_the_record(nobody, composed, tmp_path):
    import run
    from tests.harness.test_run import TINY_DIGITS

    run.main(composed(*TINY_DIGITS, "method=head", f"runs_dir={tmp_path}/runs", "wandb.mode=offline"))
    (folder,) = (path.parent for path in tmp_path.rglob("record.json"))
    assert list(folder.rglob("wandb/offline-run-*/*.wandb"))
