"""What decides besides a rule who is told: silences, what channels take, others' incidents, and who acts. Pure.

A replay takes all of it as given: what others sent took from the buckets, which were full before the first of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.bucket import Limit
from engine.inhibition import Source
from engine.silences import Silence


@dataclass(frozen=True, slots=True)
class Recorded:
    """An incident that keeps others quiet, open in [its beginning, resolved); without an end it still is."""

    source: Source
    resolved: datetime | None


@dataclass(frozen=True, slots=True)
class Sent:
    """So many notices that went to a channel at once."""

    at: datetime
    channel: str
    notices: int = 1


@dataclass(frozen=True, slots=True)
class Surroundings:
    """By default nothing is silenced, channels take what they usually do, and nobody acknowledges.

    `limits` by channel, that of all channels together under `engine.terms.ALL`; `bundling` are the channels where one
    notice may tell of many incidents, None: all; those in `whole` are told of no end before all is over that they were
    told of. `acknowledge_after`: so long after its first notice somebody takes an incident on, until it is over.
    Matchers know the rule by `rule_id`. `others` are notices of other rules, oldest first.
    """

    rule_id: str = ""
    silences: tuple[Silence, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict)
    bundling: frozenset[str] | None = None
    whole: frozenset[str] = frozenset()
    inhibiting: tuple[Recorded, ...] = ()
    acknowledge_after: timedelta | None = None
    others: tuple[Sent, ...] = ()


#: Nothing around a rule.
ALONE = Surroundings()
