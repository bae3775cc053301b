"""Who is told what, as time lines: what was firing when, and the reason then."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.notify import Alert, Listener, Reason, Sent, decide, listeners, next_look
from engine.rule import Rule, parse
from tests.engine.test_rule import with_fields

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)  # a Thursday
A, B = frozenset("a"), frozenset("b")
NONE = frozenset[str]()
PLAIN = Listener()
#: minute, incident, what fires, and why (not) told
Line = Sequence[tuple[int, str, frozenset[str], str]]


def rule_with(**fields: Any) -> Rule:
    return parse(with_fields(notify=["x"], **fields))


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def play(rule: Rule, line: Line, listener: Listener = PLAIN) -> list[str]:
    """The reasons; an incident has ended once a line says that nothing of it fires."""
    log: list[Sent] = []
    told = []
    opens: dict[str, datetime] = {}
    ended: set[str] = set()
    for minute, incident, firing, _ in line:
        opens.setdefault(incident, at(minute))
        ended |= set() if firing else {incident}
        beside = {sent.alert_id for sent in log} - ended - {incident}
        alert = Alert(incident, firing, opens=tuple(opens.values()))
        why = decide(rule, log, alert, at(minute), listener, len(beside))
        log += [Sent(at(minute), incident, why, firing)] if why.notifies else []
        told.append(why.value)
    return told


LINES: dict[str, tuple[dict[str, Any], Line]] = {
    "once, then silence, then the end": (
        {},
        [(0, "1", A, "first"), (1, "1", A, "nothing_new"), (2, "1", NONE, "resolved"), (3, "1", NONE, "nothing_new")],
    ),
    "an end nobody was told the beginning of": ({}, [(0, "1", NONE, "nothing_new")]),
    "others join, and go one after the other": (
        {},
        [
            (0, "1", A, "first"),
            (1, "2", B, "new_groups"),
            (2, "2", B, "nothing_new"),
            (3, "1", NONE, "some_resolved"),
            (4, "2", NONE, "resolved"),
            (5, "3", A, "first"),
        ],
    ),
    "a reminder of one is none of the other": (
        {"repeat": "10m"},
        [(0, "1", A, "first"), (5, "2", B, "new_groups"), (10, "1", A, "repeat"), (15, "2", B, "repeat")],
    ),
    "it repeats": (
        {"repeat": "10m"},
        [
            (0, "1", A, "first"),
            (9, "1", A, "nothing_new"),
            (10, "1", A, "repeat"),
            (15, "1", A, "nothing_new"),
            (20, "1", A, "repeat"),
            (30, "1", NONE, "resolved"),
        ],
    ),
    "cooldown over a resolve and a new incident": (
        {"cooldown": "30m"},
        [
            (0, "1", A, "first"),
            (5, "1", NONE, "resolved"),
            (10, "2", A, "cooldown"),
            (29, "2", A, "cooldown"),
            (30, "2", A, "first"),
            (31, "2", NONE, "resolved"),
        ],
    ),
    "an incident wholly inside the cooldown is not told, nor is its end": (
        {"cooldown": "30m"},
        [(0, "1", A, "first"), (5, "1", NONE, "resolved"), (10, "2", A, "cooldown"), (12, "2", NONE, "nothing_new")],
    ),
    "cooldown is by group": (
        {"cooldown": "30m"},
        [
            (0, "1", A, "first"),
            (1, "2", B, "new_groups"),
            (2, "1", NONE, "some_resolved"),
            (3, "3", A, "cooldown"),
            (4, "2", NONE, "resolved"),
        ],
    ),
    "what began in the quiet time is told when that is over, beside others": (
        {"cooldown": "10m"},
        [
            (0, "1", A, "first"),
            (1, "1", NONE, "resolved"),
            (2, "2", B, "first"),
            (3, "3", A, "cooldown"),
            (10, "3", A, "new_groups"),
        ],
    ),
    "cooldown holds back repeats": (
        {"cooldown": "30m", "repeat": "10m"},
        [(0, "1", A, "first"), (10, "1", A, "cooldown"), (30, "1", A, "repeat"), (40, "1", A, "cooldown")],
    ),
    "outside the active hours it waits": (
        {"active": {"hours": "13:00-14:00"}},
        [(0, "1", A, "inactive_hours"), (59, "1", A, "inactive_hours"), (60, "1", A, "first")],
    ),
    "an end is told outside the active hours": (
        {"active": {"hours": "12:00-13:00"}},
        [(59, "1", A, "first"), (61, "1", NONE, "resolved")],
    ),
    "cooldown is named before inactive hours": (
        {"active": {"hours": "12:00-12:10"}, "cooldown": "30m"},
        [(0, "1", A, "first"), (1, "1", NONE, "resolved"), (20, "2", A, "cooldown"), (40, "2", A, "inactive_hours")],
    ),
    "it flaps: told once, then nothing until it has been steady": (
        {"flapping": {"count": 3, "within": "30m"}},
        [
            (0, "1", A, "first"),
            (5, "1", NONE, "resolved"),
            (10, "2", A, "first"),
            (15, "2", NONE, "resolved"),
            (20, "3", A, "flapping"),
            (21, "3", A, "nothing_new"),
            (22, "3", NONE, "still_flapping"),
            (25, "4", A, "still_flapping"),
            (39, "4", A, "still_flapping"),
            (40, "4", A, "first"),  # the beginning at 10 is 30 minutes ago
            (41, "4", NONE, "resolved"),
        ],
    ),
    "what flapped stays firing and ends when it is steady": (
        {"flapping": {"count": 2, "within": "10m"}},
        [(0, "1", A, "first"), (1, "1", NONE, "resolved"), (5, "2", A, "flapping"), (10, "2", NONE, "resolved")],
    ),
    "another group may flap beside it": (
        {"flapping": {"count": 2, "within": "30m"}, "cooldown": "1m"},
        [(0, "1", A, "first"), (5, "1", NONE, "resolved"), (9, "2", A, "flapping"), (10, "3", B, "flapping")],
    ),
    "what flaps and ends beside another is told of when it is steady": (
        {"flapping": {"count": 2, "within": "10m"}},
        [
            (0, "1", A, "first"),
            (1, "1", NONE, "resolved"),
            (5, "2", A, "flapping"),
            (6, "3", B, "flapping"),
            (7, "2", NONE, "still_flapping"),
            (15, "2", NONE, "some_resolved"),
        ],
    ),
    "without it everything is told": (
        {"flapping": None},
        [(n, str(n // 2), (A, NONE)[n % 2], ("first", "resolved")[n % 2]) for n in range(20)],
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_a_time_line_gives_its_reasons(name: str):
    fields, line = LINES[name]

    assert play(rule_with(**fields), line) == [why for *_, why in line]


@pytest.mark.parametrize("limited", [False, True])
def test_a_channel_without_partial_ends_hears_when_the_last_is_over(*, limited: bool):
    line: Line = [
        (0, "1", A, "first"),
        (1, "2", B, "new_groups"),
        (2, "1", NONE, "others_fire"),
        (3, "3", A, "new_groups"),
        (4, "2", NONE, "others_fire"),
        (5, "3", NONE, "resolved"),
    ]

    assert play(rule_with(), line, Listener(partial_ends=False)) == [why for *_, why in line]
    waiting = Listener(partial_ends=False, limited=limited)
    over = decide(rule_with(), FIRST, Alert("1", NONE), at(9), waiting, beside=1)
    assert over is Reason.OTHERS_FIRE


FIRST = [Sent(NOON, "1", Reason.FIRST, A)]


@pytest.mark.parametrize(
    ("log", "alert", "listener", "expected"),
    [
        pytest.param([], Alert("1", A, silenced=True), Listener(), "silenced", id="silenced"),
        pytest.param([], Alert("1", A, inhibited=True), Listener(), "inhibited", id="inhibited"),
        pytest.param(
            FIRST, Alert("1", NONE, inhibited=True), Listener(), "resolved", id="inhibition does not hide the end"
        ),
        pytest.param(
            [], Alert("1", A, silenced=True, inhibited=True), Listener(), "silenced", id="silenced is named first"
        ),
        pytest.param(
            FIRST, Alert("1", NONE, silenced=True), Listener(), "resolved", id="a silence does not hide the end"
        ),
        pytest.param([], Alert("1", A), Listener(limited=True), "rate_limited", id="limited"),
        pytest.param(FIRST, Alert("1", NONE), Listener(limited=True), "rate_limited", id="limited end"),
        pytest.param(
            [], Alert("1", A, acknowledged=True), Listener(), "first", id="acknowledged before this channel heard"
        ),
        pytest.param(
            FIRST, Alert("1", A, acknowledged=True), Listener(), "acknowledged", id="acknowledge stops repeats"
        ),
        pytest.param(FIRST, Alert("1", NONE, acknowledged=True), Listener(), "resolved", id="acknowledged, then over"),
        pytest.param(
            FIRST, Alert("1", A, acknowledged=True, acknowledged_until=at(61)), Listener(), "acknowledged", id="snoozed"
        ),
        pytest.param(
            FIRST,
            Alert("1", A, acknowledged=True, acknowledged_until=at(60)),
            Listener(),
            "repeat",
            id="the snooze is over",
        ),
    ],
)
def test_what_holds_a_notice_back(log: list[Sent], alert: Alert, listener: Listener, expected: str):
    assert decide(rule_with(repeat="60m"), log, alert, at(60), listener) == expected


def test_what_is_held_back_is_told_when_nothing_holds_it_any_more():
    rule, log = rule_with(), list[Sent]()

    assert decide(rule, log, Alert("1", A, silenced=True), at(0)) is Reason.SILENCED
    assert decide(rule, log, Alert("1", A), at(1)) is Reason.FIRST


def test_only_reasons_to_speak_notify():
    assert {why for why in Reason if why.notifies} == set(list(Reason)[:7])


SPANS = st.sampled_from(["0s", "7m", "20m", "45m"])


@given(
    repeat=SPANS,
    cooldown=SPANS,
    before=st.lists(st.tuples(st.integers(0, 60), st.sampled_from("12")), max_size=4),
    now=st.integers(61, 100),
)
def test_no_decision_changes_before_its_next_look(repeat: str, cooldown: str, before: list[tuple[int, str]], now: int):
    rule = rule_with(repeat=repeat, cooldown=cooldown)
    log = [Sent(at(minute), incident, Reason.FIRST, A) for minute, incident in sorted(before)]
    alert = Alert("2", A)
    why = decide(rule, log, alert, at(now))
    log += [Sent(at(now), "2", why, A)] if why.notifies else []
    settled = decide(rule, log, alert, at(now)) if why.notifies else why

    look = next_look(rule, log, why, at(now))

    quiet = [at(m) for m in range(now, 200) if look is None or at(m) < look]
    assert {decide(rule, log, alert, moment) for moment in quiet} <= {settled}


STEPS = [{"after": "15m", "notify": ["x", "boss"]}, {"after": "30m", "notify": "boss"}]


def escalating(channel: str, line: Sequence[tuple[int, frozenset[str], bool]], **fields: Any) -> list[str]:
    """What a channel hears of an incident that was first told at 0; minute, what fires, acknowledged."""
    rule = rule_with(escalate=STEPS, **fields)
    log: list[Sent] = []
    told = []
    for minute, firing, acknowledged in line:
        alert = Alert("1", firing, acknowledged=acknowledged, told_at=at(0) if minute else None)
        why = decide(rule, log, alert, at(minute), listeners(rule)[channel])
        log += [Sent(at(minute), "1", why, firing)] if why.notifies else []
        told.append(why.value)
    return told


@pytest.mark.parametrize(
    ("channel", "line", "fields", "expected"),
    [
        pytest.param(
            "boss",
            [(0, A, False), (14, A, False), (15, A, False), (16, A, False), (30, A, False), (31, A, False)],
            {},
            ["nothing_new", "nothing_new", "escalation", "nothing_new", "escalation", "nothing_new"],
            id="each step once",
        ),
        pytest.param(
            "x",
            [(0, A, False), (15, A, False), (30, A, False), (31, NONE, False)],
            {},
            ["first", "escalation", "nothing_new", "resolved"],
            id="one that was told hears the step that names it",
        ),
        pytest.param(
            "boss",
            [(15, A, False), (20, NONE, False)],
            {},
            ["escalation", "resolved"],
            id="whoever was told hears the end",
        ),
        pytest.param("boss", [(10, NONE, False)], {}, ["nothing_new"], id="over before the first step"),
        pytest.param(
            "boss",
            [(15, A, True), (40, A, False), (41, A, False)],
            {},
            ["acknowledged", "escalation", "nothing_new"],
            id="steps missed while acknowledged are one",
        ),
        pytest.param(
            "x",
            [(0, A, False), (10, A, False), (15, A, False), (20, A, False)],
            {"cooldown": "1h", "repeat": "10m"},
            ["first", "cooldown", "escalation", "nothing_new"],
            id="the quiet time holds back repeats and no escalation",
        ),
        pytest.param(
            "x",
            [(0, A, False), (15, A, False), (16, A, False), (30, A, False), (31, A, False)],
            {"repeat": "15m"},
            ["first", "repeat", "nothing_new", "repeat", "nothing_new"],
            id="a reminder at the time of a step is the step's notice too",
        ),
        pytest.param(
            "x",
            [(0, A, False), (14, A, False), (15, A, False), (16, A, False)],
            {"repeat": "14m"},
            ["first", "repeat", "escalation", "nothing_new"],
            id="a reminder before the step is not",
        ),
        pytest.param(
            "boss",
            [(15, A, False), (30, A, False), (31, A, False)],
            {"repeat": "15m"},
            ["escalation", "repeat", "nothing_new"],
            id="nor is a channel of two steps told twice",
        ),
        pytest.param(
            "boss",
            [(15, A, False)],
            {"active": {"hours": "20:00-21:00"}},
            ["inactive_hours"],
            id="not outside the active hours",
        ),
    ],
)
def test_an_incident_escalates_until_somebody_has_it(
    channel: str, line: Sequence[tuple[int, frozenset[str], bool]], fields: dict[str, Any], expected: list[str]
):
    assert escalating(channel, line, **fields) == expected


def test_what_flaps_for_more_than_a_day_is_told_of_again():
    rule, told = rule_with(flapping={"count": 2, "within": "1d"}), Sent(NOON, "1", Reason.FLAPPING, A)
    for hours, expected in ((23, Reason.STILL_FLAPPING), (24, Reason.FLAPPING)):
        now = NOON + timedelta(hours=hours)
        assert decide(rule, [told], Alert("9", A, opens=(now, now)), now) is expected


def test_what_nobody_was_told_of_does_not_escalate():
    rule = rule_with(escalate=STEPS)
    assert decide(rule, [], Alert("1", A, told_at=None), at(60), listeners(rule)["boss"]) is Reason.NOTHING_NEW
