"""A longest row that leaves no answer is refused before anything is loaded."""

import pytest

from errors import SettingError
from harness.modality import modalities
from harness.plan import config


@pytest.mark.parametrize(("length", "fits"), [(1, False), (8, False), (400, True)])
def test_a_length_that_cuts_off_every_target_is_refused_with_the_length_of_a_prompt(composed, length, fits):
    cfg = composed("method=svft_plain", "task.source.train_size=16")
    cfg.train.max_length = length
    task = config.instantiate(cfg.task.source)
    modality = modalities.choose(cfg, task)
    if fits:
        modality.load_model()
        return
    tokens = len(modality.tokenizer(task.examples("train")[0].prompt)["input_ids"])
    with pytest.raises(SettingError, match=f"^train.max_length={length} leaves no .* alone has {tokens}; raise it$"):
        modality.load_model()
