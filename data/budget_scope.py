"""Which counters of a budget a call counts in. Pure.

It is told from the call's own columns alone: the same before it is sent and at its end, in the ledger, and in what a
killed proxy has left behind.

A model's budget counts the calls that asked for the model or were answered by it, whatever snapshot of it that was; a
fallback counts for the model that it fell back to, not for the one that was asked for.
"""

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

import msgspec

from data.budgets import ANY, Scope, ScopeKind
from data.model import FALLBACKS, LedgerRecord, RequestStart

#: What a snapshot's name has behind the model's: a date, a number, or `latest`.
_SNAPSHOT: Final = re.compile(r"[-@](?:\d{8}|\d{4}-\d{2}-\d{2}|\d{3,4}|latest)$")
_PATTERN: Final = frozenset("*?[")


class Who(NamedTuple):
    """The columns that scopes look at. `models` are the names without their snapshots."""

    key: str
    user: str
    team: str
    project: str
    session: str
    provider: str
    models: tuple[str, ...]
    tags: Mapping[str, str]


def who_asks(start: RequestStart) -> Who:
    """Return who a call is for that is about to be sent."""
    return who(start, models(start.cause, start.model_requested, start.model_sent))


def who_asked(record: LedgerRecord) -> Who:
    """Return who a call was for that has ended."""
    return who(record, models(record.cause, record.model_requested, record.model))


def who(row: Any, named: tuple[str, ...]) -> Who:
    """Return who a row is for that has the columns as attributes."""
    return Who(row.key, row.user, row.team, row.project, row.session, row.provider, named, row.tags)


def models(cause: str, requested: str, answering: str) -> tuple[str, ...]:
    """Return the models that a call counts for. `answering` is '' where it is the one that was asked for."""
    named = (answering or requested,) if cause in FALLBACKS else (requested, answering)
    return tuple(dict.fromkeys(without_snapshot(name) for name in named if name))


def without_snapshot(model: str) -> str:
    """Return a model's name without its path and its snapshot's date."""
    return _SNAPSHOT.sub("", model.removeprefix("models/"))


def values(scope: Scope, who: Who) -> tuple[str, ...]:
    """Return the counters a call counts in: none, the scope's one, or with `*` one by each value that it has."""
    found = _FOUND[scope.kind](scope, who)
    if scope.kind is ScopeKind.GLOBAL:
        return found
    if scope.value == ANY:
        return tuple(value for value in found if value)
    return (scope.value,) if any(_is(scope, value) for value in found) else ()


def _is(scope: Scope, value: str) -> bool:
    if scope.kind is not ScopeKind.MODEL:
        return value == scope.value
    if not _PATTERN.isdisjoint(scope.value):
        return fnmatchcase(value, scope.value)
    return value == without_snapshot(scope.value)


_FOUND: Final[Mapping[ScopeKind, Callable[[Scope, Who], tuple[str, ...]]]] = {
    ScopeKind.GLOBAL: lambda _scope, _who: ("",),
    ScopeKind.TEAM: lambda _, who: (who.team,),
    ScopeKind.USER: lambda _, who: (who.user,),
    ScopeKind.KEY: lambda _, who: (who.key,),
    ScopeKind.PROJECT: lambda _, who: (who.project,),
    ScopeKind.MODEL: lambda _, who: who.models,
    ScopeKind.PROVIDER: lambda _, who: (who.provider,),
    ScopeKind.SESSION: lambda _, who: (who.session,),
    ScopeKind.TAG: lambda scope, who: (who.tags.get(scope.tag, ""),),
}


def who_of_sum(scope: Scope, row: Mapping[str, Any]) -> Who:
    """Return who a sum of the ledger is for, of which only the columns are known that the scope looks at."""
    match scope.kind:
        case ScopeKind.GLOBAL:
            return _NOBODY
        case ScopeKind.MODEL:
            return _NOBODY._replace(models=models(row["cause"], row["model_requested"], row["model"]))
        case ScopeKind.TAG:
            return _NOBODY._replace(tags=msgspec.json.decode(row["tags"] or "{}", type=dict[str, str]))
    return _NOBODY._replace(**{scope.kind.value: row[scope.kind.value]})


_NOBODY = Who("", "", "", "", "", "", (), {})
