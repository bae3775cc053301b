import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from data.metrics import DIMENSIONS, RULE_METRICS, Dimension, Metric
from engine.condition import DEEPEST
from engine.errors import RuleError
from engine.rule import MOST_CONDITIONS, NoData, Severity, document, parse, same_result, scope, to_json, to_yaml
from engine.sentence import sentence
from engine.window import Calendar, Period, Rolling

FULL = """
name: High cost on OpenAI
severity: high
where: {provider: openai}
when:
  all:
    - {metric: cost, window: 1d, op: ">", value: 500, recovery: 450}
    - {metric: cost, window: 1d, compare: {to: previous, as: percent}, op: ">", value: 20}
    - any:
        - {metric: error_rate, window: 5m, op: ">", value: 10}
        - {metric: latency_p95, window: 5m, op: ">", value: 8000, where: {model: [gpt-5, gpt-5-mini]}}
    - not: {metric: requests, window: this_week, op: "<", value: 0.5}
group_by: [model]
every: 60s
for: 5m
keep_firing_for: 10m
delay: 30s
no_data: keep
on_error: error
cooldown: 60m
repeat: 4h
active: {days: mon-fri, hours: "08:00-18:00", tz: Europe/Berlin}
notify: [email-ops, slack-oncall, in-app]
fallback: [pagerduty-main]
flapping: {count: 3, within: 30m}
inhibits: [{match: {severity: [low, info], rule: "Cost*"}, equal: [model], source: {team: plat*}}]
escalate: [{after: 15m, notify: slack-boss}, {after: 30m, notify: [pagerduty-main, slack-boss]}]
labels: {team: platform, tier: 1}
message: "{{ value }} is too much"
runbook: https://wiki.example/cost
tz: America/New_York
"""
CONDITION = {"metric": "cost", "window": "5m", "op": ">", "value": 10}


def with_condition(**fields: Any) -> dict[str, Any]:
    return {"name": "r", "when": {**CONDITION, **fields}}


def with_fields(**fields: Any) -> dict[str, Any]:
    return {"name": "r", "when": CONDITION, **fields}


def test_the_whole_document_is_read():
    rule = parse(FULL)

    assert (rule.name, rule.severity, rule.no_data) == ("High cost on OpenAI", Severity.HIGH, NoData.KEEP)
    assert (rule.for_, rule.cooldown, rule.delay) == tuple(timedelta(seconds=s) for s in (300, 3600, 30))
    assert [path for path, _ in rule.placed] == [
        "when.all[0]",
        "when.all[1]",
        "when.all[2].any[0]",
        "when.all[2].any[1]",
        "when.all[3].not",
    ]
    assert [str(c.window) for c in rule.conditions] == ["1d", "1d", "5m", "5m", "this_week"]
    assert scope(rule, rule.conditions[3]) == {"provider": ("openai",), "model": ("gpt-5", "gpt-5-mini")}
    assert rule.labels == {"team": "platform", "tier": "1"}
    assert rule.recovering == (0,)


def test_a_small_document_has_defaults():
    rule = parse(with_fields())

    assert (rule.severity, rule.group_by, rule.every, rule.for_) == ("medium", (), timedelta(minutes=1), timedelta(0))
    assert document(rule) == {"name": "r", "when": CONDITION}


@pytest.mark.parametrize("source", [FULL, json.dumps(with_fields(group_by="model", notify="in-app"))])
def test_a_rule_survives_its_document_yaml_and_json(source: str):
    rule = parse(source)

    assert parse(document(rule)) == parse(to_yaml(rule)) == parse(to_json(rule)) == rule
    assert document(parse(document(rule))) == document(rule)


def test_a_document_is_written_as_people_write_it():
    written = document(parse(FULL))

    assert written["when"]["all"][0] == {**CONDITION, "window": "1d", "value": 500, "recovery": 450}
    assert written["active"] == {"days": "mon-fri", "hours": "08:00-18:00", "tz": "Europe/Berlin"}
    assert (written["for"], written["where"]) == ("5m", {"provider": "openai"})
    assert "on_error" not in written


