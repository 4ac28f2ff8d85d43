"""Names of classes: in the record, beside the adapter, and in the predictions."""

import json

import pytest
from transformers import AutoConfig

from harness.store import record
from tests.conftest import task_of_yaml
from tests.harness.finished_runs import CLASSES

SVFT = "method=svft_plain"


def test_the_record_has_the_names_of_the_classes(finished):
    assert record.read(finished.texts(SVFT) / "record.json").adapter["classes"] == list(CLASSES)
    assert record.read(finished.images("method=lora") / "record.json").adapter["classes"] == ["cat", "dog"]


def test_a_record_of_generated_text_has_none(finished):
    assert "classes" not in record.read(finished.questions() / "record.json").adapter
    assert not (finished.questions() / "adapter/config.json").exists()


def test_predictions_have_the_class_beside_the_index_and_the_number_of_the_row(finished):
    folder = finished.texts(SVFT)
    rows = json.loads((folder / "predictions/classification-test.json").read_text())["rows"]
    lines = finished.csv.read_text().splitlines()
    assert len(rows) == 6
    for row in rows:
        assert (row["predicted_class"], row["gold_class"]) == (CLASSES[row["prediction"]], CLASSES[row["gold"]])
        assert row["gold_class"] in lines[int(row["id"].removeprefix("train-"))]  # the header is line 0


def test_beside_the_adapter_is_the_configuration_of_a_base_with_these_classes(finished):
    config = AutoConfig.from_pretrained(finished.texts(SVFT) / "adapter")
    assert config.id2label == dict(enumerate(CLASSES))
    assert config.label2id == {name: index for index, name in enumerate(CLASSES)}
    assert (config.model_type, config.hidden_size, config.architectures) == (
        "bert",
        16,
        ["BertForSequenceClassification"],
    )


def test_the_bytes_saved_are_those_of_the_adapter_without_that_configuration(finished):
    folder = finished.texts(SVFT)
    files = ("adapter_config.json", "adapter_model.safetensors")
    assert record.read(folder / "record.json").train["trained_bytes"] == sum(
        (folder / "adapter" / name).stat().st_size for name in files
    )


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("glue_mnli", ("entailment", "neutral", "contradiction")),
        ("glue_cola", ("unacceptable", "acceptable")),
        ("glue_stsb", ()),
        ("micro_rte", ("entailment", "not_entailment")),
        ("digits", tuple("0123456789")),
    ],
)
def test_tasks_of_classes_name_them_as_their_data_sets_do(composed, name, names):
    from harness.plan import config

    task = config.instantiate(composed(f"task={name}").task.source)
    assert task.class_names == names
    assert len(names) in (task.num_classes, 0)


def test_images_of_the_hub_have_the_names_that_their_files_carry(tmp_path):
    import datasets
    import pyarrow.parquet
    from PIL import Image

    features = {"img": datasets.Image(), "fine_label": datasets.ClassLabel(names=["ant", "bee"])}
    table = datasets.Dataset.from_dict(
        {"img": [Image.new("L", (4, 4), i) for i in range(8)], "fine_label": [0, 1] * 4}, datasets.Features(features)
    )
    table.to_parquet(tmp_path / "train.parquet")
    files = {"train": ["train.parquet"], "validation": None, "test": ["train.parquet"]}
    changes = {"folder": str(tmp_path), "files": files, "num_classes": 2, "train_per_class": 1}
    assert task_of_yaml("cifar100", **changes).class_names == ("ant", "bee")
    bare = pyarrow.parquet.read_table(tmp_path / "train.parquet").replace_schema_metadata(None)
    pyarrow.parquet.write_table(bare, tmp_path / "train.parquet")
    assert task_of_yaml("cifar100", **changes).class_names == ()
