"""The record's section `retention`: how far training moved the model from its base, for every method alike.

    {version, inputs: {from: "held_out", "validation" or "train", rows, sha256},
     top, threshold: of intruder dimensions,
     roles: {letter: {layers, update: sum of ||W - W0||^2, base: sum of ||W0||^2, intruders: number in all its layers,
             moved: mean over its layers of E ||(W - W0) h||^2 / E ||W0 h||^2}},
     loss: {before, after}: nats a token of a causal model on text as its base was trained on, where there is such text}

or {version, missing: why nothing was measured}. Letters are those of the linear layers that were changed, "other" of
adapted ones that have none; biases, norms, embeddings and heads are in no number but the loss.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from harness.modality.interface import Modality
from harness.models import bases
from harness.retention import inputs, layers, measures
from harness.retention.inputs import HELD_OUT, Inputs
from harness.train.probes import random_numbers_kept

VERSION = 1
DIGITS = 7  # significant ones: the last that sums in another order leave alone


def measure(model: nn.Module, modality: Modality, head: Sequence[str], device: torch.device) -> dict[str, Any]:
    """Of a trained model, in evaluation. The base is loaded once more, as attaching may have changed it.

    Raises DataError where inputs that the model's yaml names are not there, ModelError where the base is not.
    """
    with random_numbers_kept(device):  # a new head is drawn, and thrown away
        base = _base(modality).to(device).eval()
    given, size = inputs.of(modality), modality.cfg.evaluate.batch_size
    before = Loss() if given.source == HELD_OUT and modality.num_labels is None else None
    try:
        roles = _roles(base, model.eval(), modality, head, given, size, before)
    except layers.NotLinear:
        return {"version": VERSION, "missing": "an adapted layer is no matrix"}
    except torch.OutOfMemoryError:  # the training is done, and shall not be lost for this
        return {"version": VERSION, "missing": "the memory of the device is too small for a second base"}
    section = {
        "version": VERSION, "inputs": _described(given), "top": measures.TOP, "threshold": measures.THRESHOLD,
        "roles": roles,
    }  # fmt: skip
    if before is not None:
        section["loss"] = {"before": _rounded(before.mean), "after": _rounded(loss(model, given, size))}
    return section


def _base(modality: Modality) -> nn.Module:
    """As it is read for training. What generates text is read straight: `load_model` of its modality goes through all
    training data, which the run has done already."""
    generates = modality.num_labels is None
    return bases.load(modality.cfg.model, modality.task.kind) if generates else modality.load_model()


def _described(given: Inputs) -> dict[str, Any]:
    return {"from": given.source, "rows": len(given.rows), "sha256": given.digest()}


def _roles(
    base: nn.Module, model: nn.Module, modality: Modality, head: Sequence[str], given: Inputs, size: int,
    before: "Loss | None",
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """before: is told the base's outputs, as it reads the inputs anyway."""
    cfg = modality.cfg.model
    reached = inputs.at_layers(base, layers.linear(base, head), given, size, before and before.add)
    found: dict[str, list[Mapping[str, float]]] = {}
    for change in layers.changes(base, model, cfg.roles, cfg.name, head):
        found.setdefault(change.role, []).append(_measured(change, reached.get(change.name)))
    order = [*(cfg.roles or {}), layers.OTHER]
    return {letter: _joined(found[letter]) for letter in sorted(found, key=order.index)}


def _measured(change: layers.Change, reaching: torch.Tensor | None) -> dict[str, float]:
    """Of one layer. reaching: (T, I); None where the model does not call it, so that it moves nothing."""
    return {
        "update": measures.squared_norm(change.update), "base": measures.squared_norm(change.before),
        "intruders": measures.intruders(change.before, change.after),
        "moved": 0.0 if reaching is None else measures.moved(change.update, change.before, reaching),
    }  # fmt: skip


def _joined(each: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Of the layers of one letter."""
    return {
        "layers": len(each), **{name: _rounded(sum(layer[name] for layer in each)) for name in ("update", "base")},
        "intruders": sum(layer["intruders"] for layer in each),
        "moved": _rounded(fmean(layer["moved"] for layer in each)),
    }  # fmt: skip


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS - 1}e}")


class Loss:
    """Mean over all predicted tokens, in nats."""

    def __init__(self):
        self.total, self.tokens = 0.0, 0

    def add(self, labels: torch.Tensor, logits: torch.Tensor) -> None:
        """labels: (B, T), -100 where nothing is predicted.  logits: (B, T, V)."""
        labels = labels[:, 1:].to(logits.device)  # (B, T-1)
        self.total += cross_entropy(logits[:, :-1].float().flatten(0, 1), labels.flatten(), reduction="sum").item()
        self.tokens += int((labels != -100).sum())

    @property
    def mean(self) -> float:
        return self.total / self.tokens


@torch.inference_mode()
def loss(model: nn.Module, given: Inputs, size: int) -> float:
    """The mean loss of a causal model on the inputs, in nats a token."""
    device, found = next(model.parameters()).device, Loss()
    for batch in given.batches(size):
        labels = batch.pop("labels")
        found.add(labels, model(**{name: values.to(device) for name, values in batch.items()}, use_cache=False).logits)
    return found.mean
