"""Tables and figures of what a step costs, from result files made up so that every number is known by hand."""

import json
import shutil

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from analysis.figures import bench as bench_figure
from analysis.figures import style
from analysis.load import bench as bench_files
from analysis.load.records import load
from analysis.pages import bench as bench_tables
from analysis.statistics import targets as bench_targets
from errors import RecordError
from tests.analysis.conftest import built
from tests.conftest import ROOT

DATA = ROOT / "tests" / "analysis" / "data"  # its folder bench has the made-up files
CPU, GPU = "cpu-made-up", "cuda-made-up"
BLOCK = f"block-{CPU}.json"

# Of the made-up block: 1.1 and 1.15 are just kept; 1.304 is not, though it rounds to 1.30; SVFT-B without W0 has no
# row at 4096 tokens, so that its bytes, though below the limit where there are any, are not known to keep to it.
TARGETS = """\
| Target | Wanted | W0 kept | W0 dropped |
| :-- | --: | --: | --: |
| Step time against LoRA r=32, SVFT random, T = 1024 | at most 1.3 | 1.304 **missed** | 1.280 met |
| Step time against LoRA r=32, SVFT random, T = 4096 | at most 1.3 | 1.200 met | 1.250 met |
| Step time against LoRA r=32, SVFT banded, T = 1024 | at most 1.3 | 1.250 met | 1.300 met |
| Step time against LoRA r=32, SVFT banded, T = 4096 | at most 1.3 | 1.300 met |  |
| Step time against LoRA r=32, SVFT plain, T = 1024 | at most 1.25 | 1.200 met | 1.250 met |
| Step time against LoRA r=32, SVFT plain, T = 4096 | at most 1.25 | 1.260 **missed** | 1.200 met |
| Step time against the released formula, SVFT random, T = 256 | at most 0.55 | 0.500 met | 0.530 met |
| Step time against the released formula, SVFT random, T = 512 | at most 0.55 | 0.560 **missed** | 0.550 met |
| Step time against the released formula, SVFT random, T = 1024 | at most 0.8 | 0.700 met | 0.720 met |
| Step time against the released formula, SVFT random, T = 4096 | at most 1.05 | 1.000 met | 1.060 **missed** |
| Bytes saved for backward against LoRA r=32, worst of SVFT | at most 1.1 | 1.100 met | 1.101 **missed** |
| Resident weights against the base, worst of SVFT | at most 1.25 | 2.260 | 1.250 met |
| Linear layers, measured against counted time, worst of SVFT | at most 1.15 | 1.160 **missed** | 1.150 met |
| SVD of 2048 x 16384, times faster than torch.linalg.svd | at least 3 | 2.500 **missed** | 2.500 **missed** |
| Encoder's step, SVFT plain, T = 192 | at most 1.15 |  |  |
| Encoder's resident bytes, SVFT plain | at most 1.25 |  |  |

- Medians; """


@pytest.fixture(scope="module", autouse=True)
def _made_up_targets():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_targets, "TARGETS", DATA / "bench_targets.csv")
        yield


@pytest.fixture
def runs(tmp_path):
    """A copy of the made-up files, to be changed."""
    shutil.copytree(DATA / "bench", tmp_path / "runs" / "bench")
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    built(DATA, folder)
    return folder


def changed(runs, change, name=BLOCK) -> None:
    path = runs / "bench" / name
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def row(values: dict, method: str, tokens: int) -> dict:
    return next(each for each in values["rows"] if (each["method"], each["tokens"]) == (method, tokens))


def table(runs, name: str, device: str = CPU) -> pd.DataFrame:
    shown = bench_tables.tables(bench_files.find(runs)[device])[name].shown
    return shown.set_index(shown.columns[0])


# --- targets ---------------------------------------------------------------------------------------------------------


def test_each_target_is_held_against_the_unrounded_median_with_w0_kept_and_dropped(made):
    assert (made / f"bench_{CPU}_targets.md").read_text().startswith(TARGETS)


def test_bytes_below_the_limit_are_no_verdict_where_one_pattern_was_not_measured(runs):
    changed(runs, lambda values: row(values, "svft_random_dropped", 256).update(saved_bytes=1090))
    assert table(runs, "targets").filter(like="Bytes", axis=0)["W0 dropped"].tolist() == ["1.090"]