FAULTS: list[Any] = [
    pytest.param({}, {"name": "is required", "when": "is required"}, id="everything missing"),
    pytest.param("", {"": "must be an object"}, id="empty text"),
    pytest.param("- a", {"": "must be an object"}, id="a list"),
    pytest.param("a: [", {"": "is not valid YAML in line 1"}, id="broken yaml"),
    pytest.param("name: 2026-02-30", {"": "is not valid YAML"}, id="impossible date"),
    pytest.param(f"name: {'9' * 5000}", {"": "is not valid YAML"}, id="endless number"),
    pytest.param(with_condition(value=10**400), {"when.value": "must be a number"}, id="huge value"),
    pytest.param(with_fields(name=""), {"name": "must not be empty"}, id="empty name"),
    pytest.param(with_fields(name="x" * 201), {"name": "at most 200 characters"}, id="long name"),
    pytest.param(with_fields(severity="bad"), {"severity": "'info', not 'bad'"}, id="severity"),
    pytest.param(with_fields(evry="1m"), {"evry": "did you mean 'every'?"}, id="misspelt field"),
    pytest.param(with_fields(depends_on=[]), {"depends_on": "depends_on is not supported yet"}, id="planned field"),
    pytest.param(
        with_fields(inhibits=[{"match": {}}, {"match": {"severity": []}}, {"matches": {"a": "b"}}]),
        {
            "inhibits[0].match": "needs at least one entry",
            "inhibits[1].match.severity": "needs at least one entry",
            "inhibits[2].matches": "did you mean",
        },
        id="inhibits",
    ),
    pytest.param(
        with_fields(flapping={"count": 1, "within": "2d"}),
        {"flapping.count": "greater than or equal to 2", "flapping.within": "must be at most 1d"},
        id="flapping",
    ),
    pytest.param(
        with_fields(escalate=[{"after": "5m", "notify": "a"}]),
        {"escalate": "no effect without notify"},
        id="escalate alone",
    ),
    pytest.param(
        with_fields(notify="a", escalate=[{"after": "5m", "notify": "a"}, {"after": "5m", "notify": "b"}]),
        {"escalate[1].after": "must be longer"},
        id="steps out of order",
    ),
    pytest.param(
        with_fields(notify="a", escalate=[{"after": "0s", "notify": []}, {"after": "1m", "notify": ["b", "b"]}]),
        {"escalate[0].after": "longer than 0s", "escalate[0].notify": "needs at least one entry"},
        id="an empty step",
    ),
    pytest.param(
        with_fields(notify="a", escalate=[{"after": "1m", "notify": ["b", "b"]}]),
        {"escalate[0].notify": "names 'b' twice"},
        id="a step that names twice",
    ),
    pytest.param(with_fields(when=3), {"when": "must be all, any, not, or a condition"}, id="no condition"),
    pytest.param(with_fields(when={"all": []}), {"when.all": "needs at least one entry"}, id="empty all"),
    pytest.param(
        with_fields(when={"all": [CONDITION], "any": [CONDITION]}),
        {"when.any": "any cannot stand beside other fields"},
        id="all beside any",
    ),
    pytest.param(
        with_fields(when={"any": [{"not": {"all": [{**CONDITION, "metric": "cots"}]}}]}),
        {"when.any[0].not.all[0].metric": "unknown metric 'cots'; did you mean cost"},
        id="deep metric",
    ),
    pytest.param(
        with_condition(metric="budget_used", where={"model": "opus"}),
        {"when": "budget_used can be split and filtered by budget, not by model"},
        id="a budget of a model",
    ),
    pytest.param(
        with_condition(metric="provider_limit_used", where={"model": "opus"}),
        {"when": "provider_limit_used can be split and filtered by provider, credential and limit, not by model"},
        id="a limit of a model",
    ),
    pytest.param(
        with_condition(where={"limit": "tokens"}), {"when": "so limit has no meaning for it"}, id="a limit of requests"
    ),
    pytest.param(with_condition(window="5x"), {"when.window": "is not a duration: '5x'"}, id="window"),
    pytest.param(with_condition(window="0s"), {"when.window": "must be longer than 0s"}, id="empty window"),
    pytest.param(with_condition(window="999d"), {"when.window": "is longer than 400 days"}, id="long window"),
    pytest.param(with_condition(op="=>"), {"when.op": "must be one of"}, id="op"),
    pytest.param(with_condition(value="high"), {"when.value": "must be a number, not 'high'"}, id="value"),
    pytest.param(with_condition(value=True), {"when.value": "must be a number"}, id="boolean value"),
    pytest.param(with_condition(value=float("nan")), {"when.value": "must be a number"}, id="nan"),
    pytest.param(with_condition(recovery=11), {"when": "recovery must be at most value with >"}, id="recovery above"),
    pytest.param(with_condition(op="<", recovery=9), {"when": "recovery must be at least"}, id="recovery below"),
    pytest.param(with_condition(op="==", recovery=9), {"when": "recovery has no meaning with =="}, id="recovery equal"),
    pytest.param(with_condition(where={"modl": "a"}), {"when.where.modl": "unknown dimension 'modl'"}, id="dimension"),
    pytest.param(with_condition(where={"model": []}), {"when.where.model": "at least one value"}, id="no values"),
    pytest.param(with_condition(where={"model": {}}), {"when.where.model": "must be a text or a list"}, id="odd value"),
    pytest.param(with_condition(compare={"to": "1x"}), {"when.compare.to": "is not a duration"}, id="compare to"),
    pytest.param(
        with_fields(group_by=["budget"]), {"when": "so budget has no meaning for it"}, id="a budget of requests"
    ),
    pytest.param(
        with_fields(where={"model": "a"}, when={**CONDITION, "where": {"model": "b"}}),
        {"when.where.model": "leaves nothing of the rule's where"},
        id="contradicting where",
    ),
    pytest.param(with_fields(group_by=["tag"]), {"group_by[0]": "a tag needs its name"}, id="tag without name"),
    pytest.param(with_fields(group_by=["model", "model"]), {"group_by": "names 'model' twice"}, id="twice"),
    pytest.param(
        with_fields(group_by=["model"], labels={"model": "x"}), {"labels.model": "the same labels"}, id="label clash"
    ),
    pytest.param(with_fields(every=60), {"every": "write a number and a unit"}, id="no unit"),
    pytest.param(with_fields(every="0s"), {"every": "must be longer than 0s"}, id="every 0"),
    pytest.param(with_fields(every="2d"), {"every": "must be at most 1d"}, id="every too long"),
    pytest.param(with_fields(**{"for": "-5m"}), {"for": "is not a duration"}, id="negative"),
    pytest.param(with_fields(no_data="fire"), {"no_data": "must be one of"}, id="no_data"),
    pytest.param(with_fields(on_error="ok"), {"on_error": "must be one of"}, id="on_error"),
    pytest.param(with_fields(notify=3), {"notify": "must be a list"}, id="notify"),
    pytest.param(with_fields(notify=["a", "a"]), {"notify": "names 'a' twice"}, id="channel twice"),
    pytest.param(with_fields(fallback=["a"]), {"fallback": "has no effect without notify"}, id="fallback alone"),
    pytest.param(with_fields(labels=[]), {"labels": "must be an object"}, id="labels"),
    pytest.param(with_fields(tz="No/Where"), {"tz": "there is no time zone"}, id="zone"),
    pytest.param(with_fields(tz="../etc"), {"tz": "there is no time zone"}, id="zone path"),
    pytest.param(with_fields(active={"days": "foo"}), {"active.days": "'foo' is not a day"}, id="days"),
    pytest.param(with_fields(active={"hours": "8-18"}), {"active.hours": "must be hours like"}, id="hours"),
    pytest.param(
        with_fields(active={"hours": "08:00-25:00"}), {"active.hours": "two different times"}, id="25 o'clock"
    ),
    pytest.param(with_fields(active={"hours": "08:00-08:00"}), {"active.hours": "two different times"}, id="no hours"),
    pytest.param(
        with_fields(evry="1m", severity="x", when={"all": [{"metric": "x"}]}),
        {"evry": "", "severity": "", "when.all[0].metric": "", "when.all[0].op": "", "when.all[0].window": ""},
        id="all at once",
    ),
    pytest.param(
        with_fields(when={"all": [CONDITION] * (MOST_CONDITIONS + 1)}), {"when": "more than 30 conditions"}, id="many"
    ),
]


