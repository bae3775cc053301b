"""The picture in a mail that says that something fires: what its condition measured, up to that instant.

Of what comes and goes it shows the time in which it did, with each time that it fired. It comes from the ledger by the
questions that the simulator asks. One that cannot be made, or not in time, is left out.
"""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from msgspec import structs

from data.queries import alerts
from data.queries import rules as rule_rows
from data.store import Store
from engine import rules
from engine.aftermath import FALLBACK
from engine.amounts import quantity
from engine.channels.own_thread import OwnThreads
from engine.channels.plain import colour
from engine.chart_image import Chart, png
from engine.condition import Condition
from engine.evaluate import compared, empty_value, number
from engine.flapping import flaps
from engine.history import Grid, History, Points, load
from engine.levels import LEVEL
from engine.notice import Notice, NoticeStatus
from engine.notify import Reason
from engine.rule import Rule, document, parse
from engine.sentence import limit, subject
from engine.series import stored
from engine.window import Period, Rolling, Window
from engine.wording import Measured

#: A mail waits no longer for its picture.
PATIENCE_S: Final = 2.0
_FLAPPING: Final = frozenset({Reason.FLAPPING, FALLBACK})
_REASONS: Final = frozenset({Reason.FIRST, Reason.NEW_GROUPS, Reason.REPEAT, Reason.ESCALATION, *_FLAPPING})
_WINDOWS: Final = 12
_SHORTEST: Final = timedelta(hours=1)
_PERIODS: Final = {Period.TODAY: 2, Period.THIS_WEEK: 14, Period.THIS_MONTH: 62}  # in days
_MOST_POINTS: Final = 120
_MARGIN: Final = 1.1
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_US: Final = timedelta(microseconds=1)
#: The store may hang; drawing cannot, and in ever new threads it would take new memory each time.
_threads, _drawing = OwnThreads(each=4), ThreadPoolExecutor(1, "drawing")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, and what it shows in words."""

    png: bytes
    alt: str


def wanted(notice: Notice) -> bool:
    """Whether it says that something fires, of one rule."""
    return notice.status is NoticeStatus.FIRING and bool(notice.rule_id) and notice.reason in _REASONS


async def picture(store: Store, notice: Notice, patience_s: float = PATIENCE_S) -> Picture | None:
    """The notice's picture; None where there is none, or it cannot be made in time."""
    try:
        async with asyncio.timeout(patience_s):
            chart = await _threads.run("", lambda: charted(store, notice))
            if chart is None:
                return None
            drawn = await asyncio.get_running_loop().run_in_executor(_drawing, png, chart)
            return Picture(drawn, words(chart))
    except Exception as error:  # noqa: BLE001 - whatever it is, the mail must go
        _log.warning("a mail goes without its picture: %s: %s", type(error).__name__, error)
        return None


def charted(store: Store, notice: Notice) -> Chart | None:
    """What is drawn, of many groups about the first; None for a rule that is gone or looks at something else now.

    Raises what the store raises, and RuleError.
    """
    row = rule_rows.by_id(store, notice.rule_id)
    rule = rules.watched(row).rule if row is not None else None
    notice = _of_one(notice)
    if rule is None or (told := _told(rule, notice)) is None:
        return None
    chart = _chart(told, notice)
    if notice.reason in _FLAPPING:
        chart = replace(chart, fired=_fired(store, rule, notice))
    alone = _alone(rule, told, notice.labels)
    grid = _grid(told.window, notice.at, chart.fired[0][0] if chart.fired else None)
    values = _values(alone.conditions[0], load(alone, stored(store), grid))
    return replace(chart, points=[*((grid.at(tick), value) for tick, value in enumerate(values)), *chart.points])


def words(chart: Chart) -> str:
    """What it shows."""
    (first, _), (last, value) = chart.points[0], chart.points[-1]
    text = (
        f"{chart.title}, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC: "
        f"{quantity(value, chart.unit)} at the end, threshold {chart.limit}"
    )
    return f"{text}; it fired {len(chart.fired)} times" if chart.fired else text


def _of_one(notice: Notice) -> Notice:
    """The notice, as it would be about the first of its groups alone where it is about many."""
    if not notice.groups:
        return notice
    first = notice.groups[0]
    return structs.replace(
        notice,
        alert_id=first.alert_id,
        labels=first.labels,
        value=first.value,
        threshold=first.threshold,
        opened_at=first.opened_at,
    )


