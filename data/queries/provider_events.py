"""Events that providers send us: each is obeyed once."""

from datetime import datetime

from sqlalchemy import exists, insert, literal, select

from data.schema import provider_events
from data.store import Statement, Store


def seen(store: Store, event_id: str) -> bool:
    """Whether this event has been obeyed."""
    return store.frame(select(provider_events.c.id).where(provider_events.c.id == event_id)).height > 0


def keeping(event_id: str, *, channel_id: str, at: datetime) -> Statement:
    """Remember an event with what it changes; fails the whole when it was obeyed meanwhile."""
    values = {"id": event_id, "channel_id": channel_id, "at": at}
    literals = [literal(value, provider_events.c[name].type) for name, value in values.items()]
    new = ~exists().where(provider_events.c.id == event_id)
    return Statement(insert(provider_events).from_select(list(values), select(*literals).where(new)), expect=1)
