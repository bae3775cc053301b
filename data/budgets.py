"""Budgets as people write them: how much may be spent, by whom, in which time, and what happens then.

A document is `{"name": …, "scope": {"kind": "team", "value": "core"}, "amount_usd": 100, "period": "month"}` and, where
the defaults do not fit, `window`, `time_zone`, `enforcement`, `thresholds`, `forecast`, `raises`, `grants`, `enabled`,
`notify`, `starts_at`, `expires_at`.
"""

import json
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from data.budget_periods import NEVER, Period, Schedule, Window, schedule, to_us
from data.errors import UnknownMetric
from data.periods import zone

__all__ = ["ANY", "Budget", "Enforcement", "Grant", "Period", "Raise", "Scope", "ScopeKind", "Window", "nano"]

#: A scope's value that stands for each value there is: each has the whole amount for itself.
ANY: Final = "*"
_MAX_ENTRIES: Final = 200
#: A limit of so many nanodollars is none; sums of them fit into 64 bits.
_MOST: Final = 10**18
_STRICT = ConfigDict(extra="forbid", frozen=True)


def _near(at: datetime) -> datetime:
    if not 2000 <= at.year < 2200:
        raise ValueError("must lie between the years 2000 and 2200")
    return at


Instant = Annotated[AwareDatetime, AfterValidator(_near)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")
]
Money = Annotated[Decimal, Field(ge=0, le=100_000_000, decimal_places=9)]
More = Annotated[Decimal, Field(gt=0, le=100_000_000, decimal_places=9)]
Percent = Annotated[int, Field(ge=1, le=1000)]


class ScopeKind(StrEnum):
    """Whose spending a budget counts: a dimension of the ledger, one tag, or everything."""

    GLOBAL = "global"
    TEAM = "team"
    USER = "user"
    KEY = "key"
    PROJECT = "project"
    MODEL = "model"
    PROVIDER = "provider"
    SESSION = "session"
    TAG = "tag"

    @property
    def of_place(self) -> bool:
        """Whether the same call may count in another budget, or in none, where another provider or model serves it."""
        return self in {ScopeKind.MODEL, ScopeKind.PROVIDER}


class Enforcement(StrEnum):
    """What happens to a call that there is no room for."""

    HARD = "hard"  # it is refused
    SOFT = "soft"  # it is let through with a warning


class Scope(BaseModel):
    """Whose spending is counted: of one value, or of each value by itself (`*`).

    Calls without a value there (no team, say) count for no `*`. A model may be a pattern (`claude-opus-*`).
    """

    model_config = _STRICT

    kind: ScopeKind = ScopeKind.GLOBAL
    tag: Text = ""
    value: Text = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.kind is ScopeKind.GLOBAL and (self.value or self.tag):
            raise ValueError("a global scope has no value and no tag")
        if self.kind is not ScopeKind.GLOBAL and not self.value:
            raise ValueError(f'a scope by {self.kind} needs a value; "*" stands for each')
        if (self.kind is ScopeKind.TAG) != bool(self.tag):
            raise ValueError("a scope by tag needs the tag's name, and no other scope has one")
        return self

    def __str__(self) -> str:
        kind = f"tag {self.tag}" if self.kind is ScopeKind.TAG else self.kind.value
        return f"{kind} {self.value}".strip()


