"""Reads on which terms channels take notices: from their forms, their kinds, and what was sent of late."""

from datetime import datetime

import orjson

from data.queries import channels as channel_rows
from data.queries import rates
from data.queries.channels import ChannelRow
from data.store import Store
from engine.bucket import OVERALL, Bucket, Limit
from engine.channel_store import IN_APP_NAME
from engine.channels import CHANNELS
from engine.terms import ALL, Terms


def terms(store: Store, at: datetime) -> Terms:
    """The terms of every channel as they stand at `at`."""
    rows = channel_rows.every(store)
    known = {row["channel"]: row for row in rates.levels(store).iter_rows(named=True)}
    overall = Limit(known[ALL]["per_minute"], known[ALL]["burst"]) if ALL in known else OVERALL
    limits = {ALL: overall, IN_APP_NAME: Limit(), **{row.name: _limit(row) for row in rows}}
    levels = {name: (row["level"], row["at"]) for name, row in known.items()}
    buckets = {name: _bucket(limit, levels.get(name), at) for name, limit in limits.items()}
    bundling = frozenset({IN_APP_NAME, *(row.name for row in rows if takes_bundles(row))})
    return Terms(buckets, bundling, frozenset(row.name for row in rows if not takes_partial_ends(row)))


def limit_all(store: Store, limit: Limit, at: datetime) -> None:
    """Let this be the limit over all channels, for every program that tells something; raises the store's errors."""
    store.transact([rates.limiting(ALL, per_minute=limit.per_minute, burst=limit.burst, at=at)])


def takes_bundles(row: ChannelRow) -> bool:
    """Whether one notice may be about many incidents.

    Not where the receiver keeps one thing an incident, which is opened and closed by the incident's id.
    """
    kind = CHANNELS.get(row.kind)
    return kind is not None and not kind.needs_each_end(orjson.loads(row.config))


def takes_partial_ends(row: ChannelRow) -> bool:
    """Whether it is told of an end while others fire that it was told of."""
    return bool(orjson.loads(row.config).get("partial_ends", True))


def _limit(row: ChannelRow) -> Limit:
    config, usual = orjson.loads(row.config), Limit()
    return Limit(config.get("per_minute", usual.per_minute), config.get("burst", usual.burst))


def _bucket(limit: Limit, level: tuple[float, datetime] | None, at: datetime) -> Bucket:
    return Bucket(limit, *level).filled(at) if level else Bucket.full(limit, at)
