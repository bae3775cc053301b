"""Reads what surrounded a rule over a stretch of time: silences, what channels take, others' incidents and notices."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import orjson

from data.queries import alerts, sent
from data.queries import silences as silence_rows
from data.store import Store
from engine import silences
from engine.episode import Watched, known_by
from engine.errors import RuleError
from engine.inhibition import Source, Subject
from engine.post import terms
from engine.rule import Rule, kept
from engine.surroundings import Recorded, Sent, Surroundings

#: What others sent so long before may still be missing in a bucket.
_REFILLED = timedelta(days=1)


def surroundings(store: Store, rule: Rule, start: datetime, end: datetime, *, rule_id: str = "") -> Surroundings:
    """What the store has of [start, end), with channels as they are now; raises what the store raises.

    The rule's own recorded incidents and notices (of its id, or its name) are left out: the replay has its own.
    """
    found = terms(store, start)
    return Surroundings(
        rule_id=rule_id,
        silences=tuple(silences.from_row(row) for row in silence_rows.within(store, start, end)),
        limits={name: bucket.limit for name, bucket in found.buckets.items()},
        bundling=found.bundling,
        whole=found.whole,
        inhibiting=tuple(_inhibiting(store, rule, rule_id, start, end)),
        others=tuple(Sent(*row) for row in sent.by_others(store, rule_id, rule.name, start - _REFILLED, end).rows()),
    )


def _inhibiting(store: Store, rule: Rule, rule_id: str, start: datetime, end: datetime) -> Iterator[Recorded]:
    """Others' incidents of that time, where their rules as they are now inhibit."""
    rules: dict[str, Watched | None] = {}
    for row in alerts.inhibited(store, start, end).iter_rows(named=True):
        one = rules.setdefault(row["rule_id"], _watched(row["rule_id"], row["document"]))
        if one is None or one.id == rule_id or one.rule.name == rule.name:
            continue
        subject = Subject(one.id, row["group_key"], known_by(one, orjson.loads(row["labels"])))
        yield Recorded(Source.of(one.rule, subject, row["opened_at"]), row["resolved_at"])


def _watched(rule_id: str, document: str) -> Watched | None:
    try:
        return Watched(rule_id, 0, kept(document))
    except RuleError:
        return None  # a rule that cannot be read keeps nobody quiet
