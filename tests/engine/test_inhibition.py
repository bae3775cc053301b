from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
            id="no group another of its rule that matches as well",
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
    made = Inhibitors([Source(DOWN, (inhibition(**fields),), NOON)])
    assert made.of(target) == (DOWN if quiet else None)


def test_without_sources_nothing_is_kept_quiet():
    assert Inhibitors().of(subject("slow", severity="low")) is None


Fires = Mapping[str, tuple[str, int]]


def told_of(edges: str, fires: Fires) -> str:
    """Which of the rules that fire are told; `edges` as in `a>b b>c`, `fires` by rule the severity and since when."""
    subjects = {name: Subject(name, "{}", {"rule": name, "severity": word}) for name, (word, _) in fires.items()}
    targets = {name: [edge[2] for edge in edges.split() if edge[0] == name] for name in fires}
    made = Inhibitors(
        Source(subjects[name], tuple(inhibition(match={"rule": to}) for to in targets[name]), NOON + since * MINUTE)
        for name, (_, since) in fires.items()
    )
    return "".join(name for name, subject in subjects.items() if made.of(subject) is None)


def same(names: str) -> Fires:
    return dict.fromkeys(names, ("high", 0))


@pytest.mark.parametrize(
    ("edges", "fires", "told"),
    [
        pytest.param("a>b b>a", same("ab"), "a", id="two that fire at once: the first rule"),
        pytest.param("a>b b>a", {"a": ("high", 1), "b": ("high", 0)}, "b", id="the one that fires longest"),
        pytest.param("a>b b>a", {"a": ("high", 0), "b": ("critical", 9)}, "b", id="but the worst before that"),
        pytest.param("a>b b>a", same("b"), "b", id="the other does not fire"),
        pytest.param("a>b b>c c>a", same("abc"), "a", id="a circle of three"),
        pytest.param("a>b b>c c>a", same("bc"), "b", id="two of the three"),
        pytest.param("a>b b>c", same("abc"), "a", id="a chain"),
        pytest.param("a>b b>c", same("bc"), "b", id="the rest of a chain"),
        pytest.param("a>b b>c", same("ac"), "ac", id="a chain without its middle"),
        pytest.param("a>b b>a b>c", same("abc"), "a", id="what hangs on a circle"),
        pytest.param("c>a a>b b>a", same("abc"), "c", id="a circle that something else explains"),
        pytest.param("a>b b>a b>c c>d d>c", same("abcd"), "a", id="a circle that another explains"),
        pytest.param("b>a b>c c>b", same("abc"), "b", id="two that hold a third"),
        pytest.param("a>b b>a c>d d>c", same("abcd"), "ac", id="two circles"),
    ],
)
def test_of_those_that_keep_one_another_quiet_the_one_that_explains_them_is_told(edges, fires, told):
    assert told_of(edges, fires) == told


NAMES = "abcdef"
PAIRS = [f"{one}>{other}" for one in NAMES for other in NAMES if one != other]


@given(
    edges=st.lists(st.sampled_from(PAIRS), unique=True, max_size=9),
    fires=st.dictionaries(
        st.sampled_from(NAMES), st.tuples(st.sampled_from(["critical", "high", "info"]), st.integers(0, 3)), min_size=1
    ),
)
def test_whatever_fires_one_is_told_that_explains_it_and_no_more_than_that(edges: list[str], fires: Fires):
    alive = [edge for edge in edges if edge[0] in fires and edge[2] in fires]
    before = {name: explaining(alive, name) for name in fires}
    told = told_of(" ".join(edges), fires)

    for name in fires:
        assert name in told or before[name] & set(told)
        assert name not in told or not (before[name] - {name}) & set(told)
        assert name not in told or all(name in before[other] for other in before[name])


def explaining(edges: list[str], name: str) -> set[str]:
    """All from which a way leads to it."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        new = {edge[0] for edge in edges if edge[2] == one} - found
        found |= new
        waiting.extend(new)
    return found


def ring(store, names: str):
    """Rules that each keep the next quiet, the last the first; each of a model of its own name."""
    after = dict(zip(names, names[1:] + names[0], strict=True))
    return [
        watch(
            store,
            name=name,
            when={"metric": "cost", "window": "5m", "op": ">", "value": 1},
            where={"model": name},
            inhibits=[{"match": {"rule": after[name]}}],
        )
        for name in names
    ]


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_of_a_circle_one_is_told_and_the_next_when_that_is_over(store, names):
    found = ring(store, names)
    for n, name in enumerate(names):  # one after the other is over
        for at in range(0, 4 * n + 1, 4):
            spend(store, NOON + at * MINUTE - SECOND, "2", model=name)
    for n in range(4 * len(names) + 4):
        tick(store, found, NOON + n * MINUTE)
    lines = store.sql(
        "SELECT a.rule_name, n.reason, n.created_at FROM notifications n JOIN alerts a ON a.id = n.alert_id "
        "WHERE n.status != 'silent' ORDER BY n.created_at, n.reason DESC"
    ).rows()
    starts = [(name, "first", 0 if not n else 4 * n + 1) for n, name in enumerate(names)]
    ends = [(name, "resolved", 4 * n + 5) for n, name in enumerate(names)]
    expected = sorted([*starts, *ends], key=lambda line: (line[2], line[1] == "first"))
    assert [(name, reason, (at - NOON) / timedelta(minutes=1)) for name, reason, at in lines] == expected


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
