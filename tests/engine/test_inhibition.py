import pytest

from engine import incidents, rules
from engine.inhibition import Inhibitors, Source, Subject
from engine.policies import Inhibition
from engine.tick import tick
from tests.engine.traffic import COSTLY, MINUTE, NOON, SECOND, again, rows, spend, watch


def subject(rule_id, **labels):
    return Subject(rule_id, str(sorted(labels.items())), {"rule": rule_id, "rule_id": rule_id, **labels})


def inhibition(**fields):
    return Inhibition.model_validate({"match": {"severity": ["low", "info"]}, **fields})


DOWN = subject("down", severity="critical", model="opus", team="a")


@pytest.mark.parametrize(
    ("fields", "target", "quiet"),
    [
        pytest.param({}, subject("slow", severity="low"), True, id="matches"),
        pytest.param({}, subject("slow", severity="info"), True, id="one of several"),
        pytest.param({}, subject("slow", severity="high"), False, id="does not match"),
        pytest.param({"match": {"rule": "sl*"}}, subject("slow", severity="high"), True, id="a pattern"),
        pytest.param({"match": {"severity": "low", "team": "b"}}, subject("s", severity="low"), False, id="all names"),
        pytest.param({"equal": ["model"]}, subject("slow", severity="low", model="opus"), True, id="equal"),
        pytest.param({"equal": ["model"]}, subject("slow", severity="low", model="haiku"), False, id="not equal"),
        pytest.param({"equal": ["model"]}, subject("slow", severity="low"), False, id="lacking on one side"),
        pytest.param({"equal": ["zone"]}, subject("slow", severity="low"), True, id="lacking on both sides"),
        pytest.param({"source": {"team": "a"}}, subject("slow", severity="low"), True, id="the source is meant"),
        pytest.param({"source": {"team": "b"}}, subject("slow", severity="low"), False, id="the source is not meant"),
        pytest.param({"match": {"severity": "*"}}, DOWN, False, id="never itself"),
        pytest.param(
            {"match": {"severity": "*"}},
            subject("down", severity="critical", model="haiku"),
            False,
            id="no two silence each other",
        ),
        pytest.param(
            {"match": {"model": "haiku"}, "source": {"model": "opus"}},
            subject("down", severity="critical", model="haiku"),
            True,
            id="a group of the same rule",
        ),
    ],
)
def test_what_keeps_quiet_what(fields, target, quiet):
    made = Inhibitors([Source(DOWN, (inhibition(**fields),))])
    assert made.of(target) == (DOWN if quiet else None)


def test_without_sources_nothing_is_kept_quiet():
    assert Inhibitors().of(subject("slow", severity="low")) is None


@pytest.fixture
def pair(store):
    """A rule that inhibits by model, and one that is inhibited; both of models."""
    source = watch(
        store,
        name="Down",
        severity="critical",
        group_by=["model"],
        when={"metric": "cost", "window": "5m", "op": ">", "value": 5},
        inhibits=[{"match": {"severity": "high"}, "equal": ["model"]}],
    )
    return source, watch(store, group_by=["model"])


def told(store):
    """Rule and reason of each notice about opus."""
    joined = "notifications n JOIN alerts a ON a.id = n.alert_id"
    found = store.sql(f"SELECT a.rule_name, n.reason, n.group_key FROM {joined} ORDER BY n.id").rows()
    return [(name, reason) for name, reason, key in found if "opus" in key]


@pytest.mark.parametrize("together", [True, False])
def test_while_the_source_fires_its_targets_are_quiet_and_told_when_it_is_over(store, pair, together):
    source, target = pair
    for n in range(0, 12, 4):
        spend(store, NOON + n * MINUTE - SECOND, "9" if n == 0 else "2", model="opus")
    spend(store, NOON - SECOND, "2", model="haiku")
    for n in (0, 1, 6, 7):
        for some in [[target, source]] if together else [[source], [target]]:
            tick(store, some, NOON + n * MINUTE)
    found = told(store)
    assert sorted(found[:2]) == [("Down", "first"), ("High cost", "inhibited")]
    assert sorted(found[2:]) == [("Down", "resolved"), ("High cost", "new_groups")]  # haiku fires still
    haiku = "SELECT reason FROM notifications WHERE group_key LIKE '%haiku%' ORDER BY id"
    assert store.sql(haiku).rows()[0] == ("first",)


def test_the_end_of_a_target_that_was_told_is_told(store, pair):
    source, target = pair
    spend(store, NOON - SECOND, "2", model="opus")
    tick(store, [source, target], NOON)
    spend(store, NOON + MINUTE - SECOND, "9", model="opus")
    tick(store, [source, target], NOON + MINUTE)
    ids = [row[0] for row in rows(store, "alerts", "id", "rule_name") if row[1] == "High cost"]
    incidents.resolve(store, ids, by="ada", at=NOON + MINUTE + SECOND)
    assert told(store) == [("High cost", "first"), ("Down", "first"), ("High cost", "resolved")]


def test_an_edit_that_ends_inhibiting_is_obeyed_at_once(store, pair):
    source, target = pair
    spend(store, NOON - SECOND, "9", model="opus")
    tick(store, [source, target], NOON)
    plain = {**COSTLY, "name": "Down", "severity": "critical", "group_by": ["model"], "when": source.rule.when}
    plain["when"] = {"metric": "cost", "window": "5m", "op": ">", "value": 5}
    rules.save(store, plain, rule_id=source.id, by="ada", at=NOON + SECOND)
    tick(store, [target, again(store, source.id)], NOON + MINUTE)
    assert told(store)[-1] == ("High cost", "first")
