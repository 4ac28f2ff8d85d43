"""What the page says is what the tables say, from the records that are committed."""

import re
import shlex
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import run as _resolvers  # noqa: F401  what configurations are composed with
from analysis.content import answers, boards, cards, details, interned, papers, rows
from analysis.content.core import resamples
from analysis.load.records import load
from analysis.pages import comparison, results
from analysis.statistics import stats
from analysis.statistics.experiments import experiments
from harness.store import identity
from svft import SvftConfig
from svft.patterns import num_coefficients
from tests import card_counts
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def loaded():
    return load(ROOT / "runs")


@pytest.fixture(scope="module")
def outcomes(loaded):
    return boards.Outcomes(loaded)


@pytest.fixture(scope="module")
def shown(loaded, outcomes):
    return {board["name"]: board for board in boards.boards(loaded, outcomes)}


def test_a_column_of_results_is_covered_where_a_comparison_has_the_same_scores_of_the_same_runs(shown):
    covered = {
        (name, column["benchmark"], column["scorer"])
        for name, board in shown.items()
        for column in board["columns"]
        if column.get("covered")
    }
    assert ("vader_movies_minilm_l6", "vader_movies", "accuracy") in covered  # all of it is in `real`
    assert ("mrpc_1600_minilm_l6", "mrpc_1600", "f1") not in covered  # the study has its accuracy alone
    assert not any(name == "micro_rte_micro_deberta" for name, *_ in covered)  # of several twins, none of which has all
    assert not any(column.get("covered") for board in shown.values() if board["kind"] == "comparison"
                   for column in board["columns"])  # fmt: skip


@pytest.mark.parametrize("items", ["1", "0110", "101010101", "0" * 17 + "1"])
def test_verdicts_are_unpacked_to_what_was_packed(items):
    import base64

    bits = np.unpackbits(np.frombuffer(base64.b64decode(interned.packed(items)), dtype=np.uint8))
    assert "".join(map(str, bits[: len(items)])) == items
    assert not bits[len(items) :].any()


def test_columns_give_the_rows_again():
    told = [{"a": 1, "b": "x"}, {"a": 1}, {"b": "x", "c": True}]
    made = interned.columns(told)
    again = [
        {name: column["values"][column["of"][place]] for name, column in made.items() if column["of"][place] >= 0}
        for place in range(3)
    ]
    assert again == told


@pytest.mark.parametrize("seeds", [3, 4, 5, 8])
def test_the_resamples_that_are_kept_give_the_interval_of_the_tables(seeds):
    values = np.random.default_rng(seeds).random(seeds)
    kept = resamples(seeds)
    assert sum(counts[-1] for counts in kept) == stats.RESAMPLES
    assert {sum(counts[:-1]) for counts in kept} == {seeds}
    means = np.repeat([np.dot(counts[:-1], values) / seeds for counts in kept], [counts[-1] for counts in kept])
    assert stats.bootstrap_interval(values) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=1e-11)


def test_every_score_of_a_comparison_is_in_its_board(loaded, shown):
    compared = [name for name, each in experiments(loaded).items() if each.compares]
    assert "comparison" in compared and "real" in compared
    for name in compared:
        board, frame = shown[name], comparison.numbers(loaded, name)
        found = {}
        for line, own in zip(board["lines"], board["outcomes"], strict=True):
            for number in line["columns"]:
                key = board["columns"][number]["name"], line["model"], line["label"], line["targets"]
                found[key] = [outcome[1] for outcome in own[number] or ()]
        assert len(found) == len(frame)
        for row in frame.itertuples():
            means = found[row.panel, row.model, row.label, row.targets]
            assert len(means) == row.seeds
            assert not means or fmean(means) == pytest.approx(row.reproduced, abs=1e-12)


def test_every_score_of_a_table_of_results_is_in_its_board(loaded, shown):
    for result in results.results(loaded):
        board, keys = shown[result.name], list(result.rows["key"])
        names = [(column["benchmark"], column["scorer"]) for column in board["columns"]]
        for cell in result.cells.itertuples():
            own = board["outcomes"][keys.index(cell.key)][names.index((cell.benchmark, cell.scorer))]
            assert len(own) == cell.seeds
            assert fmean(outcome[1] for outcome in own) == pytest.approx(cell.mean, abs=1e-12)


