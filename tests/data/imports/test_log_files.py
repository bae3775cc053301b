"""Which files are session logs, and what their lines are."""

import os

import pytest

from data.errors import ImportFailed
from data.imports import log_files
from data.imports.log_files import lines
from tests.data.imports.logs import assistant, write


def names(place):
    return [file.path.name for file in log_files.log_files(place)]


@pytest.fixture
def claude(tmp_path):
    """Claude Code's folder."""
    write(tmp_path / ".claude" / "history.jsonl", {"display": "hi"})
    write(tmp_path / ".claude" / "projects" / "-p" / "s.jsonl", assistant(1))
    write(tmp_path / ".claude" / "projects" / "-p" / "s" / "subagents" / "agent-a.jsonl", assistant(2))
    write(tmp_path / ".claude" / "projects" / "-q" / "t.jsonl", assistant(3))
    (tmp_path / ".claude" / "projects" / "-q" / "notes.txt").write_text("no log")
    return tmp_path / ".claude"


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("", ["agent-a.jsonl", "s.jsonl", "t.jsonl"]),
        ("projects", ["agent-a.jsonl", "s.jsonl", "t.jsonl"]),
        ("projects/-p", ["agent-a.jsonl", "s.jsonl"]),
        ("projects/-q/t.jsonl", ["t.jsonl"]),
    ],
)
def test_a_place_can_be_any_of_claude_codes_folders_or_one_file(claude, place, found):
    assert names(claude / place) == found


@pytest.mark.parametrize("place", ["nowhere", "projects/-empty"])
def test_a_place_without_logs_is_told(claude, place):
    (claude / "projects" / "-empty").mkdir()
    with pytest.raises(ImportFailed, match=r"~/\.claude/projects"):
        names(claude / place)


def test_a_pipe_is_not_waited_for(claude):
    os.mkfifo(claude / "projects" / "pipe.jsonl")
    assert "pipe.jsonl" not in names(claude)


def test_a_file_has_its_size_and_the_time_it_was_written(claude):
    path = claude / "projects" / "-q" / "t.jsonl"
    os.utime(path, (5, 7))
    (file,) = log_files.log_files(path)
    assert (file.size, file.written_at, file.parts[-2:]) == (path.stat().st_size, 7, ("-q", "t.jsonl"))


def test_a_line_that_is_too_long_is_cut_and_the_next_one_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(log_files, "MAX_LINE_BYTES", 8)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1234567\nabcdefghijklmnopqrstuvwxyz\nnext\n12345678\nend")
    assert list(lines(path)) == [b"1234567\n", b"abcdefgh", b"next\n", b"12345678", b"end"]
