"""What a model may write, and what names and messages may hold: judged wrong, and harmless wherever it is written."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from analysis import program
from analysis.writing import markup
from harness.store import files
from tasks.base import ItemScore
from tasks.gsm8k_few_shot import flexible_extract, strict_match
from tasks.own.generation import exact_text
from tasks.scoring import commonsense
from tasks.scoring.gsm8k import MARKER, gsm8k_legacy, gsm8k_strict
from tasks.scoring.isolation import LONGEST_REPLY, UNHEARD, NoAnswer, Worker
from tasks.scoring.math_scoring import math_legacy, math_strict
from tasks.scoring.verdicts import LONGEST_TEXT, UNPARSED
from tests.analysis.conftest import add  # noqa: F401
from tests.conftest import ROOT
from tests.processes import PATIENCE

# --- answers ---

MEGABYTE = 1_000_000
PWNED = "pwned_by_a_test"  # what an answer that runs as a program would create where it runs
CODE = f"__import__('os').system('touch {PWNED}')"
SPENDING = {  # what takes all the time that any judge has
    "tower of powers": "9^{9^{9^9}}",
    "factorial of factorials": "((9!)!)!",
    "nested fractions": "\\frac{1}{" * 90 + "2" + "}" * 90,
    "long sum": "\\sum_{n=1}^{10^{9}} n^{n}",
    "binomial": "\\binom{10^{8}}{5*10^{7}}",
    "nested sines": "\\sin(" * 150 + "1" + ")" * 150,
    "modulus of a tower": "9^{9^9} \\mod 7",
}
BOMBS = SPENDING | {
    "powers without braces": "9^9^9^9",
    "powers of Python": "9**9**9**9",
    "deep roots": "\\sqrt{" * 150 + "2" + "}" * 150,
    "deep brackets": "(" * MEGABYTE,
    "digits": "1" * (MEGABYTE // 2),
    "digits over digits": "1" * 5000 + "/" + "2" * 5000,
    "exponent": "1e999999999",
    "infinity": "inf",
    "no number": "nan",
    "division by zero": "5/0",
    "fractions side by side": "\\frac{1}{2}" * (MEGABYTE // 20),
    "unfinished fractions": "\\frac1{" * (MEGABYTE // 20),
    "boxes in boxes": "\\boxed{" * (MEGABYTE // 20) + "1",
    "markers": MARKER * (MEGABYTE // 20),
    "thousands": "1,1" * (MEGABYTE // 20),
    "signs": "-+" * (MEGABYTE // 4),
    "spaces": "1" + " " * MEGABYTE + "x",
    "openings": ": *$\\(" * (MEGABYTE // 10),
    "ten megabytes of a letter": "a" * 10 * MEGABYTE,
    "ten megabytes of line ends": "\n" * 10 * MEGABYTE,
    "import": CODE,
    "import in a word of LaTeX": f"\\text{{{CODE}}}",
    "eval": f'eval("{CODE}")',
    "lambda": f"(lambda: open('{PWNED}', 'w'))()",
    "format": "%s%n%x{0.__class__.__init__.__globals__}{}",
    "shell": f"$(touch {PWNED}) `touch {PWNED}` ; touch {PWNED}",
    "file into LaTeX": "\\input{/etc/passwd}",
    "shell from LaTeX": f"\\immediate\\write18{{touch {PWNED}}}",
    "loop of LaTeX": "\\def\\a{\\expandafter\\csname a\\endcsname\\a}\\a",
    "NUL": "\x00",
    "half a surrogate pair": "\ud800",
    "colours of a terminal": "\x1b[31m\x1b]0;title\x07",
    "right to left": "\u202e\u2066",
    "digits of another script": "\u0665\u0666",
    "digits above the line": "\u2075\u2076",
}
SCORERS = [gsm8k_legacy, gsm8k_strict, math_legacy, strict_match, flexible_extract, exact_text]


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda scorer: scorer.__name__)
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_wrong_for_every_scorer_that_reads_text_itself(name, scorer):
    for marker in (MARKER, "#### ", ""):
        assert not scorer(marker + BOMBS[name], "77").correct


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_names_no_label(name):
    assert commonsense.legacy({"text": BOMBS[name], "likeliest": ""}, "ending1") == UNPARSED


@pytest.mark.parametrize("scorer", [*SCORERS, math_strict], ids=lambda scorer: scorer.__name__)
def test_a_text_beyond_the_limit_is_not_read_for_its_answer(scorer):
    answer = {exact_text: "5", strict_match: "#### 5"}.get(scorer, f"{MARKER}5")
    assert scorer(answer, "5").correct
    assert scorer(answer.rjust(LONGEST_TEXT), "5").correct
    assert scorer(answer.rjust(LONGEST_TEXT + 1), "5") == UNPARSED


@pytest.fixture(scope="module")
def judge():
    """A judge that gives an answer less time."""
    worker = Worker("tasks.scoring.math_judge", cpu_seconds=0.5, memory_bytes=1024**3)
    yield worker
    worker.close()


def test_bombs_in_a_row_are_wrong_and_honest_answers_between_them_right(monkeypatch, judge):
    monkeypatch.setattr("tasks.scoring.math_scoring._judge", lambda: judge)
    pids = set()
    for name, answer in BOMBS.items():
        verdict = math_strict(MARKER + answer, "77")
        assert not verdict.correct, name
        assert verdict == UNPARSED or name not in SPENDING, name
        assert math_strict(f"{MARKER}70+7", "77") == ItemScore(correct=True), name
        pids.add(judge._child.pid)
    assert len(pids) >= len(SPENDING)
    judge.close()
    assert not any(alive(pid) for pid in pids)
    assert not (ROOT / PWNED).exists()


def alive(pid: int) -> bool:
    """A process that has ended and that nobody waits for is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# --- the child that reads them ---

