"""What docs/results.md says in words is what its tables say: each sentence with the fact that it stands for."""

from collections.abc import Callable

import pandas as pd
import pytest

from tests.conftest import ROOT

TABLES = ROOT / "analysis" / "output" / "tables"
DEV, UNUSED, MOVIES = "SST-2, dev", "SST-2, unused rows", "movie snippets"
GSM, DIGITS = "micro-GSM", "digits"
SUPPORTS = "digits, 20 a class to choose"
PATTERNS = ["SVFT-B (d=8)", "SVFT-R (d=8)", "SVFT-T (d=8)"]
ONE_FACTOR = ["SVFT-P", "SVF", "VectorFit"]  # singular values alone


def verdict(claim: str, metric: str) -> str:
    frame = pd.read_csv(TABLES / "verdicts.csv")
    (found,) = frame[(frame["id"] == claim) & (frame["metric"] == metric)]["verdict"]
    return found


def verdicts(*claims: str, on: tuple[str, ...]) -> set[str]:
    return {verdict(claim, metric) for claim in claims for metric in on}


def rows(table: str, metric: str) -> pd.DataFrame:
    """By label, those that were run."""
    frame = pd.read_csv(TABLES / f"{table}.csv")
    return frame[(frame["metric"] == metric) & frame["reproduced"].notna()].set_index("label")


def labels(table: str, metric: str, judged: str) -> set[str]:
    frame = rows(table, metric)
    return {name.split(" (")[0] for name in frame.index[frame["verdict"] == judged]}


def score(label: str, metric: str, table: str = "comparison") -> float:
    return rows(table, metric)["reproduced"][label]


def behind(label: str) -> float:
    return rows("comparison", GSM)["difference"][label]


def rises_above(share: float) -> pd.Series:
    """Rise of the base's own loss, nats, of what scores more and has it measured."""
    frame = rows("comparison", GSM)
    return frame[frame["reproduced"] > share]["base_loss"].dropna()


def supports(at_least: float = 0.0) -> pd.Series:
    frame = rows("study_patterns", SUPPORTS)
    return frame[frame["rate"] >= at_least]["reproduced"]


def fewer(label: str, than: str, table: str, metric: str) -> float:
    frame = rows(table, metric)["params"]
    return frame[than] / frame[label]


def fused(mode: str) -> list[float]:
    """Of LoRA, of Spectral Adapters with their own columns and of those with the same: the average over the tasks."""
    frame = pd.read_csv(TABLES / "fusion.csv").set_index(["task", "mode", "fused"])["reproduced"]
    return frame["Average", mode][
        ["LoRA (r=4)", "Spectral-A (r=4, own blocks)", "Spectral-A (r=4, one block)"]
    ].tolist()


def smallest(*claims: str) -> pd.Series:
    """Difference that would have been seen in the columns on real weights, points."""
    frame = pd.read_csv(TABLES / "verdicts.csv")
    own = frame[frame["id"].isin(claims) & frame["metric"].isin([DEV, UNUSED, MOVIES])]
    return 100 * own["smallest"]


