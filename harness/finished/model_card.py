"""README.md of an exported model: what it is, on what it was trained, how good it is, and how to load it."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from harness.finished.finished_run import Finished
from harness.models import pretrained
from harness.store.record import Record

Z = 1.959964  # normal quantile of a 95 % interval

CLASSES = {
    "generation": "AutoModelForCausalLM",
    "text_classification": "AutoModelForSequenceClassification",
    "image_classification": "AutoModelForImageClassification",
}
PIPELINES = {
    "generation": "text-generation",
    "text_classification": "text-classification",
    "image_classification": "image-classification",
}

MERGED = """from transformers import {reader}, {model}

model = {model}.from_pretrained("FOLDER")
reader = {reader}.from_pretrained("FOLDER")
inputs = reader({asked}, return_tensors="pt")
{answer}
"""
LORA = """from peft import PeftModel
from transformers import {model}{config_import}

{config_line}base = {model}.from_pretrained("{base}"{config})
model = PeftModel.from_pretrained(base, "FOLDER").eval()
"""


def text(run: Finished, *, lora: bool) -> str:
    return "\n".join([*_front(run, lora), f"# {_title(run)}", "", *_facts(run), "", *_loading(run, lora)])


def _title(run: Finished) -> str:
    names = run.record.run
    return f"{names.get('model_label', names['model'])} on {names.get('task_label', names['task'])}, {names['label']}"


def _front(run: Finished, lora: bool) -> list[str]:
    """The metadata that the hub reads."""
    values: dict[str, Any] = {"library_name": "peft" if lora else "transformers"}
    values["pipeline_tag"] = PIPELINES[run.task.kind]
    if pretrained.local_folder(run.cfg.model.checkpoint) is None:
        values["base_model"] = run.cfg.model.checkpoint
    if licence := _licence(run):
        values["license"] = licence
    return ["---", yaml.safe_dump(values, sort_keys=False).rstrip(), "---", ""]


def _facts(run: Finished) -> Iterator[str]:
    found, names = run.record, run.record.run
    yield f"- Base model: {_base(run)}"
    yield f"- Licence of the base model: {_licence(run) or 'not stated in its files'}"
    yield f"- Data: {names.get('task_label', names['task'])} (fingerprint {found.fingerprints['data'][:8]})"
    yield f"- Method: {names['label']}, recipe {names.get('recipe')}, seed {names['seed']}"
    trained, frozen = found.parameters, found.parameters.get("frozen")
    yield f"- Trained parameters: {trained['adapter']:,} and {trained['head']:,} of the head; {frozen:,} frozen"
    if run.class_names:
        yield f"- Classes: {', '.join(run.class_names)}"
    if prompt := run.cfg.task.source.get("prompt"):
        yield f"- Prompt, by columns of the data: {str(prompt)!r}"
    yield from scores(found)


def scores(found: Record) -> Iterator[str]:
    """A line for each benchmark, split and scorer."""
    for benchmark, splits in found.scores.items():
        for split, entry in splits.items():
            for scorer, score in entry["scorers"].items():
                yield f"- {benchmark} {split}, {scorer}: {_shown(score, entry['n'])}, n = {entry['n']}"
    yield "- Brackets: 95 % interval over the items of that split; how much other seeds differ is not in it."


def _shown(score: dict[str, Any], n: int) -> str:
    """Mean and interval, of a loss in nats, else in per cent."""
    numbers = (score["mean"], *interval(score, n))
    if "values" in score:
        return "{:.3f} [{:.3f}, {:.3f}] nats".format(*numbers)
    return "{:.1f} [{:.1f}, {:.1f}] of 100".format(*(100 * number for number in numbers))


def interval(score: dict[str, Any], n: int) -> tuple[float, float]:
    """95 %: Wilson's interval for a share of correct answers, else 1.96 standard errors to both sides."""
    mean = score["mean"]
    if score.get("items") is None:
        return mean - Z * score["standard_error"], mean + Z * score["standard_error"]
    middle, half = mean + Z**2 / (2 * n), Z * math.sqrt(mean * (1 - mean) / n + Z**2 / (4 * n**2))
    return max(0.0, (middle - half) / (1 + Z**2 / n)), min(1.0, (middle + half) / (1 + Z**2 / n))


def _base(run: Finished) -> str:
    """The hub id and revision, or the name of the folder without its path."""
    model = run.cfg.model
    if pretrained.local_folder(model.checkpoint) is not None:
        return f"{Path(model.checkpoint).name} (a folder; fingerprint {run.record.fingerprints['model'][:8]})"
    return f"{model.checkpoint}, revision {model.revision}"


def _licence(run: Finished) -> str | None:
    """What the model card of the base says, where it is at hand."""
    path = pretrained.at_hand(run.cfg.model, "README.md")
    if path is None:
        return None
    _, fence, rest = path.read_text(encoding="utf-8", errors="replace").partition("---\n")
    try:
        values = yaml.safe_load(rest.partition("\n---")[0]) if fence else None
    except yaml.YAMLError:
        return None
    licence = values.get("license") if isinstance(values, dict) else None
    return licence if isinstance(licence, str) else None


def _loading(run: Finished, lora: bool) -> list[str]:
    kind, model = run.task.kind, CLASSES[run.task.kind]
    if lora:
        has_head = kind != "generation"
        code = LORA.format(
            model=model,
            base=run.cfg.model.checkpoint if "(a folder" not in _base(run) else "THE BASE MODEL'S FOLDER",
            config_import=", AutoConfig" if has_head else "",
            config_line='config = AutoConfig.from_pretrained("FOLDER")\n' if has_head else "",
            config=", config=config, ignore_mismatched_sizes=True" if has_head else "",
        )
    else:
        images = kind == "image_classification"
        code = MERGED.format(
            reader="AutoImageProcessor" if images else "AutoTokenizer",
            model=model,
            asked="image" if images else '"text"',
            answer="print(reader.decode(model.generate(**inputs, max_new_tokens=64)[0]))"
            if kind == "generation"
            else "print(model.config.id2label[model(**inputs).logits.argmax(-1).item()])",
        )
    return ["```python", code.rstrip(), "```", ""]
