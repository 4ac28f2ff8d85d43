"""The page of a machine looks where the command line and the environment say, and names them."""

import sys

import pytest
from huggingface_hub import constants

from errors import SettingError
from harness.doctor import __main__ as doctor
from harness.doctor import services


def test_the_records_folder_is_the_one_that_was_named():
    assert str(doctor.records_folder(["model=gemma2b", "task=gsm8k"])) == "runs"
    assert str(doctor.records_folder(["model=gemma2b", "runs_dir=/proc/x"])) == "/proc/x"


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("foo", "'foo' is no override; it takes experiment=NAME, or what run.py takes, as model=NAME$"),
        ("runs_dir=[1]", r"runs_dir=\[1\] is not the name of a folder, written out in full$"),
    ],
)
def test_what_is_no_override_is_answered_by_what_one_is(monkeypatch, capsys, typed, sentence):
    with pytest.raises(SettingError, match=f"^{sentence}"):
        doctor.records_folder([typed])
    monkeypatch.setattr(sys, "argv", ["doctor.py", typed])
    assert doctor.main() == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    "names", [["TRANSFORMERS_OFFLINE"], ["HF_HUB_OFFLINE"], ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]]
)
def test_the_variable_that_takes_the_hub_offline_is_the_one_that_is_set(monkeypatch, names):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    for name in names:
        monkeypatch.setenv(name, "1")
    [finding] = services.hub()
    assert f"offline by {' and '.join(names)};" in finding.what
    assert finding.remedy == f"unset {' '.join(names)}"
