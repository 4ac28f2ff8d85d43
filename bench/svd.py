"""`decompose` and torch.linalg.svd in turns in one process: time, and how exact the float32 results are.

    python -m bench.svd                  the MLP and the attention of Gemma-2B
    python -m bench.svd --large          and the MLP of LLaMA-3-8B

The weights are Gaussian, float32. A ratio is the time of `decompose` over that of torch.linalg.svd in the same turn.
The dtype of a row is that in which torch.linalg.svd computes; `decompose` takes float64. Its bound is how many times
faster than torch.linalg.svd one eigh of W W^T in float32 and one product with it would be, which is not exact enough.
Into runs/bench/svd-<device>.json.
Shapes: W is O x I, K = min(O, I), U is O x K, Vh is K x I.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from bench import arguments, report, timing
from bench.tables import wide_console
from harness.console.progress import bar
from harness.store.disk import tells_disk_errors
from svft.decomposition import Basis, decompose

SHAPES = ("2048x16384", "2048x2048")
LARGE = "4096x14336"
LARGEST = 65536
WIDTH = 160  # characters of the table
FIRST = (300, 300)  # decomposed before anything is timed: the first calls load libraries
REFERENCES = (torch.float32, torch.float64)
COLUMNS = (
    "shape", "torch.linalg.svd in", "its s", "decompose s", "ratio", "quartiles", "times faster", "bound",
    "|UᵀU - I|", "|W - UΣVᵀ| / |W|",
)  # fmt: skip


def reference(W: torch.Tensor, dtype: torch.dtype) -> Basis:
    return Basis(*torch.linalg.svd(W.to(dtype), full_matrices=False))


def bound_step(W: torch.Tensor) -> timing.Step:
    """What no way through the eigenvectors of the smaller Gram matrix does without, in half of the digits it needs."""
    B = (W.T if W.shape[0] > W.shape[1] else W).float()  # (K, L)
    gram = B @ B.T
    return timing.Step(lambda: torch.linalg.eigh(gram).eigenvectors.T @ B)


def orthonormality(basis: Basis) -> float:
    """The largest entry of |U^T U - I| and |V^T V - I|, in float64."""
    return max(_from_identity(basis.U.double().T), _from_identity(basis.Vh.double()))


def _from_identity(rows: torch.Tensor) -> float:
    gram = rows @ rows.T
    gram.diagonal().sub_(1)
    return gram.abs().max().item()


def reconstruction(W: torch.Tensor, basis: Basis) -> float:
    """|W - U diag(s) V^T| / |W|, Frobenius norms, in float64."""
    error = torch.addmm(W.double(), basis.U.double() * basis.s.double(), basis.Vh.double(), alpha=-1)
    return (error.norm() / W.double().norm()).item()


def rows(W: torch.Tensor, *, repeats: int, tick: Callable[[], Any]) -> list[dict[str, Any]]:
    """One row a dtype of torch.linalg.svd."""
    latest: dict[str, Basis] = {}

    def step(name: str, function: Callable[[], Basis]) -> timing.Step:
        return timing.Step(lambda: latest.__setitem__(name, function()))

    steps = {"decompose": step("decompose", lambda: decompose(W))}
    for dtype in REFERENCES:
        steps[_name(dtype)] = step(_name(dtype), lambda dtype=dtype: reference(W, dtype))
    steps["bound"] = bound_step(W)
    taken = timing.interleaved(steps, repeats=repeats, warm_up=0, device=W.device, tick=tick)
    return [_row(W, _name(dtype), taken, latest) for dtype in REFERENCES]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _row(W: torch.Tensor, name: str, taken: dict[str, list[float]], latest: dict[str, Basis]) -> dict[str, Any]:
    """The reference's results are measured as it gives them, in its own dtype."""
    return {
        "shape": list(W.shape),
        "dtype": name,
        "seconds": timing.quartiles(taken["decompose"])[1],
        "reference_seconds": timing.quartiles(taken[name])[1],
        **timing.ratio_columns(taken["decompose"], taken[name]),
        "counted": timing.quartiles(timing.ratios(taken[name], taken["bound"]))[1],
        "orthonormality": orthonormality(latest["decompose"]),
        "reconstruction": reconstruction(W, latest["decompose"]),
        "reference_orthonormality": orthonormality(latest[name]),
        "reference_reconstruction": reconstruction(W, latest[name]),
    }


def measure(a: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    shapes = [*a.shapes, LARGE] if a.large else a.shapes
    generator = torch.Generator().manual_seed(a.seed)
    found: list[dict[str, Any]] = []
    rows(torch.randn(FIRST, generator=generator).to(device), repeats=1, tick=lambda: None)
    with bar(a.repeats * (2 + len(REFERENCES)) * len(shapes), "decompositions") as progress:
        for shape in shapes:
            W = torch.randn(*map(int, shape.split("x")), generator=generator).to(device)
            found += rows(W, repeats=a.repeats, tick=progress.update)
    return {**report.header("svd", device, "float32"), "seed": a.seed, "repeats": a.repeats, "rows": found}


def table(result: dict[str, Any]) -> Table:
    device = result["device"]["name"]
    shown = Table(title=f"decompose against torch.linalg.svd on {device}, {result['threads']} threads")
    for column in COLUMNS:
        shown.add_column(column, justify="right", no_wrap=True)
    for row in result["rows"]:
        shown.add_row(*_cells(row))
    return shown


def _cells(row: dict[str, Any]) -> Sequence[str]:
    return (
        " x ".join(map(str, row["shape"])),
        row["dtype"],
        f"{row['reference_seconds']:.3g}",
        f"{row['seconds']:.3g}",
        f"{row['ratio']:.3f}",
        f"{row['ratio_low']:.3f} to {row['ratio_high']:.3f}",
        f"{1 / row['ratio']:.1f}",
        f"{row['counted']:.1f}",
        f"{row['orthonormality']:.1e} (its {row['reference_orthonormality']:.1e})",
        f"{row['reconstruction']:.1e} (its {row['reference_reconstruction']:.1e})",
    )


def _shapes(text: str) -> list[str]:
    for shape in text.split(","):
        sizes = shape.split("x")
        if len(sizes) != 2 or not all(0 < arguments.count(size) <= LARGEST for size in sizes):
            raise argparse.ArgumentTypeError(
                f"{shape!r} is not a shape such as {SHAPES[0]}, of at most {LARGEST} a side"
            )
    return text.split(",")


def parser() -> argparse.ArgumentParser:
    p = arguments.parser("bench.svd", __doc__)
    p.add_argument("--shapes", type=_shapes, default=",".join(SHAPES), help="O x I, with commas between; %(default)s")
    p.add_argument("--large", action="store_true", help=f"{LARGE} besides")
    p.add_argument("--repeats", type=arguments.positive, default=3, help="turns that count; %(default)s")
    p.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    p.add_argument("--threads", type=arguments.threads, default=2, help="of the CPU; %(default)s")
    p.add_argument("--seed", type=arguments.count, default=0, help="of the weights; %(default)s")
    p.add_argument("--out", type=Path, default=Path("runs", "bench"), help="folder of the result file; %(default)s")
    return p


@tells_disk_errors()
def main(argv: Sequence[str] | None = None) -> None:
    a = parser().parse_args(argv)
    with arguments.exits_on_user_errors():
        device = arguments.set_up(a)
        result = measure(a, device)
        path = report.write(a.out, "svd", result)
        wide_console(WIDTH).print(table(result))
        print(path)


if __name__ == "__main__":
    main()