def test_a_step_that_ran_out_of_memory_misses_its_target(runs):
    changed(runs, lambda values: row(values, "svft_plain", 1024).update(ratio=None, failed="out of memory"))
    plain = table(runs, "targets").filter(like="SVFT plain, T = 1024", axis=0)
    assert plain.to_numpy().tolist() == [["at most 1.25", "out of memory **missed**", "1.250 met"]]
    changed(runs, lambda values: row(values, "svft_plain", 1024).update(saved_bytes=None))
    worst = table(runs, "targets").filter(like="Bytes", axis=0)  # though all others keep to it
    assert worst["W0 kept"].tolist() == ["out of memory **missed**"]


def encoder(runs, **counts) -> None:
    """A file of an encoder beside the block, with one step of SVFT-P at 192 tokens."""
    values = json.loads((runs / "bench" / BLOCK).read_text())
    rows = [{**row(values, name, 256), "tokens": 192} for name in ("svft_plain", "lora_r32")]
    rows[0].update(ratio=1.3, kernels=80, reference_kernels=70, **counts)
    methods = {name: {**values["methods"][name], "resident_bytes": 1200 + 300 * (name == "svft_plain")}
               for name in ("svft_plain", "lora_r32")}  # fmt: skip
    values.update(bench="encoder", rows=rows, methods=methods, linear=[])
    (runs / "bench" / f"encoder-{CPU}.json").write_text(json.dumps(values))


def test_an_encoders_steps_and_bytes_have_targets_of_their_own_and_what_is_missed_has_its_count(runs):
    encoder(runs, counted=1.654, least=1.6)
    assert table(runs, "targets").iloc[-2:].to_numpy().tolist() == [
        ["at most 1.15", "1.300 **missed** (counted 1.65, least 1.60)", ""],
        ["at most 1.25", "1.250 met", ""],
    ]
    assert table(runs, "targets").iloc[0, 1] == "1.304 **missed**"  # the block's stands as it was
    assert table(runs, "products").filter(like="SVFT-P", axis=0).iloc[-1]["T = 192"] == "1.65 (1.60); 80 / 70"
    changed(runs, lambda values: values["methods"]["svft_plain"].update(svd_seconds=3), f"encoder-{CPU}.json")
    seconds = json.loads((runs / "bench" / f"encoder-{CPU}.json").read_text())["rows"][0]["seconds"]
    share = measured(runs, "encoder svd")
    assert share[["of", "value"]].to_numpy().tolist() == [["svft_plain", pytest.approx(3 / (100 * seconds))]]


def measured(runs, measure: str) -> pd.DataFrame:
    found = bench_targets.measurements(bench_files.find(runs)[CPU])
    return found[found["measure"] == measure]


def test_what_a_whole_model_holds_is_that_of_the_methods_it_was_counted_for(runs):
    changed(runs, lambda values: values["methods"]["svft_plain"].update(whole_base_bytes=100, whole_resident_bytes=121))
    assert measured(runs, "resident model")[["of", "value"]].to_numpy().tolist() == [["svft_plain", 1.21]]
    assert "whole_base_bytes" in bench_tables.tables(bench_files.find(runs)[CPU])["memory"].numbers


def test_beside_a_missed_layer_and_a_missed_decomposition_stands_what_was_counted(runs):
    changed(runs, lambda values: [each.update(counted=1.25) for each in values["linear"]])
    changed(runs, lambda values: [each.update(counted=2.75) for each in values["rows"]], f"svd-{CPU}.json")
    shown = table(runs, "targets")
    assert shown.filter(like="Linear", axis=0)["W0 kept"].item() == "1.160 **missed** (counted 1.25)"
    assert shown.filter(like="SVD", axis=0)["W0 kept"].item() == "2.500 **missed** (counted 2.75)"
    assert table(runs, "svd")["Bound"].tolist()[0] == "2.75"


def test_without_the_decomposition_its_target_is_empty(runs):
    (runs / "bench" / f"svd-{CPU}.json").unlink()
    assert table(runs, "targets").iloc[-3].tolist() == ["at least 3", "", ""]
    assert table(runs, "targets").iloc[0, 1] == "1.304 **missed**"


