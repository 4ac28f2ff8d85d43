"""Pickles that cannot be a checkpoint are refused in a sentence, and a refusal writes and deletes nothing."""

import json

import pytest
import torch

from errors import ModelError
from harness import convert

WEIGHT = torch.ones(2)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "holds no tensors"),
        ([WEIGHT], "of type list; expected tensors by their names"),
        (WEIGHT, "of type Tensor; expected tensors by their names"),
        ({"state_dict": {"a": WEIGHT}}, "holds 'state_dict' of type dict, no tensor by its name; save what is below"),
        ({"a": WEIGHT, "epoch": 3}, "holds 'epoch' of type int, no tensor by its name; save its state_dict alone"),
        ({0: WEIGHT}, "holds 0 of type Tensor, no tensor by its name"),
    ],
)
def test_a_pickle_of_anything_but_tensors_by_their_names_is_refused(tmp_path, source, content, sentence):
    torch.save(content, source / "pytorch_model.bin")
    with pytest.raises(ModelError, match=f"pytorch_model.bin .*{sentence}"):
        convert.convert(str(source), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_damaged_pickle_is_refused_whatever_its_bytes_lead_to(source):
    path = source / "pytorch_model.bin"
    torch.save({"a.weight": WEIGHT}, path, _use_new_zipfile_serialization=False)
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
        try:
            convert._tensors(path)  # the values may differ, and the name
        except ModelError:
            refused += 1
    assert refused > len(whole) / 2


def test_a_folder_beside_the_new_one_is_left_alone(tmp_path, source):
    torch.save({"a": WEIGHT}, source / "pytorch_model.bin")
    (tmp_path / "out.unfinished").mkdir()
    (tmp_path / "out.unfinished" / "thesis.txt").write_text("mine")
    convert.convert(str(source), tmp_path / "out")
    assert (tmp_path / "out.unfinished" / "thesis.txt").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "out.unfinished"}


def test_a_new_folder_below_a_file_is_refused(tmp_path, source):
    torch.save({"a": WEIGHT}, source / "pytorch_model.bin")
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"^error: .*/file/out cannot be written: Not a directory; "):
        convert.main([str(source), str(tmp_path / "file" / "out")])


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ({"metadata": {}}, "is damaged: it has no weight_map"),
        ([], "is damaged: it has no weight_map"),
        ({"weight_map": {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}}, "has no pytorch_model-2.bin, which"),
    ],
)
def test_an_index_that_names_other_files_than_are_there_is_refused(tmp_path, source, index, sentence):
    torch.save({"a": WEIGHT}, source / "pytorch_model-1.bin")
    (source / convert.INDEX).write_text(json.dumps(index))
    with pytest.raises(ModelError, match=sentence):
        convert.convert(str(source), tmp_path / "out")
    assert not (tmp_path / "out").exists()
