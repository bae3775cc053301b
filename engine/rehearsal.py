"""A scenario played by the live engine itself: its ticks, over a store of their own that is thrown away.

What people do in between (edits, acknowledgements, silences) and what happens to the worker (restarts, a clock that is
set) is done through the same functions as ever; only what the ledger would have answered is made up.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import orjson

from data.client import FlightStore
from data.config import Config, StoreConfig
from data.queries import alerts, clock_set_back
from data.queries import rules as rule_rows
from data.question import Question
from data.serving import RunningStore
from data.store import Store, connect
from engine import incidents, instances, rehearsal_outbox, rules, silences
from engine.course import Course, Told
from engine.durations import written
from engine.errors import Fault, NotFound, RuleError
from engine.evaluate import Answer
from engine.rule_changes import Prepared, commit, creating, editing
from engine.scenario import Event, Scenario, edited
from engine.scenario_series import Given
from engine.silences import RULE
from engine.state import State
from engine.sweep import sweep
from engine.tick import tick

_WHO = "scenario"
#: What happens at the time of an evaluation happens before it.
JUST_BEFORE = timedelta(milliseconds=1)


@contextmanager
def scratch() -> Iterator[FlightStore]:
    """A store on a temporary folder, for as long as the context is open."""
    with tempfile.TemporaryDirectory(prefix="rules-") as folder:
        config = Config(home=Path(folder), store=StoreConfig(memory_limit="512MB", threads=1))
        running = RunningStore(config)
        try:
            store = connect(config)
            try:
                yield store
            finally:
                store.close()
        finally:
            running.stop()


def play(store: Store, scenario: Scenario) -> Course:
    """What the scenario leads to, tick by tick, on an empty store."""
    stage = _Stage(store, scenario, commit_new(store, scenario))
    for number in range(scenario.length):
        stage.evaluation(number)
    return stage.course


def commit_new(store: Store, scenario: Scenario) -> str:
    """Store the scenario's rule, with channels that nothing is ever sent to; its id."""
    made = creating(scenario.rule, by=_WHO, at=scenario.start)
    commit(store, [made])
    rehearsal_outbox.add_channels(store, scenario)
    return made.row.id


@dataclass(slots=True)
class _Stage:
    store: Store
    scenario: Scenario
    rule_id: str
    course: Course = field(default_factory=Course)
    clock: timedelta = timedelta(0)
    down_until: timedelta = timedelta(0)
    told: set[str] = field(default_factory=set)

    def evaluation(self, number: int) -> None:
        elapsed = number * self.scenario.rule.every
        since = elapsed - self.scenario.rule.every
        for event in (one for one in self.scenario.events if since < one.at <= elapsed):
            self._happens(event)
        if elapsed >= self.down_until:
            self._tick(number, self._now(elapsed))
        self._note(elapsed)
        self._sweep(elapsed, elapsed + self.scenario.rule.every)

    def _sweep(self, elapsed: timedelta, until: timedelta) -> None:
        """See to what is held back, up to the next evaluation."""
        first = self._now(max(elapsed, self.down_until))
        for at in rehearsal_outbox.sweeps(self.store, first, self._now(until)):
            sweep(self.store, at)
            self._hear(at - self._now(timedelta(0)))

    def _now(self, elapsed: timedelta) -> datetime:
        return self.scenario.start + elapsed + self.clock

    def _tick(self, number: int, at: datetime) -> None:
        one = rules.watched_by_id(self.store, self.rule_id)

        def answers(_: Store, asked: Sequence[Sequence[Question]]) -> list[list[Answer]]:
            return [Given(self.scenario).answers(one.rule, at, number) for _ in asked]

        tick(self.store, [one], at, asking=answers)
        if one.rule.fallback:
            rehearsal_outbox.arrive(self.store)

    def _happens(self, event: Event) -> None:
        now = self._now(event.at) - JUST_BEFORE
        if event.acknowledge is not None:
            until = now + event.acknowledge.length if event.acknowledge.length else None
            incidents.acknowledge(self.store, self._open(event, event.acknowledge.labels), by=_WHO, until=until, at=now)
        elif event.resolve is not None:
            incidents.resolve(self.store, self._open(event, event.resolve.labels), by=_WHO, at=now)
        elif event.silence is not None:
            matchers = event.silence.matchers or {RULE: self.scenario.rule.name}
            silences.create(self.store, matchers, ends_at=now + event.silence.length, by=_WHO, now=now)
        elif event.edit is not None:
            commit(self.store, [self._edit(event.edit, now)])
        elif event.restart is not None:
            self.down_until = event.at + event.restart
        elif event.clock is not None:
            self._set(event.clock, event.at)

    def _set(self, by: timedelta, elapsed: timedelta) -> None:
        """The clock is set; the rows follow one that is set back, as with a worker that notices it."""
        self.clock += by
        if by < timedelta(0):
            at = self._now(elapsed) - JUST_BEFORE
            changed = [*clock_set_back.evaluations(at, -by), *clock_set_back.deliveries(at, -by)]
            self.store.transact(changed)

    def _edit(self, fields: Mapping[str, object], now: datetime) -> Prepared:
        row = rule_rows.by_id(self.store, self.rule_id)
        if row is None:
            raise NotFound(self.rule_id)
        return editing(self.store, row, edited(rules.watched(row).rule, fields), by=_WHO, at=now)

    def _open(self, event: Event, labels: Mapping[str, str]) -> list[str]:
        found = incidents.active(self.store)
        mine = [row["id"] for row in found if labels.items() <= row["labels"].items()]
        if not mine:
            raise RuleError([Fault("events", f"at {written(event.at)} nothing is open that this could be done to")])
        return mine

    def _note(self, elapsed: timedelta) -> None:
        """What this evaluation left behind: each group's state, and what was newly told."""
        known = instances.from_rows(alerts.instances(self.store, [self.rule_id])).get(self.rule_id, {})
        now = {tuple(sorted(one.labels.items())): one.state for one in known.values()}
        for group in self.course.states.keys() | now.keys():
            self.course.states.setdefault(group, []).append((elapsed, now.get(group, State.NORMAL)))
        self._hear(elapsed)

    def _hear(self, elapsed: timedelta) -> None:
        for row in rehearsal_outbox.lines(self.store):
            if row["id"] not in self.told:
                self.told.add(row["id"])
                labels = tuple(sorted(orjson.loads(row["group_key"] or "{}").items()))
                self.course.notices.append(Told(elapsed, labels, row["channel"], row["reason"]))
