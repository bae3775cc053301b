"""A made-up incident: what previews show that are about none, and what a test says that is about no rule. Pure."""

from datetime import datetime

from msgspec import structs

from data.queries.notifications import TEST
from engine.notice import Notice, NoticeStatus


def incident(at: datetime) -> Notice:
    """An incident that might be."""
    return Notice(
        title="High cost",
        status=NoticeStatus.FIRING,
        severity="high",
        at=at,
        reason=TEST,
        summary="cost is $512.3 (threshold > $500).",
        rule_name="High cost",
        labels={"model": "gpt-5", "team": "platform"},
        metric="cost",
        unit="usd",
        value=512.3,
        threshold=500.0,
        opened_at=at,
        test=True,
    )


def of_channel(at: datetime) -> Notice:
    """The same, said so that nobody is alarmed; a channel's own words find values in it."""
    told = "This channel works: a test was sent through it."
    return structs.replace(incident(at), title="Test notification", severity="info", summary=told, labels={})
