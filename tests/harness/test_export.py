"""Exported models: what plain transformers and plain PEFT make of them is what the run predicted."""

import csv
import json
import shutil

import pytest
import torch
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoTokenizer,
    pipeline,
)

from harness import export
from harness.export import main
from harness.finished import finished_run as finished_run
from harness.finished import model_card
from harness.store import record
from tests.conftest import ROOT
from tests.harness.finished_runs import CLASSES, DATA

SVFT = "method=svft_plain"


def stored(run, name: str) -> list[dict]:
    return json.loads((run / f"predictions/{name}-test.json").read_text())["rows"]


def texts(finished, run) -> tuple[list[str], list[str]]:
    """Texts of the test split, and the classes that the run predicted."""
    lines = list(csv.reader(finished.csv.read_text().splitlines()))
    rows = stored(run, "classification")
    return [lines[int(row["id"].removeprefix("train-"))][0] for row in rows], [row["predicted_class"] for row in rows]


def refused(capsys, *arguments) -> str:
    capsys.readouterr()  # of a run that was trained for this
    assert main([str(argument) for argument in arguments]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


@pytest.mark.parametrize("method", [SVFT, "method=full"])
def test_a_merged_classifier_gives_the_runs_classes_by_name_in_transformers_pipeline(finished, tmp_path, method):
    run = finished.texts(method)
    assert main([str(run), str(tmp_path / "out")]) == 0
    asked, wanted = texts(finished, run)
    classify = pipeline("text-classification", model=str(tmp_path / "out"))
    assert [answer["label"] for answer in classify(asked)] == wanted
    assert len(set(wanted)) > 1
    assert classify.model.dtype == torch.float32
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"model.safetensors", "tokenizer.json", "README.md"}


def test_a_merged_image_classifier_has_a_preprocessor_that_makes_the_same_pixels(finished, tmp_path):
    run = finished.images("method=lora")
    export.export(run, tmp_path / "out")
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "out").eval()
    processor = AutoImageProcessor.from_pretrained(tmp_path / "out")
    for row in stored(run, "image_folder"):
        image = Image.open(DATA / "vision/folder" / row["id"]).convert("L")
        logits = model(**processor(image, return_tensors="pt")).logits
        assert model.config.id2label[logits.argmax().item()] == row["predicted_class"]


def test_a_merged_decoder_writes_what_the_run_wrote(finished, tmp_path):
    run = finished.questions()
    export.export(run, tmp_path / "out")
    model, tokenizer = (auto.from_pretrained(tmp_path / "out") for auto in (AutoModelForCausalLM, AutoTokenizer))
    lines = [json.loads(line) for line in (DATA / "own_generation.jsonl").read_text().splitlines()]
    for row in stored(run, "generation"):
        prompt = tokenizer(lines[int(row["id"].removeprefix("train-")) - 1]["question"] + "\n", return_tensors="pt")
        found = model.generate(**prompt, max_new_tokens=6, do_sample=False)[0, prompt["input_ids"].shape[1] :]
        assert tokenizer.decode(found, skip_special_tokens=True) == row["prediction"]


def test_an_adapter_of_low_rank_becomes_a_lora_of_plain_peft(finished, tmp_path):
    run = finished.images("method=lora")
    assert main([str(run), str(tmp_path / "out"), "--as", "lora"]) == 0
    config = AutoConfig.from_pretrained(tmp_path / "out")
    assert config.id2label == {0: "cat", 1: "dog"}
    base = AutoModelForImageClassification.from_pretrained(
        ROOT / "assets/micro_vit", config=config, dtype=torch.float32, ignore_mismatched_sizes=True
    )
    model = PeftModel.from_pretrained(base, tmp_path / "out").eval()
    assert model.peft_config["default"].peft_type == "LORA"
    rows = stored(run, "image_folder")
    run = finished_run.opened(run, torch.device("cpu"))
    batch = run.modality.collate(run.modality.rows(run.task.examples("test")))
    logits = model(pixel_values=batch["pixel_values"]).logits
    assert torch.allclose(logits, run.model(pixel_values=batch["pixel_values"]).logits, atol=1e-5)
    assert logits.argmax(-1).tolist() == [row["prediction"] for row in rows]


def test_the_six_lines_of_the_readme_load_a_run_in_plain_peft(finished):
    """With `svft` imported, since PEFT does not know its type; the number of classes is in config.json."""
    run = finished.texts(SVFT)
    adapter, folder = f"{run}/adapter", f"{finished.folder}/bert"
    said = {}
    exec(SIX_LINES.replace("ADAPTER", adapter).replace("BASE", folder), said)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked, wanted = texts(finished, run)
    model = said["model"]
    classes = [model(**tokenizer(text, return_tensors="pt")).logits.argmax().item() for text in asked]
    assert [model.config.id2label[index] for index in classes] == wanted


