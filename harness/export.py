"""Write the model of a finished run as a folder that transformers or PEFT loads without this project.

    python -m harness.export runs/classification/encoder/svft_random/d16-QKVOUD-1a2b3c4d/seed=0 my_model
    python -m harness.export runs/classification/encoder/lora/r8-QKVOUD-1a2b3c4d/seed=0 my_lora --as lora

merged: all weights in float32, with tokenizer or preprocessor, and the names of the classes.
lora: the change of the weights alone. It has a low rank with LoRA, PiSSA, AdaLoRA, VeRA and Spectral Adapter; with
SVFT, DoRA, OFT and full fine-tuning it has not, and this is refused.
What is written is loaded again and compared with the run before the folder is put in its place.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import transformers
from peft import PeftModel
from transformers import AutoTokenizer, PreTrainedModel, ViTImageProcessor

from errors import ModelError, SettingError
from harness.adapters import low_rank, merging
from harness.finished import finished_run, model_card
from harness.finished.finished_run import Finished
from harness.models import bases, pretrained
from harness.run import command_line
from harness.settings import refusals
from harness.store import trained
from harness.store.files import write_folder

TOLERANCE = 1e-5  # of logits, relative to the largest of them where that is above 1
TOKENS, TEXTS = 16, 2  # size of the inputs that both models are compared on

Inputs = dict[str, torch.Tensor]
Fill = Callable[[Path], PreTrainedModel | PeftModel]  # writes into a folder, and loads what it has written


def export(path: Path, out: Path, kind: str = "merged") -> float:
    """Write the model of the run in folder `path` to the new folder `out`; returns how far its logits are off.

    Raises ModelError where `out` is there, the model is none of transformers', or what was written is not the run's
    model; SettingError where a method cannot be written so; DiskError. `out` is then not there.
    """
    if out.exists():
        raise ModelError(f"{out} is there already; name a new folder")
    run = finished_run.opened(path, torch.device("cpu"), dtype=torch.float32)
    base = run.model.get_base_model() if isinstance(run.model, PeftModel) else run.model
    if not isinstance(base, PreTrainedModel):
        raise ModelError(f"model {run.cfg.model.name} is built by another library, so transformers cannot load it")
    inputs = _inputs(run)
    wanted = _logits(run.model, inputs)
    write = KINDS[kind](run)
    off = []

    def fill(folder: Path) -> None:
        loaded = write(folder)
        off.append(_off(_logits(loaded, inputs), wanted))
        if not off[0] <= TOLERANCE:
            raise ModelError(f"what was written gives other logits than the run (off by {off[0]:.1e}); it is not kept")
        (folder / "README.md").write_text(model_card.text(run, lora=kind == "lora"), encoding="utf-8")

    write_folder(out, fill)
    return off[0]


def _merged(run: Finished) -> Fill:
    model = _merge(run.model)

    def fill(folder: Path) -> PreTrainedModel:
        model.save_pretrained(folder)
        _write_reader(run, folder)
        auto = getattr(transformers, bases.AUTO_CLASS[run.cfg.model.family, run.task.kind])
        return auto.from_pretrained(str(folder), dtype=torch.float32, local_files_only=True)

    return fill


def _merge(model: torch.nn.Module) -> torch.nn.Module:
    """Raises SettingError where PEFT, or a tuner in its manner, refuses to merge; it says why."""
    if not isinstance(model, PeftModel):
        return model
    try:
        return merging.merged_for_good(model)
    except refusals.REFUSALS as error:
        if not refusals.is_refusal(error, refusals.packages_of(type(model.base_model))):
            raise
        raise SettingError(f"the adapter cannot be merged: {error}") from error


def _lora(run: Finished) -> Fill:
    model = _merge(run.model.double())
    base = run.load_base()
    factors = low_rank.differences(base, model, run.head)
    for name in run.head:
        base.get_submodule(name).load_state_dict(model.get_submodule(name).state_dict())
    lora = low_rank.as_lora(base, factors, run.head)

    def fill(folder: Path) -> PeftModel:
        trained.save(lora, folder)
        trained.save_configuration(lora, folder)
        return PeftModel.from_pretrained(lora.unload(), folder)

    return fill


KINDS: Mapping[str, Callable[[Finished], Fill]] = {"merged": _merged, "lora": _lora}


def _write_reader(run: Finished, folder: Path) -> None:
    """The tokenizer, or what makes the pixels that the model was trained on."""
    if "image" not in run.cfg.model:
        pretrained.from_checkpoint(run.cfg.model, AutoTokenizer).save_pretrained(folder)
        return
    image = run.cfg.model.image
    mean, std = ([value] * image.channels if isinstance(value, int | float) else [*value]
                 for value in (image.mean, image.std))  # fmt: skip
    size = {"height": image.size, "width": image.size}
    ViTImageProcessor(size=size, resample=2, image_mean=mean, image_std=std).save_pretrained(folder)


def _inputs(run: Finished) -> Inputs:
    """Two random texts or two random images, which both models are compared on."""
    random = torch.Generator().manual_seed(0)
    if "image" in run.cfg.model:
        image = run.cfg.model.image
        return {"pixel_values": torch.randn(TEXTS, image.channels, image.size, image.size, generator=random)}
    vocabulary = pretrained.configuration(run.cfg.model).get_text_config().vocab_size
    ids = torch.randint(vocabulary, (TEXTS, TOKENS), generator=random)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@torch.inference_mode()
def _logits(model: torch.nn.Module, inputs: Inputs) -> torch.Tensor:
    return model.eval()(**inputs).logits.double()


def _off(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference; relative where the logits are above 1. Not a number where one of them is not."""
    return ((found - wanted).abs().max() / wanted.abs().max().clamp(min=1)).item()


def main(arguments: list[str] | None = None) -> int:
    options = command_line.parser("harness.export", __doc__)
    command_line.add_run(options)
    options.add_argument("out", type=Path, help="the folder to write; it must not be there")
    options.add_argument("--as", dest="kind", choices=KINDS, default="merged", help="what to write (merged)")
    chosen = options.parse_args(arguments)
    return command_line.exit_code(lambda: _run(chosen.run, chosen.out, chosen.kind))


def _run(run: Path, out: Path, kind: str) -> None:
    command_line.quiet()
    off = export(run, out, kind)
    print(f"{out}: {kind}; logits are those of the run (off by at most {off:.1e})")


if __name__ == "__main__":
    sys.exit(main())
