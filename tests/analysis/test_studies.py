"""Figures of studies: lines along one setting, and validation scores along the learning rate."""

import pytest

from analysis.figures import studies
from analysis.figures.style import STYLE, matplotlib
from analysis.load.records import load
from analysis.pages.comparison import numbers
from analysis.statistics.experiments import experiments
from tests.analysis import paper_cases as cases
from tests.analysis.test_comparison import items

COLUMN = cases.column("GSM") | {"panel": "one", "reference": "LoRA (r=1)"}
ROWS = [
    cases.row("Gemma", method, config, variant=variant, targets=targets, metrics=["GSM"], panel="one", params=params)
    for method, variant, config, targets, params in (
        ("LoRA", "", "r=1", "QV", 100), ("LoRA", "", "r=8", "QV", 800), ("SVFT", "B", "d=2", "QV", 150),
        ("SVFT", "B", "d=8", "QV", 500), ("SVFT", "B", "d=2", "UD", 300),
    )
]  # fmt: skip
RATES = {1e-3: 100, 1e-2: 120, 1e-1: 90}


@pytest.fixture
def study(add, tmp_path):
    """Three seeds of each row; LoRA and SVFT-B were searched at three rates with few steps, and at two with all."""

    def made(curves: str):
        cases.write(tmp_path / "runs", "study", [COLUMN], ROWS, curves=curves, evidence=True)
        for number, row in enumerate(ROWS):
            for seed in range(3):
                cases.ran(add, row, seed, {"gsm": items(100 + 10 * number + seed)}, config=config(1e-2, 30),
                          parameters={"adapter": row["cells"] and PARAMS[number], "head": 0, "frozen": 1})  # fmt: skip
        for row in ROWS[1:3]:  # LoRA, whatever its rank, and SVFT-B
            for rate, count in RATES.items():
                validated(add, row, rate, 10, count)
            validated(add, row, 1e-3, 30, 110)
            validated(add, row, 1e-2, 30, 130)
        return load(tmp_path / "runs")

    return made


PARAMS = [100, 800, 150, 500, 300]


def config(rate: float, steps: int) -> dict:
    return {"train": {"lr": rate, "max_steps": steps, "select_best": False}, "recipe": {"name": "clean"}}


def validated(add, row: dict, rate: float, steps: int, count: int) -> None:
    labels = {"method": row["id"], "task": "t", "model": "m", "recipe": "paper", "seed": 0, "label": row["method"],
              "variant": row["variant"], "task_label": "T"}  # fmt: skip
    add(f"{row['config']} {rate} {steps}", 0, {"legacy": "1"}, method=row["id"], run=labels,
        config=config(rate, steps), scores={"gsm": {"validation": items(count)}})  # fmt: skip


@pytest.mark.parametrize(("curves", "series"), [
    ("variant", ["LoRA", "LoRA", "SVFT-B", "SVFT-B", "SVFT-B"]),
    ("targets", ["LoRA (r=1)", "LoRA (r=8)", "QV", "QV", "UD"]),
])  # fmt: skip
def test_a_line_joins_the_runs_that_differ_by_the_setting(study, curves, series):
    loaded = study(curves)
    experiment = experiments(loaded)["study"]
    frame = studies.curves(experiment, numbers(loaded, "study"))
    assert frame["series"].tolist() == series
    assert frame["params"].tolist() == PARAMS
    assert frame["score"].tolist() == pytest.approx([50.5, 55.5, 60.5, 65.5, 70.5])
    assert (frame["low"] <= frame["score"]).all() and (frame["score"] <= frame["high"]).all()
    with matplotlib.rc_context(STYLE):
        [ax] = studies.curves_figure(frame).axes
    drawn = {line.get_label(): line.get_xdata().tolist() for line in ax.get_lines()}
    assert drawn == {name: sorted(frame[frame["series"] == name]["params"]) for name in dict.fromkeys(series)}


def test_a_curve_of_rates_has_those_of_the_first_round_and_rings_the_rate_that_was_picked_in_the_last(study):
    loaded = study("variant")
    frame = studies.tried(loaded, experiments(loaded)["study"])
    first = frame[frame["label"] == "LoRA (r=1)"]
    assert first[["rate", "score", "steps", "picked"]].values.tolist() == [
        [0.001, 50, 10, 0.01], [0.01, 60, 10, 0.01], [0.1, 45, 10, 0.01],
    ]  # fmt: skip
    made = studies.makers(loaded)
    assert list(made) == ["curves_study", "rates_study"]
    for maker in made.values():
        assert maker().files()["png"].startswith(b"\x89PNG")
