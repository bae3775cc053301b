from typing import Any

import pytest
import yaml

from engine import scenario
from engine.errors import RuleError
from engine.rule import parse
from engine.rule_files import joined, written
from engine.scenario import read, read_file
from engine.scenario_run import Check, run

DOCUMENT = scenario.__doc__.split("\n\n")[1]


def test_the_documented_scenario_passes():
    checks = run(read(DOCUMENT))

    assert [check.what for check in checks] == ["at 3m", "at 4m", "mail at 4m", "mail at 6m"]
    assert all(check.passed for check in checks)


def test_a_notice_nobody_expected_is_found():
    checks = run(read(DOCUMENT.replace("reason: resolved", "reason: repeat")))

    assert [check for check in checks if not check.passed] == [Check("mail at 6m", "repeat", "resolved")]


GROUPED: dict[str, Any] = {
    "rule": {
        "name": "r",
        "when": {
            "all": [
                {"metric": "cost", "window": "5m", "op": ">", "value": 10},
                {"metric": "cost", "window": "1h", "op": ">", "value": 50},
            ]
        },
        "group_by": ["model"],
    },
    "series": [
        {"metric": "cost", "window": "5m", "labels": {"model": "a"}, "values": "20x5"},
        {"metric": "cost", "window": "1h", "labels": {"model": "a"}, "values": "40+10x5"},
        {"metric": "cost", "labels": {"model": "b"}, "values": "100x2 _x3"},
    ],
    "expect": [
        {"at": "1m", "labels": {"model": "a"}, "state": "normal"},
        {"at": "2m", "labels": {"model": "a"}, "state": "firing"},
        {"at": "0s", "labels": {"model": "b"}, "state": "firing"},
        {"at": "3m", "labels": {"model": "b"}, "state": "normal"},
    ],
}


def test_groups_and_windows_have_series_of_their_own():
    assert [check for check in run(read(GROUPED)) if not check.passed] == []


def test_a_wrong_expectation_says_what_was_found():
    wrong = {**GROUPED, "expect": [{"at": "2m", "labels": {"model": "a"}, "state": "normal"}]}

    (check,) = run(read(wrong))

    assert (check.what, check.expected, check.found, check.passed) == ("model=a at 2m", "normal", "firing", False)


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"series": []}, "series", "needs at least one entry"),
        ({"series": [{"metric": "cost", "values": "1 two"}]}, "series[0].values", "'two' is not a value"),
        ({"series": [{"metric": "cost", "values": "1 errors"}]}, "series[0].values", "write 5, 5x3, 5+2x3, _ or error"),
        ({"series": [{"metric": "cots", "values": "1"}]}, "series[0].metric", "unknown metric"),
        ({"expect": [{"at": "1m", "state": "burning"}]}, "expect[0].state", "must be one of"),
        ({"rule": {"name": "r"}}, "rule.when", "is required"),
        ({"rule": 3}, "rule", "must be an object"),
        ({"expectations": []}, "expectations", "there is no field"),
        ({"expect": []}, "", "expects nothing"),
        (
            {"series": [*GROUPED["series"], {"metric": "requests", "labels": {"model": "a"}, "values": "1"}]},
            "series[3]",
            "no condition of the rule reads",
        ),
        ({"series": [{**GROUPED["series"][0], "window": "2h"}]}, "series[0]", "no condition of the rule reads"),
        ({"series": [{**GROUPED["series"][0], "labels": {}}]}, "series[0].labels", "must name model"),
        (
            {"expect": [{"at": "1m", "labels": {"modle": "a"}, "state": "normal"}]},
            "expect[0].labels",
            "must name model",
        ),
        ({"expect": [{"at": "6m", "labels": {"model": "a"}, "state": "normal"}]}, "expect[0].at", "which is at 4m"),
        ({"notices": [{"at": "1m", "channel": "mail", "reason": "boredom"}]}, "notices[0].reason", "must be one of"),
        ({"limits": {"mail": {}}}, "limits.mail", "is no channel that the rule tells"),
        ({"limits": {"in-app": {}}}, "limits.in-app", "has no limit of its own to set"),
        (
            {"rule": {**GROUPED["rule"], "notify": ["in-app"]}, "limits": {"in-app": {"burst": 1}}},
            "limits.in-app",
            "has no limit of its own to set",
        ),
        ({"limits": {"mail": {"burst": 0}}}, "limits.mail.burst", "greater than or equal to 1"),
    ],
)
def test_a_fault_names_its_field(change: dict[str, Any], path: str, message: str):
    with pytest.raises(RuleError) as caught:
        read({**GROUPED, **change})

    assert message in dict(caught.value.faults)[path]