CHILD = """
import os, signal, sys, time
from tasks.scoring.isolation import serve

REPLIES = os.dup(1)

def answer(question):
    scope = {}
    exec(question["does"], globals(), scope)
    return scope.get("says", question["number"] + 1)

serve(answer)
"""


def asked(number: int, does: str = "") -> dict:
    return {"does": does, "number": number}


@pytest.fixture
def child(tmp_path, monkeypatch):
    (tmp_path / "child_of_the_test.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = Worker("child_of_the_test", cpu_seconds=0.5, memory_bytes=1024**3)
    yield worker
    worker.close()


RUBBISH = {  # expressions
    "no JSON": r"b'rubbish\n'",
    "no text": r"b'\xff\xfe\0\n'",
    "the reply to another question": r"b'[0, 99]\n'",
    "no pair": r"b'99\n'",
    "an object": r"b'{}\n'",
    "brackets": r"b'[' * 100_000 + b'\n'",
    "a line without an end": f"b' ' * {2 * LONGEST_REPLY}",
}


def says(rubbish: str) -> str:
    """Code that writes `rubbish`, an expression of bytes, where replies are read."""
    return f"os.write(REPLIES, {rubbish})"


@pytest.mark.parametrize("name", RUBBISH)
def test_rubbish_is_no_answer_and_the_next_answer_is_right(child, name):
    with pytest.raises(NoAnswer):
        child.ask(asked(1, says(RUBBISH[name])))
    assert child.ask(asked(5)) == 6


def test_what_a_child_says_after_its_answer_is_not_the_answer_to_the_next_question(child):
    assert child.ask(asked(1)) == 2
    assert child.ask(asked(1, says(r"b'[2, 2]\n[3, 99]x\n'"))) == 2
    assert child.ask(asked(5)) == 6


def test_a_child_that_is_killed_from_without_costs_no_answer(child, tmp_path):
    assert child.ask(asked(1)) == 2
    os.kill(child._child.pid, signal.SIGKILL)  # between two questions
    assert child.ask(asked(5)) == 6
    once = (
        f"os.path.exists({str(tmp_path / 'once')!r}) or (os.mkdir({str(tmp_path / 'once')!r}), os.kill(os.getpid(), 9))"
    )
    assert child.ask(asked(6, once)) == 7  # amid one


def test_a_question_that_spends_its_time_or_raises_is_asked_once(child, tmp_path):
    for number, ending in enumerate(("while True: pass", "1 / 0", "def f(): f()\nf()", "bytes(2 * 1024**3)")):
        folder = tmp_path / str(number)
        with pytest.raises(NoAnswer):
            child.ask(asked(1, f"os.mkdir(f'{folder}-{{time.time_ns()}}')\n{ending}"))
        assert len(list(tmp_path.glob(f"{number}-*"))) == 1
    assert child.ask(asked(5)) == 6


def test_signals_that_ask_the_parent_to_stop_do_not_end_the_child(child):
    child.ask(asked(1))
    pid = child._child.pid
    for number in UNHEARD:
        assert child.ask(asked(int(number), f"os.kill(os.getpid(), {int(number)})")) == number + 1
    assert child._child.pid == pid
    assert os.getsid(pid) != os.getsid(0)  # nor is it in the group that a terminal signals


def test_signals_are_heard_again_when_the_child_has_started(child):
    child.ask(asked(1))
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()).intersection(UNHEARD)