@pytest.mark.parametrize(("source", "expected"), FAULTS)
def test_a_fault_names_its_field_and_says_why(source: Any, expected: dict[str, str]):
    with pytest.raises(RuleError) as caught:
        parse(source)

    found = dict(caught.value.faults)
    assert all(path in found and text in found[path] for path, text in expected.items()), found
    assert all(path in str(caught.value) for path in expected)


def nested(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = CONDITION
    for _ in range(levels):
        node = {"not": node}
    return with_fields(when=node)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        pytest.param(nested(DEEPEST), "nests deeper", id="deep"),
        pytest.param(nested(5000), "nests deeper", id="very deep"),
        pytest.param("[" * 5000, "is not valid YAML", id="deep text"),
        pytest.param(BOMB, "has more than", id="aliases"),
    ],
)
def test_a_document_that_would_exhaust_the_reader_is_refused(source: Any, why: str):
    with pytest.raises(RuleError, match=why):
        parse(source)


def test_conditions_nest_deep():
    assert len(parse(nested(20)).conditions) == 1


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"name": "x", "severity": "low", "message": "m", "labels": {"a": "b"}, "runbook": "r"}, True),
        ({"notify": ["a"], "repeat": "1h", "cooldown": "1h", "for": "9m", "keep_firing_for": "1m"}, True),
        ({"group_by": ["model"]}, False),
        ({"where": {"model": "a"}}, False),
        ({"when": {**CONDITION, "value": 11}}, False),
        ({"no_data": "firing"}, False),
        ({"delay": "1m"}, False),
    ],
)
def test_only_what_changes_the_result_counts_as_another_result(change: dict[str, Any], *, same: bool):
    assert same_result(parse(with_fields()), parse({**with_fields(), **change})) is same