@pytest.mark.parametrize("change", [{"dtype": "bfloat16"}, {"device": {"type": "cuda", "name": "Card"}}])
def test_only_a_float32_block_on_a_cpu_is_held_against_the_targets(runs, change):
    changed(runs, lambda values: values.update(change))
    made = bench_tables.tables(bench_files.find(runs)[CPU])
    assert "targets" not in made and "steps" in made


def test_a_block_of_another_shape_stands_beside_the_usual_one_and_is_held_against_nothing(runs):
    shutil.copy(runs / "bench" / BLOCK, runs / "bench" / f"block_big-{CPU}.json")
    changed(runs, lambda values: row(values, "svft_random", 4096).update(ratio=9.0), f"block_big-{CPU}.json")
    assert table(runs, "targets").iloc[1].tolist() == ["at most 1.3", "1.200 met", "1.250 met"]
    changed(runs, lambda values: values.update(model="Big, one block"), f"block_big-{CPU}.json")
    names = [bench_figure.file_name(bench) for bench in bench_files.find(runs)[CPU] if len(bench.steps)]
    assert names == [f"bench_{CPU}", f"bench_{CPU}_block_big"]
    assert [name for name in table(runs, "steps").index if "**" in name] == [
        "**block, float32**",
        "**block big, float32**",
    ]


# --- tables ----------------------------------------------------------------------------------------------------------


def test_the_step_table_has_ratios_with_quartiles_and_says_what_failed_and_what_is_missing(made):
    lines = (made / f"bench_{CPU}_steps.md").read_text().splitlines()
    assert lines[0] == "| Method | T = 256 | T = 512 | T = 1,024 | T = 4,096 |"
    assert lines[4] == (
        "| SVFT-R (d=16) | 1.50 [1.40, 1.70] | 1.40 [1.30, 1.60] | 1.30 [1.20, 1.50] | 1.20 [1.10, 1.40] |"
    )
    assert lines[6].endswith("| 1.30 [1.20, 1.50] |  |")
    assert lines[10].endswith("| 5.00 [4.90, 5.20] | out of memory |")


def test_a_ratio_of_two_medians_stands_without_quartiles_and_a_method_may_be_without_numbers(runs):
    nothing = dict.fromkeys(("trained", "base_bytes", "resident_bytes"))
    change = {"ratio_low": None, "ratio_high": None, "failed": None}
    name = f"model-tiny-{GPU}.json"
    changed(runs, lambda values: (row(values, "svft_random", 1024).update(change), values.update(shape=None)), name)
    changed(runs, lambda values: [each.update(nothing) for each in values["methods"].values()], name)
    assert table(runs, "steps", GPU).loc["SVFT-R (d=16)"].tolist() == ["1.30"]
    assert "two medians" in bench_tables.tables(bench_files.find(runs)[GPU])["steps"].notes[0]
    assert table(runs, "memory", GPU).loc["LoRA (r=32)"].tolist() == ["", "", "", "", "4 kB (1.00)"]
    assert bench_figure.figure(bench_files.find(runs)[GPU][0]).axes[0].lines[1].get_ydata().tolist() == [1.304]


def test_tokens_per_second_are_those_of_the_file(made):
    lines = (made / f"bench_{CPU}_throughput.md").read_text().splitlines()
    assert lines[4] == "| SVFT-R (d=16) | 666,667 | 714,086 | 767,041 | 833,367 |"


def test_memory_is_in_bytes_and_against_base_and_reference(made):
    lines = (made / f"bench_{CPU}_memory.md").read_text().splitlines()
    assert lines[7] == (
        "| SVFT-R (d=16), W0 dropped | 1,234 | 1 kB | 1.25 kB | 1.25 | 1.1 kB (1.10) | 2.1 kB (1.05) | 4.1 kB (1.02) "
        "| 16.1 kB (1.01) |"
    )
    assert lines[11] == "| Head | 1,234 | 1 kB | 1 kB | 1.00 | 0 B (0.00) | 0 B (0.00) | 0 B (0.00) | 0 B (0.00) |"


def test_measured_against_counted_has_operations_forms_and_times(made):
    lines = (made / f"bench_{CPU}_counted.md").read_text().splitlines()
    assert lines[6:8] == [
        "| SVFT-R (d=16) | 256 | 2 × folded, materialised | 2.56 | 20 | 22 | 1.10 [1.09, 1.12] |",
        "| SVFT-R (d=16) | 4,096 | 3 × materialised | 41 | 320 | 371 | 1.16 [1.15, 1.18] |",
    ]


