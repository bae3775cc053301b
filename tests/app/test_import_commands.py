"""`claude-proxy import` and `claude-proxy reprice`."""

import os
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app import cli
from app.import_cli import faults, told
from data.imports.outcome import MOST_TOLD, Imported
from tests.data.imports.logs import assistant, copied, stamp, usage, write

PRICES = """
[[prices]]
model = "house-*"
input = 10
output = 100
"""


def ran(*arguments):
    return CliRunner().invoke(cli.app, list(map(str, arguments)))


def test_what_an_import_tells(store, home, tmp_path):
    done = ran("import", "claude-code", copied(tmp_path), "--home", home)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "Files                                                 5",
        "Lines                                                41",
        "Lines that cannot be read                             3",
        "Messages of Claude Code itself                        1",
        "Calls                                                10",
        "Lines that repeat a call                             13",
        "Rows added                                           11",
        "  claude-opus-4-5-20251101                            4          $0.20",
        "  claude-opus-5                                       1          $0.03",
        "  claude-opus-4-20250514                              2          $0.02",
        "  claude-fable-5                                      1          $0.02",
        "  claude-haiku-4-5-20251001                           1        $0.0045",
        "  house-1                                             2          $0.00  without a price: 2",
        "Cost added                                                       $0.27",
        "Estimates, as the logs hold no end of the answer (its output may be more): 1",
        "No price is known for house-1; set one under [[prices]], then run claude-proxy reprice",
    ]
    faulty = [line for line in done.stderr.splitlines() if "left out" in line]
    assert [line.rpartition("/")[2].split(": ")[0].partition(".jsonl:")[2] for line in faulty] == ["11", "12", "14"]
    again = ran("import", "claude-code", tmp_path / "projects", "--home", home)
    assert again.stdout.splitlines()[-3:] == [
        "Rows of earlier imports                              11",
        "Rows added                                            0",
        "Cost added                                                       $0.00",
    ]


def test_a_dry_run_says_so_and_stores_nothing(store, home, tmp_path):
    done = ran("import", "claude-code", copied(tmp_path), "--home", home, "--dry-run", "--since", "2026-03-02")
    assert "Rows that would be added                              9" in done.stdout
    assert "Calls before the time asked for                       2" in done.stdout
    assert store.sql("SELECT count(*) FROM requests").item() == 0


def test_labels_are_options(store, home, tmp_path):
    log = write(tmp_path / "s.jsonl", assistant(1))
    options = ("--user", "ann", "--team", "blue", "--provider", "gateway", "--full-paths")
    ran("import", "claude-code", log, "--home", home, *options)
    found = store.sql('SELECT "user", team, provider, project FROM requests').row(0)
    assert found == ("ann", "blue", "gateway", "/home/ann/apollo")


@pytest.mark.parametrize("arguments", [("nowhere",), (".", "--since", "yesterday")], ids=["no logs", "no date"])
def test_what_is_wrong_is_told_in_a_sentence(home, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["claude-proxy", "import", "claude-code", *arguments, "--home", str(home)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = f"{ended.value.code} {capsys.readouterr().err}"
    assert "there is no" in said or "yesterday" in said
    assert "Traceback" not in said


def test_many_faults_are_counted_and_some_of_them_told(tmp_path):
    done = Imported()
    for line in range(1, 51):
        done.breaks(tmp_path / "a.jsonl", line)
        done.fails(tmp_path / f"{line}.jsonl", PermissionError(13, "Permission denied"))
    lines = list(faults(done))
    assert len(lines) == 2 * MOST_TOLD + 2
    assert lines[-1] == "… and 30 more lines"


def test_a_files_name_that_is_no_text_can_be_told():
    done = Imported()
    done.breaks(Path(os.fsdecode(b"caf\xe9.jsonl")), 3)
    assert list(faults(done)) == ["caf\ufffd.jsonl:3: not a line of a session log; it was left out"]


def test_everything_that_can_become_of_a_call_is_told():
    done = Imported(live=1, known=2, corrected=3, waiting=4, early=5)
    assert list(told(done))[:-2] == [
        "Calls before the time asked for                       5",
        "Calls of the last 15 minutes: they wait               4",
        "Calls that the proxy has in the ledger                1",
        "Rows of earlier imports                               2",
        "Rows corrected: the logs tell more                    3",
    ]


def test_a_price_that_came_later_is_given_to_what_was_imported(store, home, tmp_path):
    counts = usage(1_000, 100)
    write(tmp_path / "s.jsonl", assistant(1, model="house-1", usage=counts), assistant(2, usage=counts))
    ran("import", "claude-code", tmp_path / "s.jsonl", "--home", home)
    before = ran("reprice", "--home", home)
    assert before.stdout.splitlines() == [
        "house-1                                             1 no price is known",
        "Rows repriced: 0 of 1",
    ]

    config = tmp_path / "config.toml"
    config.write_text(PRICES)
    dry = ran("reprice", "--home", home, "--config", config, "--dry-run")
    done = ran("reprice", "--home", home, "--config", config)
    line = "house-1                                             1          $0.00 -> $0.02"
    assert dry.stdout.splitlines() == [line, "Rows that would be repriced: 1 of 1"]
    assert done.stdout.splitlines() == [line, "Rows repriced: 1 of 1"]
    assert store.sql("SELECT sum(cost_usd) FROM usage_hour WHERE model = 'house-1'").item() == Decimal("0.02")

    options = ("--all", "--model", "house-*", "--since", stamp(0)[:10])
    assert ran("reprice", "--home", home, *options).stdout.splitlines()[-1] == "Rows repriced: 0 of 1"
