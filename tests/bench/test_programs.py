"""The benchmarks that are a program each, from the command line to the file, on small sizes."""

import json

import pytest

from bench import forms, precision, svd

SAID = {"schema", "bench", "device", "threads", "torch", "packages", "dtype", "commit", "dirty"}


def result(folder, name: str) -> dict:
    (path,) = folder.glob(f"{name}-*.json")
    return json.loads(path.read_text())


def test_a_decomposition_is_compared_with_both_precisions_of_torch(tmp_path, capsys):
    svd.main(["--shapes", "300x40,20x50", "--repeats", "1", "--threads", "1", "--out", str(tmp_path)])
    found = result(tmp_path, "svd")
    assert set(found) > SAID
    assert [(row["shape"], row["dtype"]) for row in found["rows"]] == [
        (shape, dtype) for shape in ([300, 40], [20, 50]) for dtype in ("float32", "float64")
    ]
    for row in found["rows"]:
        assert max(row["orthonormality"], row["reconstruction"]) < 1e-6
        assert row["ratio"] == pytest.approx(row["seconds"] / row["reference_seconds"])
    assert "300 x 40" in capsys.readouterr().out


def test_every_form_of_every_layer_is_timed_and_the_choice_held_against_the_fastest(tmp_path, monkeypatch):
    monkeypatch.setattr(forms, "SHAPES", {"U, G": (24, 8), "Q, O": (8, 8)})
    monkeypatch.setattr(forms, "PATTERNS", {"plain": {}, "random": {"d": 2}})
    forms.main(["--tokens", "4,16", "--repeats", "1", "--threads", "1", "--out", str(tmp_path)])
    found = result(tmp_path, "forms")
    assert set(found) > SAID
    assert len(found["rows"]) == 2 * 2 * 2 * 2
    for row in found["rows"]:
        assert row["fastest"] == min(row["seconds"], key=row["seconds"].get)
        assert row["regret"] == pytest.approx(row["seconds"][row["chosen"]] / row["seconds"][row["fastest"]] - 1)


def test_a_start_with_w0_kept_is_the_plain_models_and_with_w0_dropped_is_near_it(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "MATRICES", ((8, 16),))
    precision.main(["--models", "micro_gemma", "--examples", "4", "--threads", "1", "--out", str(tmp_path)])
    found = result(tmp_path, "precision")
    assert set(found) > SAID
    rows = {row["case"]: row for row in found["starts"]}
    assert rows["W0 kept"]["logits_largest"] == rows["plain, bfloat16"]["logits_largest"] == 0
    assert rows["W0 kept"]["agreement"] == 1 and rows["W0 kept"]["loss_difference"] == 0
    assert 1e-3 < rows["W0 dropped"]["logits_rms"] < 0.05
    (matrix,) = found["matrices"]
    assert 2**-10 < matrix["storing"] < 2**-8 and 2**-10 < matrix["dropping"] < 2**-7


@pytest.mark.parametrize("program", [svd, forms, precision])
def test_a_number_that_is_none_is_refused(program, capsys):
    with pytest.raises(SystemExit) as left:
        program.main(["--threads", "0"])
    assert left.value.code == 2
    assert "'0' is not an integer from 1 to 1024" in capsys.readouterr().err