def test_a_decomposition_is_as_many_times_faster_as_its_ratio_turn_by_turn_says(made):
    lines = (made / f"bench_{CPU}_svd.md").read_text().splitlines()
    assert lines[2:4] == [
        "| 2048 × 16384 | float32 | 21 | 8 | 2.50 | 3.0e-06 (4.0e-06) | 1.0e-06 (2.0e-06) |",
        "| 2048 × 16384 | float64 | 0.4 | 0.1 | 4.00 | 3.0e-14 |  |",
    ]


def test_generation_says_what_failed_and_whether_the_text_was_the_same(made):
    lines = (made / f"bench_{CPU}_generation.md").read_text().splitlines()
    assert lines[2:5] == [
        "| generate | SVFT-R | no | 120 | 1.00 | yes |",
        "| cached | svft_random | yes | out of memory |  |  |",
        "| cached | lora_r32 | no | 1,234 | 3.25 [3.00, 3.50] | no |",
    ]


def test_the_csv_is_unrounded_and_empty_where_nothing_was_measured(made):
    frame = pd.read_csv(made / f"bench_{CPU}_steps.csv").set_index(["method", "tokens"])
    assert frame.loc[("svft_random", 1024), ["ratio", "ratio_low", "ratio_released"]].tolist() == [1.304, 1.204, 0.7]
    failed = frame.loc[("boft", 4096)]
    assert failed["failed"] == "out of memory" and failed[["ratio", "ratio_low", "ratio_released"]].isna().all()


def test_the_page_has_every_table_of_its_device_and_the_readme_can_name_each(made):
    page = (made / f"bench_{CPU}.md").read_text()
    names = ["targets", "steps", "throughput", "memory", "counted", "svd", "generation"]
    parts = [(made / f"bench_{CPU}_{name}.md").read_text() for name in names]
    places = [page.index(part) for part in parts]
    assert places == sorted(places) and page.count("### ") == len(names)
    assert sorted(path.name for path in made.glob(f"bench_{GPU}*.md")) == [
        f"bench_{GPU}.md", f"bench_{GPU}_memory.md", f"bench_{GPU}_steps.md", f"bench_{GPU}_throughput.md",
    ]  # fmt: skip


def test_block_and_model_of_one_device_are_panels_of_one_table(runs):
    changed(runs, lambda values: values.update(device={"type": "cpu", "name": "P"}), f"model-tiny-{GPU}.json")
    (runs / "bench" / f"model-tiny-{GPU}.json").rename(runs / "bench" / f"model-tiny-{CPU}.json")
    steps = table(runs, "steps")
    assert [name for name in steps.index if name.startswith("**")] == ["**block, float32**", "**tiny, bfloat16**"]
    tiny = steps.loc["**tiny, bfloat16**":]
    assert tiny.loc["SVFT-R (d=16)"].tolist() == ["", "", "1.30 [1.20, 1.50]", ""]


def test_a_note_says_device_threads_type_and_commit(made):
    lines = (made / f"bench_{CPU}_steps.md").read_text().splitlines()
    assert lines[-1] == (
        "- Block, float32: Imaginary processor, 2 threads, torch 2.15.0; hidden 32, intermediate 128, heads 2, "
        "kv heads 1, head dim 16; 7 repeats; commit 01234567, changed."
    )


# --- files that are absent or damaged --------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [bench_tables, bench_figure])
def test_without_result_files_there_is_no_page(tmp_path, room):
    assert room.makers(load(tmp_path)) == {}


def damage(name: str):
    """Change of a file's values by what is wrong with them after it."""
    return {
        "schema": lambda values: values.update(schema=2),
        "kind": lambda values: values.update(bench="other"),
        "no rows": lambda values: values.pop("rows"),
        "no method": lambda values: values["rows"][0].pop("method"),
        "unknown method": lambda values: values["rows"][0].update(method="other"),
        "a word for a number": lambda values: values["rows"][0].update(ratio="fast"),
        "no device": lambda values: values.pop("device"),
        "empty": lambda values: values.update(methods={}, rows=[], linear=[]),
        "a list for a row": lambda values: values.update(rows=[[1]]),
    }[name]


