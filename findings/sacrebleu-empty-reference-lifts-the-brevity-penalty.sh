#!/usr/bin/env bash
# Package:  sacrebleu 2.6.0
# Surprise: "" in place of a missing second reference counts as a reference of length 0, and as the closest in length to
#           a hypothesis of less than half the first one's: its brevity penalty is gone. With a translation that breaks
#           off after a third, BLEU is 100, and with None in that place 46.
# Guess:    the README's: a missing reference is "either None or the empty string".
# Hurt:     who pads ragged references with "", as the README allows: systems that break off or say too little gain the
#           most; TER is off, too.
# Date:     2026-12-01
# Source:   own observation (sacrebleu/metrics/base.py leaves out None alone; README, "Variable Number of References").
#           multi-bleu.perl had the same: https://github.com/moses-smt/mosesdecoder/pull/185
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding sacrebleu==2.6.0 <<'PY'
import sys

from sacrebleu.metrics import BLEU, TER

long = "the committee met on Monday and agreed after a short debate to publish the report"
hypotheses = ["the committee met on Monday", "she walked home in the rain that evening"]
first = [long, "she walked home in the rain that evening"]


def scores(missing) -> list[float]:
    """BLEU, its brevity penalty and TER, where the first sentence has one reference and the second has two."""
    references = [first, [missing, "that evening she went home in the rain"]]
    bleu = BLEU().corpus_score(hypotheses, references)
    return [round(value, 2) for value in (bleu.score, bleu.bp, TER().corpus_score(hypotheses, references).score)]


none, empty = scores(None), scores("")
print("Described: with an empty second reference the brevity penalty of a truncated hypothesis is gone.")
print("Seen: missing reference is None: BLEU {}, brevity penalty {}, TER {}".format(*none))
print('Seen: missing reference is "":   BLEU {}, brevity penalty {}, TER {}'.format(*empty))
sys.exit(not (empty[1] == 1 and none[1] < 0.6 and empty[0] > 99 and none[0] < 60 and none[2] != empty[2]))
PY
