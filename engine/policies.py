"""What a rule says about who else is told, and when: parts of its document."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from engine.condition import Document
from engine.durations import PositiveDuration
from engine.errors import Fault


def listed(value: Any) -> Any:
    """A single text as a list of one."""
    return [value] if isinstance(value, str) else value


Name = Annotated[str, Field(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], BeforeValidator(listed)]
SomeNames = Annotated[tuple[Name, ...], BeforeValidator(listed), Field(min_length=1)]


Matchers = dict[Name, SomeNames]


def _at_most_a_day(length: timedelta) -> timedelta:
    if length > timedelta(days=1):
        raise ValueError("must be at most 1d")
    return length


class Step(Document):
    """Who is told besides when nobody has acknowledged `after` the first notice."""

    after: PositiveDuration
    notify: SomeNames


class Flapping(Document):
    """A group that began to fire `count` times `within` a time flaps: that is told once, and then only when it ends."""

    count: Annotated[int, Field(strict=True, ge=2, le=1000)] = 5
    within: Annotated[PositiveDuration, AfterValidator(_at_most_a_day)] = timedelta(hours=1)


class Inhibition(Document):
    """Which incidents are kept quiet while the rule fires.

    `match` are patterns (`*`, `?`) of a target's labels, or of its rule, rule_id and severity; of several for a name
    one must match. `source` narrows in the same way which of the rule's own incidents count, and the labels named in
    `equal` must be the same on both.
    """

    match: Annotated[Matchers, Field(min_length=1)]
    equal: Names = ()
    source: Matchers = {}  # noqa: RUF012 - pydantic copies defaults

    def __hash__(self) -> int:
        return hash((tuple(self.match.items()), self.equal, tuple(self.source.items())))


def escalation_faults(steps: Sequence[Step], notify: Sequence[str]) -> Iterator[Fault]:
    """What contradicts itself in a rule's escalation."""
    if steps and not notify:
        yield Fault("escalate", "has no effect without notify")
    for n, (before, step) in enumerate(pairwise(steps), 1):
        if step.after <= before.after:
            yield Fault(f"escalate[{n}].after", "must be longer than the step's before")
    for n, step in enumerate(steps):
        twice = [name for name in dict.fromkeys(step.notify) if step.notify.count(name) > 1]
        yield from (Fault(f"escalate[{n}].notify", f"names {name!r} twice") for name in twice)
