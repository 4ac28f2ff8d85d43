"""The parts of cluster/ that need no SLURM; tests/cluster/ has one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cluster import slurm, states, submission, sweep, waiting
from cluster.__main__ import main
from cluster.frozen import freeze, thaw
from errors import SettingError
from harness.plan import config
from harness.store import files, record

SETTINGS = {"name": "runs", "wait": False, "requeue_limit": 3}


@pytest.fixture
def queue(monkeypatch, tmp_path) -> dict[str, tuple[str, str]]:
    """What squeue says, instead of a SLURM; what is submitted is pending."""
    jobs: dict[str, tuple[str, str]] = {}
    tickets: dict[str, str] = {}
    numbers = count()

    def submit(function, arguments, *, token, **options) -> list[str]:
        array = next(numbers)
        new = [f"{array}_{index}" for index, _ in enumerate(arguments)]
        jobs.update(dict.fromkeys(new, ("PENDING", "Resources")))
        tickets.update({f"{token}_{index}": job for index, job in enumerate(new)})
        return new

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm, "check", lambda: None)
    monkeypatch.setattr(slurm, "submit", submit)
    monkeypatch.setattr(slurm, "in_queue", lambda asked: {job: jobs[job] for job in asked if job in jobs})
    monkeypatch.setattr(slurm, "by_ticket", lambda: tickets)
    monkeypatch.setattr(slurm, "ended", lambda job: "")
    return jobs


def submit(cfgs, **settings) -> submission.Submitted:
    return submission.submit(cfgs, len(cfgs), {**SETTINGS, "folder": "sweeps", **settings})


@contextmanager
def killed_after_sbatch() -> Iterator[None]:
    """A submission that ends before the ids of its jobs are in the sweep's file."""
    handed_over = slurm.submit

    def submit(*args, **options) -> None:
        handed_over(*args, **options)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slurm, "submit", submit)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_a_frozen_configuration_has_the_identity_of_the_composed_one(composed, tmp_path):
    cfg = composed("method=svft_random", "seed=3", "runs_dir=there")
    thawed = thaw(freeze(cfg, tmp_path / "run.yaml"))
    assert config.identity(thawed) == config.identity(cfg)
    assert config.resolve(thawed) == config.resolve(cfg)
    with pytest.raises(Exception, match="not in struct"):
        thawed.sede = 1


def test_a_frozen_configuration_that_was_edited_or_lost_is_refused(composed, tmp_path):
    frozen = freeze(composed("method=lora"), tmp_path / "run.yaml")
    path = Path(frozen.path)
    path.write_text(path.read_text().replace("seed: 0", "seed: 1", 1))
    with pytest.raises(SettingError, match="is not what was submitted"):
        thaw(frozen)
    path.unlink()
    with pytest.raises(SettingError, match="cannot be read"):
        thaw(frozen)


def test_a_frozen_configuration_that_the_code_resolves_otherwise_is_refused(composed, tmp_path, monkeypatch):
    frozen = freeze(composed("method=lora"), tmp_path / "run.yaml")
    OmegaConf.register_new_resolver("targets", lambda letters: "other", replace=True)
    try:
        with pytest.raises(SettingError, match="so the code has changed"):
            thaw(frozen)
    finally:
        config.register_resolvers()


def test_a_run_that_is_in_the_queue_under_any_name_is_not_submitted_again(composed, queue):
    lora, plain = composed("method=lora"), composed("method=svft_plain")
    assert str(submit([lora, lora])) == "sweep runs: 1 submitted"
    assert str(submit([lora, plain])) == "sweep runs: 1 submitted, 1 in the queue already"
    assert str(submit([plain], name="other")) == "sweep other: 1 in the queue already"
    queue.clear()
    assert str(submit([plain], name="other")) == "sweep other: 1 submitted"


