"""What a failed delivery sets off: the next channel in line, a dead channel switched off, a word in the app."""

from datetime import datetime

from msgspec import structs

from data.queries import channels as channel_rows
from data.queries import notifications as rows
from data.queries.notifications import NotificationRow
from data.store import Statement
from engine import channel_store, notice, outbox
from engine.audit import new_id
from engine.errors import DeliveryError
from engine.inbox import message
from engine.notice import Notice, NoticeStatus


def consequences(
    row: NotificationRow, then: outbox.Verdict, failure: DeliveryError | None, at: datetime
) -> list[Statement]:
    """After a final failure: the fallback's notification, a channel that is gone disabled, a word in the app."""
    if then.result is not outbox.Result.FAILED or failure is None:
        return []
    said = notice.decode(row.notice)
    statements: list[Statement] = []
    if failure.gone:
        statements.append(channel_rows.disabling(row.channel, reason=str(failure), at=at))
        statements.append(_told(f"Channel {row.channel} was disabled", f"The receiver is gone: {failure}.", said, at))
    if then.fallback:
        first, *rest = then.fallback
        instead = _with_reason(said, "fallback")
        queued = outbox.queued(
            new_id(), instead, channel=first, at=at, group_key=row.group_key, fallback=rest, fallback_of=row.id
        )
        statements.append(rows.adding(queued))
    elif not said.test and row.channel != channel_store.IN_APP_NAME:
        text = f"{said.headline} could not be delivered to {row.channel}: {failure}."
        statements.append(_told("A notification was not delivered", text, said, at))
    return statements


def _with_reason(said: Notice, reason: str) -> Notice:
    """The same notice, sent for another reason."""
    return structs.replace(said, reason=reason)


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
    return rows.posting(message(new_id(), said))
