"""The file of claims: how a comparison is read, and what is said of one that cannot be."""

import pytest

from analysis.load import hypotheses
from analysis.load.hypotheses import Row
from errors import RecordError

HEADER = "id,where,claim,kind,contrasts,bound,fewer,columns,note"


@pytest.fixture
def read(tmp_path):
    def of(*lines: str, header: str = HEADER):
        path = tmp_path / "hypotheses.csv"
        path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return hypotheses.read(path)

    return of


def test_a_contrast_is_a_sum_of_rows_with_weights(read):
    (claim,) = read("h1,abstract,C,above,[SVFT-R (d=8)] - 0.96 [Full-FT]-0.04[Head],,SVFT-P < LoRA (r=1),,why")
    assert claim.contrasts[0].terms == ((1, Row("SVFT-R (d=8)")), (-0.96, Row("Full-FT")), (-0.04, Row("Head")))
    assert claim.contrasts[0].balanced
    assert str(claim.contrasts[0]) == "SVFT-R (d=8) - 0.96 Full-FT - 0.04 Head"
    assert (claim.bound, claim.columns, claim.note) == (0, (), "why")
    assert claim.fewer == (Row("SVFT-P"), Row("LoRA (r=1)"))
    assert [row.label for row in claim.rows] == ["SVFT-R (d=8)", "Full-FT", "Head", "SVFT-P", "LoRA (r=1)"]


def test_several_contrasts_layers_columns_and_a_bound_in_points(read):
    (claim,) = read('h1,w,C,within,"[BOFT (b=8, m=2)@QV] - [A]; -0.5 [A] + [B]",1.5,,"SST-2, dev; MRPC",')
    assert claim.contrasts[0].terms[0] == (1, Row("BOFT (b=8, m=2)", "QV"))
    assert claim.contrasts[1].terms == ((-0.5, Row("A")), (1, Row("B")))
    assert str(claim.contrasts[0]) == "BOFT (b=8, m=2) on QV - A"
    assert not claim.contrasts[1].balanced
    assert claim.bound == pytest.approx(0.015)
    assert claim.columns == ("SST-2, dev", "MRPC")


def test_a_claim_that_no_comparison_decides_has_none(read):
    assert read("h1,w,C,above,,,,,")[0].contrasts == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("h7,w,C,above,[A] [B],,,,", r"h7: '\[A\] \[B\]' cannot be read from '\[B\]' on; a contrast is a sum"),
        ("h7,w,C,above,[A] - B,,,,", r"h7: '\[A\] - B' cannot be read from '- B' on"),
        ("h7,w,C,above,[A] - [B] + 2,,,,", r"cannot be read from '\+ 2' on; .* a constant stands in `bound`"),
        ("h7,w,C,above,[A] - [B,,,,", r"h7: '\[A\] - \[B' cannot be read"),
        ("h7,w,C,over,[A] - [B],,,,", "h7: kind is 'over'; it can be above or within"),
        ("h7,w,C,above,[A] - [B],much,,,", "h7: bound is 'much'; it is a number of points, or empty for 0"),
        ("h7,w,C,within,[A] - [B],,,,", "h7: bound is ''; a claim of kind 'within' needs one above 0"),
        ("h7,w,C,above,[A] - [B],,A > B,,", "h7: fewer is 'A > B'; it is two labels, as SVFT-P < LoRA"),
        (",w,C,over,[A],,,,", "hypotheses.csv, a line without an id: kind"),
    ],
)
def test_what_cannot_be_read_is_told_with_file_and_id(read, line, said):
    with pytest.raises(RecordError, match=said) as told:
        read(line)
    assert str(told.value).startswith("hypotheses.csv, ")


def test_an_id_that_is_there_twice_and_columns_that_are_not_are_refused(read):
    with pytest.raises(RecordError, match="h1: two claims have this id"):
        read("h1,w,C,above,,,,,", "h1,w,D,above,,,,,")
    with pytest.raises(RecordError, match="lacks the columns contrasts, note; there are: id, where, claim, kind"):
        read("h1,w,C,above,,,", header="id,where,claim,kind,bound,fewer,columns")


def test_a_file_that_is_not_there_is_told_of(tmp_path):
    with pytest.raises(RecordError, match="hypotheses.csv is not in .*, so no claim can be judged"):
        hypotheses.read(tmp_path / "hypotheses.csv")