def test_a_sweep_has_the_runs_too_that_another_one_has_in_the_queue_or_has_done(composed, queue, capsys):
    lora, plain, none = (composed(f"method={name}") for name in ("lora", "svft_plain", "none"))
    first = submit([lora, plain], name="first").sweep
    second = submit([lora, none], name="second").sweep
    theirs, _ = first.runs.values()
    ours, own = second.runs.values()
    assert ours.job == theirs.job != own.job
    first.log.mkdir()
    log_of(first, theirs).write_text(f"{states.ATTEMPT}job_id=1)\ntraining:  30%|███       | 12/40 [00:05<00:11]")
    queue[theirs.job] = ("RUNNING", "None")
    assert [(state.name, state.detail) for state in states.of(second)] == [
        ("running", "training 12/40"), ("queued", "Resources"),
    ]  # fmt: skip
    cancelled = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slurm, "cancel", cancelled.extend)
        assert main(["cancel", "second"]) == 0
    assert cancelled == [own.job]
    assert "runs of sweep first" in capsys.readouterr().out
    queue.clear()
    record_of(theirs, "done", {name: {"validation": {}, "test": {}} for name, _ in theirs.wanted})
    assert str(submit([lora], name="third")) == "sweep third: 1 done before"
    for name, expected in {"second": ["done", "cancelled"], "third": ["done"]}.items():
        assert [state.name for state in states.of(sweep.read(Path("sweeps", name).resolve()))] == expected


def test_a_failed_run_that_another_sweep_has_queued_again_is_not_queued_by_retry(composed, queue, capsys):
    cfg = composed("method=lora")
    submit([cfg], name="first")
    queue.clear()
    again = submit([cfg], name="second").sweep
    assert main(["retry", "first"]) == 0
    assert "first: 0 submitted again, 1 in the queue of another sweep" in capsys.readouterr().out
    (run,) = sweep.read(Path("sweeps/first").resolve()).runs.values()
    assert [run.job] == [run.job for run in again.runs.values()] == list(queue)


def test_jobs_of_a_submission_that_was_killed_before_it_had_noted_them_are_found(composed, queue):
    cfgs = [composed("method=lora", f"seed={seed}") for seed in range(2)]
    with killed_after_sbatch():
        submit(cfgs)
    assert [state.name for state in states.of(sweep.read(Path("sweeps/runs").resolve()))] == ["queued", "queued"]
    assert str(submit(cfgs, name="other")) == "sweep other: 2 in the queue already"
    there = submit(cfgs)
    assert str(there) == "sweep runs: 2 in the queue already"
    assert [run.job for run in there.sweep.runs.values()] == list(queue)


def test_waiting_is_for_the_runs_that_were_in_the_queue_before_too(composed, queue, monkeypatch, capsys):
    cfg = composed("method=lora")
    submit([cfg])
    submitted = submit([cfg], name="other")
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: queue.clear())
    waiting.wait(submitted)
    assert "failed, its job ended without a record" in capsys.readouterr().err


def test_another_seed_folder_or_setting_is_another_run(composed, queue):
    cfgs = [composed("method=lora", *more) for more in ((), ("seed=1",), ("runs_dir=b",), ("train.lr=0.5",))]
    assert str(submit(cfgs)) == "sweep runs: 4 submitted"


def record_of(run: sweep.Run, status: str, scores: dict, failure: dict | None = None) -> Path:
    value = record.Record("0" * 64, {"identity": run.identity, "seed": run.seed}, {}, {}, scores=scores)
    value.status, value.failure = status, failure
    path = Path(run.where) / "v-00000000" / f"seed={run.seed}" / record.FILE
    record.write(path, value)
    return path


def test_a_run_is_done_with_all_its_scores_and_is_then_not_submitted(composed, queue):
    cfg = composed("method=lora", "evaluate.benchmarks=[micro_gsm]")
    run = submit([cfg]).new.popitem()[1]
    queue.clear()
    record_of(run, "done", {"micro_gsm": {"validation": {}}})
    assert not run.is_done()
    assert str(submit([cfg])) == "sweep runs: 1 submitted"
    queue.clear()
    record_of(run, "done", {"micro_gsm": {"validation": {}, "test": {}}})
    assert run.is_done()
    assert str(submit([cfg])) == "sweep runs: 1 done before"


