"""What a replay says that channels are told, held to what the live engine's outbox has."""

from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

import engine.post
from data.client import FlightStore
from data.schema.ledger import METADATA
from data.store import Statement
from engine import channel_store, incidents, silences
from engine import tick as ticking
from engine.bucket import Limit
from engine.digest import SWEEP_EVERY
from engine.episode import Watched
from engine.history import Grid, load
from engine.notice import decode
from engine.rule import Rule, document, parse
from engine.rule_changes import commit, creating
from engine.secrets import SecretBox
from engine.simulate import Simulation, replay
from engine.surroundings import Surroundings
from engine.sweep import sweep
from engine.terms import ALL
from engine.truth import group_key
from tests.engine.test_simulate import MINUTE, RULES, STARTS, STORED, WHOLE, ordered
from tests.engine.worlds import START, World

BESIDE = {"new_groups", "some_resolved", "others_fire"}
LENGTH = 30 * MINUTE
NARROW = st.builds(Limit, st.sampled_from([0.1, 0.4, 1.0, 20.0]), st.integers(1, 3))
WIDE = Limit()


@dataclass(frozen=True)
class Told:
    """What is drawn besides rule and world. `silenced`: matchers, and first and last minute."""

    limits: Mapping[str, Limit]
    silenced: list[tuple[dict[str, str], int, int]]
    acknowledge_after: timedelta | None
    whole: frozenset[str]


@dataclass(frozen=True)
class Past:
    """What a rule looks at, and from when on."""

    seed: int
    block: int
    start: datetime


MATCHERS = st.sampled_from([{"model": "a"}, {"model": "?"}, {"rule": "r"}, {"severity": "low"}, {"level": "warn"}])
TOLD = st.builds(
    Told,
    limits=st.fixed_dictionaries(
        {"one": NARROW, "two": NARROW, "three": NARROW, ALL: st.one_of(st.just(WIDE), NARROW)}
    ),
    silenced=st.lists(st.tuples(MATCHERS, st.integers(0, 25), st.integers(1, 20)), max_size=2),
    acknowledge_after=st.sampled_from([None, None, timedelta(0), timedelta(seconds=90), 6 * MINUTE]),
    whole=WHOLE,
)
MORE = st.fixed_dictionaries(
    {"grouping": st.booleans(), "notify": st.sampled_from([["one"], ["one", "three"], ["three"]])},
    optional={
        "inhibits": st.just([{"match": {"model": "a"}, "source": {"model": "b"}}]),
        "flapping": st.sampled_from([None, {"count": 2, "within": "9m"}]),
    },
)


def rules() -> st.SearchStrategy[Rule]:
    return st.builds(lambda rule, more: parse({**document(rule), **more}), RULES, MORE)


#: Rules whose groups come and go beside one another, and hardly anything else happens.
BUSY = st.fixed_dictionaries(
    {
        "name": st.just("r"),
        "when": st.fixed_dictionaries(
            {"metric": st.just("cost"), "window": st.just("5m"), "op": st.just(">"), "value": st.sampled_from([5, 15])},
            optional={"warn": st.just(1)},
        ),
        "group_by": st.sampled_from([["model"], ["model", "provider"]]),
        "grouping": st.booleans(),
        "keep_firing_for": st.sampled_from(["0s", "2m", "4m"]),
        "cooldown": st.sampled_from(["0s", "5m"]),
        "notify": st.just(["one", "two", "three"]),
    },
    optional={
        "flapping": st.sampled_from([None, {"count": 2, "within": "9m"}]),
        "repeat": st.just("7m"),
        "escalate": st.just([{"after": "4m", "notify": ["two"]}]),
        "active": st.just({"days": "mon-sun", "hours": "00:00-00:18"}),
    },
).map(parse)
WIDE_OR_NOT = st.sampled_from([WIDE, WIDE, Limit(2.0, 3)])
BUSILY = st.builds(
    Told,
    limits=st.fixed_dictionaries({"one": WIDE_OR_NOT, "two": WIDE_OR_NOT, "three": WIDE_OR_NOT, ALL: st.just(WIDE)}),
    silenced=st.lists(st.tuples(st.just({"model": "a"}), st.integers(0, 9), st.integers(1, 9)), max_size=1),
    acknowledge_after=st.none(),
    whole=st.frozensets(st.sampled_from(["one", "two"]), min_size=1),
)


@settings(max_examples=15, **STORED)
@given(rule=rules(), told=TOLD, past=st.builds(Past, st.integers(0, 9999), st.integers(1, 9), STARTS))
def test_the_replay_tells_exactly_what_the_worker_puts_into_its_outbox(
    store: FlightStore, home: Any, rule: Rule, told: Told, past: Past
):
    check(store, home, rule, told, past)


@settings(max_examples=6, **STORED)
@given(rule=BUSY, told=BUSILY, past=st.builds(Past, st.integers(0, 9999), st.integers(2, 6), st.just(START)))
def test_what_begins_and_ends_beside_others_is_told_as_the_worker_tells_it(
    store: FlightStore, home: Any, rule: Rule, told: Told, past: Past
):
    check(store, home, rule, told, past)


