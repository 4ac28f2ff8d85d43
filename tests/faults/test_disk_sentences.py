"""What is told of a disk that refuses names what to do about it."""

import errno
import os
from pathlib import Path

import pytest

from errors import DiskError
from harness.console.told import sentence
from harness.store import disk
from harness.store.files import write_text
from harness.store.lock import Lock


def test_a_folder_in_the_place_of_a_file_is_to_be_moved_away(tmp_path):
    (tmp_path / "config.yaml").mkdir()
    with pytest.raises(DiskError, match="config.yaml cannot be written: .* move away the folder that is in the"):
        write_text(tmp_path / "config.yaml", "x")


def test_a_file_in_the_place_of_a_folder_is_to_be_moved_away(tmp_path):
    (tmp_path / "predictions").write_text("x")
    with pytest.raises(DiskError, match="move away the file that is in the place of a folder"):
        write_text(tmp_path / "predictions" / "one.json", "x")


def test_a_folder_in_the_place_of_a_lock_is_to_be_moved_away(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(DiskError, match="move away the folder"), disk.writing(tmp_path):
        Lock(tmp_path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_of_a_file_that_is_read_it_is_not_said_that_it_cannot_be_written(number):
    error = OSError(number, os.strerror(number), "data.csv")
    assert sentence(error).startswith("data.csv cannot be used: ")
    assert disk.sentence(error, Path("data.csv")).startswith("data.csv cannot be written: ")