def _chart(told: Condition, notice: Notice) -> Chart:
    """All but what the ledger says: of its points the last, which was told."""
    threshold = told.value if notice.threshold is None else notice.threshold
    return Chart(
        title=_title(told),
        limit=limit(told, threshold),
        unit=Measured(told, notice.value, threshold).unit,
        points=[] if notice.value is None else [(notice.at, notice.value)],
        threshold=threshold,
        fires_since=notice.opened_at or notice.at,
        colour=colour(notice),
    )


def _fired(store: Store, rule: Rule, notice: Notice) -> tuple[tuple[datetime, datetime], ...]:
    """From when to when the group fired of late, if it flapped when this incident opened, with this incident."""
    if rule.flapping is None or notice.opened_at is None:
        return ()
    since = notice.opened_at - rule.flapping.within
    found = alerts.firings(store, notice.alert_id, since, notice.opened_at).rows()
    if not flaps(rule, [opened for opened, _ in found], notice.opened_at):
        return ()
    return tuple((opened, min(resolved or notice.at, notice.at)) for opened, resolved in found)


def _title(told: Condition) -> str:
    """What is measured, without the scope, which the mail names."""
    text = subject(told.model_copy(update={"where": {}, "compare": None}))
    return f"{text[0].upper()}{text[1:]}" if told.compare is None else f"Change in {text}"


def _told(rule: Rule, notice: Notice) -> Condition | None:
    """The condition that the notice tells of; one of many groups names no metric, only its threshold."""
    same = [c for c in rule.conditions if c.metric == notice.metric or (notice.groups and not notice.metric)]
    held = [c for c in same if notice.threshold in {c.value, c.recovery, c.warn, c.warn_recovery}] or same
    return held[0] if len({c.metric for c in held}) == 1 else None


def _alone(rule: Rule, told: Condition, labels: Mapping[str, str]) -> Rule:
    """A rule of this condition about this group."""
    group = {name: value for name, value in labels.items() if name in rule.group_by and name != LEVEL}
    written = document(rule)
    dumped = told.model_dump(mode="json", exclude={"recovery", "warn", "warn_recovery"})
    condition = {name: value for name, value in dumped.items() if value is not None}
    return parse(
        {
            "name": rule.name,
            "when": condition,
            "where": {**written.get("where", {}), **group},
            **{name: written[name] for name in ("tz", "delay") if name in written},
        }
    )


def _grid(window: Window, at: datetime, since: datetime | None) -> Grid:
    """Instants up to `at`, on whole minutes, or hours where they lie so far apart: those are read fast.

    From before `since` where that is given; then they lie no further apart than windows are long, in whole minutes.
    """
    length = max(_WINDOWS * window.length, _SHORTEST) if isinstance(window, Rolling) else _calendar(window.period)
    step = length / _MOST_POINTS
    if since is not None:
        length = max((at - since) * _MARGIN, _SHORTEST)
        step = min(length / _MOST_POINTS, window.length) if isinstance(window, Rolling) else length / _MOST_POINTS
    unit = _HOUR if step > _HOUR / 2 else _MINUTE
    step = max(-(-step // unit), 1) * unit
    end = at - timedelta(microseconds=(at - datetime.min.replace(tzinfo=at.tzinfo)) // _US % (unit // _US))
    return Grid(end - length // step * step, end + _US, step)


def _calendar(period: Period) -> timedelta:
    return timedelta(days=_PERIODS[period])


def _values(condition: Condition, history: History) -> list[float | None]:
    ((now, *rest),) = history.series
    series = [_dense(points, condition, len(history.grid)) for points in (now, *rest)]
    baseline = series[1] if len(series) > 1 else [None] * len(history.grid)
    return [compared(condition, *pair) for pair in zip(series[0], baseline, strict=True)]


def _dense(groups: Mapping[tuple[str, ...], Points], condition: Condition, length: int) -> list[float | None]:
    """A value at every tick."""
    empty = empty_value(condition.metric)
    found = np.full(length, np.nan if empty is None else empty)
    for points in groups.values():
        found[points.ticks] = np.where(np.isnan(points.values), found[points.ticks], points.values)
    return [number(value) for value in found.tolist()]