SIX_LINES = """
import svft
from peft import PeftModel
from transformers import AutoConfig, AutoModelForSequenceClassification

config = AutoConfig.from_pretrained("ADAPTER")
base = AutoModelForSequenceClassification.from_pretrained("BASE", config=config, ignore_mismatched_sizes=True)
model = PeftModel.from_pretrained(base, "ADAPTER").eval()
"""


def test_weights_that_were_trained_in_16_bits_are_exported_as_they_were_rounded(finished, tmp_path):
    run = tmp_path / finished.images("method=lora").parent.name / "seed=0"
    shutil.copytree(finished.images("method=lora"), run)
    found = record.read(run / "record.json")
    found.config["model"]["dtype"] = "bfloat16"
    record.write(run / "record.json", found)
    export.export(run, tmp_path / "out")
    weight = load_file(tmp_path / "out/model.safetensors")["vit.embeddings.patch_embeddings.projection.weight"]
    before = load_file(ROOT / "assets/micro_vit/model.safetensors")["embeddings.patch_embeddings.projection.weight"]
    assert weight.dtype == torch.float32
    assert torch.equal(weight, before.to(torch.bfloat16).float()) and not torch.equal(weight, before.float())


def test_a_method_of_full_rank_is_no_lora(finished, tmp_path, capsys):
    told = refused(capsys, finished.texts(SVFT), tmp_path / "out", "--as", "lora")
    assert "was changed by a matrix of full rank (16), which no LoRA is; export the merged model instead" in told
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_as_it_is(finished, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    told = refused(capsys, finished.texts(SVFT), tmp_path / "out")
    assert told == f"error: {tmp_path}/out is there already; name a new folder\n"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_model_that_is_not_the_runs_is_not_kept(finished, tmp_path, capsys, monkeypatch):
    merge = export._merge

    def wrongly(model):
        merged = merge(model)
        merged.bert.encoder.layer[0].output.dense.weight.data *= 1.01
        return merged

    monkeypatch.setattr(export, "_merge", wrongly)
    told = refused(capsys, finished.texts(SVFT), tmp_path / "out")
    assert "what was written gives other logits than the run (off by " in told
    assert list(tmp_path.iterdir()) == []


def test_a_model_whose_logits_are_no_numbers_is_not_kept(finished, tmp_path, capsys, monkeypatch):
    merge = export._merge

    def broken(model):
        merged = merge(model)
        merged.classifier.bias.data[0] = torch.nan
        return merged

    monkeypatch.setattr(export, "_merge", broken)
    assert "it is not kept" in refused(capsys, finished.texts(SVFT), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_model_card_says_what_the_record_says(finished, tmp_path):
    run = finished.texts(SVFT)
    (finished.folder / "bert/README.md").write_text("---\nlicense: apache-2.0\n---\n# A base\n")
    try:
        export.export(run, tmp_path / "out")
    finally:
        (finished.folder / "bert/README.md").unlink()
    card, found = (tmp_path / "out/README.md").read_text(), record.read(run / "record.json")
    assert card.startswith(
        "---\nlibrary_name: transformers\npipeline_tag: text-classification\nlicense: apache-2.0\n---\n"
    )
    assert "# bert on texts, SVFT-P" in card
    assert f"- Base model: bert (a folder; fingerprint {found.fingerprints['model'][:8]})" in card
    assert "- Licence of the base model: apache-2.0" in card
    assert f"- Trained parameters: {found.parameters['adapter']:,} and {found.parameters['head']:,} of the head" in card
    assert f"- Classes: {', '.join(CLASSES)}" in card
    score = found.scores["classification"]["test"]["scorers"]["accuracy"]["mean"]
    assert f"- classification test, accuracy: {100 * score:.1f} [" in card and "n = 6" in card
    assert str(finished.folder) not in card


def test_the_lines_of_the_model_card_run(finished, tmp_path):
    export.export(finished.texts(SVFT), tmp_path / "out")
    _, _, code = (tmp_path / "out/README.md").read_text().partition("```python\n")
    code = code.partition("```")[0].replace("FOLDER", str(tmp_path / "out"))
    assert len(code.strip().splitlines()) <= 6
    exec(code, {"print": lambda answer: answer in CLASSES or pytest.fail(answer)})


@pytest.mark.parametrize(("right", "n"), [(0, 6), (3, 6), (6, 6), (171, 200)])
def test_intervals_are_wilsons(right, n):
    from scipy.stats import binomtest

    wanted = binomtest(right, n).proportion_ci(method="wilson")
    found = model_card.interval({"mean": right / n, "standard_error": 0.0, "items": "1" * n}, n)
    assert found == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_help_shows_how_it_is_called(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "python -m harness.export runs/classification/" in capsys.readouterr().out
