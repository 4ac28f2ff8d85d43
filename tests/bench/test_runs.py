"""Whole runs beside each other: the numbers from made-up seconds, and the path to the file with a run.py made up."""

import argparse
import csv
import json
import shlex
from pathlib import Path

import pytest

from bench import processes, runs, targets
from bench.processes import Command, Taken
from errors import UserError

# A run.py that notes what it was asked, computes for a moment in a child, and leaves a record for each seed.
MADE_UP = """
import json, os, subprocess, sys, time
given = [word for word in sys.argv[1:] if word != "-m"]
if "method=broken" in given:
    sys.exit("error: there is no such method\\n")
asked = dict(word.split("=", 1) for word in given)
with open("asked.txt", "a") as file:
    file.write(json.dumps({"words": sys.argv[1:], "spins": os.environ.get("GOMP_SPINCOUNT"),
                           "cache": os.environ["SVFT_CACHE_DIR"]}) + "\\n")
burn = "import time\\nwhile time.process_time() < 0.05: pass"
subprocess.run([sys.executable, "-S", "-c", burn], check=True)
for seed in asked.get("seed", "0").split(","):
    folder = os.path.join(asked["runs_dir"], "seed=" + seed)
    os.makedirs(folder)
    split = {"seconds": 0.25, "scorers": {"strict": {"items": [1, 0]}}}
    record = {"status": "done", "scores": {"toy": {"validation": split, "test": split}},
              "provenance": {"code": {"commit": os.path.basename(os.getcwd())}},
              "train": {"step_seconds": 0.5, "step_times": {"cpu_seconds": 0.75, "queued_seconds": 0}}}
    with open(os.path.join(folder, "record.json"), "w") as file:
        json.dump(record, file)
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    folder = checkout(tmp_path / "here")
    monkeypatch.setattr(runs, "ROOT", folder)
    return folder


def checkout(folder: Path) -> Path:
    folder.mkdir()
    (folder / "run.py").write_text(MADE_UP)
    return folder


def asked(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "asked.txt").read_text().splitlines()]


def taken(wall: float, cpu: float, *steps: float, score: int = 1) -> Taken:
    """Of runs with so many seconds of steps, which are twice as many of CPU, and half a second of evaluation."""
    return Taken(wall, cpu, tuple({
        "train": {"step_seconds": each, "step_times": {"cpu_seconds": 2 * each, "queued_seconds": 0}},
        "scores": {"toy": {"test": {"seconds": 0.5, "scorers": {"strict": score}}}},
        "provenance": {"code": {"commit": "0123abcd"}, "device": {"type": "cpu"}},
    } for each in steps))  # fmt: skip


def part(name: str) -> runs.Part:
    return runs.PARTS[name](argparse.Namespace(threads=2, steps=None, beside=Path("there"), real=Path("real")))


def test_a_whole_run_is_held_against_the_other_turn_by_turn():
    found = part("whole").row("whole", {
        "svft_random": [taken(12, 20, 8), taken(30, 21, 24), taken(11, 22, 7)],
        "lora": [taken(10, 20, 6), taken(20, 20, 16), taken(10, 20, 6)],
    })  # fmt: skip
    # 1.2, 1.5 and 1.1: the median, and quartiles halfway to the others.
    assert [found[name] for name in ("value", "low", "high", "cpu_value")] == pytest.approx([1.2, 1.15, 1.35, 1.05])
    assert [found[name] for name in ("seconds", "training_seconds", "evaluation_seconds", "rest_seconds")] == [
        12, 8, 0.5, 3.5]  # fmt: skip
    assert [found["reference_" + name] for name in ("seconds", "training_seconds", "rest_seconds")] == [10, 6, 3.5]
    assert found["same_scores"] is None


def test_the_overhead_of_a_run_is_what_one_more_adds_besides_its_steps():
    many, few = part("overhead").commands.values()
    assert (many.runs, few.runs) == runs.SWEEPS == (8, 2)
    start, own, step = 6.0, 1.25, 0.5
    sweeps = [[taken(start + n * (own + step), start + n * (own / 2 + 2 * step), *[step] * n)] for n in (8, 2)]
    found = part("overhead").row("overhead", dict(zip(("a sweep of 8", "a sweep of 2"), sweeps, strict=True)))
    assert [found[name] for name in ("value", "low", "high")] == pytest.approx([own] * 3)
    assert found["cpu_value"] == pytest.approx(own / 2) and found["unit"] == "s"


def test_runs_that_waited_for_cores_in_more_than_a_tenth_of_their_steps_are_counted():
    quiet, crowded = taken(5, 5, 3), Taken(20, 20, ({**taken(20, 20, 8).records[0], "train": {
        "step_seconds": 8, "step_times": {"cpu_seconds": 16, "queued_seconds": 1}}},))  # fmt: skip
    found = part("whole").row("whole", {"svft_random": [quiet, crowded], "lora": [quiet, quiet]})
    assert (found["crowded"], found["runs"]) == (1, 4)


def test_runs_that_are_to_score_the_same_say_whether_they_do():
    same, other = taken(1, 1, 1), taken(1, 1, 1, score=2)
    said = [part("beside").row("beside", {"here": [same], "there": [each]})["same_scores"] for each in (same, other)]
    assert said == [True, False]


def test_seeds_at_a_time_have_one_thread_each_and_one_after_the_other_all():
    together, alone = (set(command.overrides) for command in part("seeds").commands.values())
    assert together - alone == {"threads=1", "hydra.launcher.workers=2"} and alone - together == {"threads=2"}
    assert {"method=svft_plain", "seed=0,1,2,3,4,5,6,7"} < together & alone


def test_cpu_seconds_are_those_of_a_process_and_of_what_it_started(here, tmp_path):
    found = processes.timed(Command(here, ("-m", "seed=0,1"), runs=2), tmp_path / "cache")
    assert found.cpu > 0.05 and found.wall > 0.05
    assert (found.training, found.training_cpu, found.evaluation) == (1.0, 1.5, 1.0)


def test_a_process_that_fails_or_leaves_too_few_runs_is_told_in_a_sentence(here, tmp_path):
    with pytest.raises(
        UserError, match=r"^python run.py method=broken in .*here ended with 1: error: there is no such"
    ):
        processes.timed(Command(here, ("method=broken",)), tmp_path)
    with pytest.raises(UserError, match=r"^python run.py seed=0,1 in .*here finished 2 runs, not 3$"):
        processes.timed(Command(here, ("seed=0,1",), runs=3), tmp_path)


def test_from_the_command_line_to_the_file_and_the_verdicts(here, tmp_path, monkeypatch, capsys):
    there = checkout(tmp_path / "there")
    monkeypatch.setenv("GOMP_SPINCOUNT", processes.SPINS)  # as this process has settled for itself alone
    for name in ("minilm_l6", "vader_movies"):
        (tmp_path / "real" / name).mkdir(parents=True)
    given = f"--beside {there} --real {tmp_path / 'real'} --repeats 1 --steps 3 --out {tmp_path / 'out'}"
    runs.main(shlex.split(given))
    (path,) = (tmp_path / "out").glob("runs-cpu-*.json")
    found = json.loads(path.read_text())
    assert [(row["part"], row["method"]) for row in found["rows"]] == [
        ("whole", "svft_random"), ("overhead", "svft_random"), ("bare", "svft_random"), ("seeds", "svft_plain"),
        ("minilm", "svft_random"), ("beside", "svft_random"),
    ]  # fmt: skip
    assert found["rows"][-1]["commits"] == ["here", "there"] and found["rows"][-1]["same_scores"]
    first, *counted = asked(here)
    assert "train.max_steps=1" in first["words"] and len(counted) == 11
    assert all({"train.max_steps=3", "wandb.mode=disabled"} < {*each["words"]} for each in counted)
    assert sum("evaluate.retention=false" in each["words"] for each in counted) == 2
    assert len(asked(there)) == 2 and {each["spins"] for each in asked(here) + asked(there)} == {None}
    assert {each["cache"] for each in asked(here)}.isdisjoint(each["cache"] for each in asked(there))
    told = capsys.readouterr().out
    assert "Eight seeds on one thread each" in told and "here / there" in told


def test_every_part_has_its_target():
    with targets.TARGETS.open(newline="") as file:
        wanted = {line["measure"]: line["of"] for line in csv.DictReader(file) if line["measure"] in runs.PARTS}
    assert wanted == {name: part(name).method for name in runs.PARTS}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            "--parts whole,half",
            "argument --parts: part 'half' is not one of whole, overhead, bare, seeds, minilm, beside",
        ),
        ("--parts minilm", "error: part minilm needs --real FOLDER, where python -m assets.fetch_real has put"),
        ("--real .", "argument --real: '.' has no minilm_l6; python -m assets.fetch_real fetches it"),
        ("--parts beside", "error: part beside needs --beside FOLDER, a checkout of another commit"),
        ("--beside=", "argument --beside: '' has no run.py of another build"),
        ("--beside nowhere", "argument --beside: 'nowhere' has no run.py of another build; name a checkout"),
        ("--threads 1", "error: part seeds needs --threads 2 or more; --parts leaves it out"),
        ("--steps 0", "argument --steps: '0' is not an integer above 0"),
        ("--repeats 0", "argument --repeats: '0' is not an integer above 0"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(here, capsys, typed, said):
    with pytest.raises(SystemExit) as left:
        runs.main(typed.split())
    assert left.value.code == 2
    assert said in capsys.readouterr().err
    assert not (here / "asked.txt").exists()


def test_a_process_that_fails_ends_the_program_with_its_sentence_and_no_file(here, tmp_path, capsys):
    (here / "run.py").write_text("raise SystemExit('error: no space left')")
    with pytest.raises(SystemExit) as left:
        runs.main(["--parts", "whole", "--out", str(tmp_path / "out")])
    assert left.value.code == 2 and not (tmp_path / "out").exists()
    assert capsys.readouterr().err.splitlines()[-1].endswith("ended with 1: error: no space left")
