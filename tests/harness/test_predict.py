"""What a finished run says of rows and images that it is given."""

import csv
import json
import shutil

import pytest

from errors import NotFinite
from harness import predict
from harness.predict import main
from harness.store import record
from tests.harness.finished_runs import CLASSES, DATA

SVFT = "method=svft_plain"


def said(run, *inputs, out, capsys=None) -> list[dict[str, str]]:
    assert main([str(run), *map(str, inputs), "--out", str(out)]) == 0
    text = out.read_text()
    return (
        [json.loads(line) for line in text.splitlines()]
        if out.suffix == ".jsonl"
        else [*csv.DictReader(text.splitlines())]
    )


def stored(run, name: str) -> list[dict]:
    return json.loads((run / f"predictions/{name}-test.json").read_text())["rows"]


def refused(capsys, *arguments) -> str:
    capsys.readouterr()  # of a run that was trained for this
    assert main([str(argument) for argument in arguments]) == 1
    return capsys.readouterr().err


def test_the_test_rows_of_a_run_on_texts_get_the_stored_classes(finished, tmp_path):
    """From a file without labels, in another place, and without the training data."""
    run = finished.texts(SVFT)
    rows = stored(run, "classification")
    lines = finished.csv.read_text().splitlines()
    numbers = [int(row["id"].removeprefix("train-")) for row in rows]
    texts = [next(csv.reader([lines[number]]))[0] for number in numbers]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    moved = finished.csv.rename(finished.csv.with_suffix(".away"))
    try:
        found = said(run, tmp_path / "new.jsonl", out=tmp_path / "out.csv")
    finally:
        moved.rename(finished.csv)
    assert [row["row"] for row in found] == [str(number) for number in range(1, len(rows) + 1)]
    assert [row["class"] for row in found] == [row["predicted_class"] for row in rows]
    assert all(1 / len(CLASSES) <= float(row["probability"]) <= 1 for row in found)


def test_the_test_images_of_a_run_get_the_stored_classes(finished, tmp_path):
    run = finished.images("method=lora")
    rows = stored(run, "image_folder")
    paths = [DATA / "vision/folder" / row["id"] for row in rows]
    found = said(run, *paths, out=tmp_path / "out.jsonl")
    assert [(row["file"], row["class"]) for row in found] == [
        (str(path), row["predicted_class"]) for path, row in zip(paths, rows, strict=True)
    ]
    assert len(said(run, DATA / "vision/folder", out=tmp_path / "all.csv")) == 10


def test_the_test_rows_of_a_run_on_generated_text_get_the_stored_texts(finished, tmp_path):
    run = finished.questions()
    rows = stored(run, "generation")
    lines = (DATA / "own_generation.jsonl").read_text().splitlines()
    asked = [lines[int(row["id"].removeprefix("train-")) - 1] for row in rows]
    (tmp_path / "asked.jsonl").write_text("\n".join(asked))
    found = said(run, tmp_path / "asked.jsonl", out=tmp_path / "out.jsonl")
    assert [row["text"] for row in found] == [row["prediction"] for row in rows]


def test_without_a_file_csv_is_printed(finished, capsys):
    assert main([str(finished.images("method=lora")), str(DATA / "vision/folder/cat/0.png")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "file,class,probability" and len(printed) == 2


def test_a_line_that_is_no_row_is_told_since_rows_are_counted_without_it(finished, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("text\nfirst\n\nlast\n")
    assert len(said(finished.texts(SVFT), tmp_path / "new.csv", out=tmp_path / "out.csv")) == 2
    assert f"data: {tmp_path}/new.csv: 1 blank line is no row\n" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused_and_the_one_below_it_named(finished, capsys, tmp_path):
    assert f"{tmp_path} is no run: there is no record.json in it" in refused(capsys, tmp_path, finished.csv)
    run = finished.texts(SVFT)
    assert f"below it there is {run}" in refused(capsys, run.parent, finished.csv)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda run: shutil.rmtree(run / "adapter"), "has no adapter, so there is no trained model"),
        (lambda run: flip(run / "adapter/adapter_model.safetensors"), "is damaged: its SHA-256 is"),
        (lambda run: unfinished(run), "is running, not done; the command that started it goes on with it"),
    ],
)
def test_a_run_that_has_no_whole_model_is_refused(finished, tmp_path, capsys, change, sentence):
    run = tmp_path / "x-00000000".replace("00000000", finished.texts(SVFT).parent.name[-8:]) / "seed=0"
    shutil.copytree(finished.texts(SVFT), run)
    change(run)
    told = refused(capsys, run, finished.csv)
    assert sentence in told and told.count("\n") == 1


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def unfinished(run):
    found = record.read(run / "record.json")
    found.status = "running"
    record.write(run / "record.json", found)


def test_another_base_model_is_refused(finished, capsys):
    config = finished.folder / "bert/config.json"
    before = config.read_text()
    run = finished.texts(SVFT)
    try:
        config.write_text(before + " ")
        assert "is another than that which the run was trained on" in refused(capsys, run, finished.csv)
    finally:
        config.write_text(before)


def test_wrong_inputs_are_refused_in_one_sentence(finished, capsys, tmp_path):
    run = finished.texts(SVFT)
    (tmp_path / "other.csv").write_text("review\nfine\n")
    assert "has no column 'text'; its columns are review" in refused(capsys, run, tmp_path / "other.csv")
    assert "no file " in refused(capsys, run, tmp_path / "absent.csv")
    assert "takes one file of rows, not 2" in refused(capsys, run, finished.csv, finished.csv)
    assert "is of no known format; its name ends in .csv or .jsonl" in refused(
        capsys, run, finished.csv, "--out", tmp_path / "out.txt"
    )
    images = finished.images("method=lora")
    assert "there is no image and no folder" in refused(capsys, images, tmp_path / "absent.png")
    assert f"{tmp_path} holds no image" in refused(capsys, images, tmp_path)
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    assert f"the image of example {broken} cannot be read" in refused(
        capsys, images, broken, "--out", tmp_path / "o.csv"
    )
    assert not (tmp_path / "o.csv").exists()


def test_probabilities_are_those_of_a_softmax():
    import numpy as np
    from scipy.special import softmax

    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32) * 50
    assert np.allclose(predict._softmax(logits), softmax(logits.astype(np.float64), axis=-1), rtol=1e-12)


def test_texts_with_quotes_and_lines_come_back_from_csv():
    rows = [{"row": 1, "text": 'a "b",\nc'}, {"row": 2, "text": "é"}]
    read = list(csv.DictReader(predict.as_csv(rows).splitlines(keepends=True)))
    assert [row["text"] for row in read] == [row["text"] for row in rows]


def test_a_question_with_choices_gets_the_likeliest_beside_the_text_and_others_leave_that_empty():
    answers = [{"text": "it is true", "likeliest": "true", "log_likelihoods": {"true": -0.5}}, "42"]
    rows = [{"row": number} | predict._said(answer) for number, answer in enumerate(answers, 1)]
    assert predict.as_csv(rows) == "row,likeliest,text\n1,true,it is true\n2,,42\n"
    assert predict._said({"likeliest": "true", "log_likelihoods": {"true": -0.5}}) == {"likeliest": "true"}
    with pytest.raises(NotFinite):
        predict._said(float("nan"))


def test_help_shows_how_it_is_called(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "python -m harness.predict runs/classification/" in capsys.readouterr().out