@pytest.mark.parametrize(
    ("at", "covered"),
    [
        ("2026-03-02T07:00", True),  # Monday 08:00 in Berlin
        ("2026-03-02T06:59", False),
        ("2026-03-02T16:59", True),
        ("2026-03-02T17:00", False),
        ("2026-03-07T10:00", False),  # Saturday
        ("2026-07-06T06:00", True),  # summer time: 08:00 is 06:00 UTC
    ],
)
def test_active_hours_are_local(at: str, *, covered: bool):
    active = parse(FULL).active

    assert active is not None
    assert active.covers(datetime.fromisoformat(at).replace(tzinfo=UTC)) is covered


@pytest.mark.parametrize(
    ("at", "covered"),
    [
        ("2026-03-06T23:00", True),  # Friday night
        ("2026-03-07T05:59", True),  # still Friday's night
        ("2026-03-07T06:00", False),
        ("2026-03-07T23:00", False),  # Saturday night
    ],
)
def test_hours_over_midnight_belong_to_the_day_they_start_on(at: str, *, covered: bool):
    active = parse(with_fields(active={"days": "mon-fri", "hours": "22:00-06:00"})).active

    assert active is not None
    assert active.covers(datetime.fromisoformat(at).replace(tzinfo=UTC)) is covered


@pytest.mark.parametrize(
    ("days", "written"),
    [("sat-mon", "mon,sat,sun"), ("mon,wed", "mon,wed"), (["Tuesday", "thu-sat"], "tue,thu,fri,sat"), ("fri", "fri")],
)
def test_days_are_read_and_written(days: Any, written: str):
    rule = parse(with_fields(active={"days": days}))

    assert document(rule)["active"]["days"] == written


@pytest.mark.parametrize(
    ("window", "at", "start"),
    [
        ("today", "2026-03-05T10:00", "2026-03-05T05:00"),
        ("today", "2026-03-05T05:00", "2026-03-04T05:00"),  # the day that ends now, whole
        ("this_week", "2026-03-05T10:00", "2026-03-02T05:00"),
        ("this_month", "2026-03-05T10:00", "2026-03-01T05:00"),
        ("today", "2026-03-09T10:00", "2026-03-09T04:00"),  # after the clocks went forward
        ("90m", "2026-03-05T10:00", "2026-03-05T08:30"),
    ],
)
def test_a_window_starts_where_its_period_does(window: str, at: str, start: str):
    rule = parse({**with_condition(window=window), "tz": "America/New_York"})
    end = datetime.fromisoformat(at).replace(tzinfo=UTC)

    span = rule.conditions[0].window.span(end, rule.zone)

    assert (span.start, span.end) == (datetime.fromisoformat(start).replace(tzinfo=UTC), end)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("today", Calendar(Period.TODAY)), ("1h30m", Rolling(timedelta(minutes=90))), ("1w", Rolling(timedelta(days=7)))],
)
def test_windows_are_read(text: str, expected: Rolling | Calendar):
    assert parse(with_condition(window=text)).conditions[0].window == expected


@pytest.mark.parametrize("each", RULE_METRICS, ids=lambda m: m.name)
def test_every_metric_can_be_watched_and_is_said(each: Metric):
    rule = parse(with_condition(metric=each.name))

    assert each.label.lower() in sentence(rule)


@pytest.mark.parametrize("each", DIMENSIONS, ids=lambda d: d.name)
def test_every_dimension_splits_and_narrows_a_rule(each: Dimension):
    name = "tag:env" if each.name == "tag" else each.name
    rule = parse(with_fields(group_by=[name], when={**CONDITION, "where": {name: ["a", "b"]}}))

    assert (rule.group_by, rule.conditions[0].where) == ((name,), {name: ("a", "b")})


def test_a_condition_on_a_budget_needs_no_window():
    when = {"metric": "budget_used", "op": ">", "value": 80, "where": {"budget": "core"}}
    rule = parse(with_fields(when=when))

    assert "budget used for budget core is above 80 %" in sentence(rule)
    assert parse(document(rule)) == rule
