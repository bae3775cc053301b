"""What is held back of one channel keeps nothing back of another, however much it is."""

import msgspec
import pytest

from data.queries import held
from data.queries.notifications import SILENT
from engine import channel_store
from engine.notice import Notice, NoticeStatus
from engine.notify import Reason
from engine.secrets import SecretBox
from engine.sweep import sweep
from tests.engine.incident_rows import incident, notice, put
from tests.engine.traffic import NOON, SECOND, rows

LIMITED, COOLDOWN = Reason.RATE_LIMITED.value, Reason.COOLDOWN.value
SAID = msgspec.json.encode(Notice(title="x", status=NoticeStatus.FIRING, severity="high", at=NOON, reason="first"))
MANY = 5_001


def backlog(store, channel, count, *, reason=LIMITED, over=False):
    """So many incidents, each with one notice that was held back from the channel."""
    opened = [incident("rule", NOON, until=NOON + SECOND if over else None) for _ in range(count)]
    told = {"status": SILENT, "held": "first", "reason": reason, "notice": SAID.decode(), "fallback": "[]"}
    silent = [
        notice(channel, NOON, alert_id=each["id"], rule_id="rule", group_key=each["id"], **told) for each in opened
    ]
    put(store, incidents=opened, notices=silent)


def found(store, most):
    due = held.held(store, NOON, limited=LIMITED, most=most)
    return due["channel"].to_list()


def test_channels_take_turns_where_not_all_can_be_looked_at(store):
    for channel, count in (("pager", 9), ("mail", 1), ("hook", 4)):
        backlog(store, channel, count)
    assert sorted(found(store, 5)) == ["hook", "hook", "mail", "pager", "pager"]
    assert found(store, 14) == ["pager"] * 9 + ["mail"] + ["hook"] * 4
    ids = held.held(store, NOON, limited=LIMITED, most=5)["id"].to_list()
    assert ids == sorted(ids)


def test_what_waits_for_the_end_of_its_incident_is_not_looked_at_before(store):
    backlog(store, "mail", 2, reason=COOLDOWN)
    backlog(store, "mail", 1, reason=COOLDOWN, over=True)
    backlog(store, "mail", 1)
    assert held.held(store, NOON, limited=LIMITED)["open"].to_list() == [False, True]


@pytest.fixture
def slow(store, home):
    """One that is told of each incident by itself, one a minute."""
    config = {"routing_key": "R" * 32, "burst": 1, "per_minute": 1}
    return channel_store.create(store, SecretBox(home), {"name": "pager", "kind": "pagerduty", "config": config}, by="")


@pytest.mark.parametrize("reason", [LIMITED, COOLDOWN], ids=["a slow channel", "incidents that go on"])
def test_a_huge_backlog_of_one_channel_does_not_silence_another(store, slow, reason):
    backlog(store, "pager", MANY, reason=reason)
    backlog(store, "in-app", 1)
    sweep(store, NOON)
    told = [channel for channel, status in rows(store, "notifications", "channel", "status") if status == "pending"]
    assert "in-app" in told
