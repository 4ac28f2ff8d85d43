"""Rated sentences of film reviews, in lines as those of the published file."""

import pytest

from errors import DataError, MissingData
from tasks.vader_movies import FILE, Snippet, VaderMovies, distinct, read, words
from tests.conftest import ROOT

FOLDER = ROOT / "tests" / "tasks" / "data" / "vader_movies"
SIZES = {"train_per_class": 2, "validation_per_class": 1, "test_per_class": 1}


def make(folder=FOLDER, least_rating: float = 1, data_seed: int = 0, **sizes: int) -> VaderMovies:
    return VaderMovies(folder=str(folder), least_rating=least_rating, data_seed=data_seed, **{**SIZES, **sizes})


def examples(task: VaderMovies) -> list:
    return [example for split in ("train", "validation", "test") for example in task.examples(split)]


def test_a_line_is_a_number_a_mean_rating_and_a_sentence():
    text = "3\t-0.6\tEffective but too tepid biopic\r\n4\t1.46666666667\tTouché! \r\n"
    assert read(text, "x") == [
        Snippet("3", -0.6, "Effective but too tepid biopic"),
        Snippet("4", 1.46666666667, "Touché!"),
    ]
    assert [each.label for each in read(text, "x")] == [0, 1]


@pytest.mark.parametrize(
    "line", ["3\t-0.6", "3\tgood\tA film", "x\t1\tA film", "3\t1\tA\tfilm", "3\t5\tA film", "3\t1\t "]
)
def test_another_line_is_refused_with_its_number(line):
    with pytest.raises(DataError, match=r"^line 2 of x\.txt "):
        read(f"1\t2\tA film\n{line}\n", "x.txt")


def test_a_text_that_is_there_twice_stays_once_and_one_of_two_classes_not_at_all():
    snippets = [Snippet("1", 2.0, "'Good film.'"), Snippet("2", 1.0, "good FILM"), Snippet("3", -2.0, "... a mess ..."),
                Snippet("4", 1.0, "A mess!"), Snippet("5", 1.0, "!!!"), Snippet("6", -1.0, "???")]  # fmt: skip
    assert [each.id for each in distinct(snippets)] == ["1", "5", "6"]


def test_no_two_splits_share_a_text_and_every_split_is_balanced():
    found = examples(make())
    assert len(found) == len({words(example.text) for example in found}) == 8
    for split, number in (("train", 2), ("validation", 1), ("test", 1)):
        assert [example.label for example in make().examples(split)].count(1) == number


def test_undecided_and_contradicting_sentences_are_in_no_split():
    ids = {example.id.removeprefix("vader_movies-") for example in examples(make(train_per_class=3))}
    assert ids == {"1", "4", "6", "10", "12", "2", "5", "11", "13", "16"}
    assert not ids & {"3", "14", "15", "7", "8", "9"}


def test_the_data_seed_alone_decides_which_sentences_are_drawn():
    assert examples(make()) == examples(make())
    assert any(examples(make(data_seed=seed)) != examples(make()) for seed in range(1, 5))
    assert make(data_seed=1).fingerprint() != make().fingerprint()


def test_too_few_sentences_are_told():
    with pytest.raises(DataError, match=r"has 5 negative sentences rated 1 or more from zero, .* ask for 22$"):
        make(train_per_class=20).examples("train")


def test_an_absent_file_is_told_with_what_fetches_it(tmp_path):
    task = make(tmp_path)
    with pytest.raises(MissingData, match=r"`python -m assets\.fetch_real` fetches it$"):
        task.fingerprint()
    [file] = task.files()
    assert (file.name, file.present) == (str(tmp_path / FILE), False)


@pytest.mark.parametrize("wrong", [{"least_rating": 0}, {"test_per_class": 0}])
def test_settings_that_make_no_task_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(**wrong)