WRONG = ["schema", "kind", "no rows", "no method", "unknown method", "a word for a number", "no device", "empty",
         "a list for a row"]  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_an_unusable_file_is_one_sentence_that_names_it(runs, name):
    changed(runs, damage(name))
    with pytest.raises(RecordError) as error:
        bench_files.find(runs)
    assert BLOCK in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("command", ["tables", "plots"])
def test_of_a_truncated_file_the_command_says_so_and_writes_no_page_of_benchmarks(runs, tmp_path, capsys, command):
    path = runs / "bench" / f"svd-{CPU}.json"  # the last to be read
    path.write_text(path.read_text()[:200])
    assert built(runs, tmp_path / "out", command=command) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {path} is not a readable result file")
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_there_twice_is_refused(runs):
    shutil.copy(runs / "bench" / f"model-tiny-{GPU}.json", runs / "bench" / f"tiny-{GPU}.json")
    with pytest.raises(RecordError, match=f"tiny, bfloat16 on {GPU} is twice"):
        bench_files.find(runs)


# --- figure ----------------------------------------------------------------------------------------------------------


def block():
    return next(bench for bench in bench_files.find(DATA)[CPU] if bench.kind == "block")


@pytest.fixture(scope="module")
def drawn():
    with style.matplotlib.rc_context(style.STYLE):
        figure = bench_figure.figure(block())
        figure.draw_without_rendering()
    return figure


def curve(figure, panel: int, label: str):
    """The line of a panel (0 time, 1 bytes, 3 and 4 the same of SVFT) that looks as the legend says of a label."""
    handle = next(each for each in figure.legends[0].legend_handles if each.get_label() == label)
    looks = [(line.get_color(), line.get_linestyle(), line.get_marker(), line.get_markerfacecolor())
             for line in (handle, *figure.axes[panel].lines)]  # fmt: skip
    (line,) = [line for line, look in zip(figure.axes[panel].lines, looks[1:], strict=True) if look == looks[0]]
    return line


def panels(figure) -> dict:
    return {ax.get_title(loc="left"): place for place, ax in enumerate(figure.axes)}


def test_each_method_has_a_curve_of_its_ratios_and_the_reference_is_the_line_at_1(drawn):
    time = panels(drawn)["Time of a training step"]
    assert curve(drawn, time, "SVFT-R (d=16)").get_xydata().tolist() == [
        [256, 1.5], [512, 1.4], [1024, 1.304], [4096, 1.2],
    ]  # fmt: skip
    assert curve(drawn, time, "SVFT-B (d=16), W0 dropped").get_xdata().tolist() == [256, 512, 1024]
    assert curve(drawn, time, "LoRA (r=32), the line at 1").get_ydata() == [1, 1]
    saved = panels(drawn)["Bytes saved for backward"]
    assert curve(drawn, saved, "BOFT (b=8, m=2)").get_ydata().tolist() == [3, 3, 3]


def test_the_band_runs_from_the_lower_to_the_upper_quartile(drawn):
    time = drawn.axes[panels(drawn)["Time of a training step: SVFT"]]
    random = next(band for band in time.collections if to_hex(band.get_facecolor()[0]) == "#8c2d04")
    vertices = {tuple(vertex.round(3)) for vertex in random.get_paths()[0].vertices}
    assert vertices == {
        (256, 1.4), (512, 1.3), (1024, 1.204), (4096, 1.1), (256, 1.7), (512, 1.6), (1024, 1.504), (4096, 1.4),
    }  # fmt: skip


def test_of_one_number_of_tokens_the_band_is_a_line():
    (tiny,) = bench_files.find(DATA)[GPU]
    (quartiles,) = bench_figure.figure(tiny).axes[0].collections
    assert quartiles.get_segments()[0].tolist() == [[1024, 1.204], [1024, 1.504]]


def test_svft_without_w0_is_hollow_and_the_released_formula_dashed(drawn):
    time = panels(drawn)["Time of a training step"]
    kept, dropped = (curve(drawn, time, f"SVFT-P{more}") for more in ("", ", W0 dropped"))
    assert kept.get_color() == dropped.get_color() == kept.get_markerfacecolor() != dropped.get_markerfacecolor()
    assert curve(drawn, time, "SVFT-R (d=16), released formula").is_dashed()
    assert not kept.is_dashed()


