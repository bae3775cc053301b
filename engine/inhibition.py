"""Incidents that keep others quiet: while a source fires, matching targets notify nobody. Pure.

As in Alertmanager: the source's own labels can be narrowed, the target's are matched, and labels named in `equal` must
be the same on both, where one that both lack is the same. A source that is quiet itself keeps its targets quiet too:
what explains it explains them. An incident that is source and target of one inhibition at once is not kept quiet by
another of its rule that is both too. Of incidents that keep one another quiet in a circle, one is told, if nothing
else keeps any of them quiet: the worst by severity, of these the one that fires longest, then the first by rule and
group. So whatever fires, one is told that explains it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from engine.levels import quieted
from engine.policies import Inhibition
from engine.rule import Rule, Severity
from engine.silences import SEVERITY

Labels = Mapping[str, str]
#: A rule's id and the key of one of its groups.
Place = tuple[str, str]
_RANKS: Mapping[str | None, int] = {severity.value: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Subject:
    """An incident as matchers see it: `labels` with rule, rule_id and severity among them."""

    rule_id: str
    group_key: str
    labels: Labels

    @property
    def place(self) -> Place:
        """What tells it apart from all others that are open."""
        return self.rule_id, self.group_key


@dataclass(frozen=True, slots=True)
class Source:
    """An open incident of a rule that inhibits; `quiets` is the key of the one group of it that it keeps quiet."""

    subject: Subject
    inhibits: tuple[Inhibition, ...]
    opened: datetime
    quiets: str = ""

    @classmethod
    def of(cls, rule: Rule, subject: Subject, opened: datetime) -> "Source":
        """As the rule says; a critical incident keeps the warn of its group quiet."""
        return cls(subject, rule.inhibits, opened, quieted(subject.group_key) if rule.levels else "")

    @property
    def rank(self) -> tuple[int, datetime, bool, Place]:
        """Of several that keep one another quiet, the one with the least is told; what is not stored is the newest."""
        severity, place = self.subject.labels.get(SEVERITY), self.subject.place
        return _RANKS.get(severity, len(_RANKS)), self.opened, not self.subject.rule_id, place


class Inhibitors:
    """The sources of one instant, looked up by what must be equal."""

    def __init__(self, sources: Iterable[Source] = ()) -> None:
        self._by: dict[tuple[str, Inhibition], dict[tuple[str, ...], list[Subject]]] = {}
        self._quieting: dict[Place, Subject] = {}
        self._sources: dict[Place, Source] = {}
        self._behind: dict[Place, tuple[Subject, ...]] = {}
        self._first: dict[Place, bool] = {}
        for source in sources:
            self._sources[source.subject.place] = source
            if source.quiets:
                self._quieting[source.subject.rule_id, source.quiets] = source.subject
            for inhibition in source.inhibits:
                if _matches(inhibition.source, source.subject.labels):
                    found = self._by.setdefault((source.subject.rule_id, inhibition), defaultdict(list))
                    found[_equal(inhibition, source.subject)].append(source.subject)

    def of(self, target: Subject) -> Subject | None:
        """A source that keeps the target quiet; None: nothing does."""
        found = next(self._explaining(target), None)
        return None if found is None or self._is_first(target) else found

    def _explaining(self, target: Subject) -> Iterator[Subject]:
        """The sources that the target matches, whether or not they are quiet themselves."""
        if source := self._quieting.get(target.place):
            yield source
        for (rule_id, inhibition), sources in self._by.items():
            if _matches(inhibition.match, target.labels):
                both = rule_id == target.rule_id and _matches(inhibition.source, target.labels)
                yield from _others(sources.get(_equal(inhibition, target), ()), target, inhibition, both=both)

    def _is_first(self, target: Subject) -> bool:
        """Whether it is the first of a circle that nothing outside of explains."""
        if target.place not in self._sources:
            return False
        if target.place not in self._first:
            circle = self._circle(target)
            first = min(circle, key=lambda place: self._sources[place].rank, default=None)
            self._first |= {place: place == first for place in circle or (target.place,)}
        return self._first[target.place]

    def _circle(self, target: Subject) -> frozenset[Place]:
        """All from which a way leads to the target, if a way leads from it to each of them; else nothing."""
        onward: dict[Place, list[Place]] = defaultdict(list)
        seen, waiting = {target.place}, [target]
        while waiting:
            one = waiting.pop()
            if not (behind := self._all_behind(one)):
                return frozenset()  # where a way begins, none leads to
            for source in behind:
                onward[source.place].append(one.place)
                if source.place not in seen:
                    seen.add(source.place)
                    waiting.append(source)
        return frozenset(seen) if _reached(target.place, onward) == seen else frozenset()

    def _all_behind(self, source: Subject) -> tuple[Subject, ...]:
        if source.place not in self._behind:
            self._behind[source.place] = tuple(self._explaining(source))
        return self._behind[source.place]


def _reached(place: Place, onward: Mapping[Place, Sequence[Place]]) -> set[Place]:
    seen, waiting = {place}, [place]
    while waiting:
        found = [each for each in onward.get(waiting.pop(), ()) if each not in seen]
        seen.update(found)
        waiting.extend(found)
    return seen


def _others(sources: Sequence[Subject], target: Subject, inhibition: Inhibition, *, both: bool) -> Iterator[Subject]:
    others = (source for source in sources if not (both and _matches(inhibition.match, source.labels)))
    return (source for source in others if source.place != target.place)


def _matches(matchers: Mapping[str, Sequence[str]], labels: Labels) -> bool:
    return all(
        any(fnmatchcase(labels.get(name, ""), pattern) for pattern in patterns) for name, patterns in matchers.items()
    )


def _equal(inhibition: Inhibition, subject: Subject) -> tuple[str, ...]:
    return tuple(subject.labels.get(name, "") for name in inhibition.equal)
