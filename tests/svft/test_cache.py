"""Each base weight is decomposed once on a machine, whatever happens to processes and files."""

import multiprocessing
import os
import signal
import time

import pytest
import torch

from svft import cache
from svft.cache import cached, content_key
from svft.decomposition import Basis, decompose

fork = multiprocessing.get_context("fork")
W = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SVFT_CACHE_DIR", str(tmp_path / "svd"))
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


def test_a_truncated_entry_is_computed_again(folder):
    expected = cached(W, decompose)
    (entry,) = folder.glob("*.safetensors")
    content = entry.read_bytes()
    for size in (0, 5, 200, len(content) - 1):
        entry.write_bytes(content[:size])
        with pytest.warns(UserWarning, match="damaged"):
            assert_equal(cached(W, decompose), expected)
        assert entry.read_bytes() == content


def test_an_entry_with_any_flipped_bit_is_computed_again(folder):
    expected = cached(W, decompose)
    (entry,) = folder.glob("*.safetensors")
    content = entry.read_bytes()
    for position in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[position] ^= 4
        entry.write_bytes(flipped)
        with pytest.warns(UserWarning, match="damaged"):
            assert_equal(cached(W, decompose), expected)


def _slow(log: str, weight: torch.Tensor) -> Basis:
    with open(log, "a") as file:
        file.write("computed\n")
    time.sleep(0.3)
    return Basis(weight * 2, weight[0], weight * 3)


def _worker(log: str, start, good) -> None:
    start.wait()
    basis = cached(W, lambda weight: _slow(log, weight))
    good.put(torch.equal(basis.U, W * 2) and torch.equal(basis.Vh, W * 3))


def test_of_several_processes_at_once_one_computes(folder, tmp_path):
    log, start, good = str(tmp_path / "log"), fork.Event(), fork.Queue()
    workers = [fork.Process(target=_worker, args=(log, start, good)) for _ in range(4)]
    for worker in workers:
        worker.start()
    start.set()
    assert [good.get(timeout=30) for _ in workers] == [True] * 4
    for worker in workers:
        worker.join()
    assert (tmp_path / "log").read_text() == "computed\n"


def _die_with_the_lock(path: str, held) -> None:
    with cache._locked(path):
        held.set()
        time.sleep(60)


def test_the_lock_of_a_dead_process_blocks_no_one(folder):
    folder.mkdir()
    held = fork.Event()
    holder = fork.Process(target=_die_with_the_lock, args=(folder / f"{content_key(W)}.lock", held))
    holder.start()
    assert held.wait(10)
    (folder / f"{content_key(W)}.tmp").write_bytes(b"half of a file")
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    started = time.perf_counter()
    assert_equal(cached(W, decompose), decompose(W))
    assert time.perf_counter() - started < 5
    assert_equal(cached(W, never), decompose(W))


def test_a_folder_that_cannot_be_written_costs_the_cache_not_the_run(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SVFT_CACHE_DIR", str(tmp_path / "file" / "svd"))
    with pytest.warns(UserWarning, match="no SVD cache in"):
        assert_equal(cached(W, decompose), decompose(W))


def test_an_adapted_layer_comes_from_the_cache(folder, adapt, monkeypatch):
    model, layer = adapt(9, 14)
    assert model.base_model.svd_seconds > 0
    monkeypatch.setattr("svft.basis_layer.decompose", never)
    again, same = adapt(9, 14)
    assert torch.equal(layer.basis_U, same.basis_U)
    assert again.base_model.svd_seconds > 0
