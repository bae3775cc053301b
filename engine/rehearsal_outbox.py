"""The outbox of a rehearsal: channels that nothing is ever sent to, and when it is seen to what is held back."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import update

from data.queries import channels as channel_rows
from data.queries.channels import ChannelRow
from data.queries.notifications import PENDING, SENT
from data.schema import notifications
from data.store import Statement, Store
from engine.audit import new_id
from engine.channel_store import IN_APP_NAME
from engine.digest import DIGEST, SWEEP_EVERY
from engine.notify import Reason
from engine.post import terms
from engine.scenario import Scenario, edited
from engine.scenario_limits import Taking, channels_of
from engine.sweeps import Waiting, next_sweep

_LINES = "SELECT id, channel, reason, group_key FROM notifications WHERE alert_id != '' OR reason = ? ORDER BY id"
_HELD = (
    "SELECT n.channel, n.group_key, n.reason, n.due_at, a.resolved_at FROM notifications n JOIN alerts a "
    "ON a.id = n.alert_id WHERE n.status = 'silent' AND n.held != '' AND n.bundle = ''"
)


def add_channels(store: Store, scenario: Scenario) -> None:
    """Store every channel that the scenario's rule may tell, with what it takes."""
    rules = [scenario.rule, *(edited(scenario.rule, event.edit) for event in scenario.events if event.edit)]
    names = {name for rule in rules for name in channels_of(rule)} - {IN_APP_NAME}
    store.transact([channel_rows.adding(_channel(name, scenario)) for name in sorted(names)])


def _channel(name: str, scenario: Scenario) -> ChannelRow:
    taking = scenario.limits.get(name, Taking())
    config = {"url": "http://127.0.0.1:9/", **taking.model_dump()}
    at = scenario.start
    return ChannelRow(new_id(), name, "webhook", True, orjson.dumps(config).decode(), "", "", at, at)


def lines(store: Store) -> list[dict[str, Any]]:
    """What was told, or not, with id, channel, reason and group_key ('' of a digest), oldest first."""
    return store.sql(_LINES, [DIGEST]).to_dicts()


def arrive(store: Store) -> None:
    """Let everything that was sent have arrived: so nobody stands in for another."""
    n = notifications.c
    store.transact([Statement(update(notifications).where(n.status == PENDING).values(status=SENT))])


def sweeps(store: Store, start: datetime, end: datetime) -> Iterator[datetime]:
    """The instants in [start, end) at which something held back may be told; each is to be used before the next."""
    at = next_sweep(_waiting(store), terms(store, start).buckets, start)
    while at is not None and at < end:
        yield at
        at = next_sweep(_waiting(store), terms(store, at).buckets, at + SWEEP_EVERY)


def _waiting(store: Store) -> list[Waiting]:
    return [
        Waiting(
            row["channel"], row["group_key"], row["reason"] == Reason.RATE_LIMITED, row["due_at"], row["resolved_at"]
        )
        for row in store.sql(_HELD).to_dicts()
    ]
