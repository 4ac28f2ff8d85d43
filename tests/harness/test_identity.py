"""What puts runs into one row and one cell: what they are, and not where their files lie or how memory is spent."""

import copy
import json
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from errors import SettingError
from harness.models import pretrained
from harness.plan import config
from harness.store import identity, record
from harness.store.record import Record
from papers import manifests
from tests.conftest import ROOT

FINGERPRINTS = {"data": "d", "model": "m"}
# How many finished runs the cells of each experiment have, by run and column.
FILLED = {
    "comparison": 535, "fusion": 108, "micro_figure1": 96, "micro_figure4": 20,
    "micro_figure5": 48, "micro_spectral_table1": 40, "micro_spectral_table2": 8, "micro_table1": 66,
    "micro_table10": 8, "micro_table2": 32, "micro_table3": 64, "micro_table4": 31,
    "micro_table5": 46, "micro_table6": 6, "micro_table8": 36, "micro_table9": 46,
    "study_patterns": 79, "vectorfit_strength": 9,
}  # fmt: skip


def run(cfg, *, known: bool = True, status: str = "done", **fingerprints) -> Record:
    """A record of `cfg`; known: it says itself which of its values follow the seed."""
    resolved, there = config.resolve(cfg), {**FINGERPRINTS, **fingerprints}
    names = config.names(cfg, resolved)
    if not known:
        names.pop("seeded")
    keyed = {name: there[name] for name in ("data", "model", "adapter") if name in there}
    return Record(config.identity(cfg, keyed), names, resolved, there, status=status)


@pytest.fixture(scope="module")
def committed() -> list[Record]:
    found, broken = record.find(ROOT / "runs")
    assert broken == []
    return found


@pytest.fixture(scope="module")
def first(committed) -> list[Record]:
    """Those of the micro models, which are older than some options; their number is known."""
    found = [each for each in committed if each.run["model"].startswith("micro_")]
    assert len(found) == 2111
    return found


def test_the_same_base_in_two_folders_is_one_row(composed):
    one, other = (run(composed(f"model.checkpoint={folder}")) for folder in ("assets/micro_gemma", "/else/where"))
    assert one.key != other.key
    assert identity.row(one) == identity.row(other)


@pytest.mark.parametrize("override", ["model.checkpoint=x", "model.revision=v2", "train.micro_batch_size=2",
                                      "train.sharding=fsdp2", "method.adapter.form=folded", "evaluate.batch_size=3",
                                      "train.log_every=7", "threads=2"])  # fmt: skip
def test_places_memory_and_what_is_shown_leave_a_run_in_its_cell(composed, override):
    assert identity.cell(run(composed(override))) == config.cell(composed())


@pytest.mark.parametrize("override", ["train.lr=0.1", "train.precision=bf16", "model.dtype=bfloat16", "model.name=mine",
                                      "method.adapter.keep_weight=false", "train.batch_size=8", "method.adapter.d=2",
                                      "task.data_seed=1", "method.targets=QV", "method.adapter.bias=all"])  # fmt: skip
def test_what_changes_a_number_is_another_cell(composed, override):
    assert identity.cell(run(composed(override))) != config.cell(composed())


def test_tables_of_ones_own_that_differ_by_their_file_alone_are_rows_of_their_own(composed):
    own = ("task=classification", "model=micro_deberta")
    one, other = (
        run(composed(*own, f"task.source.train={name}.csv"), data=data) for name, data in (("a", "1"), ("b", "2"))
    )
    assert identity.cell(one) == identity.cell(other)
    assert identity.row(one) != identity.row(other)


def test_what_the_hub_calls_by_a_name_is_the_row_of_a_folder_with_the_same_files(composed):
    hub = {"model": "org/model@main"}
    old, new = run(composed("seed=1"), **hub), run(composed("seed=2"), **hub, model_content="m")
    folder = run(composed("model.checkpoint=/else/where"))
    known = identity.contents_of([old, new, folder])
    assert len({identity.row(each, known) for each in (old, new, folder)}) == 1
    moved = run(composed("seed=3"), **hub, model_content="other")  # the branch is at other weights now
    assert identity.row(old, identity.contents_of([old, new, moved])) == identity.row(old)


@pytest.mark.parametrize("method", ["svft_random", "vera", "vectorfit"])
@pytest.mark.parametrize("known", [True, False], ids=["said", "not said"])
def test_runs_that_differ_by_seed_alone_are_one_row(composed, method, known):
    rows = {identity.row(run(composed(f"method={method}", f"seed={seed}"), known=known)) for seed in (0, 3)}
    assert len(rows) == 1


def test_a_value_that_is_fixed_at_the_seed_is_not_one_that_follows_it(composed):
    follows, fixed = (identity.cell(run(composed("seed=3", *more))) for more in ((), ("method.adapter.seed=3",)))
    assert follows == config.cell(composed()) != fixed
    assert fixed == identity.cell(run(composed("seed=4", "method.adapter.seed=3")))


def test_one_row_and_seed_from_two_folders_is_counted_once_whatever_order_they_are_read_in(composed):
    runs = [run(composed(f"model.checkpoint={folder}", f"seed={seed}")) for folder in "ab" for seed in (0, 1)]
    failed = run(composed("model.checkpoint=c"), status="failed")
    first = min(each.key for each in runs)
    for order in ([*runs, failed], [failed, *reversed(runs)]):
        once, left_out = identity.once(order)
        assert {each.key for each in once} == {first} and len(once) == 2
        assert {each.key for each, _ in left_out} == {each.key for each in runs} - {first}
        assert all(f"{first[:8]} is counted" in sentence for _, sentence in left_out)


