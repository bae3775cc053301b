"""Truth with holes: what a condition can be, and how conditions compose.

Severity, mildest first: false, no data, error, true. `all` is the mildest of its members, `any` the most severe.
What is not known (no data, error) therefore stands between: one false member settles an `all` and one true member
settles an `any`, whatever the others would have said; nothing else is concluded from a hole.
"""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

import msgspec
import orjson

from engine.condition import AllOf, AnyOf, Condition, Node, Op


class Truth(StrEnum):
    """Whether a condition, or a whole rule for one group, holds."""

    FALSE = "false"
    NO_DATA = "no_data"
    ERROR = "error"
    TRUE = "true"


#: A member's name is looked up in the enum at every use; these are used by the ten thousand.
_FALSE, _NO_DATA, _TRUE = Truth.FALSE, Truth.NO_DATA, Truth.TRUE
_SEVERITY: Mapping[Truth, int] = {truth: rank for rank, truth in enumerate(Truth)}
_OPPOSITE: Mapping[Truth, Truth] = {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE}

#: Works on numbers and, element by element, on arrays and Polars columns: live and simulated share it.
HOLDS: Mapping[Op, Callable[[Any, Any], Any]] = {
    Op.ABOVE: operator.gt,
    Op.AT_LEAST: operator.ge,
    Op.BELOW: operator.lt,
    Op.AT_MOST: operator.le,
    Op.EQUAL: operator.eq,
    Op.NOT_EQUAL: operator.ne,
}


def all_of(truths: Iterable[Truth]) -> Truth:
    """The mildest."""
    return min(truths, key=_SEVERITY.__getitem__)


def any_of(truths: Iterable[Truth]) -> Truth:
    """The most severe."""
    return max(truths, key=_SEVERITY.__getitem__)


def negated(truth: Truth) -> Truth:
    """True and false swap; what is not known stays so."""
    return _OPPOSITE.get(truth, truth)


def compose(node: Node, leaves: Sequence[Truth]) -> Truth:
    """The truth of a whole tree from the truths of its conditions, given in document order."""
    return _compose(node, iter(leaves))


def _compose(node: Node, leaves: Iterator[Truth]) -> Truth:
    if isinstance(node, Condition):
        return next(leaves)
    if isinstance(node, AllOf | AnyOf):
        found = [next(leaves) if type(one) is Condition else _compose(one, leaves) for one in node.members]
        return all_of(found) if isinstance(node, AllOf) else any_of(found)
    return negated(_compose(node.member, leaves))


def decisive(whole: Truth, leaves: Sequence[Truth]) -> int:
    """The position of the first condition whose truth is the whole's; 0 where none is (under a `not`)."""
    return next((n for n, truth in enumerate(leaves) if truth is whole), 0)


def threshold(condition: Condition, *, held: bool) -> float:
    """What the value is compared with: the recovery threshold while the condition is held by a firing instance."""
    if held and condition.recovery is not None:
        return condition.recovery
    return condition.value


def judge(condition: Condition, value: float | None, *, held: bool) -> Truth:
    """Whether one value meets one condition; no value is no data."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return _NO_DATA
    return _TRUE if HOLDS[condition.op](value, threshold(condition, held=held)) else _FALSE


class Verdict(Protocol):
    """What `engine.state.step` looks at of an evaluation; `GroupTruth` says more."""

    @property
    def labels(self) -> Mapping[str, str]:
        """The group's."""

    @property
    def truth(self) -> Truth:
        """The whole rule's."""

    @property
    def truths(self) -> tuple[Truth, ...]:
        """Each condition's, in document order."""

    @property
    def value(self) -> float | None:
        """The decisive condition's."""

    @property
    def threshold(self) -> float:
        """What that value was compared with."""


class ConditionTruth(msgspec.Struct, frozen=True):
    """One condition for one group: what was measured, with what it was compared, and what came of it.

    A tick of many rules makes ten thousands of these and of `GroupTruth`; a dataclass takes ten times as long to make.
    `value` is what the threshold is held against: `measured`, or what `compare` makes of it and `baseline`.
    `path` is the condition's place in the document (`when.all[0]`); `message` says what failed, if something did.
    """

    path: str
    metric: str
    value: float | None
    threshold: float
    truth: Truth
    measured: float | None
    baseline: float | None = None
    message: str = ""


class GroupTruth(msgspec.Struct, frozen=True):
    """What a rule says of one group at one instant, before its policies for no data and errors.

    `value` and `threshold` are of the first condition that says what the whole says. `named` is the group's key, where
    whoever made this knows it.
    """

    labels: Mapping[str, str]
    truth: Truth
    conditions: tuple[ConditionTruth, ...]
    named: str = ""

    @property
    def key(self) -> str:
        """The group's identity within its rule."""
        return self.named or group_key(self.labels)

    @property
    def truths(self) -> tuple[Truth, ...]:
        """Each condition's truth, in document order."""
        return tuple(condition.truth for condition in self.conditions)

    @property
    def decisive(self) -> ConditionTruth:
        """The condition that tells the whole."""
        return self.conditions[decisive(self.truth, [condition.truth for condition in self.conditions])]

    @property
    def value(self) -> float | None:
        """The decisive condition's value, in its metric's unit."""
        return self.decisive.value

    @property
    def threshold(self) -> float:
        """The decisive condition's threshold."""
        return self.decisive.threshold

    @property
    def message(self) -> str:
        """What failed, if something did."""
        return next((c.message for c in self.conditions if c.message), "")


def group_key(labels: Mapping[str, str]) -> str:
    """A group's labels as one text: compact JSON, names sorted; `{}` for the only group of an ungrouped rule."""
    return orjson.dumps(dict(labels), option=orjson.OPT_SORT_KEYS).decode() if labels else "{}"
