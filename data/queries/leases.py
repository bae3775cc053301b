"""Leases: which one of several workers acts. A token that grows with each holder fences off the ones before."""

from datetime import datetime

from sqlalchemy import and_, exists, func, insert, literal, or_, select, update

from data.errors import ConflictError
from data.schema import leases
from data.store import Statement, Store


def acquire(store: Store, name: str, holder: str, *, now: datetime, until: datetime) -> int | None:
    """Take the lease if it is free or has run out; returns the new token, or None while somebody else holds it."""
    vacant = select(literal(name), literal(""), literal(0), literal(now, leases.c.expires_at.type))
    make = insert(leases).from_select(
        ["name", "holder", "token", "expires_at"], vacant.where(~exists().where(leases.c.name == name))
    )
    free = and_(leases.c.name == name, or_(leases.c.expires_at <= now, leases.c.holder == ""))
    take = update(leases).where(free).values(holder=holder, token=leases.c.token + 1, expires_at=until)
    try:
        store.transact([Statement(make)])
        store.transact([Statement(take, expect=1)])
    except ConflictError:
        return None
    mine = select(leases.c.token).where(leases.c.name == name, leases.c.holder == holder)
    found = store.frame(mine)
    return int(found["token"][0]) if found.height else None


def holder(store: Store, name: str) -> tuple[str, datetime] | None:
    """Who has the lease and until when."""
    found = store.frame(select(leases.c.holder, leases.c.expires_at).where(leases.c.name == name))
    return (str(found["holder"][0]), found["expires_at"][0]) if found.height else None


def holding(name: str, token: int, *, until: datetime) -> Statement:
    """Holds, and prolongs the lease, only while `token` is the newest: put first, it fences a transaction.

    It never shortens it: a transaction may come long after its fence was made, and the lease be prolonged meanwhile.
    """
    mine = and_(leases.c.name == name, leases.c.token == token)
    return Statement(update(leases).where(mine).values(expires_at=func.greatest(leases.c.expires_at, until)), expect=1)


def releasing(name: str, token: int, *, now: datetime) -> Statement:
    """Give the lease back before it runs out."""
    mine = and_(leases.c.name == name, leases.c.token == token)
    return Statement(update(leases).where(mine).values(holder="", expires_at=now))


def evicting(name: str, dead: str, *, now: datetime) -> Statement:
    """Take the lease from a holder that is known to have died."""
    theirs = and_(leases.c.name == name, leases.c.holder == dead)
    return Statement(update(leases).where(theirs).values(holder="", expires_at=now))
