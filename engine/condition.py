"""What a rule asks: a tree of all, any and not over conditions on metrics."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    Tag,
    model_validator,
)

from data.errors import UnknownMetric
from data.metrics import dimension, metric
from engine.durations import duration, written
from engine.window import WindowText

#: Deeper documents are mistakes, and would exhaust the stack.
DEEPEST = 32
LARGEST = 5000
#: Beyond it floats have gaps that money does not have.
LARGEST_NUMBER = 1e15
#: Metrics whose time is their budget's own period; a window may be left out, and says nothing.
WITHOUT_WINDOW = frozenset({"budget_used", "budget_forecast"})


class Op(StrEnum):
    """How a value is compared with its threshold."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="
    EQUAL = "=="
    NOT_EQUAL = "!="


#: What is worse the higher it is.
UPWARD = frozenset({Op.ABOVE, Op.AT_LEAST})


def milder(op: Op, value: float, than: float) -> bool:
    """Whether a threshold is met before another one is, as things get worse."""
    return value < than if op in UPWARD else value > than


class CompareAs(StrEnum):
    """What is made of now and then: now - then, or that in percent of then."""

    DIFFERENCE = "difference"
    PERCENT = "percent"


class Document(BaseModel):
    """Base of everything people write: frozen, strict about unknown fields, fields named as written."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_alias=True, validate_by_name=False, serialize_by_alias=True
    )


def metric_name(name: str) -> str:
    """The name of a metric that can be asked for; a ValueError says otherwise."""
    try:
        return metric(name).name
    except UnknownMetric as error:
        raise ValueError(str(error)) from error


def dimension_name(name: str) -> str:
    """The name of a dimension (`model`, `tag:NAME`); a ValueError says otherwise."""
    try:
        return dimension(name).name
    except UnknownMetric as error:
        raise ValueError(str(error)) from error


def written_value(value: object) -> str:
    """A dimension's value as text, as it stands in labels: true, 429, gpt-5."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _wanted(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        raise ValueError("needs at least one value")
    if any(not isinstance(v, str | int | bool) for v in values):
        raise ValueError("must be a text or a list of texts")
    return tuple(dict.fromkeys(written_value(v) for v in values))


def _short(values: tuple[str, ...]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


def _number(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER:
        return float(value)
    raise ValueError(f"must be a number, not {value!r}")


def _short_number(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def _offset(value: Any) -> timedelta | None:
    if value is None or value == "previous":
        return None
    length = duration(value)
    if length <= timedelta(0):
        raise ValueError("must be longer than 0s")
    return length


MetricName = Annotated[str, AfterValidator(metric_name)]
DimensionName = Annotated[str, AfterValidator(dimension_name)]
Wanted = Annotated[
    tuple[str, ...], PlainValidator(_wanted), PlainSerializer(_short, return_type=str | list[str], when_used="always")
]
Where = dict[DimensionName, Wanted]
Number = Annotated[float, PlainValidator(_number), PlainSerializer(_short_number, return_type=float | int)]
Offset = Annotated[
    timedelta | None,
    PlainValidator(_offset),
    PlainSerializer(lambda value: "previous" if value is None else written(value), return_type=str),
]


class Compare(Document):
    """With what the window is compared: the one before (`previous`) or the same so long ago (`1d`).

    Of a calendar's period, the other one is looked at up to the same time (`engine.previous`).
    """

    to: Offset
    as_: CompareAs = Field(CompareAs.PERCENT, alias="as")


class Condition(Document):
    """One metric over one window against one threshold, and where it warns, a milder one too."""

    metric: MetricName
    window: WindowText
    op: Annotated[Op, BeforeValidator(lambda op: "==" if op == "=" else op)]
    value: Number
    recovery: Number | None = None
    warn: Number | None = None
    warn_recovery: Number | None = None
    compare: Compare | None = None
    where: Where = {}

    @model_validator(mode="before")
    @classmethod
    def _has_its_own_time(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and str(raw.get("metric")) in WITHOUT_WINDOW:
            return {"window": "1h", **raw}
        return raw

    @model_validator(mode="after")
    def _warns_before(self) -> "Condition":
        if self.warn is None:
            return self
        self._has_sides("warn")
        if not milder(self.op, self.warn, self.value):
            raise ValueError(f"warn must be {'below' if self.op in UPWARD else 'above'} value with {self.op}")
        return self

    @model_validator(mode="after")
    def _recovers_beyond(self) -> "Condition":
        self._recovers(self.recovery, self.value, "recovery", "value")
        self._recovers(self.warn_recovery, self.warn, "warn_recovery", "warn")
        return self

    def _recovers(self, recovery: float | None, value: float | None, name: str, of: str) -> None:
        if recovery is None:
            return
        if value is None:
            raise ValueError(f"{name} has no effect without {of}")
        self._has_sides(name)
        if milder(self.op, value, recovery):
            raise ValueError(f"{name} must be {'at most' if self.op in UPWARD else 'at least'} {of} with {self.op}")

    def _has_sides(self, name: str) -> None:
        if self.op in {Op.EQUAL, Op.NOT_EQUAL}:
            raise ValueError(f"{name} has no meaning with {self.op}")


class AllOf(Document):
    """Holds when every member holds."""

    members: "tuple[Node, ...]" = Field(alias="all", min_length=1)


class AnyOf(Document):
    """Holds when one member holds."""

    members: "tuple[Node, ...]" = Field(alias="any", min_length=1)


class Not(Document):
    """Holds when its member does not."""

    member: "Node" = Field(alias="not")


_KINDS: Mapping[type, str] = {AllOf: "<all>", AnyOf: "<any>", Not: "<not>", Condition: "<condition>"}


def _kind(value: Any) -> str | None:
    if not isinstance(value, dict):
        return _KINDS.get(type(value))
    return next((f"<{word}>" for word in ("all", "any", "not") if word in value), "<condition>")


#: The tags are bracketed, so that a fault's path can leave them out.
Node = Annotated[
    Annotated[AllOf, Tag("<all>")]
    | Annotated[AnyOf, Tag("<any>")]
    | Annotated[Not, Tag("<not>")]
    | Annotated[Condition, Tag("<condition>")],
    Discriminator(_kind),
]
for _model in (AllOf, AnyOf, Not):
    _model.model_rebuild()

Placed = tuple[str, Condition]


def placed_conditions(node: "AllOf | AnyOf | Not | Condition", path: str = "when") -> Iterator[Placed]:
    """Every condition with its path (`when.all[0]`), in document order."""
    if isinstance(node, Condition):
        yield path, node
    elif isinstance(node, Not):
        yield from placed_conditions(node.member, f"{path}.not")
    else:
        word = "all" if isinstance(node, AllOf) else "any"
        for position, member in enumerate(node.members):
            yield from placed_conditions(member, f"{path}.{word}[{position}]")


def oversize(value: Any) -> str:
    """Why a raw document is too large to look at closer; '' if it is not. Aliases count as often as they are used."""
    level, seen = [value], 0
    for _ in range(DEEPEST):
        level = [child for item in level for child in _children(item)]
        seen += len(level)
        if seen > LARGEST:
            return f"has more than {LARGEST} entries"
        if not level:
            return ""
    return f"nests deeper than {DEEPEST} levels"


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []
