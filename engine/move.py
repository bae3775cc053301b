"""What the consequences of one step of a rule's instances depend on, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from data.queries.alerts import ACKNOWLEDGED
from engine.company import Company
from engine.inhibition import Inhibitors
from engine.rule import Rule
from engine.silences import Silence
from engine.state import Instance, Step
from engine.telling import Told
from engine.terms import Terms
from engine.truth import GroupTruth


@dataclass(frozen=True, slots=True)
class Watched:
    """A stored rule, ready to evaluate; where its document cannot be read any more, `rule` only stands for it."""

    id: str
    version: int
    rule: Rule
    readable: bool = True


@dataclass(frozen=True, slots=True)
class Incident:
    """An open incident as it was read."""

    id: str
    status: str
    opened_at: datetime
    acknowledged_until: datetime | None = None

    @property
    def acknowledged(self) -> bool:
        """Whether somebody has taken it on."""
        return self.status == ACKNOWLEDGED


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything besides the steps that their consequences depend on, as read just before."""

    incidents: Mapping[str, Incident] = field(default_factory=dict)  # by id
    told: Sequence[Told] = ()  # oldest first
    opens: Mapping[str, tuple[datetime, ...]] = field(default_factory=dict)  # of late, by group key
    silences: tuple[Silence, ...] = ()
    inhibitors: Inhibitors = field(default_factory=Inhibitors)
    terms: Terms = field(default_factory=Terms)
    company: Company = field(default_factory=Company)
    #: (incident id, channel) of what has not arrived there, where another channel may stand in for it
    unsettled: frozenset[tuple[str, str]] = frozenset()
    public_url: str = ""
    #: who ended it by hand, '' for nobody
    by: str = ""
    comment: str = ""

    def whole(self, alert_id: str) -> frozenset[str]:
        """The channels that want no partial end of the incident; where one may be stood in for, each end is told."""
        if not self.unsettled:
            return self.terms.whole
        return frozenset(name for name in self.terms.whole if (alert_id, name) not in self.unsettled)

    def reaches(self, alert_id: str, channel: str) -> bool:
        """Whether the end of the incident goes to a channel that was told of it, though the rule names it no more.

        One that is gone only fails to be told; that is how those hear of it that stood in for it.
        """
        return channel in self.terms.buckets or (alert_id, channel) in self.unsettled


class Move(msgspec.Struct, frozen=True):
    """One group's step: the stored instance, what it becomes, and the evaluation behind it if there was one."""

    key: str
    stored: Instance | None
    step: Step
    truth: GroupTruth | None = None

    @property
    def alerting(self) -> bool:
        """Whether an incident is open after it."""
        after = self.step.instance
        return after is not None and after.alerting

    def labels(self, rule: Rule) -> dict[str, str]:
        """The group's labels with the rule's own."""
        known = self.step.instance or self.stored
        return {**rule.labels, **(known.labels if known else {})}

    def opens(self, situation: Situation, at: datetime) -> tuple[datetime, ...]:
        """When the group began to fire of late, now too if it does."""
        transition = self.step.transition
        return situation.opens.get(self.key, ()) + ((at,) if transition and transition.opens else ())
