"""What a person at a terminal sees of a run, and what stays out of logs."""

import io

import pytest

from harness.console import terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "ranks", "said"),
    [
        (Terminal, {}, "loading Gemma-2B ...\n"),
        (io.StringIO, {}, ""),
        (Terminal, {"WORLD_SIZE": "2", "RANK": "1"}, ""),
    ],
    ids=["terminal", "log", "second of two processes"],
)
def test_a_stage_is_told_at_a_terminal_and_by_one_process(monkeypatch, stream, ranks, said):
    written = stream()
    monkeypatch.setattr("sys.stderr", written)
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)
    terminal.stage("loading Gemma-2B")
    assert written.getvalue() == said
