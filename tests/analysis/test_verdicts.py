"""Is a computed count what was printed?"""

import pytest

from analysis.checks.params import verdict


@pytest.mark.parametrize(
    ("printed", "computed", "expected"),
    [
        ("26.2M", 26_247_168, "rounded"),
        ("0.63M", 626_688, "rounded"),  # up
        ("184M", 184_422_144, "rounded"),  # no decimals
        ("8.5B", 8_537_680_896, "rounded"),
        ("24.6K", 24_576, "rounded"),
        ("2.50M", 2_496_528, "rounded"),  # the zero counts as a digit
        ("0.5M", 450_000, "rounded"),  # a half goes up
        ("1.19M", 1_198_080, "truncated"),
        ("4.35M", 4_358_144, "truncated"),
        ("0.94M", 934_920, "no"),  # rounded twice
        ("0.30M", 294_912, "no"),
        ("2.5M", 2_600_000, "no"),
        ("0.35M", 3_538_944, "no"),
    ],
)
def test_a_count_is_compared_in_the_printed_unit_and_digits(printed, computed, expected):
    assert verdict(printed, computed) == expected


@pytest.mark.parametrize("printed", ["-", "", "12", "1.2.3M", "M", "1,2M", "1.2G"])
def test_what_is_not_a_printed_count_is_refused_by_name(printed):
    with pytest.raises(ValueError, match="is not a printed count"):
        verdict(printed, 1)