def test_no_two_methods_look_the_same():
    names = [*block().methods["method"], "lora_r1", "dora", "vera", "full"]
    looks = {tuple(str(bench_figure.look(name).get(key)) for key in ("color", "linestyle", "markerfacecolor"))
             for name in names if name != "lora_r32"}  # fmt: skip
    assert len(looks) == len(names) - 1


def test_far_methods_make_the_axis_logarithmic_with_few_ticks_and_svft_has_a_plain_one(drawn):
    time, near = (drawn.axes[panels(drawn)[f"Time of a training step{more}"]] for more in ("", ": SVFT"))
    assert (time.get_yscale(), near.get_yscale()) == ("log", "linear")
    shown = [text.get_text() for text in time.get_yticklabels() if 0.3 <= text.get_position()[1] <= 6.2]
    assert shown == ["0.5", "1", "2", "5"]
    assert [text.get_text() for text in time.get_xticklabels()] == ["256", "512", "1024", "4096"]


def test_bars_are_resident_over_base_weights(drawn):
    bars = drawn.axes[panels(drawn)["Resident weights"]]
    assert [bar.get_width() for bar in bars.patches] == [2.2, 2.2, 2.26, 1.2, 1.24, 1.25, 2.26, 1.06, 1.1, 1.0]
    assert [text.get_text() for text in bars.texts][:3] == ["2.20", "2.20", "2.26"]


def test_what_is_not_drawn_is_said(drawn):
    said = drawn.legends[0].get_title().get_text()
    assert said == "Not drawn: BOFT (b=8, m=2) at 4096 tokens, out of memory; bytes saved by Head, which are none."


def test_the_title_says_block_device_type_and_shape():
    first, second = bench_figure.title(block()).split("\n")
    assert first == "One block (imaginary), Imaginary processor, 2 threads, float32"
    assert second == "hidden 32, intermediate 128, heads 2, kv heads 1, head dim 16, 1 layer"
    (tiny,) = bench_files.find(DATA)[GPU]
    assert bench_figure.title(tiny).startswith("tiny, Imaginary card, bfloat16\n")


