"""Due notifications taken for sending: the attempt is on record before anything is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from data.queries import deliveries
from data.queries import notifications as rows
from data.queries.notifications import AttemptRow, NotificationRow
from data.store import Statement, Store
from engine.audit import new_id

#: After this a claim is free again: longer than a send and its recording take.
CLAIM = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Claim:
    """A notification as it was read, and the attempt at it that now begins."""

    row: NotificationRow
    attempt: AttemptRow


def begun(row: NotificationRow, at: datetime) -> Claim:
    """The next attempt at a notification, not on record yet."""
    return Claim(row, AttemptRow(new_id(), row.id, row.channel, row.attempts + 1, at))


def take(store: Store, claim: Claim, queue: Sequence[Statement] = ()) -> None:
    """Record one claim together with `queue`; raises ConflictError when another sender has it, and StoreError."""
    until = claim.attempt.started_at + CLAIM
    store.transact([*queue, *rows.claiming(claim.row, claim.attempt, until=until)])


def take_all(store: Store, claims: Sequence[Claim]) -> list[Claim]:
    """Record claims in one transaction; those that hold. One that another sender has costs no other.

    Raises StoreError.
    """
    pairs = [(claim.row, claim.attempt) for claim in claims]
    until = claims[0].attempt.started_at + CLAIM
    on_record = store.transact(deliveries.claiming(pairs, until=until))[-1]
    if on_record == len(claims):
        return list(claims)
    held = deliveries.held(store, pairs) if on_record else set()
    return [claim for claim in claims if claim.attempt.id in held]
