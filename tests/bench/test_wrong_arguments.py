"""What cannot be measured is refused in a sentence, before anything is."""

import re

import pytest

from bench import encoder, forms, generation, model, svd

WRONG = {
    "--repeats 0": "'0' is not an integer above 0",
    "--examples 0": "'0' is not an integer above 0",
    "--batch-size 0": "'0' is not an integer above 0",
    "--rows 0": "'0' is not an integer above 0",
    "--steps -1": "'-1' is not an integer from 0 on",
    "--lr nan": "'nan' is not a finite number from 0 on",
    "--threads 0": "'0' is not an integer from 1 to 1024",
    "--threads 100000": "'100000' is not an integer from 1 to 1024",
    "--task nope": "invalid choice: 'nope'",
    "--model nope": "invalid choice: 'nope'",
    "--task digits --model micro_vit": "error: task digits is of kind 'image_classification'; this is a benchmark of",
    "--task generation": "error: task.source.train has to be given: task.source.train=",
    "--model micro_deberta": "error: model micro_deberta is of family encoder; a task of kind 'generation' needs",
    "--model decoder": "error: model.checkpoint has to be given: model.checkpoint=",
}


@pytest.mark.parametrize("typed", WRONG)
def test_generation_is_not_measured_of_what_generates_nothing(tmp_path, capsys, typed):
    with pytest.raises(SystemExit) as left:
        generation.main([*typed.split(), "--out", str(tmp_path / "out")])
    assert left.value.code == 2
    assert WRONG[typed] in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("program", "typed"), [(model, "--layers 0"), (model, "--layers -1"), (forms, "--threads 4096")]
)
def test_numbers_that_cannot_be_are_refused_elsewhere_too(capsys, program, typed):
    with pytest.raises(SystemExit) as left:
        program.main(typed.split())
    assert left.value.code == 2
    assert f"argument {typed.split()[0]}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "typed", "said"),
    [
        (svd, "--shapes 4x4 --out {file}", "error: --out .* is no folder that can be written to"),
        (svd, "--shapes 999999999x2", "'999999999x2' is not a shape such as"),
        (svd, "--shapes \u0663x\u0663", "is not an integer from 0 on"),
        (svd, "--seed 99999999999999999999", "of at most 15 digits"),
        (encoder, "--methods lora_r8 --batches 2x9999", "error: 2x9999 has more tokens in a row than the model's 512"),
        (encoder, "--set nope.x=1", "error: Could not override 'nope.x'"),
    ],
)
def test_what_cannot_be_measured_ends_with_a_sentence_and_no_file(program, typed, said, tmp_path, capsys):
    (tmp_path / "file").touch()
    out = [] if "--out" in typed else ["--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as left:
        program.main([*typed.format(file=tmp_path / "file").split(), *out])
    assert left.value.code == 2 and re.search(said, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
