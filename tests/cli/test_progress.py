"""Progress where nobody watches a terminal: lines often enough to tell a long run from a dead one."""

from __future__ import annotations

import time

import pytest

from hero_rl.cli import show


def test_without_a_terminal_a_line_comes_at_least_so_often(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(show, "EVERY_S", 0.05)
    lines: list[str] = []
    with show.progress_bar() as bar:
        for state in (None, ("read", 3, None), ("read", 4, 9)):
            if state:
                bar(*state)
            wanted = "nothing done yet after " if state is None else f"read {state[1]}{'/9' if state[2] else ''} after "
            end = time.monotonic() + 30
            while not any(line.startswith(wanted) for line in lines):
                assert time.monotonic() < end
                time.sleep(0.01)
                lines += capsys.readouterr().err.splitlines()
    time.sleep(0.2)
    capsys.readouterr()
    time.sleep(0.2)
    assert capsys.readouterr().err == ""  # and none after the end


def test_a_note_is_a_line_and_short_work_writes_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    with show.progress_bar() as bar:
        bar("train", 1, 2, "loss 0.5")
        bar("train", 2, 2)
    assert capsys.readouterr().err == "train 1/2 loss 0.5\n"


def test_a_log_whose_maker_asks_for_colours_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as notebooks and CI do
    with show.progress_bar() as bar:
        bar("train", 1, 2, "loss 0.5")
    assert capsys.readouterr().err == "train 1/2 loss 0.5\n"