class Raise(BaseModel):
    """More money for a while: it counts in every period that the time touches, and for no longer."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    amount_usd: More
    begins: Instant = Field(alias="from")
    until: Instant
    by: Text = ""
    why: Text = ""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.until <= self.begins:
            raise ValueError("until must come after from")
        return self


class Grant(BaseModel):
    """Prepaid money, for once: it tops up the period it is given in, a budget for once for good.

    In a rolling window it lasts as long as the window. `expires_at` may end it earlier.
    """

    model_config = _STRICT

    amount_usd: More
    at: Instant
    expires_at: Instant | None = None
    by: Text = ""
    why: Text = ""


class Budget(BaseModel):
    """One budget. Amounts are US dollars, thresholds percent of the amount that holds at the time."""

    model_config = _STRICT

    name: Name
    scope: Scope = Scope()
    amount_usd: Money
    period: Period
    window: Window = Window.CALENDAR
    time_zone: Text = "UTC"
    enforcement: Enforcement = Enforcement.HARD
    thresholds: Annotated[tuple[Percent, ...], Field(max_length=20)] = (50, 80, 100)
    forecast: bool = True  # tell when the spending so far leads over the amount by the period's end
    raises: Annotated[tuple[Raise, ...], Field(max_length=_MAX_ENTRIES)] = ()
    grants: Annotated[tuple[Grant, ...], Field(max_length=_MAX_ENTRIES)] = ()
    starts_at: Instant | None = None  # where a budget for once begins to count; None: with the ledger
    expires_at: Instant | None = None  # when nothing is left of a budget for once, whatever was spent
    enabled: bool = True
    notify: Annotated[tuple[Text, ...], Field(max_length=20)] = ()  # channels that thresholds are told to, and the app

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            zone(name)
        except UnknownMetric as error:
            raise ValueError(str(error)) from error
        return name

    @field_validator("thresholds")
    @classmethod
    def _in_order(cls, thresholds: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(thresholds)))

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.period is not Period.ONCE and (self.starts_at or self.expires_at):
            raise ValueError("starts_at and expires_at are for a budget for once (period: once)")
        if self.period is Period.ONCE and self.window is Window.ROLLING:
            raise ValueError("a budget for once has no rolling window")
        if self.starts_at and self.expires_at and self.expires_at <= self.starts_at:
            raise ValueError("expires_at must come after starts_at")
        return self

    @property
    def hard(self) -> bool:
        """Whether calls are refused."""
        return self.enforcement is Enforcement.HARD

    @property
    def schedule(self) -> Schedule:
        """When its money counts."""
        return schedule(self.period, self.window, self.time_zone, to_us(self.starts_at) if self.starts_at else 0)

    @property
    def expires_us(self) -> int:
        """When nothing is left of it, NEVER where that never happens."""
        return to_us(self.expires_at) if self.expires_at else NEVER

    @property
    def shape(self) -> str:
        """What its counters count; documents that differ in nothing of this share them."""
        counted = [self.scope.kind, self.scope.tag, self.scope.value, self.period]
        if self.period is Period.ONCE:
            counted.append(self.starts_at.isoformat() if self.starts_at else "")
        else:
            counted += [self.window, self.time_zone if self.window is Window.CALENDAR else ""]
        return json.dumps(counted)

    def limit(self, at_us: int) -> tuple[int, int]:
        """How many nanodollars may be spent in the period of `at_us`, and until when that surely holds."""
        until = self.expires_us
        if at_us >= until:
            return 0, NEVER
        total = nano(self.amount_usd)
        for amount, start, end in self._extras():
            total += amount if start <= at_us < end else 0
            until = min([until, *(edge for edge in (start, end) if edge > at_us)])
        return min(total, _MOST), until

    def _extras(self) -> list[tuple[int, int, int]]:
        """What is added: (nanodollars, from, until)."""
        found = [(nano(r.amount_usd), to_us(r.begins), to_us(r.until)) for r in self.raises]
        return found + [(nano(g.amount_usd), to_us(g.at), self._grant_ends(g)) for g in self.grants]

    def _grant_ends(self, grant: Grant) -> int:
        given = to_us(grant.at)
        ends = to_us(grant.expires_at) if grant.expires_at else NEVER
        return min(ends, self.schedule.frees(given, [(self.schedule.bucket(given).start_us, 1)], 1))


def nano(usd: Decimal) -> int:
    """Dollars as whole nanodollars, rounded up."""
    return int(usd.scaleb(9).to_integral_value(ROUND_CEILING))


def parse(document: str) -> Budget:
    """A stored document. Raises pydantic's ValidationError."""
    return Budget.model_validate_json(document)


def to_json(budget: Budget) -> str:
    """The document as it is stored and shown."""
    return budget.model_dump_json(by_alias=True, exclude_defaults=True)


def at_once(now: datetime, budget: Budget) -> Budget:
    """The budget as it is kept: one for once that does not say so begins to count now."""
    if budget.period is Period.ONCE and budget.starts_at is None:
        return budget.model_copy(update={"starts_at": now})
    return budget