def test_nothing_written_overlaps_or_leaves_the_figure(drawn):
    legend, bars = drawn.legends[0], drawn.axes[panels(drawn)["Resident weights"]]
    titles = [ax._left_title for ax in drawn.axes]
    texts = [*titles, *legend.get_texts(), legend.get_title(), drawn._suptitle, *bars.get_yticklabels(), *bars.texts]
    texts += [text for ax in drawn.axes for text in [ax.xaxis.label, ax.yaxis.label] if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    frames = [ax.get_window_extent() for ax in drawn.axes if ax is not bars]
    assert not [text for text in bars.get_yticklabels() for frame in frames if text.get_window_extent().overlaps(frame)]
    assert all(drawn.bbox.x0 <= b.x0 and b.x1 <= drawn.bbox.x1 and drawn.bbox.y0 <= b.y0 for b in boxes)


def test_each_block_and_model_file_has_a_figure_and_it_is_the_same_each_time(runs, tmp_path):
    (runs / "bench" / BLOCK).rename(runs / "bench" / f"block-{GPU}.json")
    for folder in ("one", "two"):
        built(runs, tmp_path / folder, command="plots")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [f"bench_{GPU}{more}.{kind}" for more in ("", "_tiny") for kind in ("png", "svg")]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def other(folder, kind: str, **values) -> pd.DataFrame:
    """The one table of a made-up file of this kind, as shown, and its notes."""
    device = {"type": "cpu", "name": "Imaginary"}
    said = {"schema": 1, "bench": kind, "device": device, "threads": 2, "torch": "2", "dtype": "bfloat16"}
    (folder / "bench").mkdir()
    (folder / "bench" / f"{kind}-cpu-imaginary.json").write_text(
        json.dumps({**said, "commit": "0" * 40, "dirty": False, **values})
    )
    built(folder, folder / "out")
    assert (folder / "out" / f"bench_cpu-imaginary_{kind}.tex").exists()
    return bench_tables.tables(bench_files.find(folder)["cpu-imaginary"])[kind]


def test_the_choice_of_forms_is_summed_up_by_pattern_and_by_what_becomes_of_w0(tmp_path):
    row = {
        "layers": "D",
        "pattern": "plain",
        "keep_weight": True,
        "tokens": 256,
        "chosen": "folded",
        "fastest": "folded",
    }
    rows = [{**row, "regret": regret} for regret in (0.0, -0.01, 0.04, 0.2)]
    made = other(tmp_path, "forms", rows=[*rows, {**row, "keep_weight": False, "regret": 0.0}])
    assert made.shown.to_numpy().tolist() == [
        ["plain", "kept", "4", "2", "3", "20.0 %"],
        ["plain", "dropped", "1", "1", "1", "0.0 %"],
    ]


def test_precision_says_what_dropping_w0_does_to_start_matrix_and_training(tmp_path):
    start = {"model": "micro_gemma", "case": "W0 dropped", "logits_rms": 0.0113, "logits_largest": 0.257, "loss": 3.253,
             "loss_difference": -0.0012, "divergence": 4.7e-4, "agreement": 0.9912}  # fmt: skip
    curves = [[[1, 9.0], *([step, 1.0 + seed] for step in range(2, 7))] for seed in (0, 1)]
    made = other(
        tmp_path, "precision", starts=[start], matrices=[{"shape": [4, 8], "storing": 1.66e-3, "dropping": 2.34e-3}],
        training=[{"case": "W0 kept", "seed": n, "loss": curves[n], "score": 0.5 + n / 10} for n in (0, 1)],
    )  # fmt: skip
    row = ["micro_gemma", "W0 dropped", "1.1e-02", "2.6e-01", "3.2530", "-0.0012", "4.7e-04", "99.1 %"]
    assert made.shown.to_numpy().tolist() == [row]
    assert "A Gaussian matrix 4 × 8: rounding it to bfloat16 moves it by 1.7e-03" in made.notes[1]
    assert "by 2.3e-03 more" in made.notes[1]
    assert "W0 kept: loss at the end 1.500 [1.000, 2.000], validation score 55.0 [50.0, 60.0]" in made.notes[2]


# --- whole runs ------------------------------------------------------------------------------------------------------


def whole_runs(runs, monkeypatch, *parts: tuple[str, float]) -> None:
    """A file with these parts and their values, beside the block; two of them have a target."""
    values = json.loads((runs / "bench" / BLOCK).read_text())
    seconds = {"seconds": 60.0, "training_seconds": 50.0, "evaluation_seconds": 6.0}
    rows = [{
        "part": part, "method": "svft_random", "case": "here", "reference": "there", "unit": "", "same_scores": True,
        "value": value, "low": value - 0.1, "high": value + 0.1, "cpu_value": value, "rest_seconds": 4.0,
        "crowded": 1, "runs": 6, **seconds,
        **{f"reference_{name}": 2 * number for name, number in seconds.items()},
    } for part, value in parts]  # fmt: skip
    values = {name: values[name] for name in ("schema", "device", "threads", "torch", "dtype", "commit", "dirty")}
    (runs / "bench" / f"runs-{CPU}.json").write_text(json.dumps({**values, "bench": "runs", "rows": rows}))
    aims = runs / "targets.csv"
    lines = [f'"Wanted of {part}",{part},svft_random,,at most,1.05,kept' for part in ("whole", "beside")]
    aims.write_text("\n".join([bench_targets.TARGETS.read_text().splitlines()[0], *lines]) + "\n")
    monkeypatch.setattr(bench_targets, "TARGETS", aims)


def test_whole_runs_are_held_against_their_targets_and_a_part_that_was_not_measured_is_empty(runs, monkeypatch):
    whole_runs(runs, monkeypatch, ("whole", 1.2), ("seeds", 0.7))
    assert table(runs, "targets").to_numpy().tolist() == [
        ["at most 1.05", "1.200 **missed**", ""], ["at most 1.05", "", ""]]  # fmt: skip
    whole_runs(runs, monkeypatch, ("whole", 1.04), ("beside", 0.6))
    assert table(runs, "targets")["W0 kept"].tolist() == ["1.040 met", "0.600 met"]


def test_whole_runs_have_a_table_of_seconds_with_those_of_steps_and_evaluation(runs, monkeypatch):
    whole_runs(runs, monkeypatch, ("beside", 0.5))
    assert table(runs, "runs").loc["beside"].tolist() == [
        "svft_random", "here", "there", "0.50 [0.40, 0.60]", "0.50", "60.0 / 120.0", "50.0 / 100.0", "6.0 / 12.0",
        "yes", "1 of 6 runs"]  # fmt: skip
