"""Writes what the rules of a tick leave behind, fenced by the worker's lease.

What one rule leaves behind is committed in one transaction, and usually that of all rules is; where it is very much, a
portion of the rules at a time, so that a tick can fail halfway. A row that changed since
it was read fails the transaction as a whole; then each rule is committed alone, and the ones that still conflict are
left to the next tick.
"""

from collections.abc import Iterator, Mapping, Sequence

from data.errors import ConflictError
from data.queries.alerts import Changes, committing
from data.store import Statement, Store

#: Many incidents that open together are committed in portions of so many rows: one message for all is memory, twice.
AT_ONCE = 12_000


class Fenced(Exception):
    """Another worker has taken over: nothing more was written, and nothing may be."""


def commit(store: Store, parts: Mapping[str, Changes], fence: Sequence[Statement]) -> list[str]:
    """Write everything; returns the ids of rules left out because their rows changed since they were read.

    Raises Fenced, or StoreError (it is away, or out of time, memory or disk): then the portions before are written, and
    of this one, should the store have gone away, it is unknown. Each rule is written whole or not at all.
    """
    if not parts:
        _hold(store, fence)
    return [rule_id for some in _portions(parts) for rule_id in _committed_together(store, some, fence)]


def _portions(parts: Mapping[str, Changes]) -> Iterator[Mapping[str, Changes]]:
    """All of a rule's changes with those of others, about `AT_ONCE` rows each: usually everything at once."""
    portion: dict[str, Changes] = {}
    rows = 0
    for rule_id, part in parts.items():
        portion[rule_id] = part
        rows += part.rows
        if rows >= AT_ONCE:
            yield portion
            portion, rows = {}, 0
    if portion:
        yield portion


def _committed_together(store: Store, parts: Mapping[str, Changes], fence: Sequence[Statement]) -> list[str]:
    try:
        store.transact([*fence, *committing(parts.values())])
    except ConflictError:
        return [rule_id for rule_id, part in parts.items() if not _committed_alone(store, part, fence)]
    return []


def _committed_alone(store: Store, part: Changes, fence: Sequence[Statement]) -> bool:
    _hold(store, fence)
    try:
        store.transact([*fence, *committing([part])])
    except ConflictError:
        return False
    return True


def _hold(store: Store, fence: Sequence[Statement]) -> None:
    """Raise Fenced unless the lease is still ours."""
    try:
        store.transact(list(fence))
    except ConflictError as error:
        raise Fenced("another worker holds the lease") from error