def test_verdicts_by_item_are_those_of_the_record_and_give_its_score(loaded, outcomes, shown):
    board = shown["comparison"]
    outcome = board["outcomes"][0][0][0]
    items = outcomes.items.values[outcome[4]]
    assert len(items) == outcome[2]
    assert items.count("1") / len(items) == pytest.approx(outcome[1], abs=1e-12)
    record = loaded.records[outcome[6]]
    column = board["columns"][0]
    assert record.scores[column["benchmark"]]["test"]["scorers"][column["scorer"]]["items"] == items


def test_every_run_is_in_one_row(loaded):
    places = [each["run"] for row in rows.rows(loaded) for each in row["runs"]]
    assert sorted(places) == list(range(len(loaded.records)))


def test_answers_are_those_that_were_scored(loaded, shown):
    made = answers.answers(loaded, list(shown.values()))
    assert made["left_out"] == []
    board = shown["digits_micro_vit"]
    for own in board["outcomes"]:
        for seed, mean, n, data, _, _, run, _ in own[0]:
            said, gold = made["runs"][run][data], made["sets"][data]["gold"]
            assert len(said) == n
            assert fmean(a == b for a, b in zip(said, gold, strict=True)) == pytest.approx(mean), (run, seed)


def test_answers_beyond_the_limit_are_left_out_and_told(loaded, shown, monkeypatch):
    monkeypatch.setattr(answers, "LIMIT", 2_000)
    made = answers.answers(loaded, [shown["digits_micro_vit"]])
    (sentence,) = made["left_out"]
    assert re.fullmatch(r"\d+ runs on digits: no room", sentence)
    assert int(sentence.split()[0]) + len(made["runs"]) == len(
        {outcome[6] for own in shown["digits_micro_vit"]["outcomes"] for outcome in own[0]}
    )


def test_answers_that_are_left_out_take_no_room_from_others(shown, loaded, monkeypatch):
    board = shown["digits_micro_vit"]
    whole, rows_of = answers.answers(loaded, [board]), answers._rows
    first = next(iter(whole["runs"]))

    def with_one_long(folders, record, column):
        found = rows_of(folders, record, column)
        if record is not loaded.records[first]:
            return found
        noise = np.random.default_rng(0).bytes(3_000_000).hex()
        return [{**row, "predicted_class": noise + str(row["id"])} for row in found[:2]]

    monkeypatch.setattr(answers, "_rows", with_one_long)
    made = answers.answers(loaded, [board])
    assert made["left_out"] == ["1 runs on digits: no room"]
    assert set(made["runs"]) == set(whole["runs"]) - {first}
    assert max(map(len, made["strings"])) < 100


def test_a_loss_that_is_no_number_is_a_gap_of_its_curve(loaded):
    record = replace(loaded.records[0], train={"loss": [[1, 2.5], [2, None], [3, 1.23456]]})
    assert details._curve(record) == [[1, 2.5], [2, None], [3, 1.235]]


def test_a_command_makes_the_run_that_it_stands_beside(loaded):
    commands = details.details(loaded)["commands"]
    differing = {}
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        for record, command in list(zip(loaded.records, commands, strict=True))[::61]:
            cfg = compose("config", overrides=shlex.split(command)[2:])
            now, then = (
                _told(config, record.run.get("seeded"))
                for config in (OmegaConf.to_container(cfg, resolve=True), record.config)
            )
            if now != then:
                differing[command] = {name for name in now | then if now.get(name) != then.get(name)}
    assert differing == {}


@pytest.fixture
def mine(loaded):
    """One run of LoRA on digits, and its command when options of it are others."""
    record = next(
        each for each in loaded.records
        if (each.run["task"], each.run["method"], each.run["variant"]) == ("digits", "lora", "r8-QKVOUD")
    )  # fmt: skip

    def command(**changes):
        config = OmegaConf.create(record.config)
        for name, value in changes.items():
            OmegaConf.update(config, name.replace("__", "."), value)
        run = {**record.run, "identity": "of no manifest"}
        changed = replace(record, config=OmegaConf.to_container(config), run=run)
        return shlex.split(details._commands(replace(loaded, records=[changed]), [dict(details._leaves(changed))])[0])

    return command


def test_a_command_says_what_all_runs_of_a_folder_have_in_common(mine):
    usual = mine(train__lr=0.001, train__head_lr=0.03)
    assert usual[2:] == [
        "task=digits", "model=micro_vit", "method=lora", "recipe=clean", f"seed={usual[6][5:]}",
        "method.targets=QKVOUD",
    ]  # fmt: skip
    other = mine(train__lr=0.5, train__head_lr=0.03, train__max_steps=20, task__source__train_per_class=5)
    assert set(other) - set(usual) == {"train.lr=0.5", "train.max_steps=20", "task.source.train_per_class=5"}


