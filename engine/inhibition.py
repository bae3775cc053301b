"""Incidents that keep others quiet: while a source fires, matching targets notify nobody. Pure.

As in Alertmanager: the source's own labels can be narrowed, the target's are matched, and labels named in `equal` must
be the same on both, where one that both lack is the same. An incident that is source and target at once is not kept
quiet by another that is both too, so that no two silence each other.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from engine.policies import Inhibition

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Subject:
    """An incident as matchers see it: `labels` with rule, rule_id and severity among them."""

    rule_id: str
    group_key: str
    labels: Labels


@dataclass(frozen=True, slots=True)
class Source:
    """An open incident of a rule that inhibits; `quiets` is the key of the one group of it that it keeps quiet."""

    subject: Subject
    inhibits: tuple[Inhibition, ...]
    quiets: str = ""


class Inhibitors:
    """The sources of one instant, looked up by what must be equal."""

    def __init__(self, sources: Iterable[Source] = ()) -> None:
        self._by: dict[tuple[str, Inhibition], dict[tuple[str, ...], list[Subject]]] = {}
        self._quieting: dict[tuple[str, str], Subject] = {}
        for source in sources:
            if source.quiets:
                self._quieting[source.subject.rule_id, source.quiets] = source.subject
            for inhibition in source.inhibits:
                if _matches(inhibition.source, source.subject.labels):
                    found = self._by.setdefault((source.subject.rule_id, inhibition), defaultdict(list))
                    found[_equal(inhibition, source.subject)].append(source.subject)

    def of(self, target: Subject) -> Subject | None:
        """A source that keeps the target quiet; None: nothing does."""
        if source := self._quieting.get((target.rule_id, target.group_key)):
            return source
        for (rule_id, inhibition), sources in self._by.items():
            if _matches(inhibition.match, target.labels):
                both = rule_id == target.rule_id and _matches(inhibition.source, target.labels)
                found = sources.get(_equal(inhibition, target), ())
                if source := _other(found, target, inhibition, both=both):
                    return source
        return None


def _other(sources: Sequence[Subject], target: Subject, inhibition: Inhibition, *, both: bool) -> Subject | None:
    others = (source for source in sources if not (both and _matches(inhibition.match, source.labels)))
    return next((s for s in others if (s.rule_id, s.group_key) != (target.rule_id, target.group_key)), None)


def _matches(matchers: Mapping[str, Sequence[str]], labels: Labels) -> bool:
    return all(
        any(fnmatchcase(labels.get(name, ""), pattern) for pattern in patterns) for name, patterns in matchers.items()
    )


def _equal(inhibition: Inhibition, subject: Subject) -> tuple[str, ...]:
    return tuple(subject.labels.get(name, "") for name in inhibition.equal)
