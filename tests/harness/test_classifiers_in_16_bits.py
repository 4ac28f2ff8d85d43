"""A classifier on a base in 16 bits: its head is trained in float32, as with every base."""

import pytest

import run
from harness.run import command_line
from harness.store import record

TEXTS = ("task=micro_rte", "model=micro_deberta", "task.source.train_size=16", "task.source.dev_size=4")
IMAGES = ("task=digits", "model=micro_vit", "task.source.train_per_class=2")


@pytest.mark.parametrize("of", [TEXTS, IMAGES], ids=["texts", "images"])
@pytest.mark.parametrize("method", ["svft_plain", "head"])
def test_it_is_trained_and_scored(composed, tmp_path, of, method):
    command_line.failures.clear()
    run.main(composed(*of, f"method={method}", "model.dtype=bfloat16", "train.max_steps=1", f"runs_dir={tmp_path}",
                      "wandb.mode=disabled"))  # fmt: skip
    assert command_line.failures == []
    ([found], broken) = record.find(tmp_path)
    assert not broken and found.status == "done" and found.retention["version"]