def test_an_answer_that_was_not_waited_for_is_not_taken_for_the_next_one(child):
    class Interrupted(BaseException):
        pass

    def interrupt(number, frame):
        raise Interrupted

    child.ask(asked(1))
    pid = child._child.pid
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(Interrupted):
            child.ask(asked(1, "os.kill(os.getppid(), signal.SIGALRM)\ntime.sleep(300)"))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not alive(pid)
    assert child.ask(asked(5)) == 6


def test_a_fork_of_the_parent_has_a_child_of_its_own(child):
    child.ask(asked(1))
    pid = child._child.pid
    fork = os.fork()
    if not fork:
        os._exit(0 if child.ask(asked(7)) == 8 and child._child.pid != pid else 1)
    assert os.waitpid(fork, 0)[1] == 0
    assert child.ask(asked(5)) == 6
    assert child._child.pid == pid


def test_the_child_sees_no_secrets(child, monkeypatch):
    for name in ("WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, "secret")
    seen = child.ask(asked(1, "says = dict(os.environ)"))
    assert "secret" not in seen.values()
    assert "PATH" in seen


def test_the_child_writes_nothing_into_files(child, tmp_path):
    with pytest.raises(NoAnswer):
        child.ask(asked(1, f"open({str(tmp_path / 'file')!r}, 'w', buffering=1).write('text\\n')"))
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may start processes beyond any limit")
def test_the_child_starts_no_process(child):
    with pytest.raises(NoAnswer):
        child.ask(asked(1, "os.fork() or os._exit(0)"))


PARENT = """
import json, sys
from tasks.scoring.isolation import Worker

worker = Worker("child_of_the_test", cpu_seconds=0.5, memory_bytes=1024**3)
print(worker.ask({"does": "says = os.getpid()", "number": 1}), flush=True)
worker.ask({"does": sys.argv[1], "number": 1}) if sys.argv[1] else sys.stdin.read()
"""


@pytest.mark.parametrize("busy", [False, True])
def test_a_killed_parent_leaves_no_child(tmp_path, busy):
    does = "os.kill(os.getppid(), signal.SIGKILL)\nwhile True: pass" if busy else ""
    (tmp_path / "child_of_the_test.py").write_text(CHILD)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, does], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        pid = int(parent.stdout.readline())
        if not busy:
            assert alive(pid)
            parent.kill()
        assert parent.wait(PATIENCE) == -signal.SIGKILL
    deadline = time.monotonic() + PATIENCE  # it learns of that, at the latest, when its time is up
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} goes on"
        time.sleep(0.01)


# --- what is made from hostile names and messages ---

