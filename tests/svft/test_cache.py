"""Each base weight is decomposed once on a machine, whatever happens to processes and files."""

import logging
import os
import shutil
import stat
import time

import pytest
import torch

from svft.decomposition import Basis, cache, decompose
from svft.decomposition.cache import cached, content_key

W = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SVFT_CACHE_DIR", str(tmp_path / "svd"))
    cache._say.cache_clear()
    return tmp_path / "svd"


def never(weight: torch.Tensor) -> Basis:
    raise AssertionError("computed although it was in the cache")


def assert_equal(found: Basis, expected: Basis) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_second_call_reads_what_the_first_one_wrote(folder, dtype):
    first = cached(W.to(dtype), decompose)
    assert_equal(first, decompose(W.to(dtype)))
    assert_equal(cached(W.to(dtype).clone(), never), first)
    assert sorted(path.suffix for path in folder.iterdir()) == [".lock", ".safetensors"]  # and no temporary file


def test_the_key_is_the_content():
    changed = W.clone()
    changed[3, 4] += 1e-6
    keys = [content_key(weight) for weight in (W, changed, W.double(), W.T, W.reshape(8, 12), W[:6])]
    assert len(set(keys)) == 6
    assert content_key(W.T.contiguous().T) == content_key(W)


def test_off_writes_and_reads_nothing(folder, monkeypatch, tmp_path):
    cached(W, decompose)
    monkeypatch.setenv("SVFT_CACHE_DIR", "off")
    before = sorted(folder.iterdir())
    with pytest.raises(AssertionError, match="computed"):
        cached(W, never)
    assert sorted(folder.iterdir()) == before
    assert not (tmp_path / "off").exists()


def assert_damage_is_logged(caplog, expected: Basis) -> None:
    caplog.clear()
    cache._say.cache_clear()
    assert_equal(cached(W, decompose), expected)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "is damaged" in caplog.text


def test_a_truncated_entry_is_computed_again(folder, caplog):
    expected = cached(W, decompose)
    (entry,) = folder.glob("*.safetensors")
    content = entry.read_bytes()
    for size in (0, 5, 200, len(content) - 1):
        entry.write_bytes(content[:size])
        assert_damage_is_logged(caplog, expected)
        assert entry.read_bytes() == content


def test_an_entry_with_any_flipped_bit_is_computed_again(folder, caplog):
    expected = cached(W, decompose)
    (entry,) = folder.glob("*.safetensors")
    content = entry.read_bytes()
    for position in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[position] ^= 4
        entry.write_bytes(flipped)
        assert_damage_is_logged(caplog, expected)


def test_the_entry_of_another_weight_is_not_used(folder, caplog):
    one, other = torch.randn(6, 4), torch.randn(6, 4)
    cached(one, decompose)
    [entry] = folder.glob("*.safetensors")
    cached(other, decompose)
    [second] = set(folder.glob("*.safetensors")) - {entry}
    shutil.copy(second, entry)
    assert torch.equal(cached(one, decompose).U, decompose(one).U)
    assert "is damaged" in caplog.text


def test_an_entry_is_readable_by_whom_the_umask_lets_read_files(folder):
    folder.mkdir(mode=0o755)
    before = os.umask(0o022)
    try:
        cached(W, decompose)
    finally:
        os.umask(before)
    (entry,) = folder.glob("*.safetensors")
    assert stat.S_IMODE(entry.stat().st_mode) == 0o644


def test_the_time_stamp_of_an_entry_means_nothing(folder):
    expected = cached(W, decompose)
    (entry,) = folder.glob("*.safetensors")
    for seconds in (0, time.time() + 10**8):
        os.utime(entry, (seconds, seconds))
        assert_equal(cached(W, never), expected)


def test_a_folder_that_cannot_be_written_costs_the_cache_not_the_run(tmp_path, monkeypatch, caplog, recwarn):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SVFT_CACHE_DIR", str(tmp_path / "file" / "svd"))
    cache._say.cache_clear()
    for weight in (W, W + 1):
        assert_equal(cached(weight, decompose), decompose(weight))
    assert [record.message for record in caplog.records] == [
        f"no SVD cache in {tmp_path}/file/svd (Not a directory); set SVFT_CACHE_DIR to a writable folder with space, "
        "or to 'off'"
    ]
    assert not recwarn.list  # warnings become footnotes to the model in tables


def test_an_adapted_layer_comes_from_the_cache(folder, adapt, monkeypatch):
    model, layer = adapt(9, 14)
    assert model.base_model.svd_seconds > 0
    monkeypatch.setattr("svft.basis.layer.decompose", never)
    again, same = adapt(9, 14)
    assert torch.equal(layer.basis_U, same.basis_U)
    assert again.base_model.svd_seconds > 0
