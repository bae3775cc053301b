"""What a delivery sets off: the next channel in line, a dead channel switched off, stand-ins told of the end."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from msgspec import structs

from data.queries import alerts, failures
from data.queries import channels as channel_rows
from data.queries import inbox as inbox_rows
from data.queries import notifications as rows
from data.queries.notifications import NotificationRow
from data.store import Statement, Store
from engine import breaker, channel_store, notice, outbox, post
from engine.audit import new_id
from engine.digest import over
from engine.errors import DeliveryError
from engine.inbox import message
from engine.last_words import closings, held_back
from engine.notice import Notice, NoticeStatus, when
from engine.room import Room

#: The reason of a notice that stands in for one to a channel that failed.
FALLBACK = "fallback"
#: By incident that is over: what was sent about it in place of a channel that failed, while its end is not told there.
StandIns = dict[str, list[NotificationRow]]


def stand_ins(store: Store, rows_ended: Iterable[NotificationRow]) -> StandIns:
    """Who else must hear that these incidents are over, in one question for all; raises StoreError."""
    over = {part.alert_id for row in rows_ended for part, _ in _ends(store, row, notice.decode(row.notice))}
    found: StandIns = {}
    for each in rows.stood_in(store, over, until=NoticeStatus.RESOLVED.value) if over else ():
        found.setdefault(each.alert_id, []).append(each)
    return found


def _ends(store: Store, row: NotificationRow, said: Notice) -> list[tuple[NotificationRow, Notice]]:
    """The incidents that a notification says are over, each with what is said of it."""
    return _single(store, row, said) if said.status is NoticeStatus.RESOLVED and not row.fallback_of else []


def consequences(  # noqa: PLR0917 - all of it counts
    store: Store,
    row: NotificationRow,
    then: outbox.Verdict,
    failure: DeliveryError | None,
    room: Room,
    told: StandIns,
) -> list[Statement]:
    """What is committed with a result; raises StoreError when the store is away.

    `told` is of `stand_ins`; whoever is told of the end is taken out of it: what is committed together tells it once.
    What goes to other channels takes from their `room`; what they take no more of is held back for a digest.

    After a final failure the fallback's notification, a channel that is gone disabled, a word in the app. After the
    last word on an incident, the same word to those who were told of it in place of a channel that failed.
    """
    if then.result is outbox.Result.RETRY:
        return []
    said = notice.decode(row.notice)
    statements = _of_failure(store, row, then, failure, said, room) if failure else []
    for part, words in _ends(store, row, said):
        statements += closings(told.pop(part.alert_id, ()), part, words, room)
    return statements


def _single(store: Store, row: NotificationRow, said: Notice) -> list[tuple[NotificationRow, Notice]]:
    """What a notification tells, incident by incident: itself, or the parts of a bundle or of a digest."""
    if said.alert_id or not said.groups:
        return [(row, said)] if said.alert_id else []
    parts = [(part, notice.decode(part.notice)) for part in rows.parts(store, row.id)]
    late = [part.alert_id for part, words in parts if part.held in rows.ENDS and words.status is NoticeStatus.FIRING]
    if not late:
        return parts
    ended = {row["id"]: row["resolved_at"] for row in alerts.by_ids(store, late).iter_rows(named=True)}
    return [(part, over(words, ended[part.alert_id]) if part.alert_id in ended else words) for part, words in parts]


def _instead(store: Store, row: NotificationRow, said: Notice, fallback: str) -> list[tuple[NotificationRow, Notice]]:
    """What a fallback channel is told in place of a notification; single incidents where it takes no bundle."""
    channel = channel_store.by_name(store, fallback)
    whole = said.alert_id or channel is None or post.takes_bundles(channel)
    return ([] if whole else _single(store, row, said)) or [(row, said)]


def _of_failure(  # noqa: PLR0917 - all of it counts
    store: Store, row: NotificationRow, then: outbox.Verdict, failure: DeliveryError, said: Notice, room: Room
) -> list[Statement]:
    statements: list[Statement] = []
    at = room.at
    if dead := _why_dead(store, row.channel, failure, at):
        statements.append(channel_rows.disabling(row.channel, reason=dead, at=at))
        statements.append(_told(f"Channel {row.channel} was disabled", f"The receiver is gone: {dead}.", said, at))
    if then.fallback:
        statements += [rows.adding(each) for each in _fallbacks(store, row, said, then.fallback, room)]
    elif not said.test and row.channel != channel_store.IN_APP_NAME:
        text = f"{said.headline} could not be delivered to {row.channel}: {failure}."
        statements.append(_told("A notification was not delivered", text, said, at))
    return statements


def _fallbacks(
    store: Store, row: NotificationRow, said: Notice, channels: Sequence[str], room: Room
) -> Iterator[NotificationRow]:
    """What the next channel in line is told, or will be told later: the incidents of which it takes no notice now."""
    first, *rest = channels
    for part, words in _instead(store, row, said, first):
        instead = structs.replace(words, reason=FALLBACK)
        queued = outbox.queued(
            new_id(), instead, channel=first, at=room.at, group_key=part.group_key, fallback=rest, fallback_of=part.id
        )
        singles = _single(store, part, words)
        if room.take(first):
            yield queued
            yield from (_carried(queued, single, about) for single, about in singles if not words.alert_id)
            continue
        yield from (held_back(queued, single, about) for single, about in singles)
        if not singles:  # it is about no incident, so that no digest could tell of it
            yield queued


def _carried(carrier: NotificationRow, single: NotificationRow, about: Notice) -> NotificationRow:
    """One incident's part of a notice of many: so it is known whom it told of the incident."""
    said = structs.replace(about, reason=FALLBACK)
    row = outbox.queued(
        new_id(), said, channel=carrier.channel, at=carrier.created_at, group_key=single.group_key, status=rows.BUNDLED
    )
    return replace(row, fallback_of=single.id, bundle=carrier.id)


def _why_dead(store: Store, channel: str, failure: DeliveryError, at: datetime) -> str:
    """Why a channel is switched off, '' to leave it on."""
    if failure.gone:
        return str(failure)
    if not failure.permanent or not failure.tried:
        return ""
    since, refused = failures.refused_since(store, channel)
    if since is None or not breaker.is_dead(since, refused + 1, at):
        return ""
    return f"{failure}, and nothing has arrived since {when(since)}"


def _told(title: str, text: str, about: Notice, at: datetime) -> Statement:
    said = Notice(
        title=title,
        status=NoticeStatus.MESSAGE,
        severity="high",
        at=at,
        summary=text,
        alert_id=about.alert_id,
        rule_id=about.rule_id,
    )
    return inbox_rows.posting(message(new_id(), said))