def test_what_cannot_be_composed_is_refused_and_the_others_are_submitted(composed, queue):
    wrong = composed("method=lora", "method.targets=XYZ")
    submitted = submit([wrong, composed("method=lora")])
    assert str(submitted) == "sweep runs: 1 submitted, 1 refused"
    assert "X" in str(submitted.refused[0])


def test_states_come_from_the_queue_the_record_and_the_log(composed, queue):
    cfgs = [composed("method=lora", f"seed={seed}", "evaluate.benchmarks=[micro_gsm]") for seed in range(6)]
    there = submit(cfgs).sweep
    _waiting, running, done, diverged, died, cancelled = there.runs.values()
    there.log.mkdir()
    log_of(there, running).write_text(
        f"INFO {states.ATTEMPT}job_id=1)\nerror: an earlier attempt\nINFO {states.ATTEMPT}job_id=1)\nchatter\n"
        "training:   0%|          | 0/40 [00:00<?, ?it/s]\rtraining:  30%|███       | 12/40 [00:05<00:11, loss=2.1]"
    )
    queue[running.job] = ("RUNNING", "None")
    for run in (done, diverged, died, cancelled):
        del queue[run.job]
    record_of(done, "done", {"micro_gsm": {"validation": {}, "test": {}}})
    record_of(diverged, "failed", {}, {"reason": "the loss is not a finite number at step 7", "step": 7})
    log_of(there, died).write_text(f"{states.ATTEMPT}job_id=1)\nerror: a disk is full\nsrun: error: task 0: Exited\n")
    cancelled.cancelled = True
    assert [(state.name, state.detail) for state in states.of(there)] == [
        ("queued", "Resources"), ("running", "training 12/40"), ("done", ""),
        ("failed", "the loss is not a finite number at step 7"), ("failed", "a disk is full"), ("cancelled", ""),
    ]  # fmt: skip


def log_of(there: sweep.Sweep, run: sweep.Run) -> Path:
    return there.log / f"{run.job}_0_log.out"


def test_a_sweep_is_read_back_as_it_was_written(composed, queue):
    there = submit([composed("method=lora"), composed("method=svft_plain", "seed=2")]).sweep
    assert sweep.read(there.folder) == there


def test_what_is_wrong_with_a_sweep_is_said_in_a_sentence(composed, queue, capsys):
    submit([composed("method=lora")])
    assert main(["status", "nope"]) == 1
    assert "there is no sweep 'nope'" in capsys.readouterr().err
    path = Path("sweeps/runs") / sweep.FILE
    for text in ("", "{", "[]", json.dumps({"schema": 1}), path.read_text()[:-20]):
        path.write_text(text)
        assert main(["status", "runs"]) == 1
        assert "is damaged" in capsys.readouterr().err


def test_without_slurm_there_is_a_sentence(composed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingError, match="there is no SLURM here"):
        submit([composed("method=lora")])
    assert not list(tmp_path.iterdir())


def test_a_task_of_an_array_is_the_task_alone_also_the_last_one_which_has_the_id_of_the_array(monkeypatch):
    asked = []
    monkeypatch.setattr(slurm, "_call", lambda *command: asked.append(command) or "JobState=RUNNING")
    monkeypatch.setenv("SLURM_JOB_ID", "10")
    slurm.requeue()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "10")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    slurm.requeue()
    assert slurm.is_running()
    assert [command[-1] for command in asked] == ["10", "10_2", "10_2"]


