"""Where the cache of decompositions is."""

from pathlib import Path

import pytest

from svft.decomposition import cache


@pytest.mark.parametrize("setting", [None, ""])
def test_without_a_name_it_is_in_the_users_cache(monkeypatch, tmp_path, setting):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SVFT_CACHE_DIR")
    if setting is not None:
        monkeypatch.setenv("SVFT_CACHE_DIR", setting)
    assert cache.folder() == tmp_path / "home" / ".cache" / "svft"


def test_it_is_where_the_variable_says_or_nowhere(monkeypatch):
    monkeypatch.setenv("SVFT_CACHE_DIR", "/scratch/svd")
    assert cache.folder() == Path("/scratch/svd")
    monkeypatch.setenv("SVFT_CACHE_DIR", "off")
    assert cache.folder() is None
