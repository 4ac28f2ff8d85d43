"""Whether two answers in LaTeX are the same by Hugging Face's math-verify: the child process of `math_strict`.

math-verify's own time limits are signals, which big-integer arithmetic does not heed; the limits of `isolation` hold.
"""

import logging

from math_verify import LatexExtractionConfig, parse, verify

from tasks.isolation import serve


def same(question: dict[str, str]) -> bool | None:
    """Whether `answer` is `gold`; None where the answer is no formula. A gold that is none is the same as no formula.

    Numbers compare exactly, or to six decimals where one of them is written as a decimal: 0.333333 is 1/3.
    """
    gold, answer = _read(question["gold"]), _read(question["answer"])
    return bool(verify(gold, answer, timeout_seconds=None)) if answer else None


def _read(latex: str) -> list:
    return parse(f"${latex}$", [LatexExtractionConfig()], fallback_mode="no_fallback", parsing_timeout=None)


if __name__ == "__main__":
    logging.disable()
    serve(same)