SENTENCES: dict[str, Callable[[], bool]] = {
    "a twenty-fourth of what LoRA (r=8) trains": lambda: (
        round(fewer("SVFT-P", "LoRA (r=8)", "study_methods", DEV)) == 24
    ),
    "h09 holds on SST-2's dev set; on the two other sets of sentences the difference is too small to be": lambda: (
        verdict("h09", DEV) == "holds" and verdicts("h09", on=(UNUSED, MOVIES)) == {"not told apart"}
    ),
    "(h07 holds there, and is not told on the other sets)": lambda: (
        verdict("h07", DEV) == "holds" and verdicts("h07", on=(UNUSED, MOVIES)) == {"not told apart"}
    ),
    "So are DoRA and OFT, and LoRA (r=1) scores 1.9 points above LoRA (r=8), which is not told from chance": lambda: (
        labels("study_methods", DEV, "better") == {"DoRA", "OFT", "SVFT-R"}
        and "LoRA" in labels("study_methods", DEV, "tie")
        and round(100 * rows("study_methods", DEV)["difference"]["LoRA (r=1)"], 1) == 1.9
    ),
    "96 % of its score on all three sets (h01)": lambda: verdicts("h01", on=(DEV, UNUSED, MOVIES)) == {"holds"},
    "(h02), or is within a point of it (h10), holds on SST-2's dev set and is not told on the other two": lambda: (
        verdicts("h02", "h10", on=(DEV,)) == {"holds"}
        and verdicts("h02", "h10", on=(UNUSED, MOVIES)) == {"not told apart"}
    ),
    "Off-diagonal entries are not told apart from the diagonal alone (h11 to h13), nor random ones from a band (h15)": (
        lambda: verdicts("h11", "h12", "h13", "h15", on=(DEV, UNUSED, MOVIES)) == {"not told apart"}
    ),
    "Differences of one to two and a half points would have been seen": lambda: (
        smallest("h11", "h12", "h13", "h15").between(0.75, 2.75).all()
    ),
    "Top-k is the weakest of the three patterns on SST-2 and the best on digits": lambda: (
        all(min(PATTERNS, key=lambda each: score(each, on, "study_methods")) == PATTERNS[2] for on in (DEV, UNUSED))
        and max(PATTERNS, key=lambda each: score(each, DIGITS)) == PATTERNS[2]
    ),
    "LoRA, LoHa and PiSSA are far above every SVFT of d = 8, and SVFT-P learns little": lambda: (
        min(score(each, GSM) for each in ("LoRA (r=8)", "LoHa (r=4)", "PiSSA (r=8)")) - 0.1
        > max(share for label, share in rows("comparison", GSM)["reproduced"].items() if "SVFT" in label)
    ),
    "SVFT-T is third of 55 rows and not told apart from LoRA (r=8)": lambda: (
        (ranks := rows("comparison", DIGITS)["reproduced"].rank(ascending=False))["SVFT-T (d=8)"] == 3
        and len(ranks) == 55
        and rows("comparison", DIGITS)["verdict"]["SVFT-T (d=8)"] == "tie"
    ),
    "(column Sum), they do not: LoRA keeps 60.8, own columns 50.7, shared ones 45.2": lambda: (
        [round(100 * each, 1) for each in fused("sum")] == [60.8, 50.7, 45.2]
    ),
    "The score is worse for it here: 9.7 points below that without": lambda: (
        (strength := pd.read_csv(TABLES / "vectorfit_strength.csv").set_index("run").loc["VectorFit (no AVF)"])[
            "verdict"
        ]
        == "better"
        and round(100 * strength["difference"], 1) == 9.7
    ),
    "learn little at this size": lambda: max(score(each, GSM) for each in ONE_FACTOR) < 0.2,
    "OFT and DoRA score higher than SVFT-R with fewer parameters": lambda: all(
        fewer(each, "SVFT-R (d=8)", "comparison", GSM) > 1 and score(each, GSM) > score("SVFT-R (d=8)", GSM)
        for each in ("OFT (b=16)", "DoRA (r=4)")
    ),
    "LoHa, GraLoRA, DeLoRA, LoRA-Dash, HiRA, SHiRA and WaveFT, which are not told apart from LoRA (r=8)": lambda: (
        {"LoHa", "GraLoRA", "DeLoRA", "LoRA-Dash", "HiRA", "SHiRA", "WaveFT"} <= labels("comparison", GSM, "tie")
        and labels("comparison", GSM, "better") == {"Full-FT"}
    ),
    "random, band, top-k and gradient are 10 to 13 points below LoRA (r=8), the leading block 16": lambda: (
        all(-0.13 < behind(f"SVFT-{each} (d=8)") < -0.10 for each in "RBTG")
        and -0.17 < behind("SVFT-block (d=8)") < -0.16
    ),
    "Other methods in the singular basis (LoRA-XS, SSVD, PSOFT, PiCa) are worse than LoRA, too. SHiRA": lambda: (
        {"LoRA-XS", "SSVD", "PSOFT", "PiCa"} <= labels("comparison", GSM, "worse")
    ),
    "base's own loss rises by 0.7 and 0.9 nats, that of the others by 1.4 to 3.3. With SVFT-T (two seeds) it rises": (
        lambda: (
            (rises := rises_above(0.5))[["AdaLoRA (r=8)", "DeLoRA (r=8)"]].round(1).tolist() == [0.7, 0.9]
            and rises.drop(["AdaLoRA (r=8)", "DeLoRA (r=8)"]).round(1).between(1.4, 3.3).all()
            and rises["SVFT-T (d=8)"].round(1) == 2.1
            and rises[["SVFT-G (d=8)", "SVFT-block (d=8)"]].round(1).eq(2.8).all()
        )
    ),
    "All 15 means lie between 87.3 % and 89.7 %. The best row is the leading block with 6,144 numbers": lambda: (
        [round(100 * share, 1) for share in (supports().min(), supports().max())] == [87.3, 89.7]
        and len(supports()) == 15
        and supports().idxmax() == "SVFT-block (d=1)"
    ),
    "Rows whose search picked 0.003 or more score 88.3 % and above; the two lowest took 0.001 and 0.0003": lambda: (
        supports(at_least=0.003).min().round(3) == 0.883
        and set(rows("study_patterns", SUPPORTS)["rate"][supports().nsmallest(2).index]) == {0.001, 0.0003}
    ),
    "RandLoRA, PSOFT, HiRA and LoHa are better": lambda: (
        labels("comparison", DIGITS, "better") == {"RandLoRA", "PSOFT", "HiRA", "LoHa"}
    ),
    "some of few numbers (SVFT-P, DiTASK), those whose entries of M lie in the leading block (LoRA-XS, SVFT-block)": (
        lambda: {"SVFT-P", "DiTASK", "LoRA-XS", "SVFT-block"} <= labels("comparison", DIGITS, "worse")
    ),
    "has half of their energy or more (LoRA-Dash, VectorFit, FourierFT, LoLDU, shared PiCa)": lambda: all(
        row.verdict == "worse" and row.outputs_moved > 0.5
        for row in rows("comparison", DIGITS)
        .loc[["LoRA-Dash (r=8)", "VectorFit", "FourierFT (n=1000)", "LoLDU", "PiCa (r=8, shared)"]]
        .itertuples()
    ),
    "GraLoRA and VB-LoRA are worse": lambda: {"GraLoRA", "VB-LoRA"} <= labels("comparison", DIGITS, "worse"),
    "top-k (a band in layers that are not square) and those that the gradient selects score above the leading block": (
        lambda: min(score("SVFT-T (d=8)", DIGITS), score("SVFT-G (d=8)", DIGITS)) > score("SVFT-block (d=8)", DIGITS)
    ),
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_on_results_stands_there_and_is_what_the_tables_say(sentence):
    assert sentence in " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split())
    assert SENTENCES[sentence]()