@pytest.mark.parametrize("text", ["a: [", "- a", ""])
def test_a_text_that_is_no_scenario_is_refused(text: str):
    with pytest.raises(RuleError):
        read(text)


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"events": [{"at": "1m"}]}, "events[0]", "needs at and one of"),
        ({"events": [{"at": "1m", "clock": "5m", "restart": "5m"}]}, "events[0]", "needs at and one of"),
        ({"events": [{"at": "1m", "edit": {"for": "x"}}]}, "events[0].edit.for", "is not a duration"),
        ({"events": [{"at": "1m", "edit": {"every": "30s"}}]}, "events[0].edit.every", "cannot change"),
        ({"events": [{"at": "1m", "silence": {}}]}, "events[0].silence.for", "is required"),
        ({"series": [{"metric": "cost"}]}, "series[0]", "needs either values or each"),
        ({"template": "nope"}, "template", "there is no template"),
        ({"template": "daily-spend", "set": {}}, "rule.amount", "must be set"),
        ({"template": "daily-spend", "set": 3}, "rule.set", "must be an object"),
    ],
)
def test_a_fault_of_an_event_or_a_source_names_its_field(change: dict[str, Any], path: str, message: str):
    base = GROUPED if "template" not in change else {k: v for k, v in GROUPED.items() if k != "rule"}
    with pytest.raises(RuleError) as caught:
        read({**base, **change})

    assert message in dict(caught.value.faults)[path]


def test_a_share_cannot_be_added_up():
    rule = {"name": "r", "when": {"metric": "error_rate", "window": "5m", "op": ">", "value": 1}}
    given = {
        "rule": rule,
        "series": [{"metric": "error_rate", "each": "1"}],
        "expect": [{"at": "0s", "state": "normal"}],
    }
    with pytest.raises(RuleError, match="cannot be added up"):
        read(given)


def test_scenarios_of_one_file_test_the_rules_of_another(tmp_path):
    first = {**GROUPED["rule"], "name": "First"}
    (tmp_path / "rules.yaml").write_text(joined([written(parse(first)), written(parse({**first, "name": "Second"}))]))
    body = yaml.safe_dump({name: part for name, part in GROUPED.items() if name != "rule"})
    file = tmp_path / "tests.yaml"
    file.write_text(
        f"rule_file: rules.yaml\nrule_name: Second\n{body}---\nrule_file: rules.yaml\nrule_name: First\n{body}"
    )

    assert [one.rule.name for one in read_file(file)] == ["Second", "First"]
    assert all(check.passed for one in read_file(file) for check in run(one))
    file.write_text(f"rule_file: rules.yaml\n{body}---\nname: empty\n")
    with pytest.raises(RuleError) as caught:
        read_file(file)
    assert (
        dict(caught.value.faults)["tests.yaml:1 rule"]
        == "rule_name must be one of the rules in rules.yaml: First, Second"
    )
    assert dict(caught.value.faults)[f"tests.yaml:{body.count(chr(10)) + 3} rule"] == "is required"


ESCALATING = """
rule:
  name: r
  when: {metric: cost, window: 5m, op: ">", value: 10}
  notify: [mail]
  escalate: [{after: 3m, notify: boss}]
  flapping: {count: 2, within: 10m}
series:
  - {metric: cost, values: "11 1 11x4 1 1x5"}
notices:
  - {at: 0m, channel: mail, reason: first}
  - {at: 1m, channel: mail, reason: resolved}
  - {at: 2m, channel: mail, reason: flapping}
  - {at: 5m, channel: boss, reason: escalation}
  - {at: 6m, channel: mail, reason: still_flapping}
  - {at: 6m, channel: boss, reason: resolved}
  - {at: 10m, channel: mail, reason: digest}
"""


def test_escalation_and_flapping_can_be_expected():
    assert [check for check in run(read(ESCALATING)) if not check.passed] == []


def test_a_measurement_that_fails_is_played_by_the_live_engine():
    failing = {
        "rule": {**GROUPED["rule"], "on_error": "firing"},
        "series": [{"metric": "cost", "labels": {"model": "a"}, "values": "1 error 1"}],
        "expect": [{"at": f"{n}m", "labels": {"model": "a"}, "state": state} for n, state in enumerate(STATES)],
    }
    assert not read(failing).is_replayable
    assert read(GROUPED).is_replayable
    assert [check for check in run(read(failing)) if not check.passed] == []
    failing["rule"] = {**GROUPED["rule"], "on_error": "keep"}
    assert [(check.what, check.found) for check in run(read(failing)) if not check.passed] == [
        ("model=a at 1m", "normal")
    ]


STATES = ("normal", "firing", "normal")