def check(store: FlightStore, home: Any, rule: Rule, told: Told, past: Past) -> None:
    world, grid = World(past.seed, block=past.block), Grid(past.start, past.start + LENGTH, rule.every)

    with around(store, home, told, past.start) as surroundings:
        rule_id = driven(store, rule, world, grid, told.acknowledge_after)
        replayed = replay(rule, load(rule, world.series, grid), surroundings(rule_id))

    for reason in {n.reason.value for n in replayed.notices} & BESIDE:
        event(reason)
    event(f"{min(len(replayed.digests), 3)} digests, {min(sum(replayed.totals.silent.values()), 3)} silent")
    mine, theirs = told_by(replayed), stored(store)
    assert {name: apart(mine[name], theirs[name]) for name in mine} == dict.fromkeys(mine, ([], []))


@contextmanager
def around(store: FlightStore, home: Any, told: Told, start: datetime):
    """The store with channels and silences as drawn; gives the same for the replay."""
    clean(store)
    box = SecretBox(home)
    for name, limit in told.limits.items():
        if name:
            config = {"per_minute": limit.per_minute, "burst": limit.burst, "partial_ends": name not in told.whole}
            channel_store.create(
                store, box, {"name": name, **KINDS[name], "config": {**KINDS[name]["config"], **config}}, by="ada"
            )
    made = tuple(
        silences.create(
            store, matchers, ends_at=start + (first + length) * MINUTE, starts_at=start + first * MINUTE,
            by="ada", now=start,
        )
        for matchers, first, length in told.silenced
    )  # fmt: skip
    usual, engine.post.OVERALL = engine.post.OVERALL, told.limits[ALL]
    try:
        yield lambda rule_id: Surroundings(
            rule_id,
            made,
            told.limits,
            bundling=frozenset({"one", "two"}),
            whole=told.whole,
            acknowledge_after=told.acknowledge_after,
        )
    finally:
        engine.post.OVERALL = usual


HOOK = {"kind": "webhook", "config": {"url": "http://127.0.0.1:9/", "allow_private": True}}
#: The third keeps one thing an incident, so that it takes no bundles.
KINDS: dict[str, dict[str, Any]] = {
    "one": HOOK,
    "two": HOOK,
    "three": {
        "kind": "pagerduty",
        "config": {"routing_key": "0" * 32, "api_url": "http://127.0.0.1:9/", "allow_private": True},
    },
}


def clean(store: FlightStore) -> None:
    for table in ("rules", "channels", "silences", "rate_buckets", "notifications", "alerts", "alert_instances"):
        store.transact([Statement(delete(METADATA.tables[table]))])


def driven(store: FlightStore, rule: Rule, world: World, grid: Grid, acknowledge_after: timedelta | None) -> str:
    """The live engine's ticks, and its looks at what is held back where anything is due."""
    made = creating(rule, by="ada", at=grid.start)
    commit(store, [made])
    for tick in range(len(grid)):
        at = grid.at(tick)
        acknowledged(store, at, acknowledge_after)
        ticking.tick(store, [Watched(made.row.id, 1, rule)], at, asking=world.asking)
        while at < min(grid.at(tick + 1), grid.end):
            due = store.sql("SELECT min(due_at) FROM notifications WHERE status = 'silent' AND held != ''").item()
            if due is None or due >= grid.at(tick + 1):
                break
            sweep(store, at)
            at += SWEEP_EVERY
    return made.row.id


def acknowledged(store: FlightStore, at: datetime, after: timedelta | None) -> None:
    if after is None:
        return
    for alert in store.sql("SELECT id FROM alerts WHERE status = 'firing'").to_series():
        found = store.sql(
            "SELECT min(CASE WHEN held != '' THEN finished_at ELSE created_at END) FROM notifications "
            "WHERE alert_id = ? AND status != 'silent'",
            [alert],
        ).item()
        if found is not None and at >= found + after:
            incidents.acknowledge(store, [alert], by="ada", at=at)


def stored(store: FlightStore) -> dict[str, Any]:
    rows = store.sql("SELECT * FROM notifications WHERE reason != 'acknowledgement'").to_dicts()
    mine = [row for row in rows if row["alert_id"]]
    digests = [(row, decode(row["notice"])) for row in rows if row["reason"] == "digest"]
    pending = [row for row in rows if row["status"] == "pending"]
    return {
        "notices": ordered(
            (row["created_at"], row["group_key"], row["channel"], row["reason"], late(row)) for row in mine
        ),
        "digests": ordered(
            (row["created_at"], row["channel"], said.group_count, said.summary) for row, said in digests
        ),
        "arrived": Counter(row["channel"] for row in pending),
        "held": [sum(row["status"] == "silent" and row["held"] != "" for row in rows)],
    }


def apart(mine: Any, theirs: Any) -> tuple[list[Any], list[Any]]:
    """What only one of them has, and what only the other."""
    left, right = Counter(mine), Counter(theirs)
    return list((left - right).elements()), list((right - left).elements())


def late(row: Mapping[str, Any]) -> datetime | None:
    return row["finished_at"] if row["status"] == "bundled" and row["held"] else None


def told_by(made: Simulation) -> dict[str, Any]:
    notices = [(n.time, group_key(n.labels), n.channel, n.reason.value, n.told_at) for n in made.notices]
    return {
        "notices": ordered(notices),
        "digests": ordered((d.time, d.channel, d.incidents, d.summary) for d in made.digests),
        "arrived": Counter(made.totals.sent) + Counter(made.totals.digests),
        "held": [made.totals.held],
    }
