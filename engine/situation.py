"""Reads what the consequences of a step depend on: open incidents and what channels were told."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import orjson

from data.queries import alerts
from data.store import Store
from engine import silences
from engine.episode import Incident, Move, Situation, Watched, known_by, memory
from engine.errors import RuleError
from engine.inhibition import Inhibitors, Source, Subject
from engine.post import terms
from engine.rule import kept
from engine.telling import Told
from engine.terms import Terms


def situations(
    store: Store,
    watched: Sequence[Watched],
    at: datetime,
    *,
    public_url: str = "",
    by: str = "",
    comment: str = "",
    moves: Mapping[str, Sequence[Move]] | None = None,
) -> dict[str, Situation]:
    """By rule id, everything its steps at `at` depend on; `by` and `comment` are of a person who acts by hand.

    `moves` are the steps of rules, by id, that are taken at the same instant: who begins to fire with them inhibits.
    """
    ids = [one.id for one in watched]
    if not ids:
        return {}
    incidents = _incidents(store, ids)
    base = Situation(
        public_url=public_url,
        by=by,
        comment=comment,
        silences=silences.at(store, at),
        inhibitors=Inhibitors(_sources(store, watched, moves or {}, incidents, at)),
        terms=terms(store, at),
    )
    opens = _opens(store, watched, at)
    told: dict[str, list[Told]] = defaultdict(list)
    for row in alerts.told(store, ids, at - memory([one.rule for one in watched])).iter_rows(named=True):
        line = Told(
            alert_id=row["alert_id"],
            group_key=row["group_key"],
            channel=row["channel"],
            reason=row["reason"],
            at=row["at"],
            silent=bool(row["silent"]),
            held=row["held"],
        )
        told[row["rule_id"]].append(line)
    base = replace(base, unsettled=_unsettled(store, watched, base.terms, told))
    return {
        one: replace(base, incidents=incidents.get(one, {}), told=tuple(told.get(one, ())), opens=opens.get(one, {}))
        for one in ids
    }


def _incidents(store: Store, rule_ids: Sequence[str]) -> dict[str, dict[str, Incident]]:
    """By rule id, the open incidents by their ids."""
    found: dict[str, dict[str, Incident]] = defaultdict(dict)
    for row in alerts.open_alerts(store, rule_ids).iter_rows(named=True):
        made = Incident(row["id"], row["status"], row["opened_at"], row["acknowledged_until"])
        found[row["rule_id"]][row["id"]] = made
    return found


def _unsettled(
    store: Store, watched: Sequence[Watched], terms: Terms, told: Mapping[str, Sequence[Told]]
) -> frozenset[tuple[str, str]]:
    """What of open incidents has not arrived at channels that want no partial ends, or are gone, but may elsewhere.

    Where else is what the rule said when it was told, whatever it says now.
    """
    gone = {line.channel for lines in told.values() for line in lines} - terms.buckets.keys()
    ids = [one.id for one in watched if one.rule.group_by or gone] if terms.whole or gone else []
    return frozenset(alerts.unsettled(store, ids, sorted(terms.whole | gone)).iter_rows()) if ids else frozenset()


def _sources(
    store: Store,
    watched: Sequence[Watched],
    moves: Mapping[str, Sequence[Move]],
    incidents: Mapping[str, Mapping[str, Incident]],
    at: datetime,
) -> list[Source]:
    """The incidents that inhibit others once `moves` are made: stored ones that stay open, and those that open."""
    after = {(rule_id, move.key): move for rule_id, some in moves.items() for move in some}
    return [*_stored_sources(store, watched, after), *_moved_sources(watched, after, incidents, at)]


def _stored_sources(
    store: Store, watched: Sequence[Watched], after: Mapping[tuple[str, str], Move]
) -> Iterator[Source]:
    rules = {one.id: one for one in watched if one.rule.levels}
    for row in alerts.inhibiting(store, list(rules)).iter_rows(named=True):
        rule_id, key = row["rule_id"], row["group_key"]
        if (rule_id, key) in after:
            continue
        try:
            rule = rules.get(rule_id) or Watched(rule_id, row["version"], kept(row["document"]))
        except RuleError:
            continue  # a rule that cannot be read keeps nobody quiet
        rules[rule_id] = rule
        subject = Subject(rule_id, key, known_by(rule, orjson.loads(row["labels"])))
        yield Source.of(rule.rule, subject, row["opened_at"])


def _moved_sources(
    watched: Sequence[Watched],
    after: Mapping[tuple[str, str], Move],
    incidents: Mapping[str, Mapping[str, Incident]],
    at: datetime,
) -> Iterator[Source]:
    inhibiting = {one.id: one for one in watched if one.rule.inhibits or one.rule.levels}
    for (rule_id, key), move in after.items():
        instance = move.step.instance
        if rule_id in inhibiting and instance is not None and instance.alerting:
            one = inhibiting[rule_id]
            known = incidents.get(rule_id, {}).get(instance.alert_id)
            subject = Subject(rule_id, key, known_by(one, instance.labels))
            yield Source.of(one.rule, subject, known.opened_at if known else at)


def _opens(store: Store, watched: Sequence[Watched], at: datetime) -> dict[str, dict[str, tuple[datetime, ...]]]:
    """By rule id and group key, when they began to fire for as long as any of the rules looks back."""
    spans = [one.rule.flapping.within for one in watched if one.rule.flapping]
    found: dict[str, dict[str, tuple[datetime, ...]]] = defaultdict(dict)
    if not spans:
        return found
    for row in alerts.openings(store, [one.id for one in watched], at - max(spans)).iter_rows(named=True):
        groups = found[row["rule_id"]]
        groups[row["group_key"]] = (*groups.get(row["group_key"], ()), row["opened_at"])
    return found