def test_a_command_says_an_option_that_does_not_follow_the_one_it_usually_follows(mine):
    usual = mine(train__lr=0.001, train__head_lr=0.03)
    assert mine(train__lr=0.001, train__head_lr=0.03, method__adapter__lora_alpha=16) == usual
    other = mine(train__lr=0.001, train__head_lr=0.03, method__adapter__lora_alpha=32, model__checkpoint="kept/here")
    assert set(other) - set(usual) == {"method.adapter.lora_alpha=32", "model.checkpoint=kept/here"}


@pytest.mark.parametrize("value", ["$(touch x); `y`", "a b", "it's \\'", "[a, b]"])
def test_a_command_passes_a_shell_and_hydra_unchanged(mine, value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (option,) = [each for each in mine(train__precision=value) if each.startswith("train.precision=")]
    read = OverridesParser.create().parse_override(option).value()
    assert (f"[{', '.join(map(str, read))}]" if isinstance(read, list) else str(read)) == value


def _told(config: dict, seeded: list | None) -> dict:
    kept = identity._placeless(config, seeded)
    for name in ("architecture", "roles"):  # which a base that is read fills in
        kept["model"].pop(name, None)
    return dict(details._flat("", kept))


def test_every_method_has_a_card():
    assert set(cards.read()) == {path.stem for path in (ROOT / "conf" / "method").glob("*.yaml")}


def test_a_card_that_lacks_a_field_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "methods.yaml"
    path.write_text(yaml.safe_dump({"lora": {"formula": "x"}}))
    monkeypatch.setattr(cards, "PATH", path)
    cards.read.cache_clear()
    with pytest.raises(ValueError, match=r"the card of lora lacks count, source, use, avoid"):
        cards.read()
    cards.read.cache_clear()


SHAPES = {"q_proj": (128, 128), "k_proj": (32, 128), "v_proj": (32, 128), "o_proj": (128, 128), "gate_proj": (384, 128),
          "up_proj": (384, 128), "down_proj": (128, 384)}  # fmt: skip


@pytest.mark.parametrize("method", ["svft_block", "svft_gradient", "lora_xs"])
def test_counts_on_cards_are_those_of_layers(method):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        options = OmegaConf.to_container(compose(overrides=[f"+method={method}"]).method.adapter, resolve=False)
    options = {name: value for name, value in options.items() if not str(value).startswith("${")}
    config = SvftConfig(**{name: value for name, value in options.items() if name != "_target_"})
    for m, n in SHAPES.values():
        K = config.directions(min(m, n))
        assert num_coefficients(K, config.half_width(K)) == card_counts.counted(method, options, [(m, n)])


def test_counts_on_cards_are_those_of_the_runs(loaded):
    counted = {}
    for record in loaded.records:
        method, layers = record.run["method"], record.adapter.get("layers", [])
        if record.run["model"] != "micro_gemma" or record.status != "done" or not layers:
            continue
        options = record.config["method"]["adapter"]
        if options.get("rank") or options.get("preset") == "authors_code":  # which leave directions out, or have a gate
            continue
        if options.get("share"):  # layers of one role train one set
            continue
        shapes = [SHAPES[layer.split(".")[-1]] for layer in layers]
        expected = card_counts.counted(method, options, shapes)
        if method == "vectorfit" and not options["train_bias"]:
            expected -= sum(m for m, _ in shapes)
        if method == "ia3":  # which scales the inputs of the last product of an MLP
            last = [shape for shape, layer in zip(shapes, layers, strict=True) if layer.endswith("down_proj")]
            expected += sum(n - m for m, n in last)
        counted[method] = record.parameters["adapter"] == expected and counted.get(method, True)
    assert {"lora", "dora", "adalora", "vera", "pissa", "oft", "boft", "svf", "svft_plain", "svft_banded", "svft_topk",
            "svft_random", "vectorfit", "spectral_additive", "spectral_rotation"} <= set(counted)  # fmt: skip
    assert all(counted.values()), counted


def test_misprints_stand_beside_the_tables_of_their_own_paper_alone(loaded):
    with_misprints = {each["name"] for each in papers.papers(loaded) if each["misprints"]}
    assert {"table1", "table8"} <= with_misprints
    assert not any(name.startswith(("spectral", "micro")) for name in with_misprints)