@pytest.mark.parametrize("name", ["a/b", "../up", ".", "-x", "a%j", ""])
def test_a_name_that_no_sweep_can_have_is_refused(composed, queue, name):
    with pytest.raises(SettingError, match="is no name of a sweep"):
        submit([composed("method=lora")], name=name)
    assert not list(Path().rglob("*.json"))


@pytest.mark.parametrize("name", [2024, True, "my sweep", "ü"])
def test_other_names_are_taken_as_they_are_typed(composed, queue, name):
    assert str(submit([composed("method=lora")], name=name)) == f"sweep {name}: 1 submitted"
    assert sweep.read(Path("sweeps", str(name)).resolve()).name == str(name)


def test_force_is_obeyed_by_each_submission_and_not_by_a_retry(composed, queue, monkeypatch):
    handed_over, jobs = slurm.submit, []
    monkeypatch.setattr(
        slurm, "submit", lambda function, given, **more: jobs.extend(given) or handed_over(function, given, **more)
    )
    for _ in range(2):
        submit([composed("method=lora", "force=true")])
        queue.clear()
    assert main(["retry", "runs"]) == 0
    assert [job.again for job in jobs] == [False, False, True]


def test_scores_that_a_queued_run_is_not_to_make_are_refused_with_a_sentence(composed, queue):
    asked = ("method=lora", "evaluate.benchmarks=[micro_gsm]")
    submit([composed(*asked, "evaluate.splits=[validation]")])
    more = submit([composed(*asked, "evaluate.splits=[validation,test]")])
    assert str(more) == "sweep runs: 1 refused"
    assert "is in the queue of sweep runs without micro_gsm test; submit again when it is done" in str(more.refused[0])
    assert str(submit([composed(*asked, "evaluate.splits=[validation]")])) == "sweep runs: 1 in the queue already"


def test_waiting_bears_a_slurm_that_does_not_answer_for_a_while(composed, queue, monkeypatch, capsys):
    submitted = submit([composed("method=none")])
    answers = iter([slurm.SlurmError("squeue does not answer"), slurm.SlurmError("squeue does not answer")])

    def in_queue(jobs) -> dict:
        for error in answers:
            raise error
        return {}

    monkeypatch.setattr(slurm, "in_queue", in_queue)
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: None)
    waiting.wait(submitted)
    assert capsys.readouterr().err.count("warning: squeue does not answer; asking again") == 1
    monkeypatch.setattr(slurm, "in_queue", lambda jobs: slurm._call("false"))
    with pytest.raises(slurm.SlurmError):
        waiting.wait(submitted)


def test_collecting_replaces_a_copy_that_lacks_scores_and_keeps_one_that_has_more(composed, queue, tmp_path, capsys):
    cfg = composed(
        "method=lora", "evaluate.benchmarks=[micro_gsm]", "evaluate.splits=[validation]", f"runs_dir={tmp_path}/r"
    )
    run = submit([cfg]).new.popitem()[1]
    queue.clear()
    path = record_of(run, "done", {"micro_gsm": {"validation": {"scorers": {"exact": {"mean": 0.5}}}}})
    copy = tmp_path / "kept" / Path(*path.parts[-6:])
    for status, kept in (("failed", False), ("done", True)):
        value = files.read_sealed(path) | {"status": status}
        if kept:
            value["scores"]["micro_gsm"]["test"] = {"scorers": {}}
        files.write_sealed(copy, value)
        assert main(["collect", "runs", "--into", str(tmp_path / "kept")]) == 0
        assert ("test" in json.loads(copy.read_text())["scores"]["micro_gsm"]) == kept
        assert record.read(copy).status == "done"


def test_one_damaged_sweep_does_not_hide_the_others(composed, queue, capsys):
    for name in ("one", "two"):
        submit([composed("method=lora", f"runs_dir={name}")], name=name)
    Path("sweeps/one/sweep.json").write_text("{")
    assert main(["status"]) == 1
    said = capsys.readouterr()
    assert "two: 1 queued" in said.out
    assert "sweep.json is damaged" in said.err