# As given, and as it is shown: on one line, without what commands a terminal or turns the direction of writing.
NAMES = [
    ('=HYPERLINK("http://x.y","z")', None),
    ("+1+cmd|' /C calc'!A0", None),
    ("-2+3", None),
    ("@SUM(A1)", None),
    ("\t=1+1", " =1+1"),
    ("\r\n=1+1", " =1+1"),
    ("-0.5", None),
    ("a,b;\"c\" 'd'", None),
    ("a\nb\r\nc\td\u2028e", "a b c d e"),
    ("\x00a\x07\x08\x0b\x1bb\x7f\x9b", "a b"),
    ("\x1b[31mred\x1b[0m \x1b]0;title\x07", "[31mred[0m ]0;title"),
    ("\u202eabc\u2066\u200f", "abc"),
    ("\ud800 half \udfff", "\ufffd half \ufffd"),
    ('\\ { } $ & # ^ _ % ~ < > | "', None),
    ("\\input{/etc/passwd}\\write18{rm x}%", None),
    ("\\csname a\\endcsname ^^41 $$ \\\\[3cm] \\", None),
    ("[3cm]", None),
    ("[x]: http://x.y", None),
    ("a | b \\| c \\\\| d \\", None),
    ("<script>alert(1)</script><!-- end --> <b a=1>", None),
    ("&lt;b&gt; &#60; &amp &copy;", None),
    ("`code` ``` ``", None),
    ("![picture](http://x.y/z.png) [a](javascript:x) [a][b] <http://x.y>", None),
    ("_a_ __b__ *c* ~~d~~ e_f_g h*i*j", None),
    ("# heading", None),
    ("> quoted", None),
    ("- - item", None),
    ("1. item", None),
    ("1) item", None),
    ("---", None),
    ("~~~", None),
    ("[/bold] [red]x[/] :smile: \\[", None),
    ("{0.__class__} %s %n ${HOME}", None),
    ("../../etc/passwd", None),
    ("İ é 数 \U0001f600 Δ", None),
]
SHOWN = [given if shown is None else shown for given, shown in NAMES]
FRAME = pd.DataFrame({"Method": [given for given, _ in NAMES], "Score (%)": ["1.0"] * len(NAMES)}, dtype=object)


def test_csv_gives_back_every_name_and_a_spreadsheet_takes_none_for_a_formula(tmp_path):
    numbers = pd.DataFrame({"label": FRAME["Method"], "=mean": [-0.25] * len(NAMES), "verdict": [None] * len(NAMES)})
    (tmp_path / "table.csv").write_text(markup.csv(numbers), encoding="utf-8")
    header, *rows = csv.reader((tmp_path / "table.csv").read_text(encoding="utf-8").splitlines())
    assert header == ["label", "'=mean", "verdict"]
    assert [float(row[1]) for row in rows] == [-0.25] * len(NAMES)
    cells = [row[0] for row in rows]
    assert [cell.removeprefix("'") if cell[1:2] in list("=+-@") else cell for cell in cells] == SHOWN
    assert [cell for cell in cells if cell[0] in "=+-@\t\r"] == ["-0.5"]  # a number is no formula
    assert pd.read_csv(tmp_path / "table.csv")["label"].tolist() == cells


def reader() -> MarkdownIt:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def words(token) -> str:
    """The text of an inline token. Anything but words in it is an error."""
    assert {child.type for child in token.children} <= {"text"}, token.content
    return "".join(child.content for child in token.children)


def test_markdown_gives_back_every_name_and_reads_none_as_markup():
    tokens = reader().parse(markup.markdown(FRAME, FRAME["Method"].tolist()))
    kinds = {token.type.removesuffix("_open").removesuffix("_close") for token in tokens}
    assert kinds == {"table", "thead", "tbody", "tr", "th", "td", "bullet_list", "list_item", "paragraph", "inline"}
    inline = [words(token) for token in tokens if token.type == "inline"]
    table, notes = inline[: 2 * len(NAMES) + 2], inline[2 * len(NAMES) + 2 :]
    assert table[2::2] == [shown.strip() for shown in SHOWN]
    assert table[3::2] == ["1.0"] * len(NAMES)
    assert notes == [shown.strip() for shown in SHOWN]


