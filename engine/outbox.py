"""The outbox: notices written with the change that caused them, and what becomes of one after each attempt. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import orjson

from data.queries.notifications import FAILED, PENDING, SENT, NotificationRow
from engine.errors import DeliveryError
from engine.notice import Notice, encode

#: Attempts before giving up: fewer where a fallback channel waits for its turn.
ATTEMPTS, ATTEMPTS_BEFORE_FALLBACK = 10, 5
#: A notification whose attempts keep ending without a result (it may be what kills the sender) is given up here.
MOST_CLAIMS = 20
FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 900.0
#: A receiver may ask for patience, but not for ever.
LONGEST_RETRY_AFTER_S = 3600.0


class Result(StrEnum):
    """What one attempt came to."""

    SENT = "sent"
    RETRY = "retry"
    FAILED = "failed"
    SKIPPED = "skipped"  # given on without a send


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a notification: its status, when it is due again, and the channels that take over."""

    result: Result
    status: str
    due_at: datetime
    fallback: tuple[str, ...] = ()


def queued(
    notification_id: str,
    notice: Notice,
    *,
    channel: str,
    at: datetime,
    group_key: str = "",
    fallback: Sequence[str] = (),
    fallback_of: str = "",
    status: str = PENDING,
) -> NotificationRow:
    """A row of the outbox; with a status other than pending it is a record and is never sent."""
    return NotificationRow(
        id=notification_id,
        alert_id=notice.alert_id,
        rule_id=notice.rule_id,
        group_key=group_key,
        channel=channel,
        reason=notice.reason,
        status=status,
        notice=encode(notice),
        created_at=at,
        due_at=at,
        fallback=orjson.dumps(list(fallback)).decode(),
        fallback_of=fallback_of,
        finished_at=None if status == PENDING else at,
    )


def verdict(row: NotificationRow, attempt: int, error: DeliveryError | None, now: datetime, chance: float) -> Verdict:
    """What follows from attempt number `attempt`; `chance` in [0, 1) spreads the retries."""
    if error is None:
        return Verdict(Result.SENT, SENT, now)
    fallback = tuple(orjson.loads(row.fallback))
    if error.permanent or attempt >= (ATTEMPTS_BEFORE_FALLBACK if fallback else ATTEMPTS):
        return Verdict(Result.FAILED, FAILED, now, fallback)
    return Verdict(Result.RETRY, PENDING, now + delay(attempt, error.retry_after, chance))


def delay(attempt: int, retry_after: float | None, chance: float) -> timedelta:
    """How long to wait after attempt number `attempt` (from 1): doubled each time, half of it random.

    Never sooner than the receiver asked for.
    """
    longest = min(FIRST_DELAY_S * 2.0 ** (attempt - 1), LONGEST_DELAY_S)
    asked = min(retry_after or 0.0, LONGEST_RETRY_AFTER_S)
    return timedelta(seconds=max(longest * (0.5 + chance / 2), asked))
