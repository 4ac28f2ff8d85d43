"""What in the paper does not follow from itself: `errata.md` and `errata.csv`, computed from analysis/reference.

python -m analysis.errata [--runs runs] [--out analysis/output]
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from analysis import checks_claims, checks_counts, checks_scores, command, markup, params
from analysis.findings import Finding
from harness.store.disk import tells_disk_errors
from harness.store.files import write_text

OUT = Path("analysis", "output")
# Kind -> severity, heading, what the columns "printed" and "computed" are. In the order of the page.
KINDS = {
    "claim": ("conclusion", "Claims that the tables contradict", "said", "from the tables"),
    "script": ("conclusion", "Paper against released scripts", "paper", "script"),
    "targets": ("conclusion", "Adapted layers: the caption against the counts", "printed", "as stated"),
    "settings": ("conclusion", "Results without hyper-parameters, and the reverse", "there is", "missing"),
    "label": ("conclusion", "One value under two names", "figure", "table"),
    "version": ("conclusion", "Printed otherwise in the NeurIPS version", "first version", "NeurIPS version"),
    "count": ("number", "Parameter counts that the stated configuration does not give", "printed", "computed"),
    "repeated": ("number", "One cell printed twice, differently", "first", "second"),
    "attainable": ("number", "Scores that no number of right answers gives", "printed", "nearest"),
    "gold": ("number", "Gold answers that the released scoring calls wrong", "golds", "highest score"),
    "identical": ("number", "Cells that are identical, which chance hardly explains", "cells", ""),
    "average": ("number", "Averages and differences", "printed", "computed"),
    "formula": ("number", "The formulas of Table 7 do not give the printed counts", "printed", "formula"),
    "slip": ("print", "Slips of the last digit or the decimal point", "printed", "computed"),
    "assumption": ("print", "What the counts that hold take for granted", "", "reading"),
    "coincidence": ("print", "Identical cells that chance may explain", "cells", ""),
}  # fmt: skip
SEVERITIES = {
    "conclusion": "What a reader would conclude or run otherwise",
    "number": "Wrong or doubtful numbers",
    "print": "Slips of print, and readings",
}


def findings(runs: Path) -> list[Finding]:
    """Every check made, whether it holds or not, in the order of KINDS."""
    made = [*checks_claims.checks(), *checks_counts.checks(runs), *checks_scores.checks()]
    return [finding for kind in KINDS for finding in made if finding.kind == kind]


def page(made: Sequence[Finding]) -> str:
    wrong = [finding for finding in made if not finding.holds]
    lines = [
        "# What does not follow",
        "Numbers of arXiv:2405.19597v1 checked against each other, against counts of its models and against what is "
        f"known of its released scripts: {len(wrong)} of {len(made)} checks do not hold. Made by "
        "`python -m analysis.errata` from analysis/reference and runs/params; each row says how.",
    ]
    for severity, heading in SEVERITIES.items():
        lines.append(f"## {heading}")
        for kind, (its_severity, title, printed, computed) in KINDS.items():
            rows = [finding for finding in wrong if finding.kind == kind]
            if its_severity == severity and rows:
                lines += [f"### {title} ({len(rows)})", _left(_table(rows, printed, computed))]
    return "\n\n".join([*lines, *_right(made)]) + "\n"


def _table(rows: Sequence[Finding], printed: str, computed: str) -> pd.DataFrame:
    """Columns without a name are left out."""
    columns = {"where": "where", printed: "printed", computed: "computed", "how": "how"}
    return pd.DataFrame([
        {name[0].upper() + name[1:]: asdict(row)[field] for name, field in columns.items() if name} for row in rows
    ])  # fmt: skip


def _left(frame: pd.DataFrame) -> str:
    """Columns of words, to the left."""
    return markup.markdown(frame).replace(" --: ", " :-- ").rstrip("\n")


def _right(made: Sequence[Finding]) -> list[str]:
    right = [finding for finding in made if finding.holds]
    lines = []
    for kind, (_, title, *_) in KINDS.items():
        count = sum(finding.kind == kind for finding in right)
        if count:
            lines.append(f"- {title}: {count} of {sum(finding.kind == kind for finding in made)} checks find nothing")
    said = [f"- {f.where}: {f.printed}; computed {f.computed}" for f in right if f.kind == "claim"]
    return [f"## Checked and right: {len(right)}", "\n".join(lines), "### Claims that hold", "\n".join(said)]


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser("analysis.errata", __doc__, OUT, "page")
    options = command.parsed(parser, arguments)
    if not (options.runs / params.COUNTS).exists():
        sys.exit(f"no {options.runs / params.COUNTS}; `python -m papers.recount` makes it")
    made = findings(options.runs)
    write_text(options.out / "errata.md", page(made))
    frame = pd.DataFrame([{"severity": KINDS[f.kind][0], **asdict(f)} for f in made])
    write_text(options.out / "errata.csv", markup.csv(frame))
    print(f"{options.out}/errata.{{md,csv}}")


if __name__ == "__main__":
    main()