def test_markdown_keeps_what_is_bold_and_cannot_end_a_table_of_the_readme():
    (inline,) = [token for token in reader().parse(markup.md("**47.8** and <!-- end -->")) if token.type == "inline"]
    assert [child.type for child in inline.children if child.type != "text"] == ["strong_open", "strong_close"]
    assert "<!--" not in markup.md("<!-- end -->")


WRITTEN = {  # in LaTeX
    r"\textbackslash{}": "\\", r"\&": "&", r"\%": "%", r"\$": "$", r"\#": "#", r"\_": "_", r"\{": "{", r"\}": "}",
    r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<", r"\textgreater{}": ">",
    r"\textbar{}": "|", "{''}": '"', "{[}": "[", "{*}": "*",
}  # fmt: skip


def read_tex(text: str) -> str:
    """What LaTeX would print. A special character that is not escaped, or a command that is not known, is an error."""
    found = re.compile(
        "|".join(map(re.escape, WRITTEN)) + r"|(?P<bad>[\\{}$&#^_%~<>|\"\x00-\x1f])|(?P<other>.)", re.DOTALL
    )
    matches = list(found.finditer(text))
    assert not [match[0] for match in matches if match["bad"]], text
    return "".join(match["other"] or WRITTEN[match[0]] for match in matches)


def test_latex_gives_back_every_name_and_reads_none_as_a_command():
    lines = markup.latex(FRAME, FRAME["Method"].tolist()).splitlines()
    rows = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert [read_tex(row.removesuffix(r" & 1.0 \\")) for row in rows] == SHOWN
    notes = lines[lines.index(r"\end{tabular}") + 1 :]
    assert [read_tex(note.removeprefix(r"\par\footnotesize ")) for note in notes] == SHOWN
    assert not [row for row in rows if row.lstrip()[0] in "[*"]  # which would be the argument of the \\ before it


def test_the_terminal_shows_every_name_and_obeys_none(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for given, shown in zip(FRAME["Method"], SHOWN, strict=True):
        markup.terminal(given, FRAME[FRAME["Method"] == given], [given])
        said = capsys.readouterr().out
        assert not re.search("[\0-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", said)
        assert said.count(shown.strip()) == 3


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "/etc/passwd", ".hidden", "a\x00\nb", "\u6570" * 300])
def test_a_file_is_named_so_that_it_lies_in_its_folder(tmp_path, name):
    path = tmp_path / f"{markup.file_name(name)}.csv"
    path.write_text("", encoding="utf-8")
    assert path.parent == tmp_path
    assert not path.name.startswith(".")


def test_a_record_with_hostile_names_is_tabulated_in_every_format(add, tmp_path, monkeypatch, capsys):  # noqa: F811
    hostile = "".join(given for given, _ in NAMES)
    label, folder = f"={hostile.encode('utf-8', 'ignore').decode()}", tmp_path / "out"
    add(label, 0, {"strict": "0110"}, adapter={"warnings": [hostile]}, schema=1)
    add("failed", 0, method="dora", status="failed", failure={"reason": hostile * 1_000, "step": 3}, schema=1)
    monkeypatch.chdir(tmp_path)
    for arguments in (["--out", str(folder)], ["--print"]):
        program.main(["tables", "--runs", str(tmp_path / "runs"), *arguments])
    shown = markup.plain(label)
    assert f"'{shown}" in pd.read_csv(folder / "toy_tiny.csv")["label"].tolist()
    tokens = reader().parse((folder / "toy_tiny.md").read_text(encoding="utf-8"))
    assert shown in [words(token) for token in tokens if token.type == "inline" and "**" not in token.content]
    assert (folder / "toy_tiny.tex").stat().st_size < 100_000  # an exception's message is not printed whole
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name, bomb in BOMBS.items() if len(bomb) < MEGABYTE])
def test_a_prediction_of_any_characters_is_stored_as_it_is(tmp_path, name):
    files.write_json(tmp_path / "predictions.json", {"rows": [{"prediction": BOMBS[name]}]})
    stored = json.loads((tmp_path / "predictions.json").read_bytes().decode("utf-8"))
    assert stored["rows"][0]["prediction"] == BOMBS[name]