def test_rows_that_are_held_out_are_known_by_the_name_that_drew_them(composed):
    own = ("task=classification", "model=micro_deberta", "task.source.train=x.csv")
    one, other = (run(composed(*own, f"task.name={name}", "task.source.validation=v.csv")) for name in "ab")
    assert one.fingerprints == other.fingerprints
    assert identity.items(one, "own", "test") != identity.items(other, "own", "test")
    assert identity.items(one, "own", "validation") == identity.items(other, "own", "validation")


def test_scores_on_another_test_file_are_of_other_items(composed):
    one, other = (replace(run(composed()), scores={"gsm8k": {"test": {"data": file}}}) for file in ("old", "new"))
    assert identity.items(one, "gsm8k", "test") != identity.items(other, "gsm8k", "test")
    assert identity.items(one, "gsm8k", "validation") == identity.items(other, "gsm8k", "validation")


def test_one_base_with_two_tokenizers_is_two_rows(composed):
    folders = [composed(f"model.checkpoint={folder}") for folder in "abc"]
    one, other = (run(cfg, tokenizer=folder) for cfg, folder in zip(folders, "ab", strict=False))
    silent = run(folders[2])
    assert identity.row(one) != identity.row(other)
    known = identity.contents_of([one, silent])
    assert identity.row(silent, known) == identity.row(one, known)
    known = identity.contents_of([one, other, silent])
    assert len({identity.row(each, known) for each in (one, other, silent)}) == 3


def test_of_one_row_and_seed_the_record_with_more_scores_is_counted(composed):
    test, validation = {"toy": {"validation": {}, "test": {}}}, {"toy": {"validation": {}}}
    one, other = (run(composed(f"model.checkpoint={folder}")) for folder in "ab")
    for scores in ((test, validation), (validation, test)):
        runs = [replace(each, scores=these) for each, these in zip((one, other), scores, strict=True)]
        [counted], _ = identity.once(runs)
        assert counted.scores == test


def test_a_hub_checkpoint_has_the_digest_of_a_folder_with_its_files(tmp_path, monkeypatch):
    folder = ROOT / "assets" / "micro_gemma"
    hub = OmegaConf.create({"checkpoint": "org/model", "revision": "main", "name": "m", "family": "decoder"})
    own = OmegaConf.merge(hub, {"checkpoint": str(folder)})
    assert pretrained.content_fingerprint(own) == {}
    assert pretrained.content_fingerprint(hub) == {}  # nothing is at hand
    monkeypatch.setattr(pretrained, "try_to_load_from_cache", lambda id, name, revision: str(folder / name))
    assert pretrained.content_fingerprint(hub) == {"model_content": pretrained.fingerprint(own)}


# --- what is committed -----------------------------------------------------------------------------------------------


def test_the_key_of_every_committed_run_is_what_todays_yamls_give(committed):
    """Each record's configuration with all options that have come into a yaml since, at the values that stand there."""
    older = 0
    for each in committed:
        now = copy.deepcopy(each.config)
        for section, name, _ in list(identity._found(now, each.run.get("seeded") or identity.SEEDED)):
            if section[name] == each.run["seed"]:
                section[name] = 0
        architecture = "architecture" in each.config["model"]
        for group in ("train", "model", "task", "method"):
            _fill(now[group], _yaml(group, "default" if group == "train" else each.run[group]))
        older += now != each.config
        if not architecture:  # a yaml's, which is for counting without weights and leaves a run once its base is read
            now["model"].pop("architecture", None)
        in_key = {name: each.fingerprints[name] for name in ("data", "model", "adapter") if name in each.fingerprints}
        assert identity.key(now, in_key) == each.key
    assert older  # than some options


@cache
def _yaml(group: str, choice: str) -> dict:
    return OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / group / f"{choice}.yaml"))


def _fill(there: dict, defaults: dict) -> None:
    for name, value in defaults.items():
        if isinstance(value, dict):
            _fill(there.setdefault(name, {}), value)
        elif name != "defaults":
            there.setdefault(name, value)


def test_every_committed_run_is_a_row_and_a_cell_as_it_is_a_key(first):
    known = identity.contents_of(first)
    names = [(each.key, identity.row(each, known), identity.cell(each)) for each in first]
    assert len(set(names)) == len({key for key, *_ in names}) == 997
    assert len({row for _, row, _ in names}) == len({cell for *_, cell in names}) == 997


def test_the_committed_cells_have_the_committed_runs(first):
    runs = Counter(identity.cell(each) for each in first)
    filled = {}
    for path in (ROOT / manifests.OUT).glob("*.json"):
        rows = json.loads(path.read_text()).get("rows", [])
        filled[path.stem] = sum(runs[cell["identity"]] for row in rows for cell in row["cells"].values())
    assert {name: number for name, number in filled.items() if number} == FILLED


def test_cells_that_differ_by_a_place_alone_are_refused():
    one, other = (("model=micro_gemma", f"model.checkpoint={name}") for name in "ab")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        manifests._refuse_same_but_for_places(one, (*one, "train.micro_batch_size=2"))
        with pytest.raises(SettingError, match=r"differ in model\.checkpoint alone, .*: model\.name=NAME$"):
            manifests._refuse_same_but_for_places(one, other)
