"""The page and the figure of which entries of M full fine-tuning uses, of files made by hand."""

import pytest

from analysis.energy import figure, load, page
from analysis.figures.style import STYLE, matplotlib
from analysis.load.records import Loaded
from errors import RecordError
from harness.store.files import write_sealed

SHARES = {"banded": 0.1, "random": 0.05, "topk": None, "block": 0.3}


def layer(name: str, role: str, depth: int, shape: list[int], more: float) -> dict:
    """Two budgets, three seeds that differ by 0.01."""
    shares = {
        support: [[None if share is None else times * (share + more + 0.01 * seed) for seed in range(3)]
                  for times in (1, 2)]
        for support, share in SHARES.items()
    }  # fmt: skip
    inside = 1.0 if shape[0] == shape[1] else 0.25
    return {"name": name, "role": role, "depth": depth, "shape": shape, "entries": [10, 28], "inside": [inside] * 3,
            "shares": shares}  # fmt: skip


def write(folder, **changes) -> Loaded:
    values = {
        "energy": load.SCHEMA, "task": "toy", "model": "tiny", "task_label": "Toy", "model_label": "Tiny",
        "seeds": [0, 1, 2], "budgets": [0, 4], "supports": list(SHARES),
        "layers": [layer("h.0.q", "Q", 0, [10, 10], 0.0), layer("h.1.u", "U", 1, [20, 10], 0.2)], **changes,
    }  # fmt: skip
    write_sealed(folder / "energy" / "toy-tiny.json", values)
    return Loaded(folder, [], [])


def test_a_share_is_the_mean_over_layers_then_over_seeds_beside_what_chance_gives(tmp_path):
    (made,) = page.makers(write(tmp_path)).values()
    shown = made().shown.set_index("Support")
    assert shown.index.tolist() == ["**Toy, Tiny**", "Band", "Random", "Best aligned", "Leading block", "N / K²"]
    assert shown.loc["Band"].to_dict() == {
        "d = 0": "21.0 [20.0, 22.0]",
        "d = 4": "42.0 [40.0, 44.0]",
        "Q": "0.8 ×",
        "U": "2.2 ×",
    }
    assert shown.loc["N / K²", ["d = 0", "d = 4"]].tolist() == ["10.0", "28.0"]


def test_a_support_that_is_defined_nowhere_is_empty_and_weights_that_are_not_square_are_told(tmp_path):
    (made,) = page.makers(write(tmp_path)).values()
    table = made()
    assert set(table.shown.set_index("Support").loc["Best aligned"]) == {""}
    assert table.notes[-1].startswith("Toy, Tiny: 2 layers, 3 seeds; of the update itself, C has U 25.0 %")


def test_a_support_of_square_weights_alone_is_held_against_the_chance_of_those(tmp_path):
    q, u = layer("h.0.q", "Q", 0, [10, 10], 0.0), layer("h.0.u", "U", 0, [20, 5], 0.0)
    q["shares"]["topk"] = [[0.1] * 3, [0.3] * 3]
    (made,) = page.makers(write(tmp_path, layers=[q, u])).values()
    shown = made().shown.set_index("Support")
    assert shown.loc["N / K², in its 1 layers", ["d = 0", "d = 4"]].tolist() == ["10.0", "28.0"]
    assert shown.loc["N / K²", "d = 0"] == "25.0"  # (10/100 + 10/25) / 2


def test_the_figure_has_a_row_for_each_file_and_a_line_for_each_support(tmp_path):
    (rows,) = [load.energies(write(tmp_path))]
    with matplotlib.rc_context(STYLE):
        whole = figure.figure(rows)
    assert [ax.get_title(loc="left") for ax in whole.axes] == ["Toy, Tiny", "By role letter, d = 4", "By block, d = 4"]
    labels = [text.get_text() for text in whole.legends[0].get_texts()]
    assert labels == ["Leading block", "Band", "Best aligned", "Random", "N / K², by chance"]
    assert len(whole.axes[0].lines) == 1 + 3  # chance, and the supports that have a share


def test_without_files_there_is_no_page_and_no_figure(tmp_path):
    loaded = Loaded(tmp_path, [], [])
    assert page.makers(loaded) == figure.makers(loaded) == {}


@pytest.mark.parametrize(
    ("changes", "said"), [({"energy": 9}, "is no file of energies"), ({"layers": [{}]}, "not complete")]
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, changes, said):
    with pytest.raises(RecordError, match=said):
        load.energies(write(tmp_path, **changes))


def test_a_file_that_was_changed_is_refused(tmp_path):
    loaded = write(tmp_path)
    path = tmp_path / "energy" / "toy-tiny.json"
    path.write_text(path.read_text().replace("Toy", "Joy"))
    with pytest.raises(RecordError, match="is not a readable file of energies"):
        load.energies(loaded)
