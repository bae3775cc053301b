"""`claude-proxy rules`: what is stored, and scenarios from files."""

import pytest
from typer.testing import CliRunner

from app import cli
from data.store import Statement
from engine import rules, scenario

SCENARIO = scenario.__doc__.split("\n\n")[1]
RULE = {"name": "High cost", "severity": "high", "when": {"metric": "cost", "window": "5m", "op": ">", "value": 1}}


def ran(*arguments):
    return CliRunner().invoke(cli.app, ["rules", *map(str, arguments)])


def test_a_scenario_that_comes_as_expected_is_ok(tmp_path):
    file = tmp_path / "cost.yaml"
    file.write_text(SCENARIO)

    done = ran("test", file)

    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[:2] == ["ok      cost.yaml at 3m: pending", "ok      cost.yaml at 4m: firing"]


def test_a_scenario_that_comes_otherwise_fails_and_says_what_was_found(tmp_path):
    file = tmp_path / "cost.yaml"
    file.write_text(SCENARIO.replace("at: 3m, state: pending", "at: 3m, state: firing"))

    done = ran("test", file)

    assert done.exit_code == 1
    assert "FAILED  cost.yaml at 3m: pending, expected firing" in done.output


def test_a_faulty_file_is_told_and_the_others_are_run(tmp_path):
    file = tmp_path / "cost.yaml"
    file.write_text("rule: {name: x}")
    good = tmp_path / "good.yaml"
    good.write_text(SCENARIO)

    done = ran("test", file, good)

    assert done.exit_code == 1
    assert done.output.splitlines()[:2] == [
        "FAILED  cost.yaml:1 rule.when: is required",
        "ok      good.yaml at 3m: pending",
    ]
    assert done.output.splitlines()[-1] == "5 checks in 2 files: 1 failed"


def test_each_faulty_document_is_one_check_that_failed(tmp_path):
    file = tmp_path / "cost.yaml"
    file.write_text("rule: {name: x}\n---\nrule: {name: y}\n")
    done = ran("test", file)
    assert (done.exit_code, done.output.splitlines()[-1]) == (1, "2 checks in 1 file: 2 failed")


def test_an_import_of_nothing_says_so(store, home, tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    done = ran("import", tmp_path / "empty.yaml", "--home", home)
    assert (done.exit_code, done.output) == (0, "there is no rule in what was given\n")


def test_rules_are_listed_with_their_state(store, home):
    made = rules.save(store, RULE, by="me")

    done = ran("list", "--home", home)

    assert made.sentence
    assert done.output == f"normal     high     {made.id} High cost\n{'':<20} {made.sentence}\n"


def test_rules_are_listed_by_severity_and_state(store, home):
    for name, severity in (("a", "low"), ("b", "info"), ("c", "high")):
        made = rules.save(store, {**RULE, "name": name, "severity": severity}, by="me")
    rules.toggle(store, made.id, by="me", enabled=False)

    def listed(*options):
        return [line.split()[-1] for line in ran("list", *options, "--home", home).output.splitlines()[::2]]

    assert listed() == ["a", "b", "c"]
    assert listed("--severity", "low", "--severity", "high") == ["a", "c"]
    assert listed("--severity", "high", "--state", "paused") == ["c"]
    assert ran("list", "--state", "odd", "--home", home).exit_code == 2


def test_rules_are_exported_and_imported_as_files(store, home, tmp_path):
    rules.save(store, RULE, by="me")
    rules.save(store, {**RULE, "name": "High / cost"}, by="me")
    folder = tmp_path / "rules"

    assert ran("export", "--dir", folder, "--home", home).exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["high-cost-2.yaml", "high-cost.yaml"]
    file = folder / "high-cost.yaml"
    file.write_text(file.read_text().replace("value: 1", "value: 2"))
    trial = ran("import", folder, "--dry-run", "--home", home)
    assert "would be updated High" in trial.output
    assert {rule.version for rule in rules.every(store)} == {1}
    done = ran("import", folder, "--home", home)
    assert sorted(line.split(" ")[0] for line in done.output.splitlines()) == ["unchanged", "updated"]
    assert ran("export", "--home", home).output.count("name: High") == 2


def test_an_export_says_which_rules_it_leaves_out(store, home, tmp_path):
    broken = rules.save(store, RULE, by="me")
    store.transact([Statement("UPDATE rules SET document = '{}' WHERE id = ?", (broken.id,))])
    done = ran("export", tmp_path / "all.yaml", "--home", home)
    assert "left out: the rule 'High cost' cannot be read: " in done.output
    assert "0 rules written" in done.output
    assert (tmp_path / "all.yaml").read_text().startswith("# left out: the rule 'High cost'")


def test_an_import_names_the_file_and_the_field_of_every_fault(store, home, tmp_path, monkeypatch):
    (tmp_path / "a.yaml").write_text("name: x\n")
    (tmp_path / "b.yaml").write_text("name: y\nwhen: 3\n")
    monkeypatch.setattr("sys.argv", ["claude-proxy", "rules", "import", str(tmp_path), "--home", str(home)])
    with pytest.raises(SystemExit, match=r"a\.yaml:1 when: is required\nb\.yaml:1 when: must be all"):
        cli.main()


def test_a_rule_is_added_from_a_template(store, home):
    assert "budget-burn-1h" in ran("templates").output
    told = ran("templates", "daily-spend").output
    assert "amount" in told
    assert "(required)" in told

    done = ran("add", "daily-spend", "--set", "amount=50", "--set", "tz=Europe/Berlin", "--home", home)

    assert done.exit_code == 0, done.output
    (rule,) = rules.every(store)
    assert (rule.name, rule.document["tz"]) == ("Spent more than $50 today", "Europe/Berlin")
    assert ran("add", "daily-spend", "--set", "amount", "--home", home).exit_code == 2
    assert ran("add", "daily-spend", "--home", home).exit_code == 1
