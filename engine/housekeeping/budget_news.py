"""Tells people, once each, which thresholds their budgets have reached and where their spending leads."""

import asyncio
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from pydantic import ValidationError

from data.budget_periods import from_us, to_us
from data.budgets import Budget, Period
from data.counters.news import Reached, reached_since
from data.queries import inbox
from data.queries import notifications as rows
from data.queries.inbox import InboxRow
from data.queries.notifications import NotificationRow
from data.store import Store
from engine import outbox
from engine.channel_store import IN_APP_NAME
from engine.desk import Desk
from engine.housekeeping.budget_digest import BUDGET, kept, tell_kept
from engine.housekeeping.job import Job
from engine.inbox import message, shown
from engine.notice import Notice, NoticeStatus
from engine.room import Room

_EVERY: Final = timedelta(seconds=5)
#: What was reached longer ago is no news, also for a worker that was down.
_FRESH: Final = timedelta(days=7)
_FORECAST: Final = "forecast"
_NANO: Final = Decimal("1e-9")
_PERIODS: Final = {
    Period.HOUR: "this hour",
    Period.DAY: "today",
    Period.WEEK: "this week",
    Period.MONTH: "this month",
    Period.ONCE: "in all",
}
_IDS: Final = uuid.UUID("8f0f3a5e-7a55-5d5c-9a3c-3f2b6a1d9c11")


def budget_news(desk: Desk) -> Job:
    """The job."""

    async def run(at: datetime) -> str:
        since = to_us(at - _FRESH)
        reached = await asyncio.to_thread(reached_since, desk.config.home / "budgets.sqlite", since)
        late, waiting = await asyncio.to_thread(tell_kept, desk.store, at)
        told = 0
        for each in reached:
            told += await _tell(desk, each, at, waiting)
        if told or late:
            desk.outbox.set()
        return f"{told} of {len(reached)} thresholds were news"

    return Job("budgets", "Tell which thresholds budgets have reached", _EVERY, run)


async def _tell(desk: Desk, reached: Reached, at: datetime, waiting: set[str]) -> bool:
    """Tell the app and the budget's channels, in one transaction; False where that was done before.

    What a channel takes no more of is kept for a digest, with all that comes after it: `waiting` are these channels.
    """
    try:
        budget = Budget.model_validate_json(reached.document)
    except ValidationError:
        return False
    # the same crossing has the same id, whoever tells it and how often
    notice_id = str(uuid.uuid5(_IDS, f"{reached.budget_id}/{reached.value}/{reached.name}/{reached.at_us}"))
    notice = notice_of(budget, reached)
    row = message(notice_id, notice)
    if await asyncio.to_thread(inbox.is_posted, desk.store, notice_id):
        return False
    await asyncio.to_thread(_write, desk.store, row, _queued(budget.notify, notice_id, notice), at, waiting)
    shown(desk.hub, row)
    return True


def _write(store: Store, posted: InboxRow, queued: Sequence[NotificationRow], at: datetime, waiting: set[str]) -> None:
    """A second worker that tells the same fails as a whole: the ids are taken."""
    room = Room(store, at)
    waiting |= {row.channel for row in queued if row.channel in waiting or not room.take(row.channel)}
    given = [kept(row) if row.channel in waiting else row for row in queued]
    store.transact([inbox.posting(posted), *map(rows.adding, given), *room.spending()])


def _queued(channels: Sequence[str], notice_id: str, notice: Notice) -> list[NotificationRow]:
    return [
        outbox.queued(str(uuid.uuid5(_IDS, f"{notice_id}/{channel}")), notice, channel=channel, at=notice.at)
        for channel in dict.fromkeys(channels)
        if channel != IN_APP_NAME
    ]


def notice_of(budget: Budget, reached: Reached) -> Notice:
    """What is said of a threshold."""
    whose = f"{budget.name} ({reached.value})" if reached.value and reached.value != budget.scope.value else budget.name
    used, amount = _usd(reached.used), _usd(reached.amount)
    spent = f"{used} of {amount} is spent {_PERIODS[budget.period]}"
    if reached.name == _FORECAST:
        title = f"Budget {whose} is on course to be overspent"
        summary = f"{spent}; going on like this it will be more than {amount} by the end."
    else:
        title = f"Budget {whose} has reached {reached.name.replace('%', ' %')}"
        over = reached.used >= reached.amount
        summary = f"{spent}." + (" Calls that it counts are refused." if over and budget.hard else "")
    return Notice(
        title=title,
        status=NoticeStatus.MESSAGE,
        severity=_severity(reached),
        at=from_us(reached.at_us),
        reason=BUDGET,
        summary=summary,
        labels={"budget": budget.name, **({"scope": str(budget.scope)} if reached.value else {})},
        metric="budget_used",
        unit="usd",
        value=float(reached.used * _NANO),
        threshold=float(reached.amount * _NANO),
    )


def _severity(reached: Reached) -> str:
    if reached.name == _FORECAST:
        return "medium"
    percent = int(reached.name.removesuffix("%"))
    return "high" if percent >= 100 else "medium" if percent >= 80 else "info"


def _usd(nano: int) -> str:
    dollars = nano * _NANO
    return f"${dollars:,.2f}" if dollars >= Decimal("0.01") or not dollars else f"${dollars:.6f}"
