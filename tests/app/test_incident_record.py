"""What an incident's chart shows is what was stored about it."""

from datetime import UTC, datetime, timedelta

from app.incident_record import Mark, record
from engine.incidents import Detail
from engine.state import State

OPENED = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def event(minute: int, to_state: str) -> dict:
    return {"at": OPENED + minute * MINUTE, "to_state": to_state}


def notice(minute: int, status: str, *, finished: int | None = None) -> dict:
    at = None if finished is None else OPENED + finished * MINUTE
    created = OPENED + minute * MINUTE
    return {"status": status, "channel": "ops", "reason": "new_groups", "created_at": created, "finished_at": at}


def made(events=(), notices=(), resolved: int | None = None, now: int = 60):
    over = None if resolved is None else OPENED + resolved * MINUTE
    alert = {"opened_at": OPENED, "resolved_at": over, "labels": {"model": "a"}}
    return record(Detail(alert, list(events), list(notices)), OPENED + now * MINUTE)


def stretches(found) -> list[tuple[State, float, float]]:
    return [(band.state, (band.start - OPENED) / MINUTE, (band.end - OPENED) / MINUTE) for band in found.bands]


def test_an_open_incident_fires_from_its_opening_until_now():
    assert stretches(made([event(0, "firing")])) == [(State.FIRING, 0, 60)]


def test_each_state_lasts_until_the_next_and_nothing_lies_outside():
    events = [event(-5, "pending"), event(0, "firing"), event(10, "recovering"), event(20, "normal")]
    assert stretches(made(events, resolved=20)) == [(State.FIRING, 0, 10), (State.RECOVERING, 10, 20)]


def test_without_transitions_it_fired_from_opening_to_end():
    assert stretches(made(resolved=7)) == [(State.FIRING, 0, 7)]


def test_only_what_was_sent_is_marked_when_it_was_sent():
    notices = [notice(3, "sent", finished=4), notice(1, "silent"), notice(2, "failed", finished=2), notice(0, "sent")]
    told = "ops: new groups"
    assert made(notices=notices).marks == (Mark(OPENED, told), Mark(OPENED + 4 * MINUTE, told))
