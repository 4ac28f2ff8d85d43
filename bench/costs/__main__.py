"""What each method of conf/method costs and keeps, beside LoRA of rank 8 in one process.

    python -m bench.costs [--models micro_gemma,micro_vit,micro_deberta] [--methods lora,dora] [--out runs/bench]
    python -m bench.costs --models minilm_l6 --real .cache/real

One file a model, runs/bench/methods-<model>-<device>.json, written after each method: what is there and of the same
settings, configuration and versions is not measured again. A method that fails has a row that says why.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tqdm import tqdm

from bench import arguments
from bench.costs import measures, rows, subject
from bench.methods import own_decompositions
from errors import SettingError
from harness.store.disk import tells_disk_errors

SHIPPED = [name for name in subject.MODELS if name.startswith("micro_")]


def parse(argv: list[str] | None) -> argparse.Namespace:
    p = arguments.parser("bench.costs", __doc__)
    found = subject.discovered()
    p.add_argument("--models", type=arguments.names([*subject.MODELS], "model"), default=",".join(SHIPPED),
                   help=f"with commas between; {','.join(SHIPPED)}")  # fmt: skip
    p.add_argument("--methods", type=arguments.names(found, "method"), default=",".join(found),
                   help="with commas between; all")  # fmt: skip
    p.add_argument("--real", type=Path, metavar="FOLDER", help="of python -m assets.fetch_real: adds minilm_l6")
    p.add_argument("--batch", type=arguments.positive, default=16, help="examples in a step; 16")
    p.add_argument("--turns", type=arguments.positive, default=9, help="steps of each that are timed; 9")
    p.add_argument("--warm-up", type=arguments.count, default=2, help="steps before those that count; 2")
    p.add_argument("--steps", type=arguments.positive, default=20, help="of training, whose update is looked at; 20")
    p.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    p.add_argument("--threads", type=arguments.threads, default=1, help="of the CPU; 1")
    p.add_argument("--again", action="store_true", help="measure what is there, too")
    p.add_argument("--out", type=Path, default=Path("runs", "bench"), help="folder of the result files")
    a = p.parse_args(argv)
    if a.real and "minilm_l6" not in a.models:
        a.models.append("minilm_l6")
    return a


def overrides(name: str, real: Path | None) -> list[str]:
    """Of the model and its task. Raises SettingError where a model that is not shipped is in no folder."""
    found = list(subject.MODELS[name])
    if name not in SHIPPED:
        if real is None:
            raise SettingError(
                f"{name} is not shipped: python -m assets.fetch_real fetches it; then --real .cache/real"
            )
        found += [f"model.checkpoint={real / name}", f"task.source.folder={real / 'vader_movies'}"]
    return found


def one_model(name: str, a: argparse.Namespace, device: torch.device) -> Path:
    settings = {"batch": a.batch, "turns": a.turns, "warm_up": a.warm_up, "steps": a.steps}
    model = subject.Model(overrides(name, a.real), device, a.batch, batches=4)
    found = rows.Results(a.out, name, device, settings)
    order, started = subject.discovered(), time.perf_counter()
    with TemporaryDirectory(prefix="svft-bench-") as folder:
        reference = measures.Subject(model, subject.REFERENCE, a.steps, Path(folder))
        found.header |= {"reference": reference.cfg.method.label, "base": base(model, reference)}
        for method in (bar := tqdm(a.methods, desc=name)):
            bar.set_postfix_str(method)
            cfg = rows.configured(model, method)
            key = found.key(None if isinstance(cfg, str) else cfg, method)
            if a.again or not found.has(method, key):
                began = time.perf_counter()
                row = rows.measured(model, method, cfg, reference, a.turns, a.warm_up)
                found.put(row | {"key": key, "measured_in": time.perf_counter() - began}, order)
    print(f"{name}: {time.perf_counter() - started:.0f} s; wrote {found.path}")
    return found.path


def base(model: subject.Model, reference: measures.Subject) -> dict[str, float]:
    """What rows are held against: the reference's bytes, and how far 16 bits alone move the base."""
    half, full = (subject.logits(model.base(dtype), model.held_out) for dtype in (measures.HALF, "float32"))
    return {"saved_bytes": measures.kept(reference)["saved_bytes"], "bf16": subject.distance(half, full)}


@tells_disk_errors()
def main(argv: list[str] | None = None) -> None:
    a = parse(argv)
    with arguments.exits_on_user_errors(), own_decompositions():
        device = arguments.set_up(a)
        for name in a.models:
            one_model(name, a, device)


if __name__ == "__main__":
    main()
